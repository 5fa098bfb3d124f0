"""The part on runs, data and conditions that all reports of a collection share."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from finetune.analysis.results import Results
from finetune.measurement.units import count_text, difference_unit, higher_is_better, is_fraction, listed
from finetune.records.frame import ReportFrame, Unit
from finetune.records.schema import Baseline, RunRecord, Scores

NOT_SHOWN = ("techniques", "rules", "choices", "decisions", "preset")  # keys of the recipe that differ between variants


def build_frame(results: Results, record: RunRecord, rows: Mapping[str, int]) -> dict[str, Any]:
    """The fields of `ReportFrame`; headline and caveats are made from the finished report.

    Args:
        results: Results of the collection.
        record: The run from which common facts are read.
        rows: Split -> rows, for the splits that are the same in all runs.
    """
    collection, records = results.collection, results.collection.records
    frame = ReportFrame(
        name=collection.name,
        task=results.task,
        score=results.measure.score,
        loss=results.measure.loss,
        metrics={name: _unit(name) for name in results.metrics},
        reported=results.reported,
        baseline=collection.baseline,
        seeds=sorted({run.seed for run in collection.runs}),
        headline="",
        caveats=[],
        rows=dict(rows),
        columns=record.data.columns,
        findings=record.data.findings,
        notes=[*record.data.notes, *_chosen_rates(results)],
        warnings=list(dict.fromkeys(text for each in records for text in each.warnings)),
        recipe={key: value for key, value in record.recipe.items() if key not in NOT_SHOWN},
        command=collection.command,
        versions=record.versions,
        device=record.device,
        precision=record.budget.precision,
        code=record.code,
        seconds=sum(each.time.seconds for each in records),
        date=max((each.time.started[:10] for each in records), default="") or None,
    )
    return dict(frame)


def _chosen_rates(results: Results) -> list[str]:
    """A sentence for each variant whose runs chose their learning rates."""
    notes = []
    for name, variant in results.variants.items():
        choices = [run.record.budget.learning_rate for run in variant.all_runs if run.record is not None]
        counts = Counter(choice.value for choice in choices if choice is not None)
        if counts:
            chosen = listed([f"{rate:g} in {count_text(count, 'run')}" for rate, count in sorted(counts.items())])
            notes.append(f"training.learning_rate: auto chose for {name}: {chosen}")
    return notes


def _unit(metric: str) -> Unit:
    """The unit of a metric."""
    return Unit(
        kind="fraction" if is_fraction(metric) else "plain",
        higher_is_better=higher_is_better(metric),
        unit=difference_unit(metric),
    )


def simple_models(results: Results) -> list[Baseline]:
    """Simple models on the same rows; with folds, the mean over the folds that have been run."""
    same_rows = [
        each for each in results.variants.values() if not any(key[:5] == "data." for key in each.entry.settings)
    ]
    records = [record for variant in same_rows for record in variant.records] or [results.first]
    per_fold = {record.data.fingerprint: record.data.baselines for record in records}
    means = []
    for model in results.first.data.baselines:
        same = [other for models in per_fold.values() for other in models if other.name == model.name]
        scores = {split: _mean_scores([each.scores.get(split, {}) for each in same]) for split in model.scores}
        means.append(model.model_copy(update={"scores": scores, "gap": _mean_scores([each.gap for each in same])}))
    return means


def _mean_scores(per_fold: Sequence[Scores]) -> Scores:
    """Mean over folds; None if a fold has none."""
    columns = {name: [scores.get(name) for scores in per_fold] for name in (per_fold[0] if per_fold else ())}
    return {
        name: None if None in values else statistics.fmean(value for value in values if value is not None)
        for name, values in columns.items()
    }
