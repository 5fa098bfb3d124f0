"""Runs of a learning curve -> its report: scores and gaps by size, differences, and the gain from more labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from finetune.advice.curve import caveats, headline
from finetune.analysis.collect import collect_curve
from finetune.analysis.collection import Collection
from finetune.analysis.conditions import differing_conditions
from finetune.analysis.differences import Differences, all_differences, pairs
from finetune.analysis.extrapolation import SizeMeasurements, Target, fitted_law
from finetune.analysis.frame import build_frame
from finetune.analysis.results import Results, VariantResults, run_entry
from finetune.errors import OutputError
from finetune.measurement.units import higher_is_better
from finetune.records.curve import CurveReport, FittedLaw, Point, PresetCurve
from finetune.records.schema import RunRecord

DEPENDS_ON_SIZE = ("train", "train_probe", "unlabelled")  # rows that are not those of every size


def curve_of(path: Path, baseline: str | None = None) -> CurveReport:
    """Read, check and analyse the runs of a curve.

    Args:
        path: Its folder.
        baseline: Preset that others are compared with; None: that of the manifest.

    Raises:
        OutputError: Nothing has finished, records do not belong together, or a baseline is missing.
    """
    return analyse_curve(*collect_curve(path, baseline))


def analyse_curve(collection: Collection, skipped: Sequence[str]) -> CurveReport:
    """Build the report of a curve.

    Raises:
        OutputError: No run has finished.
    """
    results = Results(collection)
    differences = all_differences(results)
    largest = max((run.record for run in collection.finished), key=lambda record: record.data.rows["train"])
    rows = {split: count for split, count in largest.data.rows.items() if split not in DEPENDS_ON_SIZE}
    presets = dict.fromkeys(str(entry.preset) for entry in collection.variants)
    curve = CurveReport(
        **build_frame(results, largest, rows),
        title=f"{collection.name}: score and gap by training rows",
        sizes=sorted({_size(variant) for variant in results.variants.values()}),
        presets=[_preset(results, name, differences) for name in presets],
        longer=_longer(results),
        skipped=list(skipped),
    )
    conditions = differing_conditions(collection.records)
    return curve.model_copy(update={"headline": headline(curve), "caveats": [*conditions, *caveats(curve)]})


def _preset(results: Results, name: str, differences: Mapping[str, Differences]) -> PresetCurve:
    variants = sorted((each for each in results.variants.values() if each.entry.preset == name), key=_size)
    laws: dict[str, FittedLaw] = {}
    reason = ""
    for metric in (results.measure.score, results.measure.loss):
        target = Target(metric, results.reported, higher_is_better(metric))
        sizes = [_measurements(variant, target) for variant in variants]
        law = fitted_law(name, sizes, target)
        if not isinstance(law, str):
            laws[metric] = law
        elif target.is_score:
            reason = law
    baseline = results.collection.baseline
    return PresetCurve(
        name=name,
        baseline=None if name == baseline else baseline,
        points=[_point(results, variant, differences[variant.entry.name]) for variant in variants],
        laws=laws,
        no_law=reason,
    )


def _measurements(variant: VariantResults, target: Target) -> SizeMeasurements:
    column = variant.column(target.split, target.metric)
    return SizeMeasurements(_size(variant), [each for each in column if each.value is not None])


def _point(results: Results, variant: VariantResults, differences: Differences) -> Point:
    records = [run.record for run in variant.all_runs if run.record is not None]
    return Point(
        size=_size(variant),
        epochs=records[0].recipe["training"]["epochs"] if records else None,
        steps=records[0].budget.steps if records else None,
        techniques=variant.entry.techniques,
        decisions=records[0].decisions if records else [],
        runs=[run_entry(run) for run in variant.all_runs],
        **results.summaries(variant),
        tfidf=_tfidf(records, results.reported, results.measure.score),
        pairs=[seed for seed, _ in pairs(variant, results.baseline_of(variant))],
        differences=differences,
    )


def _size(variant: VariantResults) -> int:
    """Training rows.

    Raises:
        OutputError: The manifest has no size, so it is not that of a curve.
    """
    if variant.entry.size is None:
        raise OutputError(f"{variant.entry.name}: has no size, so it is not part of a curve.")
    return variant.entry.size


def _tfidf(records: Sequence[RunRecord], split: str, score: str) -> float | None:
    """Score of TF-IDF with the same number of labels, averaged over the runs that have it."""
    scores = [
        baseline.scores.get(split, {}).get(score)
        for record in records
        for baseline in record.data.baselines
        if baseline.name == "tfidf"
    ]
    defined = [value for value in scores if value is not None]
    return float(np.mean(defined)) if defined else None


def _longer(results: Results) -> list[str]:
    """Sizes trained for more epochs than the largest."""
    trained: dict[int, tuple[int, int | None]] = {}  # size -> epochs, steps
    for variant in results.variants.values():
        for run in variant.all_runs:
            if run.record is not None:
                trained[_size(variant)] = (run.record.recipe["training"]["epochs"], run.record.budget.steps)
    if not trained:
        return []
    usual, _ = trained[max(trained)]
    return [
        f"{size} rows: {epochs} epochs instead of {usual}"
        + ("." if steps is None else f", so that a model is trained for {steps} steps.")
        for size, (epochs, steps) in sorted(trained.items())
        if epochs > usual
    ]
