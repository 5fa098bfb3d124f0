"""Means over seeds, rows and folds: intervals, tests, seeds needed. Pure numbers.

A difference between two presets has two random errors: one from the seed of training, and one from the measured rows. A
t-interval over seeds holds for exactly these rows; `two_level` also holds for other rows of the same kind.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune.analysis.sequential import FIRST, Looks

Floats = NDArray[np.float64]

LEVEL = 0.95
POWER = 0.8
MOST_SEEDS = 1000  # needed; beyond it nobody would run them
_STRATA = 400  # of the spread's distribution: power to 1e-3
_SMALLEST = 1e-12  # below it a p-value says nothing more
NOTHING = 1e-12  # spreads below it are rounding of equal numbers


@dataclass(frozen=True)
class Inference:
    """An interval and the two-sided p-value of "the mean is 0". None if the numbers do not allow one."""

    low: float | None = None
    high: float | None = None
    p: float | None = None


UNKNOWN = Inference()


def t_inference(values: Sequence[float], looks: Looks | None = None) -> Inference:
    """Student's t over independent repetitions (seeds).

    Args:
        values: One per repetition; paired differences, for a comparison.
        looks: The tests that the seeds were added by, if they were; see `two_level`.

    Returns:
        An empty inference for fewer than two values, or for equal values: equal numbers from a few seeds do not prove
        certainty.
    """
    return _from_errors(values, _squared_error(values), len(values) - 1, looks=looks)


def nadeau_bengio(values: Sequence[float], test_rows: float, train_rows: float) -> Inference:
    """Corrected resampled t over folds.

    Folds share most of their training rows, so their differences are correlated and the plain variance s²/K is too
    small; it is replaced by (1/K + n_test/n_train) s² (Nadeau & Bengio 2003, "Inference for the Generalization
    Error", Machine Learning 52).

    Args:
        values: One per fold (the mean over its seeds).
        test_rows: Rows of a fold's test split.
        train_rows: Rows it was trained on.
    """
    folds = len(values)
    correction = 1 + folds * test_rows / train_rows
    return _from_errors(values, _squared_error(values) * correction, folds - 1)


def two_level(values: Sequence[float], draws: Floats, looks: Looks | None = None) -> Inference:
    """Interval over seeds and rows: the t-interval over seeds, widened by the error from a paired bootstrap over rows.

    All seeds of both presets are measured on the same rows, so their spread over seeds does not contain the sampling
    error of these rows. Resampling the rows (the same draw for every seed and for both presets) gives the variance R of
    the mean difference, and the mean variance R₁ of the difference of a single seed. Both contain the interaction of
    seed and row, which the spread over seeds already contains; it is (R₁ − R)/(S − 1) of R and is subtracted:

        error² = s²/S + max(0, R − (R₁ − R)/(S − 1)),

    which enters with t over seeds for its first part and z for its second: the half-width is
    √(t² s²/S + z² max(0, …)), in the manner of Graybill & Wang (1980) for sums of variance components. So it is never
    narrower than the t-interval, and equal to it if rows have no effect. The plain percentile bootstrap over seeds,
    then rows, counts that interaction twice and underestimates a few seeds' spread by (S − 1)/S; `docs/statistics.md`
    measures both.

    Args:
        values: One per seed, (S,).
        draws: The same recomputed on resampled rows, (S, draws); column b is the same draw of rows for all.
        looks: The tests that the seeds were added by, if they were. t then has the level of this look, at which all
            looks together have the stated error; z keeps it, because all looks share their rows.
    """
    errors = _two_errors(values, draws)
    return UNKNOWN if errors is None else _from_errors(values, errors[0], len(values) - 1, errors[1], looks)


def chance_of_significance(values: Sequence[float], draws: Floats, looks: Looks, error: float) -> float | None:
    """Probability that a difference is significant at the last look, given the seeds so far.

    The mean of all seeds is predicted from the mean and spread so far (Student's t, with a flat prior on both); their
    spread and the error over rows are taken to stay as they are.

    Args:
        values: One per seed so far, (S,).
        draws: As for `two_level`.
        looks: The looks planned.
        error: Level of the test, all looks together.

    Returns:
        None if no test is possible.
    """
    from scipy.special import ndtri, stdtr, stdtrit

    errors = _two_errors(values, draws)
    if errors is None or sum(errors) <= NOTHING**2:
        return None
    (squared, rows), seeds, mean = errors, len(values), abs(float(np.mean(values)))
    at_end = squared * seeds / looks.most
    half = math.sqrt(
        stdtrit(looks.most - 1, looks.level(error, looks.most) / 2) ** 2 * at_end + ndtri(error / 2) ** 2 * rows
    )
    spread = math.sqrt(squared - at_end)
    if spread <= NOTHING:
        return float(mean >= half)
    return float(stdtr(seeds - 1, (mean - half) / spread) + stdtr(seeds - 1, (-mean - half) / spread))


def _two_errors(values: Sequence[float], draws: Floats) -> tuple[float, float] | None:
    """The two parts of the squared error in `two_level`: over seeds, and what rows add; None if they are unknown."""
    seeds = len(values)
    if seeds < 2 or not np.isfinite(draws).any():
        return None
    seed_error = _squared_error(values)
    means = draws.mean(axis=0)
    if np.isfinite(means).sum() < 2:  # in almost no draw of rows has every seed a value
        return None
    row_variance = float(np.nanvar(means, ddof=1))
    single_seed = float(np.nanmean(np.nanvar(draws, axis=1, ddof=1)))
    interaction = max(0.0, (single_seed - row_variance) / (seeds - 1))
    extra = max(0.0, row_variance - interaction)
    if seed_error <= NOTHING**2:
        # Two seeds easily differ by the same few rows, of a few hundred, without being the same rows: no spread was
        # seen, but at least that of the interaction is there. Seeds that agree on every row have none of it.
        seed_error = interaction
    return seed_error, extra


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for their number; an unknown one stays unknown and is not counted.

    Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure": the k-th smallest of m is multiplied by
    m − k + 1, and none may be below a smaller one's. (statsmodels has it too, and collects garbage in every call:
    two seconds a report. The tests compare with it.)
    """
    order = sorted((index for index, p in enumerate(ps) if p is not None), key=lambda index: ps[index] or 0.0)
    adjusted: list[float | None] = list(ps)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * (ps[index] or 0.0)))
        adjusted[index] = largest
    return adjusted


def seeds_needed(values: Sequence[float], alpha: float = 1 - LEVEL) -> int | None:
    """Seeds with which a paired, two-sided t-test at the level `alpha` detects a mean of this size with 80 % power.

    For several adjusted tests, `alpha` is 5 % divided by their number: the bound for the smallest p of a family (Holm's
    first step), so that a test significant at this level is called significant.

    The observed mean and spread are taken for the true ones, so with few seeds the result is rough. None if the mean or
    the spread is 0, or unknown; MOST_SEEDS stands for "that or more".
    """
    if len(values) < 2:
        return None
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    if spread <= NOTHING or abs(mean) <= NOTHING:
        return None
    effect = abs(mean) / spread
    low, high = 1, 2  # doubling, then halving: power grows with seeds
    while high < MOST_SEEDS and t_power(effect, high, alpha) < POWER:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if t_power(effect, middle, alpha) >= POWER else (middle, high)
    return min(high, MOST_SEEDS)


def t_power(effect: float, repetitions: int, alpha: float = 1 - LEVEL) -> float:
    """Power of the two-sided t-test against 0, by averaging the normal power over the estimated spread.

    scipy's noncentral t, and with it statsmodels' power, is nan for many effects above 3; the tests compare with it
    elsewhere.

    Args:
        effect: True mean in true standard deviations.
        repetitions: From 2.
        alpha: Level of the test.
    """
    from scipy.special import ndtr

    critical = _critical_values(repetitions - 1, alpha)
    shift = effect * math.sqrt(repetitions)
    return float((ndtr(shift - critical) + ndtr(-shift - critical)).mean())


@functools.cache
def _critical_values(freedom: int, alpha: float) -> Floats:
    """Of the t-test, in true standard errors, for equally likely estimates of the spread."""
    # The functions behind scipy.stats, whose distributions take half a second to import and as long to check arguments.
    from scipy.special import gammaincinv, stdtrit

    quantiles = (np.arange(_STRATA) + 0.5) / _STRATA
    spread = np.sqrt(2 * gammaincinv(freedom / 2, quantiles) / freedom)  # estimated over true
    critical: Floats = stdtrit(freedom, 1 - alpha / 2) * spread
    return critical


def _squared_error(values: Sequence[float]) -> float:
    """s²/S; 0 for fewer than two values."""
    return float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0


def _from_errors(
    values: Sequence[float], squared: float, freedom: float, exact: float = 0.0, looks: Looks | None = None
) -> Inference:
    """Interval and p from a squared error with few degrees of freedom, and one that is known well (`exact`)."""
    from scipy.special import ndtri, stdtrit

    if len(values) < 2 or not math.isfinite(squared + exact) or squared + exact <= NOTHING**2:
        return UNKNOWN
    if looks is not None and len(values) < FIRST:
        return UNKNOWN
    mean = float(np.mean(values))

    def width(p: float) -> float:
        level = p if looks is None else looks.level(p, len(values))
        return math.sqrt(stdtrit(freedom, level / 2) ** 2 * squared + ndtri(p / 2) ** 2 * exact)

    half = width(1 - LEVEL)
    return Inference(mean - half, mean + half, _level_of_width(width, abs(mean)))


def _level_of_width(width: Callable[[float], float], half: float) -> float:
    """The level at which an interval is just `half` wide to each side: wider ones have lower levels.

    By halving in log p: a third of a second, a tenth of a report's time, went into importing scipy.optimize for it.
    """
    low, high = _SMALLEST, 1.0
    if half >= width(low):
        return low
    while high - low > 1e-12 * high:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if width(middle) > half else (low, middle)
    return high
