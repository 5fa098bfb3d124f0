"""The generalization gap: positive means overfitting, for scores and losses alike."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.measurement.scores import LOSSES, Floats, row_terms, scores_from_sums

DRAWS = 4000
RANKED = 1000  # draws of which each is ranked anew: 0.3 s for 500 rows
LEVEL = 0.95
CELLS_AT_ONCE = 4_000_000  # draws × rows held in memory at a time: 32 MB
TERMS_AT_ONCE = 16_000_000  # rows × terms of the models that are resampled side by side: 128 MB


def compute_gap(train: Mapping[str, float], validation: Mapping[str, float]) -> dict[str, float]:
    """Train sample − validation for scores, validation − train sample for losses; for the metrics that both have."""
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

    The rows of the two splits are resampled independently; the trained model is fixed, so the interval shows how far
    the gap could be off because the splits are small, not how it differs between seeds.

    Args:
        task: single_label, multi_label or regression.
        train: Logits and targets of the train sample.
        validation: Logits and targets of validation.
        seed: Seed of the draws.

    Returns:
        Metric -> (low, high), for every metric that is defined and a function of sums over rows, and for Spearman.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        scores_from_sums(task, resampled_sums(row_terms(task, *split), rng, DRAWS)) for split in (train, validation)
    ]
    if task == "regression":
        for scores, split in zip(drawn, (train, validation), strict=True):
            scores["spearman"] = resampled_spearman(split[0].ravel(), split[1], rng)
    signs = {name: -1 if name in LOSSES else 1 for name in drawn[0]}
    intervals = {name: percentile_interval(sign * (drawn[0][name] - drawn[1][name])) for name, sign in signs.items()}
    return {name: ends for name, ends in intervals.items() if ends is not None}


def percentile_interval(draws: Floats) -> tuple[float, float] | None:
    """Ends of the 95 % percentile interval of bootstrap draws, (draws,), without nan; None if all are nan, as for the
    correlation of a constant.
    """
    if not np.isfinite(draws).any():
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def resampled_scores(
    task: str, terms: Iterable[Floats], rng: np.random.Generator, draws: int = DRAWS
) -> Iterator[dict[str, Floats]]:
    """Metric -> (draws,) of each of several models on the same resampled rows, so that their differences are paired.

    Args:
        task: single_label, multi_label or regression.
        terms: Terms of each model, from `row_terms`: (rows, terms). They are asked for as they are needed, so that
            memory does not grow with the number of models.
        rng: Generator of the draws.
        draws: Number of draws.
    """
    waiting = iter(terms)
    for first in waiting:
        # Side by side, as one product of matrices: one for each model took four times as long.
        side_by_side = [first, *itertools.islice(waiting, max(0, TERMS_AT_ONCE // first.size - 1))]
        sums = resampled_sums(np.concatenate(side_by_side, axis=1), copy.deepcopy(rng), draws)
        for own in np.split(sums, len(side_by_side), axis=1):
            yield scores_from_sums(task, np.ascontiguousarray(own))


def resampled_sums(terms: Floats, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Column sums of resamples of the rows of `terms` with replacement, (draws, terms)."""
    sums = np.empty((draws, terms.shape[1]))
    filled = 0
    for times_drawn in resamples(len(terms), rng, draws):
        np.matmul(times_drawn.astype(np.float64), terms, out=sums[filled : filled + len(times_drawn)])
        filled += len(times_drawn)
    return sums


def resampled_spearman(predictions: NDArray[Any], targets: NDArray[Any], rng: np.random.Generator) -> Floats:
    """Rank correlation of `RANKED` resamples of the rows, (draws,), each ranked anew; nan if one side is constant.

    Args:
        predictions, targets: (rows,).
        rng: Generator of the draws.
    """
    parts = []
    for times_drawn in resamples(len(targets), rng, RANKED):
        x, y = _ranks(predictions, times_drawn), _ranks(targets, times_drawn)
        rows = len(targets)
        x -= (times_drawn * x).sum(axis=1, keepdims=True) / rows
        y -= (times_drawn * y).sum(axis=1, keepdims=True) / rows
        spread = np.sqrt((times_drawn * x * x).sum(axis=1) * (times_drawn * y * y).sum(axis=1))
        covariance = (times_drawn * x * y).sum(axis=1)
        parts.append(np.where(spread > 0, covariance / np.where(spread > 0, spread, 1.0), np.nan))
    return np.concatenate(parts)


def resamples(rows: int, rng: np.random.Generator, draws: int, cells: int | None = None) -> Iterator[NDArray[np.int64]]:
    """Number of times each row is drawn, (some draws, rows); `draws` in total.

    Args:
        rows, rng, draws: Number of rows, generator, and number of draws.
        cells: Memory cells that each draw takes in use; by default one per row.
    """
    at_once = max(1, CELLS_AT_ONCE // (cells or rows))
    for start in range(0, draws, at_once):
        yield rng.multinomial(rows, np.full(rows, 1 / rows), size=min(at_once, draws - start))


def _ranks(values: NDArray[Any], times_drawn: NDArray[np.int64]) -> Floats:
    """Mean rank of each row among the rows drawn, (draws, rows); rows that are drawn k times are k equal ones."""
    order = np.argsort(values, kind="stable")
    firsts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))  # of equal values
    sizes = np.add.reduceat(times_drawn[:, order], firsts, axis=1)
    means = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    ranks = np.empty(times_drawn.shape)
    ranks[:, order] = np.repeat(means, np.diff(firsts, append=len(values)), axis=1)
    return ranks
