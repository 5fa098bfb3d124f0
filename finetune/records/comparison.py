"""The manifest of a comparison, version 1: which runs belong together, and where they are stored."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from finetune.atomic import write_text
from finetune.errors import OutputError
from finetune.records.checksum import checked, read_object, with_checksum
from finetune.records.frozen import Frozen, what_is_wrong
from finetune.records.store import RunFolder, lock_folder

MANIFEST_VERSION = 1
MANIFEST = "comparison.json"
Kind = Literal["compare", "ablate", "curve", "sweep", "tune"]
FinalName = Literal["best", "refit", "soup", "distil", "auto"]
LEAST_VALIDATION = 0.1  # as a fraction of the training rows: below it, a refit on both brings little
FEWEST_MEMBERS = 2  # runs that a soup or a student is made from


def _inside(folder: str) -> str:
    path = PureWindowsPath(folder)  # which knows the separators of all systems
    if path.anchor or ".." in path.parts or not path.parts:
        raise ValueError(f"'{folder}' is not a folder inside that of the experiment")
    return folder


Inside = Annotated[str, AfterValidator(_inside)]


class VariantEntry(Frozen):
    """A preset, a preset without one of its techniques, one technique alone, a preset at one size of the data, or a
    preset with settings of the user's own.
    """

    name: str
    baseline: str | None = Field(description="The variant it is compared with; None for a baseline.")
    technique: str | None = Field(None, description="Ablation: the technique that is left out or alone.")
    techniques: dict[str, Any] = Field(description="Technique -> settings.")
    preset: str | None = Field(None, description="The preset that it is based on: at one size, or with own settings.")
    size: int | None = Field(None, description="Curve: training rows.")
    settings: dict[str, Any] = Field({}, description="Own settings: dotted key -> value.")
    point: dict[str, Any] = Field({}, description="Sweep: varied key -> its value at this point.")


class JobEntry(Frozen):
    """One job: a run of the table, or what is computed from such runs."""

    kind: str = Field("train", description="Kind of job: train, refit, soup, distil.")
    variant: str
    seed: int
    fold: int | None
    key: str = Field(
        description="sha256 over recipe, preset, seed, data, model and algorithm, which determine its numbers."
    )
    folder: Inside = Field(description="Relative to the folder of the comparison, and inside it.")
    inputs: list[str] = Field([], description="Keys of the jobs that must finish first.")
    options: dict[str, Any] = Field({}, description="Options of this kind of job, such as the steps of a refit.")
    code: str | None = Field(None, description="sha256 of the code when the job was started.")
    error: str | None = Field(None, description="Why the job ended without a record.")
    retries: list[str] = Field(
        [],
        description="Why the job lost a process and continued in another one, or was restarted: one entry for "
        "each time.",
    )


class SeedLook(Frozen):
    """A look at the runs so far, by the rule that adds seeds."""

    seeds: int = Field(description="Seeds that had been run.")
    settled: dict[str, str] = Field(description="Variant -> why it gets no further seeds, from this look on.")
    open: list[str] = Field(description="Variants that get a further seed.")


class Manifest(Frozen):
    """The request to `finetune compare`, `ablate`, `curve` or `sweep`."""

    manifest_version: int = MANIFEST_VERSION
    kind: Kind
    command: str = Field(description="Command that reproduces it.")
    baseline: str
    variants: list[VariantEntry]
    seeds: list[int]
    folds: int | None
    most_seeds: int | None = Field(
        None, description="The most seeds, if seeds are added until every verdict is settled (`--seeds auto`)."
    )
    looks: list[SeedLook] = Field([], description="The looks of the rule that adds seeds.")
    cells: list[JobEntry] = Field(description="Jobs of kind train: variants × seeds × folds.")
    jobs: list[JobEntry] = Field([], description="Further jobs, which start from the runs.")
    refit: Inside | None = Field(None, description="Folder of the refit, in manifests without jobs.")
    final: FinalName | None = Field(
        None, description="The final model of the comparison; None in older manifests: a refit if there is one."
    )
    shipped: Inside | None = Field(
        None, description="Folder of the run whose model is in model/, relative to this one."
    )

    def with_jobs(self, entries: Sequence[JobEntry]) -> Manifest:
        """The manifest with further jobs at the end; they replace those with the same keys, and keep their retries."""
        new = {entry.key: entry for entry in entries}
        kept = [entry for entry in self.jobs if entry.key not in new]
        retries = {entry.key: entry.retries for entry in self.jobs if entry.retries}
        return self.model_copy(update={"jobs": [*kept, *new.values()]}).with_retries(retries)

    def with_cells(self, entries: Sequence[JobEntry]) -> Manifest:
        """The manifest with further runs of the table; one that is already there stays, without its error."""
        known = {entry.key: entry for entry in self.cells}
        new = {entry.key: known.get(entry.key, entry).model_copy(update={"error": None}) for entry in entries}
        cells = {**known, **new}
        return self.model_copy(update={"cells": list(cells.values())})

    def with_errors(self, errors: Mapping[str, str | None]) -> Manifest:
        """The manifest with the given errors of some jobs, by their keys."""

        return self._changed({key: {"error": error} for key, error in errors.items()})

    def with_retries(self, retries: Mapping[str, Sequence[str]]) -> Manifest:
        """The manifest with the given retries of some jobs, by their keys."""
        return self._changed({key: {"retries": list(reasons)} for key, reasons in retries.items()})

    def _changed(self, updates: Mapping[str, Mapping[str, Any]]) -> Manifest:
        """The same with other values of some jobs, named by their keys."""

        def changed(entries: list[JobEntry]) -> list[JobEntry]:
            return [entry.model_copy(update=updates[entry.key]) if entry.key in updates else entry for entry in entries]

        return self.model_copy(update={"cells": changed(self.cells), "jobs": changed(self.jobs)})


class ComparisonFolder:
    """Paths inside the folder of a comparison.

    comparison.json   the manifest
    jobs.json         every job with its whole recipe: what `finetune cell` runs
    cells/            one run folder per run of the table, named by preset, seed, fold and key
    texts.json        the rows that scores are reported on, to show where presets disagree
    explanations.json which words influenced the model's predictions for such rows, if requested
    report.*          the report (of a curve: curve.*, of a sweep: sweep.*)
    final/            models made from the runs of the recommended preset: refit, soup, student (older ones: refits/)
    model/            the final model of the comparison
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_path = path / MANIFEST
        self.jobs_path = path / "jobs.json"
        self.texts = path / "texts.json"
        self.explanations = path / "explanations.json"
        self.model = path / "model"

    def run(self, entry: JobEntry) -> RunFolder:
        """The folder of a job."""
        return RunFolder(self.path / entry.folder)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Lock the folder for this process.

        Raises:
            OutputError: Another process has locked it, or it cannot be created.
        """
        return lock_folder(self.path)

    def exists(self) -> bool:
        return self.manifest_path.is_file()

    def write(self, manifest: Manifest) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.manifest_path, with_checksum(manifest.model_dump_json(indent=2)))

    def read(self) -> Manifest:
        """Read the manifest.

        Raises:
            OutputError: The manifest is damaged, or of a version that this program does not read.
        """
        path = self.manifest_path
        try:
            content = read_object(path.read_text(encoding="utf-8"))
            version = content.get("manifest_version")
            if version != MANIFEST_VERSION:
                raise OutputError(f"{path}: manifest version {version}; this program reads {MANIFEST_VERSION}.")
            return _as_now(Manifest.model_validate(checked(content)))
        except OutputError:
            raise
        except FileNotFoundError as error:
            raise OutputError(
                f"{path}: no such file. It lists the runs of an experiment. Type the experiment's command again: "
                "finished runs are kept."
            ) from error
        except Exception as error:  # whatever JSON of others makes of it
            raise OutputError(
                f"{path}: is not a readable manifest: {what_is_wrong(error)}. Delete it and run the "
                "command again: finished runs are kept."
            ) from error


def _as_now(manifest: Manifest) -> Manifest:
    """An older manifest with what later ones say: the refit as a job, and that the comparison ended with it."""
    jobs = list(manifest.jobs)
    if manifest.refit is not None and not jobs:
        name = Path(manifest.refit).name
        made_from = [entry for entry in manifest.cells if name.startswith(f"{Path(entry.folder).name}-")]
        jobs += [
            entry.model_copy(update={"kind": "refit", "folder": manifest.refit, "inputs": [entry.key], "key": name})
            for entry in made_from[:1]
        ]
    final = manifest.final or ("refit" if any(entry.kind == "refit" for entry in jobs) else "best")
    return manifest.model_copy(update={"jobs": jobs, "final": final, "refit": None})
