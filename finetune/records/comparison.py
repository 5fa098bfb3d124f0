"""The manifest of a comparison, version 1: which runs belong together, and where they lie."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from finetune.atomic import write_text
from finetune.errors import OutputError
from finetune.records.frozen import Frozen
from finetune.records.store import RunFolder, lock_folder

MANIFEST_VERSION = 1
MANIFEST = "comparison.json"
Kind = Literal["compare", "ablate", "curve"]


class VariantEntry(Frozen):
    """A preset, a preset without one of its techniques, one technique alone, or a preset at one size of the data."""

    name: str
    baseline: str | None = Field(description="The variant it is compared with; None for a baseline.")
    technique: str | None = Field(None, description="Ablation: the technique that is left out or alone.")
    techniques: dict[str, Any] = Field(description="Technique -> settings.")
    preset: str | None = Field(None, description="Curve: the preset that it is at one size.")
    size: int | None = Field(None, description="Curve: training rows.")


class JobEntry(Frozen):
    """One job: a run of the table, or what is computed from such runs."""

    kind: str = Field("train", description="What is done: train, refit.")
    variant: str
    seed: int
    fold: int | None
    key: str = Field(
        description="sha256 over recipe, preset, seed, data, model and algorithm: what decides its numbers."
    )
    folder: str = Field(description="Below the comparison's folder.")
    inputs: list[str] = Field([], description="Keys of the jobs that must have finished before.")
    options: dict[str, Any] = Field({}, description="Of this kind: the steps of a refit.")
    code: str | None = Field(None, description="sha256 of the code that was there when it was started.")
    error: str | None = Field(None, description="Why it ended without a record of its own.")


class Manifest(Frozen):
    """What `finetune compare`, `ablate` or `curve` was asked for."""

    manifest_version: int = MANIFEST_VERSION
    kind: Kind
    command: str = Field(description="What reproduces it.")
    baseline: str
    variants: list[VariantEntry]
    seeds: list[int]
    folds: int | None
    cells: list[JobEntry] = Field(description="Jobs of kind train: variants × seeds × folds.")
    jobs: list[JobEntry] = Field([], description="Further jobs, which start from those.")
    refit: str | None = Field(None, description="Folder of the refit, in manifests without jobs.")
    shipped: str | None = Field(None, description="Folder of the run whose model lies in model/, below this one.")

    def with_errors(self, errors: Mapping[str, str | None]) -> Manifest:
        """The same with other errors of some jobs, named by their keys."""

        def changed(entries: list[JobEntry]) -> list[JobEntry]:
            return [
                entry.model_copy(update={"error": errors[entry.key]}) if entry.key in errors else entry
                for entry in entries
            ]

        return self.model_copy(update={"cells": changed(self.cells), "jobs": changed(self.jobs)})


class ComparisonFolder:
    """Paths inside the folder of a comparison.

    comparison.json   the manifest
    jobs.json         every job with its whole recipe: what `finetune cell` runs
    cells/            one run folder per run of the table, named by preset, seed, fold and key
    texts.json        the rows that scores are reported on, to show where presets disagree
    report.*          what is read (of a curve: curve.*)
    refits/           runs of the recommended preset on train and validation
    model/            the recommended model
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_path = path / MANIFEST
        self.jobs_path = path / "jobs.json"
        self.texts = path / "texts.json"
        self.model = path / "model"

    def run(self, entry: JobEntry) -> RunFolder:
        """Where a job goes."""
        return RunFolder(self.path / entry.folder)

    def refit(self, manifest: Manifest) -> RunFolder | None:
        """The newest refit, finished or not."""
        folders = [entry.folder for entry in manifest.jobs if entry.kind == "refit"]
        inside = folders[-1] if folders else manifest.refit
        return None if inside is None else RunFolder(self.path / inside)

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
        write_text(self.manifest_path, manifest.model_dump_json(indent=2) + "\n")

    def read(self) -> Manifest:
        """Read the manifest.

        Raises:
            OutputError: It is damaged, or of a version that this program does not read.
        """
        path = self.manifest_path
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            version = content.get("manifest_version")
            if version != MANIFEST_VERSION:
                raise OutputError(f"{path}: manifest version {version}; this program reads {MANIFEST_VERSION}.")
            return Manifest.model_validate(content)
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            raise OutputError(
                f"{path}: is no readable manifest: {str(error).splitlines()[0]}. Delete it and run the "
                "command again: finished runs are kept."
            ) from error
