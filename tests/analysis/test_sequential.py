"""Levels of repeated tests against simulation and hand-computed intervals; the simulation of `--seeds auto`, small."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from finetune.analysis.measurements import Measurement
from finetune.analysis.replicates import Replicate, paired_difference
from finetune.analysis.sequential import FIRST, MOST, Looks
from finetune.analysis.settling import Number, decide
from finetune.analysis.statistics import UNKNOWN, chance_of_significance, holm, t_inference, two_level

SCRIPT = Path(__file__).parents[2] / "scripts/bench_sequential"
VALUES = [0.021, 0.034, 0.012, 0.029]


def alike(values: list[float]) -> np.ndarray:
    """Draws of rows that change nothing."""
    return np.tile(np.array(values)[:, None], (1, 3))


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    loader = SourceFileLoader("bench_sequential", str(SCRIPT))
    spec = importlib.util.spec_from_loader("bench_sequential", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their types
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("most", [4, 10, MOST])
@pytest.mark.parametrize("error", [0.05, 0.05 / 9])
def test_all_looks_together_have_the_stated_error(most: int, error: float) -> None:
    values = np.random.default_rng(9).normal(size=(20_000, most))
    found = np.zeros(len(values), bool)
    for seeds in range(FIRST, most + 1):
        found |= stats.ttest_1samp(values[:, :seeds], 0, axis=1).pvalue < Looks(most).level(error, seeds)
    deviation = np.sqrt(error * (1 - error) / len(values))
    assert abs(found.mean() - error) < 4 * deviation


def test_a_single_look_is_an_ordinary_test() -> None:
    for error in (0.001, 0.01, 0.05, 0.3, 1.0):
        assert Looks(FIRST).level(error, FIRST) == pytest.approx(error, rel=0.02)


def test_levels_grow_with_seeds_and_with_the_error() -> None:
    looks = Looks(10)
    assert [looks.level(0.05, seeds) for seeds in (1, 2)] == [0, 0]
    assert looks.level(0.05, 5) == pytest.approx(looks.level(0.05, 10) / 2)
    errors = np.geomspace(1e-9, 1, 200)
    levels = [looks.level(error, 7) for error in errors]
    assert np.all(np.diff(levels) > 0)
    assert all(level < error for level, error in zip(levels, errors, strict=True))


def test_an_interval_after_a_look_is_the_t_interval_at_its_level() -> None:
    looks = Looks(10)
    half = stats.t.ppf(1 - looks.level(0.05, 4) / 2, 3) * np.std(VALUES, ddof=1) / 2
    for found in (t_inference(VALUES, looks), two_level(VALUES, alike(VALUES), looks)):
        assert (found.low, found.high) == pytest.approx((np.mean(VALUES) - half, np.mean(VALUES) + half))
        assert found.p is not None
        assert looks.level(found.p, 4) == pytest.approx(stats.ttest_1samp(VALUES, 0).pvalue)


def test_the_error_over_rows_is_that_of_one_test() -> None:
    """All looks share their rows: where seeds agree, looking often finds nothing more."""
    draws = np.tile(np.random.default_rng(0).normal(0.02, 0.01, 4000), (5, 1))
    values = [0.02] * 5
    assert two_level(values, draws, Looks(10)) == two_level(values, draws)


def test_two_pairs_are_not_tested() -> None:
    assert t_inference(VALUES[:2], Looks(10)) == UNKNOWN
    assert two_level(VALUES[:2], alike(VALUES[:2]), Looks(10)) == UNKNOWN


def test_the_chance_of_significance_is_that_of_simulated_further_seeds() -> None:
    """Mean and spread from their posterior (flat in mean and log spread); the test keeps the spread so far."""
    values, looks, error = [0.5, 1.4, -0.3, 0.9], Looks(10), 0.05
    rng = np.random.default_rng(4)
    draws, seeds, spread = 200_000, len(values), float(np.std(values, ddof=1))
    true_spread = spread * np.sqrt((seeds - 1) / rng.chisquare(seeds - 1, draws))
    true_mean = np.mean(values) + true_spread / np.sqrt(seeds) * rng.normal(size=draws)
    further = true_mean + true_spread / np.sqrt(10 - seeds) * rng.normal(size=draws)
    at_end = (seeds * np.mean(values) + (10 - seeds) * further) / 10
    half = stats.t.ppf(1 - looks.level(error, 10) / 2, 9) * spread / np.sqrt(10)
    expected = (np.abs(at_end) > half).mean()
    assert chance_of_significance(values, alike(values), looks, error) == pytest.approx(expected, abs=0.005)


def test_no_chance_is_known_where_nothing_varies() -> None:
    assert chance_of_significance([0.1] * 4, alike([0.1] * 4), Looks(10), 0.05) is None
    assert chance_of_significance(VALUES, alike(VALUES), Looks(4), 0.05) == 1.0  # these are all seeds


# --- the simulation of the rule --------------------------------------------------------------------------------


def decided(bench: ModuleType, differences: np.ndarray) -> list[int]:
    """Seeds of each preset of one comparison, by the functions that the program uses."""
    presets, looks = len(differences), Looks(bench.MOST)
    seeds = [bench.MOST] * presets
    tested: list[list[SimpleNamespace]] = [[] for _ in range(presets)]
    still = list(range(presets))
    for count in range(FIRST, bench.MOST):
        for preset in still:
            tested[preset] = [
                SimpleNamespace(
                    values=(values := list(differences[preset, kind, :count])),
                    found=paired_difference(
                        [Measurement(value, np.full(3, value)) for value in values],
                        [Replicate(seed, None, 100, 100) for seed in range(count)],
                        looks=looks,
                    ),
                )
                for kind in bench.LOOKED_AT
            ]
        adjusted = holm([each.found.p for row in tested for each in row])
        rejects = [p is not None and p < bench.ERROR for p in adjusted]
        level = bench.ERROR / max(1, rejects.count(False))
        for preset in list(still):
            numbers = []
            for each, rejected in zip(tested[preset], rejects[3 * preset : 3 * preset + 3], strict=True):
                found = each.found.model_copy(update={"distinguishable": rejected, "high": None})  # no early end
                chance = chance_of_significance(each.values, alike(each.values), looks, level)
                numbers.append(Number("score", "accuracy", found, chance))
            if decide(numbers, "none") is not None:
                seeds[preset] = count
                still.remove(preset)
    return seeds


@pytest.mark.parametrize(("presets", "points"), [(1, 0.0), (3, 2.0)])
def test_the_simulated_rule_is_that_of_the_program(bench: ModuleType, presets: int, points: float) -> None:
    effects = np.tile(np.array([1, 1, -1, -1]) * points / bench.SPREAD, (presets, 1))
    differences = bench.draw(np.random.default_rng(5), effects, bench.CORRELATION, 25)
    ended = bench.by_rule(differences, effects)
    assert [decided(bench, each) for each in differences] == ended.seeds.tolist()
    assert len(np.unique(ended.seeds)) > 3


@pytest.mark.parametrize("presets", [1, 3])
def test_no_more_than_five_of_a_hundred_verdicts_are_wrong(bench: ModuleType, presets: int) -> None:
    """Without a true difference; 3,000 comparisons know it to 0.8 points (95 %)."""
    effects = np.zeros((presets, 4))
    differences = bench.draw(np.random.default_rng(6), effects, np.eye(4), 3000)
    ended = bench.by_rule(differences, effects)
    assert 0.03 < ended.reported.any(axis=(1, 2)).mean() < 0.06
    assert 0.04 < ended.test_misses.mean() < 0.06
    assert ended.runs < 0.6
    assert 0.04 < bench.by_rule(differences, effects, may_end=False).looked_at.any(axis=(1, 2)).mean() < 0.06


def test_large_differences_are_found_with_fewer_runs(bench: ModuleType) -> None:
    effects = np.array([[4, 4, -4, -4]]) / bench.SPREAD
    differences = bench.draw(np.random.default_rng(7), effects, bench.CORRELATION, 1000)
    ended, plain = bench.by_rule(differences, effects), bench.fixed(differences, effects)
    assert ended.runs < 0.6
    assert (ended.words == plain.words).mean() > 0.95
