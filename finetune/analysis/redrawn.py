"""Scores of several models on the same rows, resampled in the same way for each, so that differences are paired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.analysis.statistics import Floats
from finetune.measurement.gap import percentile_interval, resampled_scores
from finetune.measurement.scores import compute_scores, row_terms
from finetune.records.predictions import Arrays
from finetune.records.report import ModelScore
from finetune.tasks import Task


class Drawn:
    """A score, and the same on resampled rows; None if it is not a function of sums over rows."""

    def __init__(self, value: float, draws: Floats | None) -> None:
        self.value = value
        self.draws = draws

    def estimate(self) -> ModelScore:
        """The score with its 95 % percentile interval over rows."""
        value = float(self.value) if np.isfinite(self.value) else None
        ends = None if value is None or self.draws is None else percentile_interval(self.draws)
        return ModelScore(value=value) if ends is None else ModelScore(value=value, low=ends[0], high=ends[1])

    def minus(self, other: Drawn) -> Drawn:
        draws = None if self.draws is None or other.draws is None else self.draws - other.draws
        return Drawn(self.value - other.value, draws)


def same_rows(arrays: Arrays, others: Arrays, split: str) -> bool:
    """Whether two runs on the same data measured the same rows of a split, in the same order."""
    return np.array_equal(arrays[f"{split}_rows"], others[f"{split}_rows"])


def measure_models(
    task: Task, logits: Mapping[str, NDArray[Any]], targets: NDArray[Any]
) -> dict[str, dict[str, Drawn]]:
    """Model -> metric -> score."""
    terms = (row_terms(task, each, targets) for each in logits.values())
    drawn = resampled_scores(task, terms, np.random.default_rng(0))
    measured = {}
    for (name, each), draws in zip(logits.items(), drawn, strict=True):
        values = compute_scores(task, each, targets)
        measured[name] = {metric: Drawn(value, draws.get(metric)) for metric, value in values.items()}
    return measured
