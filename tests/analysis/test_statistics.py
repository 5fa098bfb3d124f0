"""Intervals, tests and seeds needed, against hand-computed cases, scipy, statsmodels and simulations."""

import importlib.util
import math
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from finetune.analysis.statistics import (
    MOST_SEEDS,
    UNKNOWN,
    Inference,
    holm,
    nadeau_bengio,
    seeds_needed,
    t_inference,
    two_level,
)

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "bench_statistics"


def bounds(found: Inference) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def without_row_effect(values: list[float], draws: int = 50) -> np.ndarray:
    """Every draw of rows gives the same figure."""
    return np.repeat(np.array(values)[:, None], draws, axis=1)


# --- t over seeds ----------------------------------------------------------------------------------------------


def test_the_t_interval_of_one_two_three_is_that_of_the_textbook() -> None:
    """Mean 2, s = 1, error 1/√3, t(2) = 4.3027."""
    low, high = bounds(t_inference([1.0, 2.0, 3.0]))
    assert low == pytest.approx(2 - 4.302653 / math.sqrt(3))
    assert high == pytest.approx(2 + 4.302653 / math.sqrt(3))


@pytest.mark.parametrize("seed", range(5))
def test_the_t_interval_and_p_are_those_of_scipy(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.3, 1, 2 + 2 * seed).tolist()
    expected = stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval(0.95)
    found = t_inference(values)
    assert bounds(found) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="nothing"),
        pytest.param([0.3], id="one"),
        pytest.param([0.3, 0.3, 0.3], id="equal"),
        pytest.param([0.1 + 0.2, 0.3, 0.3], id="equal but for rounding"),
        pytest.param([0.0, 0.0], id="zeros"),
        pytest.param([0.1, math.nan, 0.2], id="nan"),
        pytest.param([0.1, math.inf, 0.2], id="infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:Degrees of freedom:RuntimeWarning")
def test_numbers_that_carry_no_interval_get_none(values: list[float]) -> None:
    assert t_inference(values) == UNKNOWN
    assert two_level(values, without_row_effect(values)) == UNKNOWN
    assert nadeau_bengio(values, 10, 20) == UNKNOWN


def test_a_mean_of_exactly_zero_has_p_one() -> None:
    assert t_inference([-1.0, 0.0, 1.0]).p == pytest.approx(1.0)


def test_an_overwhelming_difference_has_a_tiny_p_and_not_zero() -> None:
    found = t_inference([1.0, 1.0 + 1e-9, 1.0 - 1e-9, 1.0 + 2e-9] * 10)
    assert found.p is not None
    assert 0 < found.p <= 1e-11


def test_the_sign_of_all_values_turns_the_interval_round() -> None:
    values = [0.2, 0.5, -0.1, 0.4]
    low, high = bounds(t_inference(values))
    assert bounds(t_inference([-value for value in values])) == pytest.approx((-high, -low))


# --- folds -----------------------------------------------------------------------------------------------------


def test_nadeau_bengio_is_the_published_formula() -> None:
    """t = d̄ / √((1/K + n_test/n_train) s²), K − 1 degrees of freedom (Nadeau & Bengio 2003, eq. 14)."""
    values = [0.02, 0.05, -0.01, 0.04, 0.03]
    mean, spread = np.mean(values), np.var(values, ddof=1)
    error = math.sqrt((1 / 5 + 40 / 160) * spread)
    found = nadeau_bengio(values, 40, 160)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(mean / error), 4), abs=1e-9)
    half = stats.t.isf(0.025, 4) * error
    assert bounds(found) == pytest.approx((mean - half, mean + half))


def test_nadeau_bengio_without_test_rows_is_the_plain_t_interval() -> None:
    values = [0.1, 0.3, 0.2, 0.5]
    assert bounds(nadeau_bengio(values, 0, 100)) == pytest.approx(bounds(t_inference(values)))


# --- seeds and rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_without_an_effect_of_rows_two_levels_are_the_t_interval(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, 3 + seed).tolist()
    two, one = two_level(values, without_row_effect(values)), t_inference(values)
    assert bounds(two) == pytest.approx(bounds(one))
    assert two.p == pytest.approx(one.p)


@pytest.mark.parametrize("seed", range(10))
def test_two_levels_are_never_narrower_and_have_the_same_middle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0.1, 1, 4)
    draws = values[:, None] + rng.normal(0, rng.random(), 200) + rng.normal(0, rng.random(), (4, 200))
    (low, high), (inner_low, inner_high) = bounds(two_level(values, draws)), bounds(t_inference(values))
    assert low <= inner_low
    assert high >= inner_high
    assert low + high == pytest.approx(inner_low + inner_high)


def test_a_pure_effect_of_rows_widens_by_its_own_variance() -> None:
    """All seeds see the same luck of rows, variance v: half² = t² s²/S + z² v."""
    values, shift = [1.0, 2.0, 3.0, 4.0], np.random.default_rng(0).normal(0, 0.7, 5000)
    low, high = bounds(two_level(values, np.array(values)[:, None] + shift))
    seeds = np.var(values, ddof=1) / 4
    expected = math.sqrt(stats.t.isf(0.025, 3) ** 2 * seeds + stats.norm.isf(0.025) ** 2 * shift.var(ddof=1))
    assert (high - low) / 2 == pytest.approx(expected)


def test_luck_of_rows_that_differs_from_seed_to_seed_is_not_counted_twice() -> None:
    """R₁ = v, R = v/S: (v/S − (v − v/S)/(S − 1)) = 0 but for the noise of the draws."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 5)
    low, high = bounds(two_level(values, values[:, None] + rng.normal(0, 1, (5, 200_000))))
    inner_low, inner_high = bounds(t_inference(values))
    assert high - low == pytest.approx(inner_high - inner_low, rel=0.005)


@pytest.mark.parametrize("seed", range(20))
def test_p_is_below_five_percent_exactly_when_the_interval_excludes_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.uniform(0, 1.5), 1, 5)
    draws = values[:, None] + rng.normal(0, 0.3, 300)
    for found in (two_level(values, draws), t_inference(values), nadeau_bengio(values, 20, 80)):
        low, high = bounds(found)
        assert found.p is not None
        assert (found.p < 0.05) == (not low <= 0 <= high)


def test_draws_without_any_number_leave_the_interval_unknown() -> None:
    assert two_level([1.0, 2.0], np.full((2, 10), np.nan)) == UNKNOWN


def test_single_undefined_draws_are_passed_over() -> None:
    values = np.array([1.0, 2.0, 4.0])
    draws = values[:, None] + np.random.default_rng(0).normal(0, 1, 4000)
    broken = draws.copy()
    broken[0, ::10] = np.nan
    assert bounds(two_level(values, broken)) == pytest.approx(bounds(two_level(values, draws)), rel=0.02)


@pytest.mark.filterwarnings("ignore:Degrees of freedom:RuntimeWarning")
def test_draws_that_are_never_defined_for_all_seeds_at_once_leave_the_interval_unknown() -> None:
    draws = np.full((2, 100), np.nan)
    draws[0, :50] = draws[1, 50:] = np.random.default_rng(0).normal(0, 1, 50)
    assert two_level([1.0, 2.0], draws) == UNKNOWN


# --- Holm ------------------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    """Sorted 0.01 0.02 0.04 times 3, 2, 1, never falling: 0.03 0.04 0.04."""
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


def test_holm_never_exceeds_one_and_never_helps() -> None:
    ps = [0.9, 0.5, 0.6, 0.001]
    adjusted = holm(ps)
    assert all(p is not None and before <= p <= 1 for before, p in zip(ps, adjusted, strict=True))


def test_an_unknown_p_stays_unknown_and_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.03]) == [None, pytest.approx(0.04), None, pytest.approx(0.04)]
    assert holm([None, None]) == [None, None]
    assert holm([]) == []


def test_one_p_is_left_as_it_is() -> None:
    assert holm([0.031]) == [pytest.approx(0.031)]


# --- seeds needed ----------------------------------------------------------------------------------------------


def with_effect(effect: float, spread: float = 1.0) -> list[float]:
    """Three values of this mean and this standard deviation."""
    return [effect - spread, effect, effect + spread]


@pytest.mark.parametrize(
    ("effect", "spread", "seeds"),
    [
        # The planning table of shared/research/papers.md §5.7.
        (0.5, 0.5, 10),
        (0.5, 1.0, 34),
        (0.5, 1.5, 73),
        (0.5, 2.0, 128),
        (0.5, 2.5, 199),
        (1, 0.5, 5),
        (1, 1.0, 10),
        (1, 1.5, 20),
        (1, 2.0, 34),
        (1, 2.5, 52),
        (2, 0.5, 3),
        (2, 1.0, 5),
        (2, 1.5, 7),
        (2, 2.0, 10),
        (2, 2.5, 15),
        (3, 1.0, 4),
        (3, 1.5, 5),
        (3, 2.0, 6),
        (3, 2.5, 8),
    ],
)
def test_seeds_needed_are_those_of_the_planning_table(effect: float, spread: float, seeds: int) -> None:
    assert seeds_needed(with_effect(effect, spread)) == seeds
    assert seeds_needed(with_effect(-effect, spread)) == seeds


@pytest.mark.parametrize("effect", [0.15, 0.4, 0.8, 1.3])
def test_seeds_needed_are_those_that_statsmodels_solves_for(effect: float) -> None:
    expected = TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8, alternative="two-sided")
    assert seeds_needed(with_effect(effect)) == math.ceil(expected)


def test_an_effect_that_nobody_could_see_needs_more_seeds_than_anybody_runs() -> None:
    assert seeds_needed(with_effect(0.001)) == MOST_SEEDS


@pytest.mark.parametrize("values", [[], [1.0], [0.5, 0.5], [-1.0, 0.0, 1.0]])
def test_without_a_mean_or_a_spread_no_number_of_seeds_is_named(values: list[float]) -> None:
    assert seeds_needed(values) is None


def power_by_simulation(effect: float, seeds: int) -> float:
    drawn = np.random.default_rng(0).normal(effect, 1, (20_000, seeds))
    t = drawn.mean(axis=1) / (drawn.std(axis=1, ddof=1) / math.sqrt(seeds))
    return float((np.abs(t) > stats.t.isf(0.025, seeds - 1)).mean())


def test_large_effects_need_few_seeds() -> None:
    for effect in (4.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 100.0):
        enough = next(seeds for seeds in range(2, 10) if power_by_simulation(effect, seeds) >= 0.8)
        assert seeds_needed(with_effect(effect)) == enough, effect


# --- how often they are wrong ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    loader = SourceFileLoader("bench_statistics", str(SCRIPT))
    spec = importlib.util.spec_from_loader("bench_statistics", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_interval_of_reports_is_wrong_in_about_five_of_a_hundred_comparisons(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No true difference, 5 seeds, 400 rows, presets that differ by row: the case that a t-interval gets wrong."""
    monkeypatch.setattr(bench, "COMPARISONS", 300)
    monkeypatch.setattr(bench, "DRAWS", 300)
    wrong = bench.misses(400, 5, 0.5, 0.0)
    assert 0.025 <= wrong["over seeds and rows (what reports show)"] <= 0.075
    assert wrong["over seeds and rows (what reports show)"] <= wrong["t over seeds"]


def test_the_benchmark_says_what_holm_and_nadeau_bengio_are_for(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "COMPARISONS", 120)
    assert bench.family_errors(3, holm) <= bench.family_errors(3, list)
    assert bench.fold_errors(5, True) <= bench.fold_errors(5, False)


def test_the_benchmark_knows_the_true_difference(bench: ModuleType) -> None:
    assert bench.true_difference(0.0, 0.14) == pytest.approx(0.02, abs=0.003)
    assert bench.true_difference(0.5, 0.0) == 0.0


def test_simulated_presets_are_equally_good_without_an_effect(bench: ModuleType) -> None:
    right = bench.simulate(np.random.default_rng(0), 20_000, 4, 0.5)
    assert right.shape == (2, 4, 20_000)
    assert right[0].mean() == pytest.approx(right[1].mean(), abs=0.04)  # of luck, 4 seeds


def test_the_benchmark_prints_its_tables(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"COMPARISONS": 3, "DRAWS": 20, "ROWS": (50,), "SEEDS": (3,)}.items():
        monkeypatch.setattr(bench, name, value)
    main: Callable[[], None] = bench.main
    main()
    printed = capsys.readouterr().out
    assert "| 50 | 3 | no |" in printed
    assert "Nadeau-Bengio" in printed
