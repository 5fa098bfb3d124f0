"""error(n) = a · n^-b + c: the power law of a learning curve, its uncertainty, and the gain from more rows.

Pure numbers. The error is 1 − score, or a loss: 0 is perfect. n is the number of training rows; a ≥ 0, b > 0, c ≥ 0, so
the error never rises and never falls below 0. For text classifiers it has held over several orders of magnitude
(Hestness et al. 2017, arXiv:1712.00409). Below a few hundred rows there is also a plateau that it does not describe, so
reports leave out the largest size and show by how much the fit misses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune.analysis.statistics import LEVEL, NOTHING, Floats

LEAST_SIZES = 3  # the law has three constants
DRAWS = 2000
EXPONENTS = np.geomspace(0.02, 3.0, 150)  # 3.4 % apart: predictions differ by far less than their intervals


@dataclass(frozen=True)
class PowerLaw:
    """A fitted power law.

    Attributes:
        constants: (3,): a / largest^b (the excess error at the largest size), b and c.
        largest: The largest size of the fit, in rows.
        draws: (3, laws, DRAWS): the same for simulated errors around each law that the data allow; None if their spread
            is unknown.
    """

    constants: Floats
    largest: int
    draws: Floats | None

    def error(self, rows: float) -> float:
        return float(_error(self.constants, rows / self.largest))

    def error_draws(self, rows: float) -> Floats | None:
        """(laws, DRAWS)"""
        return None if self.draws is None else _error(self.draws, rows / self.largest)

    def rows_for(self, error: float) -> float:
        """Training rows at which the law reaches an error; inf if it never does."""
        return float(self.largest * _size_for(self.constants, np.asarray(error)))

    def rows_for_gain(self, gain: float) -> tuple[float, Floats | None]:
        """Rows at which the error is lower by `gain` than at the largest size; the same per draw, (laws, DRAWS)."""
        rows = self.rows_for(self.error(self.largest) - gain)
        if self.draws is None:
            return rows, None
        return rows, self.largest * _size_for(self.draws, _error(self.draws, 1.0) - gain)


def _error(constants: Floats, fraction: float) -> Floats:
    """Error at a fraction of the largest size; constants (3,) or (3, laws, draws)."""
    excess, exponent, floor = constants
    result: Floats = excess * fraction**-exponent + floor
    return result


def _size_for(constants: Floats, error: Floats) -> Floats:
    """Fraction of the largest size at which the law reaches an error; inf if it never does."""
    excess, exponent, floor = constants
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fraction = (excess / (error - floor)) ** (1 / exponent)
    result: Floats = np.where((error > floor) & (excess > 0), fraction, np.inf)
    return result


def fit_power_law(
    sizes: Sequence[int], errors: Sequence[Sequence[float]], rows: Sequence[Floats] | None, seed: int = 0
) -> PowerLaw | None:
    """Fit the law to the errors of all seeds.

    Each size is weighted by its number of seeds divided by their variance. With few seeds the variance of one size is
    estimated badly, so half of it is that of all sizes together. For each exponent of a fine grid the best a and c
    follow in closed form, so there are no start values and no local minimum.

    The draws are a parametric bootstrap: errors around the fitted law with the spread of the seeds (with the heavy
    tails of Student's t, because few seeds estimate their spread badly), wider if the sizes lie further from the law
    than the seeds explain, plus the sampling error of the measured rows. The plain bootstrap, which draws the seeds
    themselves, has only S^S samples; `docs/curve.md` measures both.

    Args:
        sizes: Ascending, in rows.
        errors: One list of seeds per size; their numbers may differ.
        rows: The same on resampled rows of the measured split, (seeds, draws) per size, the same rows for all sizes;
            None leaves their sampling error out.
        seed: Seed of the draws.

    Returns:
        None for fewer than three sizes, or if a size has no error.
    """
    if len(sizes) < LEAST_SIZES or not all(len(seeds) for seeds in errors):
        return None
    fractions = np.asarray(sizes, dtype=np.float64) / sizes[-1]
    means = np.array([np.mean(seeds) for seeds in errors])
    counts = np.array([len(seeds) for seeds in errors], dtype=np.float64)
    variances, freedom = _variances(errors)
    constants = _fit(fractions, means[:, None], counts / variances)[:, 0]
    residuals = means - np.array([_error(constants, fraction) for fraction in fractions])
    variances, freedom = _with_misfit(variances, freedom, constants, counts, residuals)
    if freedom == 0 or variances.max() <= NOTHING**2:
        return PowerLaw(constants, sizes[-1], None)
    noise = _noise(variances / counts, freedom, rows, seed)
    draws = _draw(fractions, means, residuals, noise, counts / variances, freedom)
    return PowerLaw(constants, sizes[-1], draws)


def _variances(errors: Sequence[Sequence[float]]) -> tuple[Floats, int]:
    """Variance of a seed at each size, halfway to that of all sizes together, and its degrees of freedom."""
    freedom = sum(len(seeds) - 1 for seeds in errors)
    if freedom == 0:
        return np.ones(len(errors)), 0
    squares = [float(np.var(seeds)) * len(seeds) for seeds in errors]
    pooled = sum(squares) / freedom
    own = [square / max(len(seeds) - 1, 1) for square, seeds in zip(squares, errors, strict=True)]
    shrunk = [
        (variance + pooled) / 2 if len(seeds) > 1 else pooled for variance, seeds in zip(own, errors, strict=True)
    ]
    return np.maximum(np.array(shrunk), NOTHING**2), freedom


def _with_misfit(
    variances: Floats, freedom: int, constants: Floats, counts: Floats, residuals: Floats
) -> tuple[Floats, int]:
    """Variances that explain the distance of the sizes from the law too, and their degrees of freedom."""
    spare = len(residuals) - len(constants)
    if freedom == 0:  # one seed: only the distance from the law shows the random error
        return (np.full(len(residuals), float((residuals**2).sum()) / spare), spare) if spare else (variances, 0)
    # A constant at its bound was not fitted: then even three sizes can show that they follow no law.
    free = max(spare, 1) if min(constants[0], constants[2]) <= 0 else spare
    if free > 0:
        variances = variances * max(1.0, float((counts * residuals**2 / variances).sum()) / free)
    return variances, freedom


def _noise(variances: Floats, freedom: int, rows: Sequence[Floats] | None, seed: int) -> Floats:
    """Random errors of the means, (sizes, DRAWS): of the seeds, with tails of Student's t, and of the measured rows."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(variances), DRAWS)) * np.sqrt(variances)[:, None]
    noise *= np.sqrt(freedom / rng.chisquare(freedom, DRAWS))
    if rows is not None:
        noise += np.stack([_row_sampling_error(seeds) for seeds in rows])
    return noise


def _draw(fractions: Floats, means: Floats, residuals: Floats, noise: Floats, weights: Floats, freedom: int) -> Floats:
    """Constants of laws that are fitted to errors as they might have come out, (3, laws, DRAWS)."""
    from scipy.stats import t  # slow to import, and needed here only

    draws = [_fit(fractions, (means - residuals)[:, None] + noise, weights)]
    # A floor of 0 is a bound: fits are never below it, so on average they are above it, and so are draws around such a
    # fit. Where the data also fit without a floor, an interval spans the draws of the law without one too.
    without = _fit(fractions, means[:, None], weights, floored=False)
    fitted = without[0] * fractions ** -without[1]
    lost = float(weights @ ((means - fitted) ** 2 - residuals**2))
    if lost <= t.isf((1 - LEVEL) / 2, freedom) ** 2:
        draws.append(_fit(fractions, fitted[:, None] + noise, weights, floored=False))
    return np.stack(draws, axis=1)


def _row_sampling_error(draws: Floats) -> Floats:
    """The error of the mean that comes from the measured rows and not from the seeds, (draws,).

    As in `statistics.two_level`: of the variance R, the interaction of seed and row is taken out.
    """
    means = draws.mean(axis=0)
    variance = float(means.var(ddof=1))
    if len(draws) < 2 or variance <= NOTHING**2:
        return means - means.mean()
    interaction = max(0.0, float(draws.var(axis=1, ddof=1).mean()) - variance) / (len(draws) - 1)
    result: Floats = (means - means.mean()) * np.sqrt(max(0.0, variance - interaction) / variance)
    return result


def _fit(fractions: Floats, errors: Floats, weights: Floats, floored: bool = True) -> Floats:
    """Weighted least squares for every column.

    Args:
        fractions: (sizes,), of the largest.
        errors: (sizes, columns).
        weights: (sizes,).
        floored: Whether there may be a floor; without, c is 0.

    Returns:
        (3, columns): excess at the largest size, exponent, floor.
    """
    best = np.full(errors.shape[1], np.inf)
    constants = np.zeros((3, errors.shape[1]))
    weights = weights / weights.sum()
    mean = weights @ errors
    for exponent in EXPONENTS:
        powers = fractions**-exponent
        square, cross, level = weights @ powers**2, (weights * powers) @ errors, weights @ powers
        slope = (cross - level * mean) / max(square - level**2, NOTHING)
        floor = mean - slope * level
        # Outside a ≥ 0, c ≥ 0 the best fit is on a bound: c = 0 falls the steepest, a = 0 is flat.
        at_zero = (floor < 0) | (not floored)
        slope = np.where(at_zero, cross / square, np.maximum(slope, 0.0))
        floor = np.where(at_zero, 0.0, mean - slope * level)
        loss = weights @ (errors - np.outer(powers, slope) - floor) ** 2
        better = loss < best
        best = np.where(better, loss, best)
        constants[:, better] = np.stack([slope, np.full_like(slope, exponent), floor])[:, better]
    return constants


def interval(draws: Floats | None) -> tuple[float | None, float | None]:
    """The interval that spans the middle 95 % of the draws of each law, (laws, DRAWS); infinite ends stay infinite."""
    if draws is None:
        return None, None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=1, method="nearest")
    return float(low.min()), float(high.max())
