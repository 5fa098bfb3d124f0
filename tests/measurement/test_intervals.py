"""Intervals of scores, and sizes of a shift, beside independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from finetune.measurement import intervals
from finetune.measurement.intervals import (
    resampled_average_precision,
    resampled_calibration_error,
    score_intervals,
)
from finetune.measurement.scores import compute_scores, expected_calibration_error, softmax
from finetune.measurement.shift import against_quantiles

RNG = np.random.default_rng(0)


def test_average_precision_of_redrawn_rows_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties among the logits rank as one; the same draws are made again for the reference."""
    monkeypatch.setattr(intervals, "RANKED", 5)
    logits = RNG.integers(0, 4, size=(12, 3)).astype(float)
    targets = RNG.integers(0, 2, size=(12, 3)).astype(float)
    found = resampled_average_precision(logits, targets, np.random.default_rng(1))
    times = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), size=5)
    rows = [np.repeat(np.arange(12), each) for each in times]
    expected = [average_precision_score(targets[row], logits[row], average="micro") for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_calibration_error_of_redrawn_rows_is_that_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "RANKED", 5)
    logits, targets = RNG.normal(size=(40, 3)), RNG.integers(0, 3, 40)
    found = resampled_calibration_error(logits, targets, np.random.default_rng(1))
    probabilities = softmax(logits)
    order = np.argsort(probabilities.max(axis=1))
    draws = order[np.random.default_rng(1).integers(40, size=(5, 40))]
    expected = [expected_calibration_error(probabilities[draw], targets[draw]) for draw in draws]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
def test_every_score_has_an_interval_around_it(task: str) -> None:
    logits = RNG.normal(size=(60, 1 if task == "regression" else 3))
    targets = {
        "single_label": np.where(RNG.random(60) < 0.6, logits.argmax(axis=1), RNG.integers(0, 3, 60)),
        "multi_label": (logits[:, :3] + RNG.normal(size=(60, logits.shape[1])) > 0).astype(float),
        "regression": logits[:, 0] + RNG.normal(size=60),
    }[task]
    found = score_intervals(task, logits, targets)
    assert {name: value for name, (value, _) in found.items()} == compute_scores(task, logits, targets)
    for name, (value, ends) in found.items():
        assert ends is not None, name
        assert ends[0] < value < ends[1], name


def test_all_rows_right_is_no_certainty() -> None:
    """Wilson's interval, as statsmodels and R have it, where every resample would be all right again."""
    logits, targets = np.eye(2)[[0, 1] * 5] * 4, np.array([0, 1] * 5)
    value, ends = score_intervals("single_label", logits, targets)["accuracy"]
    expected = stats.binomtest(10, 10).proportion_ci(method="wilson")
    assert (value, ends) == (1.0, pytest.approx((expected.low, expected.high)))


def test_a_shift_is_seen_against_quantiles_as_against_all_values() -> None:
    trained, same, other = RNG.normal(size=800), RNG.normal(size=500), RNG.normal(0.5, 1, size=500)
    quantiles = np.quantile(trained, np.linspace(0, 1, 101), method="inverted_cdf").tolist()
    p, size = against_quantiles(quantiles, 800, other.tolist())
    assert size == pytest.approx(stats.ks_2samp(trained, other).statistic, abs=0.02)
    assert p < 1e-6
    assert against_quantiles(quantiles, 800, same.tolist())[0] > 0.05
