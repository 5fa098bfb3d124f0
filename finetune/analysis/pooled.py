"""Pooled out-of-fold predictions of one setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.measurement.beyond_chance import Paired, paired
from finetune.measurement.scores import LOSSES, compute_scores
from finetune.records.predictions import read_run
from finetune.records.store import RunFolder


@dataclass(frozen=True)
class Pooled:
    """Predictions for the validation rows of one or several folds, fold by fold.

    Attributes:
        logits: (rows, K).
        targets: As in `compute_scores`.
        groups: Group of each row, or None if rows are independent.
        counts: Rows of each fold.
    """

    logits: NDArray[Any]
    targets: NDArray[Any]
    groups: list[Any] | None
    counts: list[int]

    def first(self, folds: int) -> Pooled:
        """The predictions of the first folds alone."""
        rows = sum(self.counts[:folds])
        groups = None if self.groups is None else self.groups[:rows]
        return Pooled(self.logits[:rows], self.targets[:rows], groups, self.counts[:folds])

    def score(self, task: str, metric: str) -> float:
        """A score over all rows; the worst value for an undefined one (the correlation of a constant)."""
        value = compute_scores(task, self.logits, self.targets)[metric]
        worst = np.inf if metric in LOSSES else -1.0
        return float(value if np.isfinite(value) else worst)

    def minus(self, other: Pooled, task: str, metric: str) -> Paired:
        """Difference to another one, which has the same folds or more, on its own rows; positive is better."""
        theirs = other.first(len(self.counts))
        return paired(task, metric, self.logits, theirs.logits, self.targets, self.groups)


def read_fold(folder: RunFolder, groups: list[Any] | None) -> Pooled:
    """Predictions of a finished run for its validation rows.

    Args:
        folder: Folder of the run.
        groups: Groups of these rows, if whole groups were left out.

    Raises:
        OutputError: The run has no predictions, or they are damaged.
    """
    _, arrays = read_run(folder)
    logits, targets = arrays["selected_validation_logits"], arrays["validation_targets"]
    return Pooled(logits.reshape(len(logits), -1), targets, groups, [len(targets)])


def pool(parts: Sequence[Pooled]) -> Pooled:
    """Several folds combined."""
    logits, targets = (np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "targets"))
    groups = [each for part in parts for each in part.groups or ()]
    counts = [count for part in parts for count in part.counts]
    return Pooled(logits, targets, groups if parts[0].groups is not None else None, counts)
