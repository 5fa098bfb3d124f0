"""The recommended variant: the rule of `verdicts`, applied to replicates that all variants have finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from finetune.analysis.choice import validation_order
from finetune.analysis.collection import Collection
from finetune.analysis.differences import difference
from finetune.analysis.finals import final_model
from finetune.analysis.replicates import Key
from finetune.analysis.results import Results, VariantResults, shared_keys
from finetune.analysis.statistics import holm
from finetune.analysis.verdicts import RULE, Candidate, best_candidate, recommend
from finetune.records.report import Recommendation, VariantReport
from finetune.records.store import RunFolder

NOT_ELIGIBLE = ("underfits", "did not learn", "failed")  # verdicts


def dominator(name: str, results: Results) -> str | None:
    """The best variant with both a higher mean validation score and a smaller mean gap, on the common replicates."""
    variant, better = results.variants[name], []
    for other_name, other in results.variants.items():
        shared = shared_keys([variant, other])
        ours, theirs = (_score_and_gap(results, each, shared) for each in (variant, other))
        if ours is not None and theirs is not None and theirs[0] > ours[0] and theirs[1] < ours[1]:
            better.append((theirs[0], other_name))
    return max(better)[1] if better else None


def recommendation(results: Results, reports: Sequence[VariantReport]) -> Recommendation | None:
    """The recommended variant and its best run; None if there is nothing to choose from."""
    candidates = _candidates(results, reports)
    best = best_candidate(candidates)
    if best is None:
        return None
    others = [candidate.name for candidate in candidates if candidate is not best]
    ps = [p_of_validation(results, results.variants[name], results.variants[best.name]) for name in others]
    chosen = recommend(candidates, dict(zip(others, holm(ps), strict=True)), results.measure.score, len(reports))
    if chosen is None:
        return None
    name, reason = chosen
    run = max(results.variants[name].runs, key=lambda run: validation_order(run.record))
    final = final_model(results, run)
    return Recommendation(
        variant=name,
        seed=run.seed,
        fold=run.fold,
        run=str(run.folder.path),
        model=_model_of(RunFolder(Path(final.run)), results.collection),
        reason=reason,
        rule=RULE,
        final=final,
    )


def _candidates(results: Results, reports: Sequence[VariantReport]) -> list[Candidate]:
    judged = [report for report in reports if results.variants[report.name].runs]
    eligible = [report.name for report in judged if report.verdict not in NOT_ELIGIBLE]
    # A preset whose hard seeds failed must not gain from it: all are compared on the seeds that all have.
    shared = shared_keys([results.variants[name] for name in eligible or [report.name for report in judged]])
    candidates = []
    for number, report in enumerate(judged):
        variant = results.variants[report.name]
        is_eligible = report.name in eligible
        means = _score_and_gap(results, variant, shared if is_eligible else variant.keys)
        if means is not None:
            cost = (report.cost, float(len(report.techniques)), float(number))
            candidates.append(Candidate(report.name, *means, cost, is_eligible))
    return candidates


def _score_and_gap(results: Results, variant: VariantResults, keys: Sequence[Key]) -> tuple[float, float] | None:
    """Mean validation score and mean gap over some replicates; None if one is undefined."""
    means = []
    for kind in ("validation", "gap"):
        measurements = variant.by_key(kind, results.measure.score)
        values = [measurements[key].value for key in keys]
        if not values or None in values:
            return None
        means.append(float(np.mean([value for value in values if value is not None])))
    return means[0], means[1]


def p_of_validation(results: Results, variant: VariantResults, best: VariantResults) -> float | None:
    """Unadjusted p-value of "both have the same validation score"; None if it cannot be tested."""
    found = difference(variant, best, "validation", results.measure.score, results.looks_at("validation"))
    if found.p is None and len(found.values) > 1 and not any(found.values):
        return 1.0  # the same score in every replicate
    return found.p


def _model_of(run: RunFolder, collection: Collection) -> str | None:
    """The model folder of the comparison, else the run's own; None if it was not kept."""
    if collection.final_model is not None and collection.final_model[0] == run.path:
        return str(collection.final_model[1])
    return str(run.model) if run.model.is_dir() else None
