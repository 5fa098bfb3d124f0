"""Two runs or experiments side by side: their metrics, and the settings in which they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from finetune.analysis.listing import read_report
from finetune.analysis.redrawn import measure_models, same_rows
from finetune.errors import OutputError
from finetune.measurement.scores import measure_of
from finetune.recipe import flatten
from finetune.records.comparison import ComparisonFolder
from finetune.records.listing import Listed, ScoredTwice, TwoListed
from finetune.records.predictions import Arrays, read_run
from finetune.records.report import Group, ModelScore, VariantReport
from finetune.records.schema import FinishedRecord, RunRecord
from finetune.records.store import RunFolder, read_record
from finetune.tasks import Task

Split = Literal["train", "validation", "test", "gap"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "gap")
NAMES = ("name", "preset", "training.seeds")  # keys that say nothing about why numbers differ


@dataclass(frozen=True)
class _Side:
    """The facts about one of the two.

    Attributes:
        recipe: Dotted key -> value; empty if no record has it.
        data: Fingerprints of its data.
        task: What is predicted; None if nothing has finished.
        metrics: Main score and loss.
        numbers: Split -> metric -> value.
        arrays: Predictions of a finished run.
    """

    recipe: dict[str, Any] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    task: Task | None = None
    metrics: tuple[str, ...] = ()
    numbers: dict[Split, Mapping[str, float | None]] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


def compare_listed(first: Listed, second: Listed) -> TwoListed:
    """Metrics that both have, and settings that differ. Differences of two runs on the same rows are paired by row.

    Args:
        first: From `list_folder`.
        second: Likewise; differences are second - first.
    """
    ours, theirs = _read(first), _read(second)
    same = ours.data == theirs.data if ours.data and theirs.data else None
    differences = _paired(ours, theirs) if same else {}
    scores = [
        ScoredTwice(
            split=split,
            metric=metric,
            first=one,
            second=other,
            difference=differences.get((split, metric), ModelScore(value=_minus(other, one))),
        )
        for metric in ours.metrics
        if metric in theirs.metrics
        for split in SPLITS
        if (one := ours.numbers.get(split, {}).get(metric)) is not None
        and (other := theirs.numbers.get(split, {}).get(metric)) is not None
    ]
    return TwoListed(
        first=first, second=second, same_data=same, scores=scores, settings=_unlike(ours.recipe, theirs.recipe)
    )


def _read(entry: Listed) -> _Side:
    folder = Path(entry.path)
    try:
        if not ComparisonFolder(folder).exists():
            return _of_run(*_run(RunFolder(folder)))
        report = read_report(folder)
    except OutputError:  # the listing says that it cannot be read
        return _Side()
    return _Side() if report is None or not report.groups else _of_group(report.groups[0], entry.preset)


def _run(folder: RunFolder) -> tuple[RunRecord, Arrays]:
    """The record, with its predictions if they can be read; without them differences have no interval."""
    try:
        return read_run(folder)
    except OutputError:
        return read_record(folder.record_path), {}


def _of_run(record: RunRecord, arrays: Arrays) -> _Side:
    recipe, data = flatten(record.recipe), [record.data.fingerprint]
    if not isinstance(record, FinishedRecord):
        return _Side(recipe, data)
    measure, point = measure_of(record.data.task, record.data.score), record.shown
    numbers: dict[Split, Mapping[str, float | None]] = {
        "train": point.train_probe,
        "validation": point.validation,
        "test": point.test or {},
        "gap": {name: gap.value for name, gap in point.gap.items()},
    }
    return _Side(recipe, data, record.data.task, (measure.score, measure.loss), numbers, arrays)


def _of_group(group: Group, preset: str | None) -> _Side:
    """The recommended preset of a comparison; its means over seeds."""
    variant = next((variant for variant in group.variants if variant.name == preset), None)
    techniques = {} if variant is None else {"techniques": variant.techniques}
    numbers: dict[Split, Mapping[str, float | None]] = {} if variant is None else _means(variant)
    metrics = (group.score, group.loss)
    return _Side(flatten({**group.recipe, **techniques}), group.fingerprints, group.task, metrics, numbers)


def _means(variant: VariantReport) -> dict[Split, Mapping[str, float | None]]:
    found: dict[Split, Mapping[str, float | None]] = {}
    for split in SPLITS:
        found[split] = {metric: summary.mean for metric, summary in getattr(variant, split).items()}
    return found


def _paired(ours: _Side, theirs: _Side) -> dict[tuple[Split, str], ModelScore]:
    """(split, metric) -> second - first, of two runs that measured the same rows."""
    if not ours.arrays or not theirs.arrays or ours.task != theirs.task or ours.task is None:
        return {}
    found: dict[tuple[Split, str], ModelScore] = {}
    for split, stored in (("train", "train_probe"), ("validation", "validation"), ("test", "test")):
        name = f"selected_{stored}_logits"
        if name not in ours.arrays or not same_rows(ours.arrays, theirs.arrays, stored):
            continue
        logits = {"first": ours.arrays[name], "second": theirs.arrays[name]}
        measured = measure_models(ours.task, logits, ours.arrays[f"{stored}_targets"])
        for metric, drawn in measured["second"].items():
            found[split, metric] = drawn.minus(measured["first"][metric]).estimate()  # type: ignore[index]
    return found


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _unlike(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    if not ours or not theirs:
        return {}
    keys = [key for key in dict.fromkeys([*ours, *theirs]) if key not in NAMES]
    return {
        key: (ours.get(key), theirs.get(key))
        for key in keys
        if json.dumps(ours.get(key)) != json.dumps(theirs.get(key))
    }
