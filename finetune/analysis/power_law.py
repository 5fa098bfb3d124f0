"""error(n) = a · n^-b + c: what a learning curve follows, how sure one can be of it, what more rows would buy.

Pure numbers. The error is 1 − score, or a loss: 0 is perfect. n counts training rows; a ≥ 0, b > 0, c ≥ 0, so that the
law never rises and never falls below 0. For text classifiers it has held over several orders of magnitude (Hestness
et al. 2017, arXiv:1712.00409); below some hundred rows models also sit on a plateau that it does not describe, which is
why reports leave out the largest size and show by how much the law misses it.
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
class Law:
    """A fitted law.

    Attributes:
        constants: (3,): a / largest^b (the excess error at the largest size), b and c.
        largest: The largest size of the fit, in rows.
        draws: (3, laws, DRAWS): the same of errors as they might have come out, around each law that the data allow;
            None where their spread is unknown.
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
        return float(self.largest * _share_for(self.constants, np.asarray(error)))

    def rows_for_gain(self, gain: float) -> tuple[float, Floats | None]:
        """Rows at which the error is lower by `gain` than at the largest size; the same of each draw, (laws, DRAWS)."""
        rows = self.rows_for(self.error(self.largest) - gain)
        if self.draws is None:
            return rows, None
        return rows, self.largest * _share_for(self.draws, _error(self.draws, 1.0) - gain)


def _error(constants: Floats, share: float) -> Floats:
    """Error at `share` of the largest size; constants (3,) or (3, laws, draws)."""
    excess, exponent, floor = constants
    result: Floats = excess * share**-exponent + floor
    return result


def _share_for(constants: Floats, error: Floats) -> Floats:
    excess, exponent, floor = constants
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = (excess / (error - floor)) ** (1 / exponent)
    result: Floats = np.where((error > floor) & (excess > 0), share, np.inf)
    return result


def fit_law(
    sizes: Sequence[int], errors: Sequence[Sequence[float]], rows: Sequence[Floats] | None, seed: int = 0
) -> Law | None:
    """Fit the law to the errors of all seeds.

    Each size weighs by its seeds over their variance; half of it is that of all sizes, as few seeds tell little of one.
    For each exponent of a fine grid the best a and c follow in closed form: no start values and no local minimum.

    The draws are a parametric bootstrap: errors around the fitted law that spread as those of the seeds did (with the
    heavy tails of Student's t, because few seeds estimate their spread badly), wider where the sizes lie further from
    the law than the seeds explain, and with the luck of the measured rows on top. Drawing the seeds themselves, the
    plain bootstrap, knows only S^S samples; `docs/curve.md` measures both.

    Args:
        sizes: Ascending, in rows.
        errors: One list of seeds a size; their numbers may differ.
        rows: The same on redrawn rows of the measured split, (seeds, draws) a size, the same rows for all sizes;
            None leaves their luck out.
        seed: Of the draws.

    Returns:
        None for fewer than three sizes, or where a size has no error that is known.
    """
    from scipy.stats import t  # slow to import, and needed here only

    if len(sizes) < LEAST_SIZES or not all(len(of_size) for of_size in errors):
        return None
    shares = np.asarray(sizes, dtype=np.float64) / sizes[-1]
    means = np.array([np.mean(of_size) for of_size in errors])
    counts = np.array([len(of_size) for of_size in errors], dtype=np.float64)
    variances, freedom = _variances(errors)
    constants = _fit(shares, means[:, None], counts / variances)[:, 0]
    residuals = means - np.array([_error(constants, share) for share in shares])
    spare = len(sizes) - len(constants)
    if freedom == 0:  # one seed: only the distance from the law tells of chance
        if spare == 0:
            return Law(constants, sizes[-1], None)
        variances, freedom = np.full(len(sizes), float((residuals**2).sum()) / spare), spare
    else:
        # A constant at its border is none that was fitted: three sizes too can then show that they follow no law.
        free = max(spare, 1) if min(constants[0], constants[2]) <= 0 else spare
        if free > 0:
            variances = variances * max(1.0, float((counts * residuals**2 / variances).sum()) / free)
    if variances.max() <= NOTHING**2:
        return Law(constants, sizes[-1], None)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(sizes), DRAWS)) * np.sqrt(variances / counts)[:, None]
    noise *= np.sqrt(freedom / rng.chisquare(freedom, DRAWS))
    if rows is not None:
        noise += np.stack([_row_luck(of_size) for of_size in rows])
    weights = counts / variances
    draws = [_fit(shares, (means - residuals)[:, None] + noise, weights)]
    # A floor of 0 lies on the border: the fit is never below it and so on average above it, and draws around such a
    # fit are again. Where the data allow no floor at all, an interval spans the draws of the law without one too.
    without = _fit(shares, means[:, None], weights, floored=False)
    of_that = without[0] * shares ** -without[1]
    lost = float(weights @ ((means - of_that) ** 2 - residuals**2))
    if lost <= t.isf((1 - LEVEL) / 2, freedom) ** 2:
        draws.append(_fit(shares, of_that[:, None] + noise, weights, floored=False))
    return Law(constants, sizes[-1], np.stack(draws, axis=1))


def _variances(errors: Sequence[Sequence[float]]) -> tuple[Floats, int]:
    """Variance of a seed at each size, halfway to that of all sizes together, and its degrees of freedom."""
    freedom = sum(len(of_size) - 1 for of_size in errors)
    if freedom == 0:
        return np.ones(len(errors)), 0
    squares = [float(np.var(of_size)) * len(of_size) for of_size in errors]
    together = sum(squares) / freedom
    own = [square / max(len(of_size) - 1, 1) for square, of_size in zip(squares, errors, strict=True)]
    known = [len(of_size) > 1 for of_size in errors]
    mixed = [(variance + together) / 2 if is_known else together for variance, is_known in zip(own, known, strict=True)]
    return np.maximum(np.array(mixed), NOTHING**2), freedom


def _row_luck(draws: Floats) -> Floats:
    """How the mean error moves when other rows measure it, less what the spread over seeds has already, (draws,).

    As in `statistics.two_level`: of the variance R, the interaction of seed and row is taken out.
    """
    means = draws.mean(axis=0)
    whole = float(means.var(ddof=1))
    if len(draws) < 2 or whole <= NOTHING**2:
        return means - means.mean()
    interaction = max(0.0, float(draws.var(axis=1, ddof=1).mean()) - whole) / (len(draws) - 1)
    result: Floats = (means - means.mean()) * np.sqrt(max(0.0, whole - interaction) / whole)
    return result


def _fit(shares: Floats, errors: Floats, weights: Floats, floored: bool = True) -> Floats:
    """Weighted least squares for every column.

    Args:
        shares: (sizes,), of the largest.
        errors: (sizes, columns).
        weights: (sizes,).
        floored: Whether there may be a floor; without, c is 0.

    Returns:
        (3, columns): excess at the largest size, exponent, floor.
    """
    best = np.full(errors.shape[1], np.inf)
    found = np.zeros((3, errors.shape[1]))
    weights = weights / weights.sum()
    mean = weights @ errors
    for exponent in EXPONENTS:
        powers = shares**-exponent
        square, cross, level = weights @ powers**2, (weights * powers) @ errors, weights @ powers
        slope = (cross - level * mean) / max(square - level**2, NOTHING)
        floor = mean - slope * level
        # Outside a ≥ 0, c ≥ 0 the best is on the border: c = 0 falls the steepest, a = 0 is flat.
        at_zero = (floor < 0) | (not floored)
        slope = np.where(at_zero, cross / square, np.maximum(slope, 0.0))
        floor = np.where(at_zero, 0.0, mean - slope * level)
        loss = weights @ (errors - np.outer(powers, slope) - floor) ** 2
        better = loss < best
        best = np.where(better, loss, best)
        found[:, better] = np.stack([slope, np.full_like(slope, exponent), floor])[:, better]
    return found


def interval(draws: Floats | None) -> tuple[float | None, float | None]:
    """What spans the middle 95 % of the draws of each law, (laws, DRAWS); infinite ends stay infinite."""
    if draws is None:
        return None, None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=1, method="nearest")
    return float(low.min()), float(high.max())
