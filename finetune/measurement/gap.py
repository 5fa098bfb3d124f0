"""The generalization gap: positive means overfitting, for scores and losses alike."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.measurement.scores import LOSSES, Floats, row_terms, scores_from_sums

DRAWS = 4000
LEVEL = 0.95
_CELLS_AT_ONCE = 4_000_000  # draws × rows held in memory at a time: 32 MB


def compute_gap(train: Mapping[str, float], validation: Mapping[str, float]) -> dict[str, float]:
    """Train sample − validation for scores, validation − train sample for losses; the metrics both have."""
    return {
        name: validation[name] - train[name] if name in LOSSES else train[name] - validation[name]
        for name in train
        if name in validation
    }


def gap_intervals(
    task: str,
    train: tuple[NDArray[Any], NDArray[Any]],
    validation: tuple[NDArray[Any], NDArray[Any]],
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap intervals of the gap, over rows.

    The rows of the two splits are drawn anew independently; the trained model is fixed, so this says how far the
    gap could be off because the splits are small, not how it differs between seeds.

    Args:
        task: single_label, multi_label or regression.
        train: Logits and targets of the train sample.
        validation: Logits and targets of validation.
        seed: Of the draws.

    Returns:
        Metric -> (low, high), for every metric that is a function of sums over rows and defined.
    """
    rng = np.random.default_rng(seed)
    drawn = [scores_from_sums(task, resampled_sums(row_terms(task, *split), rng)) for split in (train, validation)]
    tail = 100 * (1 - LEVEL) / 2
    intervals = {}
    for name in drawn[0]:
        sign = -1 if name in LOSSES else 1
        gaps = sign * (drawn[0][name] - drawn[1][name])
        if np.isfinite(gaps).any():  # a correlation of constants is undefined in every draw
            low, high = np.nanpercentile(gaps, [tail, 100 - tail])
            intervals[name] = (float(low), float(high))
    return intervals


def resampled_sums(terms: Floats, rng: np.random.Generator) -> Floats:
    """Column sums of `DRAWS` resamples of the rows of `terms` with replacement, (draws, terms)."""
    rows = len(terms)
    at_once = max(1, _CELLS_AT_ONCE // rows)
    parts = []
    for start in range(0, DRAWS, at_once):
        times_drawn = rng.multinomial(rows, np.full(rows, 1 / rows), size=min(at_once, DRAWS - start))
        parts.append(times_drawn @ terms)
    return np.concatenate(parts)
