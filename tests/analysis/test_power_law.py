"""The fitted law: known constants come back, scipy agrees, intervals hold the truth, nothing is invented."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from finetune.analysis.power_law import LEAST_SIZES, PowerLaw, fit_power_law, interval

SIZES = (100, 200, 500, 1000)


def law_at(rows: float, excess: float = 0.25, exponent: float = 0.6, floor: float = 0.1) -> float:
    """An error that is `excess` above its floor at 100 rows."""
    return excess * (rows / 100) ** -exponent + floor


def noisy(rng: np.random.Generator, seeds: int = 3, spread: float = 0.006, exponent: float = 0.6) -> list[list[float]]:
    return [[law_at(size, exponent=exponent) + rng.normal(0, spread) for _ in range(seeds)] for size in SIZES]


def fitted(errors: list[list[float]], sizes: tuple[int, ...] = SIZES) -> PowerLaw:
    law = fit_power_law(sizes, errors, None)
    assert law is not None
    return law


@pytest.mark.parametrize(("exponent", "floor"), [(0.3, 0.0), (0.5, 0.1), (1.0, 0.2)])
def test_errors_without_noise_give_back_the_law(exponent: float, floor: float) -> None:
    law = fitted([[law_at(size, exponent=exponent, floor=floor)] * 2 for size in SIZES])
    for rows in (100, 1000, 2000, 5000):
        assert law.error(rows) == pytest.approx(law_at(rows, exponent=exponent, floor=floor), abs=1e-3)
    assert law.constants[1] == pytest.approx(exponent, rel=0.05)
    assert law.constants[2] == pytest.approx(floor, abs=0.01)


def test_the_fit_is_that_of_scipy() -> None:
    """The same weights, found by another way: Levenberg-Marquardt within bounds from a start value."""
    errors = noisy(np.random.default_rng(3))
    law = fitted(errors)
    variances = np.array([np.var(of_size, ddof=1) for of_size in errors])
    sigma = np.sqrt((variances + variances.mean()) / 2 / 3)
    means = np.array([np.mean(of_size) for of_size in errors])
    constants, _ = curve_fit(
        lambda n, a, b, c: a * (n / 1000) ** -b + c,
        np.array(SIZES, dtype=float),
        means,
        p0=(0.1, 0.5, 0.05),
        sigma=sigma,
        bounds=([0, 0.02, 0], [np.inf, 3, np.inf]),
    )
    a, b, c = constants
    for rows in (100, 500, 2000, 5000):
        assert law.error(rows) == pytest.approx(a * (rows / 1000) ** -b + c, abs=1e-3)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """`scripts/bench_curve` measures it properly; 60 curves tell 95 % from the 70 % of the plain bootstrap."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        low, high = interval(fitted(noisy(rng)).error_draws(2000))
        assert low is not None
        assert high is not None
        held += low <= law_at(2000) <= high
    assert held >= 54


def test_more_seeds_narrow_the_interval() -> None:
    widths = []
    for seeds in (3, 12):
        low, high = interval(fitted(noisy(np.random.default_rng(1), seeds)).error_draws(2000))
        assert low is not None
        assert high is not None
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_rows_for_a_gain_invert_the_law() -> None:
    law = fitted([[law_at(size)] * 2 for size in SIZES])
    rows, _ = law.rows_for_gain(0.01)
    assert law.error(1000) - law.error(rows) == pytest.approx(0.01, abs=1e-9)
    assert law.rows_for(0.05) == np.inf  # below the floor


def test_the_luck_of_the_measured_rows_widens_levels_and_not_gains() -> None:
    """Rows that are hard for every size and seed shift the curve as a whole."""
    rng = np.random.default_rng(5)
    errors = noisy(rng)
    shift = rng.normal(0, 0.02, 2000)
    rows = [np.array(of_size)[:, None] + shift for of_size in errors]
    alone, with_rows = fit_power_law(SIZES, errors, None), fit_power_law(SIZES, errors, rows)
    assert alone is not None
    assert with_rows is not None

    def width(law: PowerLaw, gain: bool) -> float:
        draws = law.error_draws(2000)
        now = law.error_draws(1000)
        assert draws is not None
        assert now is not None
        low, high = interval(now - draws if gain else draws)
        assert low is not None
        assert high is not None
        return high - low

    assert width(with_rows, gain=False) > 1.5 * width(alone, gain=False)
    assert width(with_rows, gain=True) < 1.2 * width(alone, gain=True)


def test_the_law_never_rises_and_a_rising_error_is_flat() -> None:
    law = fitted([[0.2, 0.21], [0.22, 0.23], [0.24, 0.25]], (100, 200, 400))
    assert law.error(400) == pytest.approx(law.error(100))
    assert law.rows_for_gain(0.01)[0] == np.inf


def test_too_few_sizes_have_no_law() -> None:
    assert LEAST_SIZES == 3
    assert fit_power_law((100, 200), [[0.3], [0.2]], None) is None
    assert fit_power_law((100, 200, 400), [[0.3], [], [0.2]], None) is None


def test_one_seed_has_an_interval_from_the_distance_to_the_law_alone() -> None:
    three = fitted([[0.3], [0.25], [0.22]], (100, 200, 400))
    assert three.draws is None
    four = fitted([[0.3], [0.24], [0.23], [0.2]])
    assert four.draws is not None
    low, high = interval(four.error_draws(2000))
    assert low is not None
    assert high is not None
    assert low < four.error(2000) < high


def test_seeds_that_agree_to_the_digit_are_no_certainty() -> None:
    assert fitted([[law_at(size)] * 3 for size in SIZES[:3]], SIZES[:3]).draws is None


def test_sizes_far_from_the_law_widen_the_interval() -> None:
    """Seeds that agree closely on a curve with a kink: the law is wrong, and says so by its width."""
    kinked = [[0.35, 0.351], [0.349, 0.35], [0.2, 0.201], [0.199, 0.2]]
    low, high = interval(fitted(kinked).error_draws(2000))
    assert low is not None
    assert high is not None
    assert high - low > 0.05
