"""Listing of a folder of runs: every run and every experiment with its main metrics."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from pydantic import ValidationError

from finetune.analysis.collect import APART
from finetune.errors import OutputError
from finetune.measurement.scores import measure_of
from finetune.recipe.resolution import DEFAULT_RECIPE_FOR_OWN_DATA
from finetune.records.comparison import ComparisonFolder, Manifest
from finetune.records.listing import Listed
from finetune.records.report import Group, Report
from finetune.records.schema import FinishedRecord, RunRecord
from finetune.records.store import RunFolder

REPORT = "report.json"
PAGES = ("report.html", "curve.html", "sweep.html", "tune.html")


def list_folder(root: Path) -> list[Listed]:
    """Runs and experiments below a folder, by path. Runs of an experiment are not listed separately."""
    return [_describe(folder) for folder in _found(root)]


def _found(folder: Path) -> Iterator[Path]:
    """Folders that hold a record or a manifest; links below the first are not followed."""
    if ComparisonFolder(folder).exists() or RunFolder(folder).record_path.is_file():
        yield folder
        return
    for inside in sorted(folder.iterdir()):
        if inside.is_dir() and not inside.is_symlink():
            yield from _found(inside)


def _describe(folder: Path) -> Listed:
    size = _size(folder)
    page = next((name for name in PAGES if (folder / name).is_file()), None)
    try:
        if ComparisonFolder(folder).exists():
            return _experiment(folder, size).model_copy(update={"report": page})
        record = RunFolder(folder).read()
        assert record is not None, "found by its record"
        return _run(folder, record, size).model_copy(update={"report": page})
    except OutputError as error:
        why = error.problems[0].why
        return Listed(path=str(folder), kind="unreadable", size=size, status=why)


def _size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a training that is running replaces its files
                size += os.lstat(Path(place) / name).st_size
    return size


def _data_name(recipe: dict[str, Any]) -> str:
    """The recipe's name, or that of the file where the recipe is the template for own data."""
    name, source = str(recipe.get("name", "")), str((recipe.get("data") or {}).get("source", ""))
    return PurePath(source).stem if name == DEFAULT_RECIPE_FOR_OWN_DATA and source else name


def _run(folder: Path, record: RunRecord, size: int) -> Listed:
    about = {
        "path": str(folder),
        "kind": "run",
        "data": _data_name(record.recipe),
        "preset": record.preset,
        "date": record.time.started[:10] or None,
        "size": size,
        "status": record.status,
    }
    if not isinstance(record, FinishedRecord):
        return Listed.model_validate(about)
    name = measure_of(record.data.task, record.data.score).score
    gap = record.shown.gap.get(name)
    found = {
        "metric": name,
        "score": record.shown.reported_scores.get(name),
        "gap": None if gap is None else gap.value,
    }
    return Listed.model_validate(about | found)


def _experiment(folder: Path, size: int) -> Listed:
    manifest = ComparisonFolder(folder).read()
    report = None if manifest.kind in APART else read_report(folder)
    about: dict[str, Any] = {"path": str(folder), "kind": manifest.kind, "size": size}
    about["presets"] = [variant.name for variant in manifest.variants]
    if report is None or not report.groups:
        return Listed.model_validate(about | _unreported(folder, manifest))
    return Listed.model_validate(about | _reported(report.groups[0]))


def read_report(folder: Path) -> Report | None:
    """The report; None if there is none that this version reads, as for an unfinished or an old experiment."""
    try:
        return Report.model_validate_json((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def _reported(group: Group) -> dict[str, Any]:
    chosen = None if group.recommendation is None else group.recommendation.variant
    runs = [run for variant in group.variants for run in variant.runs]
    found: dict[str, Any] = {
        "data": _data_name(group.recipe) or group.name,
        "preset": chosen,
        "metric": group.score,
        "date": group.date,
        "status": _progress(sum(run.status == "finished" for run in runs), len(runs)),
    }
    variant = next((variant for variant in group.variants if variant.name == chosen), None)
    if variant is not None:
        score, gap = group.reported_scores(variant).get(group.score), variant.gap.get(group.score)
        found |= {"score": None if score is None else score.mean, "gap": None if gap is None else gap.mean}
    return found


def _unreported(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """From the records alone."""
    records = [record for entry in manifest.cells if (record := ComparisonFolder(folder).run(entry).read()) is not None]
    finished = sum(isinstance(record, FinishedRecord) for record in records)
    days = [record.time.started[:10] for record in records]
    return {
        "data": _data_name(records[0].recipe) if records else "",
        "date": max(days, default="") or None,
        "status": _progress(finished, len(manifest.cells))
        if manifest.kind != "tune" or (folder / "tune.json").is_file()
        else f"{finished} runs so far",
    }


def _progress(finished: int, planned: int) -> str:
    return "finished" if finished == planned else f"{finished} of {planned} runs"
