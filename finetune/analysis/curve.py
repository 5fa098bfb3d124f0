"""Runs of a learning curve -> its report: scores and gaps by size, differences, and what more labels would buy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune.advice.curve import caveats, describe_fit, headline
from finetune.advice.diagnosis import is_degenerate
from finetune.analysis.collect import Collection, FinishedRun, collect_curve
from finetune.analysis.comparison import Analysis, Row
from finetune.analysis.power_law import LEAST_SIZES, Law, fit_law, interval
from finetune.analysis.quantities import Quantity
from finetune.analysis.statistics import Floats
from finetune.errors import OutputError
from finetune.measurement.units import higher_is_better
from finetune.records.comparison import VariantEntry
from finetune.records.curve import (
    Check,
    CurveReport,
    FittedLaw,
    LabelsForMore,
    LawPoint,
    Outlook,
    Point,
    Prediction,
    PresetCurve,
)
from finetune.records.report import Unit
from finetune.records.schema import RunRecord

FACTORS = (2, 5)  # of the largest size; nothing is said beyond
STEP = 0.01  # of a score: one point, where it is a share
SEEN = 0.001  # a gain that shows with one decimal
LINE_POINTS = 40


def curve_of(path: Path, baseline: str | None = None) -> CurveReport:
    """Read, check and analyse the cells of a curve.

    Args:
        path: Its folder.
        baseline: Preset that others are compared with; as in the manifest, if None.

    Raises:
        OutputError: Nothing has finished, records do not belong together, or a baseline is missing.
    """
    collection, skipped = collect_curve(path, baseline)
    return analyse_curve(collection, skipped)


def analyse_curve(collection: Collection, skipped: Sequence[str]) -> CurveReport:
    """Build the report of a curve.

    Raises:
        OutputError: No run has finished, or runs were measured on different rows.
    """
    return _CurveAnalysis(collection).report(skipped)


def _tfidf(records: Sequence[RunRecord], split: str, score: str) -> float | None:
    """What TF-IDF scores with as many labels, mean over the runs that have it."""
    found = [
        baseline.scores.get(split, {}).get(score)
        for record in records
        for baseline in record.data.baselines
        if baseline.name == "tfidf"
    ]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class _Target:
    """What a law is fitted to: a metric of the reported split. A score's error is 1 - score, a loss is one itself."""

    metric: str
    split: str
    is_score: bool

    def error(self, value: float) -> float:
        return 1 - value if self.is_score else value

    value = error  # its own inverse

    def values(self, errors: Floats) -> Floats:
        result: Floats = 1 - errors if self.is_score else errors
        return result


class _CurveAnalysis:
    """One curve, step by step."""

    def __init__(self, collection: Collection) -> None:
        _refuse_other_rows(collection.finished)
        self.collection = collection
        self.table = Analysis(collection)
        self.sizes = sorted({_size(entry) for entry in collection.variants})

    def report(self, skipped: Sequence[str]) -> CurveReport:
        table, collection = self.table, self.collection
        record = max((run.record for run in collection.finished), key=lambda record: record.data.rows["train"])
        measure = table.measure
        names = dict.fromkeys(str(entry.preset) for entry in collection.variants)
        differences = table.all_differences()
        recipe = {key: value for key, value in record.recipe.items() if key not in ("techniques", "rules", "preset")}
        draft = CurveReport(
            title=f"{collection.name}: score and gap by training rows",
            name=collection.name,
            task=table.task,
            score=measure.score,
            loss=measure.loss,
            metrics=table.units(),
            reported="test" if table.reported == "test" else "validation",
            baseline=collection.baseline,
            sizes=self.sizes,
            seeds=sorted({run.seed for run in collection.runs}),
            presets=[self._preset(name, differences, table.units()) for name in names],
            headline="",
            caveats=[],
            longer=_longer(table),
            rows={name: rows for name, rows in record.data.rows.items() if name not in ("train", "train_probe")},
            findings=record.data.findings,
            notes=record.data.notes,
            warnings=list(dict.fromkeys(text for found in table.records() for text in found.warnings)),
            columns=record.data.columns,
            recipe=recipe,
            command=collection.command,
            versions=record.versions,
            device=record.device,
            precision=record.budget.precision,
            code=record.code,
            seconds=sum(found.time.seconds for found in table.records()),
            skipped=list(skipped),
        )
        return draft.model_copy(update={"headline": headline(draft), "caveats": [*table.mixed(), *caveats(draft)]})

    def _preset(self, name: str, differences: dict[str, Any], units: dict[str, Unit]) -> PresetCurve:
        rows = [row for row in self.table.rows.values() if row.entry.preset == name]
        rows.sort(key=lambda row: _size(row.entry))
        measure = self.table.measure
        laws, why = {}, ""
        for metric in (measure.score, measure.loss):
            law = self._law(name, rows, _Target(metric, self.table.reported, higher_is_better(metric)), units[metric])
            if isinstance(law, str):
                why = why or law
            else:
                laws[metric] = law
        return PresetCurve(
            name=name,
            baseline=None if name == self.collection.baseline else self.collection.baseline,
            points=[self._point(row, differences[row.entry.name]) for row in rows],
            laws=laws,
            no_law=why,
        )

    def _point(self, row: Row, differences: Any) -> Point:
        records = [run.record for run in row.all_runs if run.record is not None]
        return Point(
            size=_size(row.entry),
            epochs=records[0].recipe["training"]["epochs"] if records else None,
            steps=records[0].budget.steps if records else None,
            techniques=row.entry.techniques,
            runs=[
                self.table.run_entry(run, isinstance(run, FinishedRun) and is_degenerate(run.record))
                for run in row.all_runs
            ],
            **self.table.summaries(row),
            tfidf=_tfidf(records, self.table.reported, self.table.measure.score),
            pairs=[seed for seed, _ in self.table.pairs(row)],
            differences=differences,
        )

    # --- the law ------------------------------------------------------------------------------------------------

    def _law(self, name: str, rows: Sequence[Row], target: _Target, unit: Unit) -> FittedLaw | str:
        """The law of one metric, or why there is none."""
        columns = [row.column(target.split, target.metric) for row in rows]
        errors = [[target.error(found.value) for found in column if found.value is not None] for column in columns]
        known = [index for index, of_size in enumerate(errors) if of_size]
        if len(known) < LEAST_SIZES:
            return f"{len(known)} sizes have figures, and a power law has {LEAST_SIZES} constants: add sizes"
        sizes, errors = [_size(rows[index].entry) for index in known], [errors[index] for index in known]
        luck = _row_luck([[found for found in columns[index] if found.value is not None] for index in known])
        law = fit_law(sizes, errors, luck)
        assert law is not None, "there are enough sizes with figures"
        check = None
        if len(sizes) > LEAST_SIZES:
            before = fit_law(sizes[:-1], errors[:-1], None if luck is None else luck[:-1])
            assert before is not None, "there are enough sizes without the largest"
            check = _check(before, sizes[-1], float(np.mean(errors[-1])), target)
        predictions = [_prediction(law, factor, target) for factor in FACTORS]
        outlook = _outlook(predictions, target)
        excess, exponent, floor = (float(value) for value in law.constants)
        fitted = FittedLaw(
            metric=target.metric,
            amplitude=excess * law.largest**exponent,
            exponent=exponent,
            floor=floor,
            limit=target.value(floor),
            line=_line(law, sizes[0], target),
            predictions=predictions,
            check=check,
            labels=_labels(law) if target.is_score else None,
            outlook=outlook,
            words="",
        )
        return fitted.model_copy(update={"words": describe_fit(name, fitted)})


def _row_luck(columns: Sequence[Sequence[Quantity]]) -> list[Floats] | None:
    """The figures of each size on redrawn rows, (seeds, draws); None if one is no function of sums over rows.

    Errors move as their scores do, with the other sign, and noise has no sign.
    """
    found = [[figure.draws for figure in column if figure.draws is not None] for column in columns]
    if any(len(draws) < len(column) for draws, column in zip(found, columns, strict=True)):
        return None
    stacked = [np.stack(draws) for draws in found]
    return stacked if all(np.isfinite(draws).all() for draws in stacked) else None


def _size(entry: VariantEntry) -> int:
    assert entry.size is not None, "variants of a curve have a size"
    return entry.size


def _refuse_other_rows(runs: Sequence[FinishedRun]) -> None:
    """
    Raises:
        OutputError: Two runs were measured on different validation or test rows: their scores make no curve.
    """
    for run in runs[1:]:
        first = runs[0]
        for name in ("validation_rows", "test_rows"):
            mine, theirs = run.arrays.get(name), first.arrays.get(name)
            if list(() if mine is None else mine) != list(() if theirs is None else theirs):
                raise OutputError(
                    f"{first.folder.path} and {run.folder.path} were measured on different rows "
                    f"({name.removesuffix('_rows')}): they make no curve. Run it anew with another --output."
                )


def _longer(table: Analysis) -> list[str]:
    """Sizes that were trained for more epochs than the largest."""
    epochs: dict[int, tuple[int, Any]] = {}
    for row in table.rows.values():
        for run in row.all_runs:
            if run.record is not None:
                epochs[_size(row.entry)] = (run.record.recipe["training"]["epochs"], run.record.budget.steps)
    if not epochs:
        return []
    usual = epochs[max(epochs)][0]
    return [
        f"{size} rows: {count} epochs instead of {usual}, so that a model is trained for {steps} steps."
        for size, (count, steps) in sorted(epochs.items())
        if count > usual
    ]


def _prediction(law: Law, factor: int, target: _Target) -> Prediction:
    size = factor * law.largest
    errors, now = law.error_draws(size), law.error_draws(law.largest)
    low, high = _ends(errors, target)
    change_low, change_high = (
        (None, None) if errors is None or now is None else interval(now - errors if target.is_score else errors - now)
    )
    change = law.error(law.largest) - law.error(size)
    return Prediction(
        factor=factor,
        size=size,
        value=target.value(law.error(size)),
        low=low,
        high=high,
        change=change if target.is_score else -change,
        change_low=change_low,
        change_high=change_high,
    )


def _ends(errors: Floats | None, target: _Target) -> tuple[float | None, float | None]:
    return interval(None if errors is None else target.values(errors))


def _check(before: Law, size: int, error: float, target: _Target) -> Check:
    predicted, measured = target.value(before.error(size)), target.value(error)
    low, high = _ends(before.error_draws(size), target)
    return Check(size=size, predicted=predicted, low=low, high=high, measured=measured, miss=measured - predicted)


def _line(law: Law, smallest: int, target: _Target) -> list[LawPoint]:
    points = []
    for size in np.geomspace(smallest, FACTORS[-1] * law.largest, LINE_POINTS):
        low, high = _ends(law.error_draws(size), target)
        points.append(LawPoint(size=float(size), value=target.value(law.error(size)), low=low, high=high))
    return points


def _labels(law: Law) -> LabelsForMore:
    rows, draws = law.rows_for_gain(STEP)
    limit = FACTORS[-1] * law.largest

    def within(found: float | None) -> int | None:
        return None if found is None or found > limit else math.ceil(found)

    low, high = interval(draws)
    return LabelsForMore(step=STEP, rows=within(rows), low=within(low), high=within(high), limit=limit)


def _outlook(predictions: Sequence[Prediction], target: _Target) -> Outlook:
    twice, most = (_gain(prediction, target) for prediction in predictions)
    if twice is None or most is None:
        return "no interval"
    if most[1] < STEP:
        return "flat"
    return "rising" if twice[0] >= SEEN else "too wide"


def _gain(prediction: Prediction, target: _Target) -> tuple[float, float] | None:
    """The interval of what is gained; a loss gains where it falls."""
    low, high = prediction.change_low, prediction.change_high
    if low is None or high is None:
        return None
    return (low, high) if target.is_score else (-high, -low)
