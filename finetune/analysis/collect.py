"""Folders -> the runs of a report. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finetune.analysis.collection import (
    DEFAULT_BASELINE,
    CollectedRun,
    Collection,
    FinalJob,
    collected_run,
    recorded_run,
)
from finetune.analysis.comparability import check_comparable
from finetune.errors import Change, OutputError, VersionError, first_line, settings_text, suggest
from finetune.recipe import flatten
from finetune.records.comparison import MANIFEST, ComparisonFolder, JobEntry, Kind, Manifest, VariantEntry
from finetune.records.explained import ExplainedRows
from finetune.records.predictions import Arrays, read_run
from finetune.records.schema import RunRecord
from finetune.records.store import RECORD, RunFolder

APART = {"curve": "learning curve", "sweep": "sweep", "tune": "tune"}  # kinds with a report of their own


def collect(paths: Sequence[Path], baseline: str | None = None) -> tuple[list[Collection], list[str]]:
    """Find all runs below the given folders.

    Args:
        paths: Folders of comparisons, of runs, or that contain runs.
        baseline: Overrides the baseline of a comparison, and the default for runs outside of one.

    Returns:
        One collection per comparison, and one per recipe for runs outside of one; and the skipped folders with their
        reasons.

    Raises:
        OutputError: A path holds no runs, a baseline is missing, or records do not belong together.
    """
    skipped: list[str] = []
    collections = []
    found = [_find(path) for path in paths]
    single = [path for _, runs in found for path in runs]
    for folder in map(ComparisonFolder, _each_once(path for comparisons, _ in found for path in comparisons)):
        manifest = folder.read()
        if manifest.kind in APART:
            skipped.append(f"{folder.path}: is a {APART[manifest.kind]}. Its report: finetune report {folder.path}")
        else:
            collections.append(_read_comparison(folder, manifest, baseline, skipped))
    collections += _group_single_runs(single, baseline, skipped)
    if not collections:
        raise OutputError("\n".join(["no readable run record is left.", *skipped]))
    for collection in collections:
        check_comparable(collection)
    return _with_distinct_names(collections), skipped


def kind_of(path: Path) -> Kind | None:
    """The kind of experiment in a folder; None if it holds none.

    Raises:
        OutputError: It has a manifest that cannot be read.
    """
    folder = ComparisonFolder(path)
    return folder.read().kind if folder.exists() else None


def collect_sweep(path: Path, baseline: str | None = None) -> tuple[Collection, list[str]]:
    """The runs of a sweep, as one collection whose variants are its points; and the skipped runs.

    Raises:
        OutputError: It cannot be read, a baseline is missing, or records do not belong together.
    """
    skipped: list[str] = []
    folder = ComparisonFolder(path)
    collection = _read_comparison(folder, folder.read(), baseline, skipped)
    check_comparable(collection)
    return _with_distinct_names([collection])[0], skipped


def collect_curve(path: Path, baseline: str | None = None) -> tuple[Collection, list[str]]:
    """The runs of a curve, as one collection whose variants are presets at a size; and the skipped runs.

    Raises:
        OutputError: It cannot be read, a baseline is missing, or records do not belong together.
    """
    skipped: list[str] = []
    folder = ComparisonFolder(path)
    manifest = folder.read()
    if baseline is not None:
        _check_baseline(baseline, [str(variant.preset) for variant in manifest.variants], path)
    collection = _read_comparison(folder, manifest, None, skipped)
    if baseline is not None:
        variants = _compared_with_preset(baseline, collection.variants)
        collection = replace(collection, variants=variants, baseline=baseline)
    check_comparable(collection)
    return _with_distinct_names([collection])[0], skipped


def _each_once(paths: Iterable[Path]) -> list[Path]:
    """The folders without those that were already given by another path, or are inside another given folder."""
    first: dict[Path, Path] = {}
    for path in paths:
        first.setdefault(path.resolve(), path)
    return list(first.values())


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
        raise OutputError(f"{path}: holds no {RECORD} and no {MANIFEST}, and neither do the folders in it.")
    return comparisons, runs


# --- comparisons ------------------------------------------------------------------------------------------------


def _read_comparison(
    folder: ComparisonFolder, manifest: Manifest, baseline: str | None, skipped: list[str]
) -> Collection:
    variants = manifest.variants
    if baseline is not None and baseline != manifest.baseline:
        _check_baseline(baseline, [variant.name for variant in variants], folder.path)
        if manifest.kind == "ablate":  # a technique alone and the preset without it have baselines of their own
            raise OutputError(
                f"{folder.path} is an ablation: each variant is compared with {manifest.baseline} or with the preset. "
                "Leave it out.",
                argument="baseline",
                found=baseline,
            )
        variants = _compared_with(baseline, variants)
    return Collection(
        name="",
        kind=manifest.kind,
        baseline=baseline or manifest.baseline,
        variants=variants,
        runs=[read_cell(folder, entry, skipped) for entry in manifest.cells],
        command=manifest.command,
        texts=_read_texts(folder, skipped),
        explained=_read_explained(folder, manifest, skipped),
        final_model=None if manifest.shipped is None else (folder.path / manifest.shipped, folder.model),
        final=manifest.final or "best",
        finals=[_read_final(folder, manifest, entry, skipped) for entry in manifest.jobs],
        most_seeds=manifest.most_seeds,
        looks=manifest.looks,
    )


def _check_baseline(baseline: str, names: Iterable[str], path: Path) -> None:
    names = list(dict.fromkeys(names))
    if baseline not in names:
        raise OutputError(
            f"{path} compares {', '.join(names)}.{suggest(baseline, names)}", argument="baseline", found=baseline
        )


def _compared_with(baseline: str, variants: Sequence[VariantEntry]) -> list[VariantEntry]:
    changed = [
        variant.model_copy(update={"baseline": None if variant.name == baseline else baseline}) for variant in variants
    ]
    return sorted(changed, key=lambda variant: variant.baseline is not None)


def _compared_with_preset(baseline: str, variants: Sequence[VariantEntry]) -> list[VariantEntry]:
    """For a curve: each variant is compared with the baseline at its own size."""
    names = {variant.size: variant.name for variant in variants if variant.preset == baseline}
    return [
        variant.model_copy(update={"baseline": None if variant.preset == baseline else names[variant.size]})
        for variant in variants
    ]


def read_cell(folder: ComparisonFolder, entry: JobEntry, skipped: list[str]) -> CollectedRun:
    """A run of a comparison; if its record is damaged, the reason is added to `skipped`.

    Raises:
        VersionError: Another version has written it.
    """
    run = folder.run(entry)
    record: RunRecord | None = None
    arrays: Arrays = {}
    error = entry.error
    if run.record_path.is_file():
        try:
            record, arrays = read_run(run)
            error = record.error or error
        except VersionError:
            raise
        except OutputError as damaged:
            skipped.append(damaged.for_command_line())
            error = "its record is damaged"
    return collected_run(entry.variant, entry.seed, entry.fold, run, record, error, arrays)


def _read_final(folder: ComparisonFolder, manifest: Manifest, entry: JobEntry, skipped: list[str]) -> FinalJob:
    inputs = frozenset(folder.run(cell).path for cell in manifest.cells if cell.key in entry.inputs)
    return FinalJob(entry.kind, inputs, read_cell(folder, entry, skipped))


def _read_texts(folder: ComparisonFolder, skipped: list[str]) -> dict[str, Any]:
    try:
        content = json.loads(folder.texts.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        skipped.append(f"{folder.texts}: cannot be read, so texts are not shown: {error}")
        return {}
    return content if isinstance(content, dict) else {}


def _read_explained(folder: ComparisonFolder, manifest: Manifest, skipped: list[str]) -> ExplainedRows | None:
    """None also if they belong to a model that is no longer the final one of the comparison."""
    try:
        found = ExplainedRows.model_validate_json(folder.explanations.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        skipped.append(f"{folder.explanations}: cannot be read, so it is not shown: {first_line(error)}")
        return None
    return found if found.run == manifest.shipped else None


# --- runs that belong to no comparison --------------------------------------------------------------------------


@dataclass
class _Group:
    """Runs of one recipe on one data set, each with its recipe."""

    runs: list[tuple[CollectedRun, dict[str, Any]]] = field(default_factory=list)


def _group_single_runs(paths: Iterable[Path], baseline: str | None, skipped: list[str]) -> list[Collection]:
    groups: dict[tuple[str, ...], _Group] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        folder = RunFolder(path)
        try:
            record, arrays = read_run(folder)
        except VersionError:
            raise
        except OutputError as error:
            skipped.append(error.for_command_line())
            continue
        run, recipe = recorded_run(folder, record, arrays), record.recipe
        identity = (recipe["name"], str(recipe["data"]["source"]), str(recipe["model"]["id"]))
        groups.setdefault(identity, _Group()).runs.append((run, recipe))
    return [_collection_of(group, baseline) for group in groups.values()]


def _named_by_settings(
    runs: Sequence[tuple[CollectedRun, dict[str, Any]]],
) -> list[tuple[CollectedRun, dict[str, Any]]]:
    """Runs of one preset with changed techniques (`--set`) become variants of their own, named by the difference:
    `strong dropout.hidden=0.3`.
    """
    settings: dict[str, list[dict[str, Any]]] = {}
    for run, recipe in runs:
        ours = _technique_settings(recipe)
        if ours not in settings.setdefault(run.variant, []):
            settings[run.variant].append(ours)
    named = []
    for run, recipe in runs:
        ours, known = _technique_settings(recipe), settings[run.variant]
        differing = {key: value for key, value in ours.items() if any(other.get(key, run) != value for other in known)}
        name = f"{run.variant} {settings_text(differing)}" if differing else run.variant
        named.append((replace(run, variant=name), recipe))
    return named


def _technique_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    flat = flatten({"techniques": recipe["techniques"]})
    return {key.removeprefix("techniques."): value for key, value in flat.items()}


def _collection_of(group: _Group, baseline: str | None) -> Collection:
    named = _named_by_settings(group.runs)
    recipes: dict[str, dict[str, Any]] = {}
    for run, recipe in named:
        recipes.setdefault(run.variant, recipe)
    baseline = _baseline_of(list(recipes), baseline)
    variants = [
        VariantEntry(name=name, baseline=None, techniques=recipe["techniques"]) for name, recipe in recipes.items()
    ]
    runs = [run for run, _ in named]
    return Collection("", "runs", baseline, _compared_with(baseline, variants), runs, None, {})


def _baseline_of(names: Sequence[str], asked: str | None) -> str:
    """The requested preset, else the default, else the only one.

    Raises:
        OutputError: No run is of that preset.
    """
    only = names[0] if len(names) == 1 else None
    baseline = asked or (DEFAULT_BASELINE if DEFAULT_BASELINE in names else only)
    if baseline is None or baseline not in names:
        raise OutputError(
            f"no run of preset {baseline or DEFAULT_BASELINE} is among {', '.join(names)}, and others are compared "
            "with it.",
            Change(arguments={"baseline": names[0]}),
        )
    return baseline


# --- names ------------------------------------------------------------------------------------------------------


def _with_distinct_names(collections: Sequence[Collection]) -> list[Collection]:
    """The recipe's name; with its data if two groups would have the same name."""
    recipes = [_recipe_of(collection) for collection in collections]
    names = [str(recipe.get("name", "?")) for recipe in recipes]
    named = []
    for number, (collection, recipe, name) in enumerate(zip(collections, recipes, names, strict=True), start=1):
        if names.count(name) > 1:
            source = str(recipe.get("data", {}).get("source", "no record"))
            name = f"{name} {number}: {Path(source).name}"
        named.append(replace(collection, name=name))
    return named


def _recipe_of(collection: Collection) -> Mapping[str, Any]:
    return next((record.recipe for record in collection.records), {})
