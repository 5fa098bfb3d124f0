"""The parts of a report below the main table: history, confidence, weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.analysis.collection import FinishedRun
from finetune.measurement.scores import softmax
from finetune.records.report import Curve, ReliabilityBin, WeightSummary
from finetune.records.schema import RunRecord, WeightGroup
from finetune.tasks import Task

BINS = 10  # of the reliability diagram, equally filled
LEAST = 30  # rows in a bin: the accuracy of fewer is known to worse than ±18 points


def learning_curve(run: FinishedRun, metrics: Sequence[str]) -> Curve:
    """The history of one run, for the metrics in figures."""
    history = run.record.history
    return Curve(
        seed=run.seed,
        fold=run.fold,
        steps=[evaluation.step for evaluation in history],
        train={name: [evaluation.train_probe.get(name) for evaluation in history] for name in metrics},
        validation={name: [evaluation.validation.get(name) for evaluation in history] for name in metrics},
        selected_step=run.record.selected.step,
    )


def outcomes(records: Sequence[RunRecord]) -> list[str]:
    """Effect that each technique reports for the first finished run, whose seed is named if there are others."""
    seed = f" (seed {records[0].seed})" if len(records) > 1 else ""
    return [
        f"{name}: {active.outcome}{seed}"
        for record in records[:1]
        for name, active in record.techniques.items()
        if active.outcome is not None
    ]


def reliability(runs: Sequence[FinishedRun], task: Task, split: str) -> list[ReliabilityBin]:
    """Confidence against accuracy in equally filled bins, all runs together; single-label only.

    Seeds predict the same rows, so they add no rows; folds do.
    """
    if task != "single_label" or not runs:
        return []
    confidences, hits = [], []
    for run in runs:
        probabilities = softmax(run.arrays[f"selected_{split}_logits"].astype(np.float64))
        confidences.append(probabilities.max(axis=1))
        hits.append(probabilities.argmax(axis=1) == run.arrays[f"{split}_targets"])
    seeds = len({run.seed for run in runs})
    return reliability_bins(np.concatenate(confidences), np.concatenate(hits), seeds)


def reliability_bins(confidence: NDArray[Any], hit: NDArray[Any], seeds: int = 1) -> list[ReliabilityBin]:
    """Confidence against accuracy in equally filled bins of at least 30 rows; none if there are fewer.

    Args:
        confidence: Confidence of the predictions, (predictions,).
        hit: Whether each is correct.
        seeds: Number of predictions per row.
    """
    order = np.argsort(confidence, kind="stable")
    bins = min(BINS, len(order) // seeds // LEAST)
    return [
        ReliabilityBin(confidence=float(confidence[part].mean()), accuracy=float(hit[part].mean()), rows=len(part))
        for part in (np.array_split(order, bins) if bins else [])
    ]


def weight_summaries(records: Sequence[RunRecord]) -> dict[str, WeightSummary]:
    """Statistics of each group of weights after training; means over runs."""
    if not records:
        return {}
    return {
        name: _weight_summary([record.weights[name] for record in records if name in record.weights])
        for name in records[0].weights
    }


def _weight_summary(groups: Sequence[WeightGroup]) -> WeightSummary:
    parameters = groups[0].parameters
    distances = [group.distance for group in groups if group.distance is not None]
    histograms = [group.magnitudes for group in groups if group.magnitudes]  # records before 0.2 have none
    return WeightSummary(
        parameters=parameters,
        norm=float(np.mean([group.norm for group in groups])),
        distance=float(np.mean(distances)) if distances else None,
        zero_share=float(np.mean([group.zeros / parameters for group in groups])),
        magnitudes=(np.mean(histograms, axis=0) / parameters).tolist() if histograms else [],
    )
