"""Confusions between classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetune.analysis.collection import FinishedRun
from finetune.records.report import Confusion
from finetune.tasks import Task


def confusions(runs: Sequence[FinishedRun], task: Task, split: str) -> list[Confusion]:
    """Rows of each class by predicted class, averaged over seeds (folds of a seed together), without pairs that never
    occur; single-label only, in the order of the labels.

    Args:
        runs: Finished runs of one variant.
        task: What is predicted.
        split: Split of the rows.
    """
    labels = runs[0].record.data.labels if runs else None
    if task != "single_label" or labels is None:
        return []
    counts = np.zeros((len(labels), len(labels)))
    for run in runs:
        targets = run.arrays[f"{split}_targets"].astype(np.int64)
        np.add.at(counts, (targets, run.arrays[f"selected_{split}_logits"].argmax(axis=1)), 1)
    counts /= len({run.seed for run in runs})
    return [
        Confusion(true=labels[true], predicted=labels[predicted], rows=round(float(counts[true, predicted]), 3))
        for true, predicted in np.argwhere(counts)
    ]
