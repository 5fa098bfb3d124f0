"""Collections of runs -> the report: all numbers of the report are computed here and in modules called from here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from finetune.advice.comparison import caveats, headline
from finetune.analysis.classes import class_scores
from finetune.analysis.collect import collect
from finetune.analysis.collection import Collection
from finetune.analysis.conditions import decided_budgets, differing_conditions, own_settings
from finetune.analysis.confusions import confusions
from finetune.analysis.details import learning_curve, outcomes, reliability, weight_summaries
from finetune.analysis.differences import Differences, all_differences, decompose, pairs
from finetune.analysis.disagreements import disagreements, with_explained
from finetune.analysis.frame import build_frame, simple_models
from finetune.analysis.measurements import Measurement
from finetune.analysis.recommendation import dominator, recommendation
from finetune.analysis.replicates import summarise
from finetune.analysis.results import Results, VariantResults, run_entry
from finetune.analysis.settling import RULE
from finetune.analysis.states import verdict_of
from finetune.analysis.verdicts import judge_change
from finetune.records.report import Change, Decomposition, Group, Report, SeedRule, Summary, VariantReport

Z = 1.96  # of a 95 % interval


def report_of(paths: Sequence[Path], baseline: str | None = None) -> Report:
    """Read, check and analyse the content of some folders.

    Raises:
        OutputError: As in `collect` and `analyse`.
    """
    return analyse(*collect(paths, baseline))


def analyse(collections: Sequence[Collection], skipped: Sequence[str]) -> Report:
    """Build the report of one or more collections; numbers of different ones are never mixed.

    Raises:
        OutputError: A collection has no finished run.
    """
    groups = [_group(Results(collection)) for collection in collections]
    names = " and ".join(group.name for group in groups)
    return Report(title=f"{names}: what regularization did to the gap", groups=groups, skipped=list(skipped))


def _group(results: Results) -> Group:
    collection, data = results.collection, results.first.data
    differences = all_differences(results)
    variants = [_variant(results, variant, differences[name]) for name, variant in results.variants.items()]
    texts, runs = collection.texts, {name: variant.runs for name, variant in results.variants.items()}
    group = Group(
        **build_frame(results, results.first, data.rows),
        kind=collection.kind,
        folds=len({run.fold for run in collection.runs if run.fold is not None}) or None,
        seed_rule=_seed_rule(collection),
        recommendation=None if collection.kind == "ablate" else recommendation(results, variants),
        variants=variants,
        disagreements=with_explained(disagreements(runs, results.task, results.reported, texts), collection.explained),
        classes=data.classes,
        fingerprints=sorted({record.data.fingerprint for record in collection.records}),
        majority=_majority(results),
        resolvable=_resolvable(results),
        baselines=simple_models(results),
    )
    conditions = [*decided_budgets(variants), *own_settings(variants), *differing_conditions(collection.records)]
    return group.model_copy(update={"headline": headline(group), "caveats": [*conditions, *caveats(group)]})


def _seed_rule(collection: Collection) -> SeedRule | None:
    most = collection.most_seeds
    return None if most is None else SeedRule(most=most, text=RULE, looks=list(collection.looks))


def _variant(results: Results, variant: VariantResults, differences: Differences) -> VariantReport:
    entry, baseline = variant.entry, results.baseline_of(variant)
    summaries = results.summaries(variant)
    runs = [run_entry(run) for run in variant.all_runs]
    degenerate = sum(run.degenerate for run in runs)
    parts = decompose(differences)
    floor = None if baseline is None else results.mean_score(baseline, "validation")
    verdict, verdict_reason = verdict_of(results, variant, summaries, runs, floor)
    change, change_reason = _change(results, variant, differences, parts)
    seconds, ratio = _seconds(variant, baseline)
    return VariantReport(
        name=entry.name,
        baseline=entry.baseline,
        technique=entry.technique,
        techniques=entry.techniques,
        preset=entry.preset,
        settings=entry.settings,
        decisions=variant.records[0].decisions if variant.records else [],
        cost=float(variant.records[0].budget.cost) if variant.records else 1.0,
        seconds=seconds,
        seconds_ratio=ratio,
        runs=runs,
        failed=variant.failed,
        degenerate=degenerate,
        verdict=verdict,
        verdict_reason=verdict_reason,
        change=change,
        change_reason=change_reason,
        dominated_by=dominator(entry.name, results),
        **summaries,
        temperature=_temperature(variant),
        pairs=[[seed, fold] for seed, fold in pairs(variant, baseline)],
        differences=differences,
        decomposition=parts,
        curves=[learning_curve(run, results.measure.shown) for run in variant.runs],
        classes=class_scores(variant, baseline, results.task, results.reported, results.looks_at(results.reported)),
        confusions=confusions(variant.runs, results.task, results.reported),
        reliability=reliability(variant.runs, results.task, results.reported),
        weights=weight_summaries(variant.records),
        outcomes=outcomes(variant.records),
    )


def _change(
    results: Results, variant: VariantResults, differences: Differences, parts: dict[str, Decomposition]
) -> tuple[Change, str]:
    if variant.entry.baseline is None:
        return "baseline", "others are compared with it"
    score, loss = results.measure.score, results.measure.loss
    return judge_change(
        differences.get(results.reported, {}).get(score),
        differences.get("gap", {}).get(score),
        differences.get("gap", {}).get(loss),
        parts.get(score),
        score,
        loss,
    )


def _seconds(variant: VariantResults, baseline: VariantResults | None) -> tuple[float | None, float | None]:
    """Mean seconds of a finished run, and the ratio to the baseline's."""
    ours, theirs = _mean_seconds(variant), None if baseline is None else _mean_seconds(baseline)
    return ours, ours / theirs if ours is not None and theirs else None


def _mean_seconds(variant: VariantResults) -> float | None:
    return statistics.mean(record.time.seconds for record in variant.records) if variant.records else None


def _temperature(variant: VariantResults) -> Summary | None:
    temperatures = [record.calibration.temperature for record in variant.records if record.calibration is not None]
    if not temperatures:
        return None
    return summarise([Measurement(value) for value in temperatures], variant.replicates)


def _majority(results: Results) -> float | None:
    """Fraction of the most frequent class in the reported split."""
    if results.task != "single_label":
        return None
    data = results.first.data
    return max(data.classes[results.reported].values()) / data.rows[results.reported]


def _resolvable(results: Results) -> dict[str, float]:
    """Half-width of the 95 % interval of one model's main score due to the rows of a split."""
    if results.measure.score != "accuracy":
        return {}
    rows, baseline = results.first.data.rows, results.variants[results.collection.baseline]
    halves: dict[str, float] = {}
    for split in ("validation", "test"):
        mean = results.mean_score(baseline, split)
        if mean is not None and split in rows:
            halves[split] = Z * math.sqrt(mean * (1 - mean) / rows[split])
    return halves
