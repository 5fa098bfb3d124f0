"""Folders -> the run records that may stand in one table. Loads no torch."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from finetune.errors import OutputError, VersionError, suggest
from finetune.recipe import flatten
from finetune.records.comparison import MANIFEST, ComparisonFolder, JobEntry, Manifest, VariantEntry
from finetune.records.schema import FinishedRecord, RunRecord
from finetune.records.store import RECORD, RunFolder, read_record

DEFAULT_BASELINE = "none"
OWN = "own"  # what a run without a preset is called
# Between runs of one table, techniques beside. Where data and model lay says nothing: rows have a fingerprint.
MAY_DIFFER = (
    "name",
    "preset",
    "training.seeds",
    "data.fold",
    "data.source",
    "data.validation",
    "data.test",
    "model.id",
)
Key = TypeVar("Key")
DIFFERS_BY_SIZE = ("data.subset", "data.subset_seed", "training.epochs")  # in a curve


@dataclass(frozen=True)
class FoundRun:
    """A run that belongs to a table, whatever became of it.

    Attributes:
        variant: The row of the table.
        seed: Of the run.
        fold: The fold that was test, or None.
        folder: Where it lies.
        record: None if it never got that far.
        error: Why it failed.
    """

    variant: str
    seed: int
    fold: int | None
    folder: RunFolder
    record: RunRecord | None
    error: str | None


@dataclass(frozen=True)
class FinishedRun(FoundRun):
    """A run that went to its end.

    Attributes:
        arrays: Logits, targets and row ids, as `predictions.npz` names them.
    """

    record: FinishedRecord
    arrays: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Collection:
    """Runs of one recipe on one data set: what becomes one group of the report."""

    name: str
    kind: Literal["compare", "ablate", "curve", "runs"]
    baseline: str
    variants: list[VariantEntry]
    runs: list[FoundRun]
    command: str | None
    texts: dict[str, Any]
    shipped: tuple[Path, Path] | None = None  # a run, and where a copy of its model is kept
    refit: FoundRun | None = None

    @property
    def finished(self) -> list[FinishedRun]:
        """Runs that went to their end."""
        return [run for run in self.runs if isinstance(run, FinishedRun)]

    @property
    def records(self) -> list[RunRecord]:
        """Records of all runs that have one."""
        return [run.record for run in self.runs if run.record is not None]


def collect(paths: Sequence[Path], baseline: str | None = None) -> tuple[list[Collection], list[str]]:
    """Find all runs below the given folders.

    Args:
        paths: Of comparisons, of runs, or of folders that hold runs.
        baseline: Overrides what a comparison says, and the default of loose runs.

    Returns:
        One collection a comparison, and one a recipe for runs that belong to none; and what was skipped, with why.

    Raises:
        OutputError: A path holds nothing, a baseline is missing, or records do not belong together.
    """
    skipped: list[str] = []
    collections = []
    loose: list[Path] = []
    for path in {path.resolve(): path for path in paths}.values():  # each once
        comparisons, runs = _find(path)
        for folder in map(ComparisonFolder, comparisons):
            manifest = folder.read()
            if manifest.kind == "curve":
                skipped.append(
                    f"{folder.path}: is a curve, which has a report of its own: finetune report {folder.path}"
                )
            else:
                collections.append(_read_comparison(folder, manifest, baseline, skipped))
        loose += runs
    collections += _group_loose(loose, baseline, skipped)
    if not collections:
        raise OutputError("\n".join(["no readable run record is left.", *skipped]))
    for collection in collections:
        _check_comparable(collection)
    return _with_distinct_names(collections), skipped


def is_curve(path: Path) -> bool:
    """Whether a folder is that of a curve.

    Raises:
        OutputError: It has a manifest that cannot be read.
    """
    folder = ComparisonFolder(path)
    return folder.exists() and folder.read().kind == "curve"


def collect_curve(path: Path, baseline: str | None = None) -> tuple[Collection, list[str]]:
    """The cells of a curve, as one collection whose variants are presets at a size; and what was skipped.

    Raises:
        OutputError: It cannot be read, a baseline is missing, or records do not belong together.
    """
    skipped: list[str] = []
    folder = ComparisonFolder(path)
    manifest = folder.read()
    at_size = None
    if baseline is not None:
        presets = list(dict.fromkeys(str(variant.preset) for variant in manifest.variants))
        if baseline not in presets:
            raise OutputError(f"--baseline {baseline}: {path} has {', '.join(presets)}.{suggest(baseline, presets)}")
        at_size = {variant.size: variant.name for variant in manifest.variants if variant.preset == baseline}
    collection = _read_comparison(folder, manifest, None, skipped)
    if at_size is not None:
        variants = [
            variant.model_copy(update={"baseline": None if variant.preset == baseline else at_size[variant.size]})
            for variant in collection.variants
        ]
        collection = replace(collection, variants=variants, baseline=str(baseline))
    _check_comparable(collection)
    return _with_distinct_names([collection])[0], skipped


def _find(path: Path) -> tuple[list[Path], list[Path]]:
    """Comparisons and runs: the folder itself, or those in it.

    Raises:
        OutputError: There are none.
    """
    if not path.is_dir():
        raise OutputError(f"{path}: no such folder. Name the folder of a comparison or of runs, such as runs/")
    if (path / MANIFEST).is_file():
        return [path], []
    if (path / RECORD).is_file():
        return [], [path]
    comparisons = sorted(inside.parent for inside in path.glob(f"*/{MANIFEST}"))
    runs = sorted(inside.parent for inside in path.glob(f"*/{RECORD}"))
    if not comparisons and not runs:
        raise OutputError(f"{path}: holds no {RECORD} and no {MANIFEST}, nor does a folder in it.")
    return comparisons, runs


def _read_comparison(
    folder: ComparisonFolder, manifest: Manifest, baseline: str | None, skipped: list[str]
) -> Collection:
    names = [variant.name for variant in manifest.variants]
    if baseline is not None and baseline not in names:
        raise OutputError(
            f"--baseline {baseline}: {folder.path} compares {', '.join(names)}.{suggest(baseline, names)}"
        )
    variants = manifest.variants if baseline is None else _compared_with(baseline, manifest.variants)
    return Collection(
        name="",
        kind=manifest.kind,
        baseline=baseline or manifest.baseline,
        variants=variants,
        runs=[_read_cell(folder, entry, skipped) for entry in manifest.cells],
        command=manifest.command,
        texts=_read_texts(folder, skipped),
        shipped=None if manifest.shipped is None else (folder.path / manifest.shipped, folder.model),
        refit=_read_refit(folder, folder.refit(manifest), skipped),
    )


def _compared_with(baseline: str, variants: Sequence[VariantEntry]) -> list[VariantEntry]:
    changed = [
        variant.model_copy(update={"baseline": None if variant.name == baseline else baseline}) for variant in variants
    ]
    return sorted(changed, key=lambda variant: variant.baseline is not None)


def _read_cell(folder: ComparisonFolder, entry: JobEntry, skipped: list[str]) -> FoundRun:
    run = folder.run(entry)
    record, error = None, entry.error
    arrays: dict[str, NDArray[Any]] = {}
    if run.record_path.is_file():
        try:
            record, arrays = read_run(run)
            error = record.error or error
        except VersionError:
            raise
        except OutputError as damaged:
            skipped.append(damaged.for_command_line())
            error = "its record is damaged"
    return _found(entry.variant, entry.seed, entry.fold, run, record, error, arrays)


def _found(
    variant: str,
    seed: int,
    fold: int | None,
    folder: RunFolder,
    record: RunRecord | None,
    error: str | None,
    arrays: dict[str, NDArray[Any]],
) -> FoundRun:
    if isinstance(record, FinishedRecord):
        return FinishedRun(variant, seed, fold, folder, record, error, arrays)
    return FoundRun(variant, seed, fold, folder, record, error)


def _read_refit(folder: ComparisonFolder, run: RunFolder | None, skipped: list[str]) -> FoundRun | None:
    if run is None:
        return None
    try:
        record = read_record(run.record_path)
    except OutputError as damaged:
        skipped.append(damaged.for_command_line())
        return None
    return _found(record.preset or OWN, record.seed, record.recipe["data"].get("fold"), run, record, record.error, {})


def read_run(run: RunFolder) -> tuple[RunRecord, dict[str, NDArray[Any]]]:
    """The record, and for a finished run its predictions.

    Raises:
        OutputError: One of them is damaged, or predictions are not those of the record.
    """
    record = read_record(run.record_path)
    if record.status != "finished":
        return record, {}
    try:
        with run.predictions.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise OutputError(f"{run.predictions}: cannot be read: {error}") from error
    for name, rows in _expected_rows(record).items():
        if name not in arrays or len(arrays[name]) != rows:
            found = f"{len(arrays[name])} rows" if name in arrays else "nothing"
            raise OutputError(f"{run.predictions}: expected {name} of {rows} rows, found {found}.")
    return record, arrays


def _expected_rows(record: RunRecord) -> dict[str, int]:
    """Array -> rows, for all that a finished run leaves."""
    splits = {name: rows for name, rows in record.data.rows.items() if name != "train"}
    expected = {f"last_{name}_logits": rows for name, rows in splits.items() if name != "test"}
    for name, rows in splits.items():
        expected |= {f"{name}_rows": rows, f"{name}_targets": rows, f"selected_{name}_logits": rows}
    return expected


def _read_texts(folder: ComparisonFolder, skipped: list[str]) -> dict[str, Any]:
    try:
        content = json.loads(folder.texts.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        skipped.append(f"{folder.texts}: cannot be read, so texts are not shown: {error}")
        return {}
    return content if isinstance(content, dict) else {}


def _group_loose(paths: Iterable[Path], baseline: str | None, skipped: list[str]) -> list[Collection]:
    groups: dict[tuple[str, ...], list[FoundRun]] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        run = RunFolder(path)
        try:
            record, arrays = read_run(run)
        except VersionError:
            raise
        except OutputError as error:
            skipped.append(error.for_command_line())
            continue
        recipe = record.recipe
        identity = (recipe["name"], str(recipe["data"]["source"]), str(recipe["model"]["id"]))
        fold = recipe["data"].get("fold")
        found = _found(record.preset or OWN, record.seed, fold, run, record, record.error, arrays)
        groups.setdefault(identity, []).append(found)
    return [_loose_collection(runs, baseline) for runs in groups.values()]


def _loose_collection(runs: list[FoundRun], baseline: str | None) -> Collection:
    names = list(dict.fromkeys(run.variant for run in runs))
    chosen = baseline or (DEFAULT_BASELINE if DEFAULT_BASELINE in names else names[0] if len(names) == 1 else None)
    if chosen is None or chosen not in names:
        raise OutputError(
            f"no run of preset {chosen or DEFAULT_BASELINE} is among {', '.join(names)}, and it is what others are "
            f"compared with. Try: --baseline {names[0]}"
        )
    recipes = {run.variant: run.record.recipe for run in reversed(runs) if run.record is not None}  # the first run's
    entries = [VariantEntry(name=name, baseline=None, techniques=recipes[name]["techniques"]) for name in names]
    return Collection("", "runs", chosen, _compared_with(chosen, entries), runs, None, {})


def _with_distinct_names(collections: list[Collection]) -> list[Collection]:
    """The recipe's name; with its data where two groups would be called the same."""
    names = [_recipe_of(collection).get("name", "?") for collection in collections]
    named = []
    for number, (collection, name) in enumerate(zip(collections, names, strict=True), start=1):
        if names.count(name) > 1:
            source = str(_recipe_of(collection).get("data", {}).get("source", "no record"))
            name = f"{name} {number}: {Path(source).name}"
        named.append(replace(collection, name=name))
    return named


def _recipe_of(collection: Collection) -> dict[str, Any]:
    return next((record.recipe for record in collection.records), {})


def _check_comparable(collection: Collection) -> None:
    """Refuse what would make a difference between presets a difference between something else.

    Raises:
        OutputError: Names both folders and what differs.
    """
    same_replicate: dict[tuple[str, int, int | None], Path] = {}
    same_recipe: dict[str, _Compared] = {}
    same_variant: dict[str, _Compared] = {}
    same_rows: dict[tuple[object, ...], _Compared] = {}
    may_differ = (*MAY_DIFFER, *(DIFFERS_BY_SIZE if collection.kind == "curve" else ()))
    for run in collection.runs:
        record, path = run.record, run.folder.path
        if record is None:
            continue
        twin = same_replicate.setdefault((run.variant, run.seed, run.fold), path)
        if twin is not path:
            raise OutputError(
                f"{twin} and {path} are both {run.variant} with seed {run.seed}: the same run "
                "twice is no second observation. Leave one out."
            )
        _check_same(same_recipe, "all", _Compared(path, _settings(record, may_differ)))
        _check_same(same_variant, run.variant, _Compared(path, _techniques(record)))
        rows = {"the fingerprint of its rows": record.data.fingerprint}
        _check_same(same_rows, _drawn(run.fold, record, collection.kind), _Compared(path, rows))


@dataclass(frozen=True)
class _Compared:
    """What must be equal between a run and others."""

    path: Path
    values: dict[str, Any]


def _drawn(fold: int | None, record: RunRecord, kind: str) -> tuple[object, ...]:
    """Runs of which this is equal have the same rows in their splits."""
    of_data = record.recipe["data"]
    return (fold, of_data["subset"], of_data["subset_seed"]) if kind == "curve" else (fold,)


def _settings(record: RunRecord, may_differ: Sequence[str]) -> dict[str, Any]:
    flat = flatten(record.recipe)
    return {k: v for k, v in flat.items() if k not in may_differ and not k.startswith("techniques")}


def _techniques(record: RunRecord) -> dict[str, Any]:
    return {k: v for k, v in flatten(record.recipe).items() if k.startswith("techniques.")}


def _check_same(seen: dict[Key, _Compared], key: Key, run: _Compared) -> None:
    """Compare with the first run that was seen under this key."""
    first = seen.setdefault(key, run)
    differing = [
        name for name in dict.fromkeys([*first.values, *run.values]) if first.values.get(name) != run.values.get(name)
    ]
    if differing:
        shown = "; ".join(f"{key}: {first.values.get(key)} there, {run.values.get(key)} here" for key in differing[:5])
        raise OutputError(
            f"{first.path} and {run.path} cannot stand in one table: {shown}. Report them one at a "
            "time, or run them anew with finetune compare."
        )
