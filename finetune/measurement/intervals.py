"""95 % intervals of the scores of one model on one split, over rows: the model is fixed, the rows are a sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.measurement.gap import (
    CELLS_AT_ONCE,
    LEVEL,
    RANKED,
    percentile_interval,
    resampled_spearman,
    resampled_sums,
    resamples,
)
from finetune.measurement.scores import (
    BINS,
    Floats,
    compute_scores,
    row_terms,
    scores_from_sums,
    softmax,
)

PROPORTIONS = ("accuracy", "exact_match")  # of rows: an interval that is right for few of them, and at 0 and 1

Interval = tuple[float, float]


def proportion_interval(proportion: float, rows: int, confidence: float) -> Interval:
    """Wilson's score interval of a proportion: never outside [0, 1], and valid for few rows.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209; Brown, Cai & DasGupta 2001, Stat. Sci. 16, 101.
    """
    from scipy.stats import norm  # slow to import, and needed here only

    z = float(norm.ppf(0.5 + confidence / 2))
    shrink = 1 + z * z / rows
    middle = (proportion + z * z / (2 * rows)) / shrink
    half = z / shrink * math.sqrt(proportion * (1 - proportion) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)


def score_intervals(
    task: str, logits: NDArray[Any], targets: NDArray[Any], seed: int = 0
) -> dict[str, tuple[float, Interval | None]]:
    """Every score of a split with its interval.

    Fractions of rows have Wilson's interval; all others the percentile bootstrap over rows. The calibration error of
    resampled rows is larger than that of the rows themselves, because equal rows agree: its interval is shifted down by
    the mean difference.

    Args:
        task: single_label, multi_label or regression.
        logits, targets: As in `compute_scores`.
        seed: Seed of the draws.

    Returns:
        Score -> value and (low, high); None if undefined.
    """
    rng = np.random.default_rng(seed)
    scores = compute_scores(task, logits, targets)
    drawn = scores_from_sums(task, resampled_sums(row_terms(task, logits, targets), rng))
    drawn |= {name: draw(logits, targets, rng) for name, draw in _RANKED[task].items()}
    found: dict[str, tuple[float, Interval | None]] = {}
    for name, value in scores.items():
        if name in PROPORTIONS:
            found[name] = (value, proportion_interval(value, len(targets), LEVEL))
            continue
        draws = drawn[name]
        if name == "ece":
            draws = np.maximum(0.0, draws - (draws.mean() - value))
        found[name] = (value, percentiles(draws) if math.isfinite(value) else None)
    return found


def percentiles(draws: Floats) -> Interval | None:
    """Like `percentile_interval`, but None if all draws are equal: no observed spread does not mean certainty."""
    ends = percentile_interval(draws)
    return ends if ends is not None and ends[0] < ends[1] else None


def resampled_average_precision(logits: NDArray[Any], targets: NDArray[Any], rng: np.random.Generator) -> Floats:
    """Micro-averaged average precision of `RANKED` resamples of the rows, (draws,).

    Args:
        logits: (rows, labels).
        targets: (rows, labels) zeros and ones.
        rng: Generator of the draws.
    """
    rows, labels = targets.shape
    order = np.argsort(-logits.ravel(), kind="stable")
    row, hit = order // labels, targets.ravel()[order]
    last = np.flatnonzero(np.diff(logits.ravel()[order], append=-np.inf))  # of equal logits, which rank as one
    parts = []
    for times in resamples(rows, rng, RANKED, rows * labels):
        weights = times[:, row]
        seen = np.cumsum(weights, axis=1)[:, last]
        found = np.cumsum(weights * hit, axis=1)[:, last]
        gained = np.diff(found, prepend=0, axis=1)
        precision = found / np.maximum(seen, 1)
        total = found[:, -1]
        parts.append(np.where(total > 0, (gained * precision).sum(axis=1) / np.maximum(total, 1), np.nan))
    return np.concatenate(parts)


def resampled_calibration_error(logits: NDArray[Any], targets: NDArray[Any], rng: np.random.Generator) -> Floats:
    """`expected_calibration_error` of `RANKED` resamples of the rows, (draws,).

    Args:
        logits: (rows, K).
        targets: (rows,) class indices.
        rng: Generator of the draws.
    """
    probabilities = softmax(np.asarray(logits, dtype=np.float64))
    confidence = probabilities.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    over = (confidence - (probabilities.argmax(axis=1) == targets))[order]
    rows = len(targets)
    starts = np.cumsum([0, *map(len, np.array_split(order, min(BINS, rows)))])[:-1]
    parts = []
    at_once = max(1, CELLS_AT_ONCE // rows)
    for start in range(0, RANKED, at_once):
        drawn = np.sort(rng.integers(rows, size=(min(at_once, RANKED - start), rows)), axis=1)
        parts.append(np.abs(np.add.reduceat(over[drawn], starts, axis=1)).sum(axis=1) / rows)
    return np.concatenate(parts)


def _resampled_spearman(logits: NDArray[Any], targets: NDArray[Any], rng: np.random.Generator) -> Floats:
    return resampled_spearman(logits.ravel(), targets, rng)


_RANKED: dict[str, dict[str, Callable[[NDArray[Any], NDArray[Any], np.random.Generator], Floats]]] = {
    "single_label": {"ece": resampled_calibration_error},
    "multi_label": {"average_precision": resampled_average_precision},
    "regression": {"spearman": _resampled_spearman},
}
"""Scores that are not a function of sums over rows, on resampled rows."""
