"""Runs of a sweep -> its report: scores, gaps and weights by value, and the choice among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.advice.sweep import caveats, headline
from finetune.analysis.collect import collect_sweep
from finetune.analysis.collection import Collection
from finetune.analysis.conditions import differing_conditions
from finetune.analysis.details import outcomes, weight_summaries
from finetune.analysis.differences import Differences, all_differences, difference
from finetune.analysis.frame import build_frame
from finetune.analysis.recommendation import NOT_ELIGIBLE, p_of_validation
from finetune.analysis.results import Results, VariantResults, run_entry
from finetune.analysis.states import verdict_of
from finetune.analysis.statistics import LEVEL, holm
from finetune.errors import settings_text
from finetune.measurement.units import is_number, metric_name, score_text
from finetune.records.comparison import VariantEntry
from finetune.records.report import Difference
from finetune.records.sweep import Axis, Chosen, SweepPoint, SweepReport

WIDE = 8  # from this ratio of the largest to the smallest value on, an axis is logarithmic
CHOICE = "Best mean validation score; at equal scores the smaller gap. Points that did not learn are excluded."
REGIONS = (
    "Overfits: the 95 % interval of the gap lies above 0. Underfits: the train score is below the validation score of "
    "the chosen point."
)


def sweep_of(path: Path, baseline: str | None = None) -> SweepReport:
    """Read, check and analyse the runs of a sweep.

    Args:
        path: Its folder.
        baseline: Name of the point that others are compared with; None: that of the manifest.

    Raises:
        OutputError: Nothing has finished, records do not belong together, or a baseline is missing.
    """
    return analyse_sweep(*collect_sweep(path, baseline))


def analyse_sweep(collection: Collection, skipped: Sequence[str]) -> SweepReport:
    """Build the report of a sweep.

    Raises:
        OutputError: No run has finished.
    """
    results = Results(collection)
    best = _best(results)
    differences = all_differences(results)
    points = [
        _point(results, results.variants[entry.name], differences[entry.name], best)
        for entry in _in_order(collection.variants)
    ]
    keys = list(collection.variants[0].point)
    report = SweepReport(
        **build_frame(results, results.first, results.first.data.rows),
        title=f"{collection.name}: the path of {' and '.join(keys)}",
        preset=collection.variants[0].preset or collection.baseline,
        keys=keys,
        axis=_axis([point.values[keys[0]] for point in points]),
        points=points,
        chosen=None if best is None else _chosen(results, best),
        rule=REGIONS,
        skipped=list(skipped),
    )
    conditions = differing_conditions(collection.records)
    return report.model_copy(update={"headline": headline(report), "caveats": [*conditions, *caveats(report)]})


def _in_order(entries: Sequence[VariantEntry]) -> list[VariantEntry]:
    """Points in the requested order, whichever is the reference: line by line, numbers ascending."""

    def place(value: object) -> tuple[bool, float, str]:
        return (True, float(value), "") if is_number(value) else (False, 0.0, str(value))

    def order(entry: VariantEntry) -> tuple[Any, ...]:
        first, *others = entry.point.values()
        return (*map(place, others), place(first) if is_ordered else True)

    is_ordered = all(place(next(iter(entry.point.values())))[0] or _is_off(entry) for entry in entries)
    return sorted(entries, key=order)


def _is_off(entry: VariantEntry) -> bool:
    return next(iter(entry.point.values())) == "off"


def _best(results: Results) -> VariantResults | None:
    """The point with the best mean validation score among those that learned (among all, if none did)."""
    known = [variant for variant in results.variants.values() if results.mean_score(variant, "validation") is not None]
    learned = [each for each in known if _verdict(results, each, None) not in NOT_ELIGIBLE]

    def order(variant: VariantResults) -> tuple[float, float]:
        gap = variant.summary("gap", results.measure.score).mean
        return results.mean_score(variant, "validation") or -math.inf, -math.inf if gap is None else -gap

    return max(learned or known, key=order, default=None)


def _verdict(results: Results, variant: VariantResults, floor: float | None) -> str:
    runs = [run_entry(run) for run in variant.all_runs]
    return verdict_of(results, variant, results.summaries(variant), runs, floor)[0]


def _point(
    results: Results, variant: VariantResults, differences: Differences, best: VariantResults | None
) -> SweepPoint:
    summaries = {kind: numbers for kind, numbers in results.summaries(variant).items() if kind != "test"}
    runs = [run_entry(run) for run in variant.all_runs]
    floor = None if best is None or best is variant else results.mean_score(best, "validation")
    chosen = "" if best is None else f"`{best.entry.name}`, the choice"
    verdict, reason = verdict_of(results, variant, summaries, runs, floor, chosen)
    values = variant.entry.point
    return SweepPoint(
        name=variant.entry.name,
        values=values,
        line=settings_text(dict(list(values.items())[1:])),
        techniques=variant.entry.techniques,
        runs=runs,
        **summaries,
        weights={
            part: group for part, group in weight_summaries(variant.records).items() if part in ("encoder", "head")
        },
        outcomes=outcomes(variant.records),
        verdict=verdict,
        verdict_reason=reason,
        differences={kind: numbers for kind, numbers in differences.items() if kind != "test"},
    )


def _axis(values: Sequence[Any]) -> Axis:
    numbers = [value for value in values if is_number(value)]
    if len(numbers) < sum(value != "off" for value in values) or min(numbers, default=-1) < 0:
        return "names"
    positive = [value for value in numbers if value > 0]
    return "log" if positive and max(positive) / min(positive) >= WIDE else "linear"


def _chosen(results: Results, best: VariantResults) -> Chosen:
    score = results.measure.score
    others = [variant for variant in results.variants.values() if variant is not best and variant.runs]
    adjusted = holm([p_of_validation(results, variant, best) for variant in others])
    tied = [each.entry.name for each, p in zip(others, adjusted, strict=True) if p is not None and p >= 1 - LEVEL]
    has_test = results.reported == "test"
    test = {name: best.summary("test", name) for name in results.metrics_of(best, "test")} if has_test else {}
    validation, tested = results.mean_score(best, "validation"), test[score].mean if score in test else None
    level = score_text(score, validation)
    known = any(p is not None for p in adjusted)
    reason = f"Best mean validation {metric_name(score)} ({level})" + (
        f"; {len(tied)} of {len(others)} other points do not differ significantly from it"
        if known
        else "; with these runs no difference can be tested"
    )
    return Chosen(
        name=best.entry.name,
        reason=f"{reason}.",
        rule=CHOICE,
        tied=tied,
        test=test,
        difference=_test_difference(results, best) if has_test else None,
        optimism=None if validation is None or tested is None else validation - tested,
    )


def _test_difference(results: Results, best: VariantResults) -> Difference | None:
    """One comparison, made after the choice, so it needs no adjustment."""
    reference = results.baseline_of(best)
    if reference is None:
        return None
    found = difference(best, reference, "test", results.measure.score)
    significant = None if found.p is None else found.p < 1 - LEVEL
    return found.model_copy(update={"p_holm": found.p, "distinguishable": significant})
