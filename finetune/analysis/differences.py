"""Paired differences of each variant to its baseline, adjusted for multiple testing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finetune.analysis.measurements import GAPS, KINDS, Measurement
from finetune.analysis.replicates import Key, negated, paired_difference
from finetune.analysis.results import Results, VariantResults
from finetune.analysis.sequential import Looks
from finetune.analysis.statistics import LEVEL, holm, seeds_needed
from finetune.measurement.scores import LOSSES
from finetune.measurement.units import possible_range
from finetune.records.report import Decomposition, Difference

Differences = dict[str, dict[str, Difference]]  # kind -> metric -> difference


def pairs(variant: VariantResults, baseline: VariantResults | None) -> list[Key]:
    """Seed and fold of the runs that both have finished."""
    return [] if baseline is None else [key for key in variant.keys if key in baseline.known]


def paired_measurements(variant: VariantResults, baseline: VariantResults, kind: str, metric: str) -> list[Measurement]:
    """Variant - baseline, one per pair."""
    ours, theirs = variant.by_key(kind, metric), baseline.by_key(kind, metric)
    return [ours[key].minus(theirs[key]) for key in pairs(variant, baseline)]


def difference(
    variant: VariantResults, baseline: VariantResults, kind: str, metric: str, looks: Looks | None = None
) -> Difference:
    """Variant - baseline over their pairs; `looks` as for `paired_difference`."""
    replicates = [replicate for replicate in variant.replicates if replicate.key in baseline.known]
    possible = possible_range(metric, 2 if kind in GAPS else 1)
    return paired_difference(paired_measurements(variant, baseline, kind, metric), replicates, possible, looks)


def all_differences(results: Results) -> dict[str, Differences]:
    """Variant -> kind -> metric -> difference to its baseline, Holm-adjusted over the variants."""
    differences = {name: _differences(results, variant) for name, variant in results.variants.items()}
    # The words of a verdict are made from three numbers of every variant: one family, so that a table without any
    # effect calls something different in 5 % of cases. Every other number is a family of its own.
    decisive = decisive_numbers(results)
    others = [(kind, metric) for kind in KINDS for metric in results.metrics if (kind, metric) not in decisive]
    for family in (decisive, *([number] for number in others)):
        _adjust(differences, family)
    return differences


def decisive_numbers(results: Results) -> list[tuple[str, str]]:
    """Kind and metric of the three numbers from which the verdict on a change is made."""
    score, loss = results.measure.score, results.measure.loss
    return [(results.reported, score), ("gap", score), ("gap", loss)]


def _differences(results: Results, variant: VariantResults) -> Differences:
    baseline = results.baseline_of(variant)
    if baseline is None or not pairs(variant, baseline):
        return {}
    return {
        kind: {
            metric: difference(variant, baseline, kind, metric, results.looks_at(kind))
            for metric in results.metrics_of(variant, kind)
        }
        for kind in KINDS
    }


def _adjust(differences: dict[str, Differences], family: Sequence[tuple[str, str]]) -> None:
    """Fill in p_holm and distinguishable for some numbers of all variants together."""
    members = [
        (name, kind, metric)
        for name, of_variant in differences.items()
        for kind, metric in family
        if metric in of_variant.get(kind, {})
    ]
    adjusted = holm([differences[name][kind][metric].p for name, kind, metric in members])
    tests = sum(p is not None for p in adjusted)
    for (name, kind, metric), p in zip(members, adjusted, strict=True):
        found = differences[name][kind][metric]
        changes: dict[str, object] = {"p_holm": p, "distinguishable": None if p is None else p < 1 - LEVEL}
        if p is not None:
            changes["tests"] = tests
        if found.seeds_needed is not None and tests > 1:
            values = [value for value in found.values if value is not None]
            changes["seeds_needed"] = seeds_needed(values, (1 - LEVEL) / tests)
        differences[name][kind][metric] = found.model_copy(update=changes)


def decompose(differences: Mapping[str, Mapping[str, Difference]]) -> dict[str, Decomposition]:
    """Metric -> the parts of a smaller gap that come from train and from validation.

    Both are positive in the desired direction; for a loss, train "fell" if its loss rose.
    """
    parts = {}
    for metric, gap in differences.get("gap", {}).items():
        train, validation = differences["train"][metric], differences["validation"][metric]
        is_loss = metric in LOSSES
        parts[metric] = Decomposition(
            closed=negated(gap),
            train_fell=train if is_loss else negated(train),
            validation_rose=negated(validation) if is_loss else validation,
        )
    return parts
