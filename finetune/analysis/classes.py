"""F1 of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.analysis.collection import FinishedRun
from finetune.analysis.measurements import Measurement
from finetune.analysis.replicates import Key, paired_difference, summarise
from finetune.analysis.results import VariantResults
from finetune.analysis.sequential import Looks
from finetune.measurement.scores import f1_of, label_counts, row_terms
from finetune.records.report import ClassScore, Difference
from finetune.tasks import Task


def class_scores(
    variant: VariantResults, baseline: VariantResults | None, task: Task, split: str, looks: Looks | None
) -> list[ClassScore]:
    """F1 of each class, worst first; empty for regression and without runs.

    Intervals of differences are over seeds alone; `looks` as for `paired_difference`.
    """
    labels = variant.records[0].data.labels if variant.records else None
    if task == "regression" or labels is None:
        return []
    ours = _per_class(variant, task, split)
    theirs = {} if baseline is None else _per_class(baseline, task, split)
    scores = []
    for number, label in enumerate(labels):
        values = {key: measurements[number] for key, measurements in ours.items()}
        baseline_values = {key: measurements[number] for key, measurements in theirs.items()}
        scores.append(
            ClassScore(
                label=label,
                support=_support(variant.runs, split, label),
                f1=summarise(list(values.values()), variant.replicates, (0.0, 1.0)),
                difference=_difference(values, baseline_values, variant, looks),
            )
        )
    return sorted(scores, key=lambda score: (score.f1.mean is None, score.f1.mean or 0.0))


def _per_class(variant: VariantResults, task: Task, split: str) -> dict[Key, list[Measurement]]:
    """Seed and fold -> F1 of each class, in the order of the labels."""
    return {
        key: [Measurement(float(f1) if np.isfinite(f1) else None) for f1 in _f1(run, task, split)]
        for key, run in zip(variant.keys, variant.runs, strict=True)
    }


def _f1(run: FinishedRun, task: Task, split: str) -> NDArray[Any]:
    """F1 of each class on a split, (K,); nan for a class that is neither present nor predicted."""
    logits, targets = run.arrays[f"selected_{split}_logits"], run.arrays[f"{split}_targets"]
    terms = row_terms(task, logits, targets).sum(axis=0)
    return f1_of(*np.split(label_counts(terms, logits.shape[1]), 3))


def _difference(
    ours: Mapping[Key, Measurement], theirs: Mapping[Key, Measurement], variant: VariantResults, looks: Looks | None
) -> Difference | None:
    replicates = [replicate for replicate in variant.replicates if replicate.key in theirs]
    if not replicates:
        return None
    changes = [ours[replicate.key].minus(theirs[replicate.key]) for replicate in replicates]
    return paired_difference(changes, replicates, (-1.0, 1.0), looks)


def _support(runs: Sequence[FinishedRun], split: str, label: str) -> int:
    """Rows of a class; each fold is counted once."""
    per_fold = {run.fold: run.record.data.classes[split][label] for run in runs}
    return sum(per_fold.values())
