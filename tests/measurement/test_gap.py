"""Sign convention and intervals of the generalization gap."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from finetune.measurement import gap
from finetune.measurement.gap import compute_gap, gap_intervals, resampled_scores
from finetune.measurement.scores import row_terms


def test_gap_is_positive_when_validation_is_worse_for_scores_and_losses() -> None:
    gap = compute_gap({"accuracy": 0.98, "nll": 0.03}, {"accuracy": 0.75, "nll": 0.83})
    assert gap == {"accuracy": pytest.approx(0.23), "nll": pytest.approx(0.80)}


def test_gap_skips_what_only_one_split_has() -> None:
    assert compute_gap({"accuracy": 1.0, "own": 1.0}, {"accuracy": 0.5}) == {"accuracy": 0.5}


def _logits(correct: np.ndarray) -> np.ndarray:
    """Two-class logits that hit class 0 where `correct` is 1."""
    return np.column_stack([correct, 1 - correct]).astype(float)


def test_accuracy_interval_agrees_with_scipy_bootstrap() -> None:
    """Same percentile bootstrap of a difference of two independent means, other implementation, other draws."""
    rng = np.random.default_rng(0)
    train, validation = (rng.random(300) < 0.95).astype(int), (rng.random(250) < 0.75).astype(int)
    zeros = np.zeros
    low, high = gap_intervals(
        "single_label", (_logits(train), zeros(300, int)), (_logits(validation), zeros(250, int))
    )["accuracy"]
    expected = stats.bootstrap(
        (train, validation),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert low == pytest.approx(expected.low, abs=0.006)
    assert high == pytest.approx(expected.high, abs=0.006)


def test_loss_interval_agrees_with_the_normal_approximation() -> None:
    rng = np.random.default_rng(2)
    train, validation = rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    labels = rng.integers(0, 3, 400)

    def nll(logits: np.ndarray) -> np.ndarray:
        return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(400), labels]

    low, high = gap_intervals("single_label", (train, labels), (validation, labels))["nll"]
    a, b = nll(train), nll(validation)
    centre, error = b.mean() - a.mean(), np.sqrt(a.var() / 400 + b.var() / 400)
    assert low == pytest.approx(centre - 1.96 * error, abs=0.12 * error)
    assert high == pytest.approx(centre + 1.96 * error, abs=0.12 * error)


def test_interval_covers_the_true_gap_in_about_95_of_100_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train 0.90 and validation 0.80 in truth: the interval must miss 0.10 in roughly 5 % of 200 samples."""
    monkeypatch.setattr("finetune.measurement.gap.DRAWS", 800)  # enough for the tails, in a fifth of the time
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(200):
        splits = [(_logits((rng.random(200) < share).astype(int)), np.zeros(200, int)) for share in (0.90, 0.80)]
        low, high = gap_intervals("single_label", *splits)["accuracy"]
        missed += not low <= 0.10 <= high
    assert 2 <= missed <= 22


def test_intervals_repeat_exactly() -> None:
    rng = np.random.default_rng(4)
    split = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    assert gap_intervals("single_label", split, split) == gap_intervals("single_label", split, split)


def test_large_splits_are_drawn_in_parts_without_changing_the_number_of_draws() -> None:
    """3,000 rows × 4,000 draws exceed what is held at once; the interval must still be sharp and symmetric."""
    rng = np.random.default_rng(5)
    split = _logits((rng.random(3000) < 0.8).astype(int)), np.zeros(3000, int)
    low, high = gap_intervals("single_label", split, split)["accuracy"]
    assert low == pytest.approx(-high, abs=0.003)
    assert high == pytest.approx(1.96 * np.sqrt(2 * 0.8 * 0.2 / 3000), rel=0.1)


def test_regression_and_multi_label_have_intervals_of_their_scores() -> None:
    rng = np.random.default_rng(6)
    numbers = rng.normal(size=(60, 1)), rng.normal(size=60)
    assert {"pearson", "mse"} <= set(gap_intervals("regression", numbers, numbers))
    marks = rng.normal(size=(60, 3)), (rng.random((60, 3)) < 0.4).astype(float)
    assert {"micro_f1", "nll"} <= set(gap_intervals("multi_label", marks, marks))


def test_models_that_are_resampled_a_few_at_a_time_have_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    targets, asked = rng.integers(0, 3, size=50), []

    def terms() -> Iterator[np.ndarray]:
        for number in range(5):
            asked.append(number)
            yield row_terms("single_label", np.random.default_rng(number).normal(size=(50, 3)), targets)

    def scores() -> list[dict[str, np.ndarray]]:
        return list(resampled_scores("single_label", terms(), np.random.default_rng(0), draws=40))

    together = scores()
    monkeypatch.setattr(gap, "TERMS_AT_ONCE", 2 * next(terms()).size)
    for one, other in zip(scores(), together, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-12)
    asked.clear()
    next(resampled_scores("single_label", terms(), np.random.default_rng(0), draws=40))
    assert asked == [0, 1]
