"""Scores against scikit-learn, scipy and numbers worked out by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from finetune.measurement.scores import (
    MEASURES,
    compute_scores,
    expected_calibration_error,
    fit_temperature,
    row_terms,
    scores_from_sums,
    softmax,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_single_label_scores_by_hand() -> None:
    """Logits (0, 0) give p = 1/2 each; (ln 3, 0) gives p = (3/4, 1/4)."""
    logits = np.array([[0.0, 0.0], [np.log(3), 0.0]])
    scores = compute_scores("single_label", logits, np.array([0, 1]))
    assert scores["accuracy"] == 0.5  # argmax of a tie is the first class
    assert scores["nll"] == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert scores["brier"] == pytest.approx((0.5 + 2 * 0.75**2) / 2)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_single_label_scores_equal_scikit_learn(rng: np.random.Generator) -> None:
    logits, targets = rng.normal(size=(300, 4)), rng.integers(0, 4, 300)
    scores = compute_scores("single_label", logits, targets)
    predicted = logits.argmax(axis=1)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(targets, predicted))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(targets, predicted, average="macro"))
    assert scores["mcc"] == pytest.approx(metrics.matthews_corrcoef(targets, predicted))
    assert scores["nll"] == pytest.approx(metrics.log_loss(targets, softmax(logits)))
    assert scores["brier"] == pytest.approx(((softmax(logits) - np.eye(4)[targets]) ** 2).sum(axis=1).mean())


def test_macro_f1_leaves_out_classes_that_never_occur() -> None:
    """Like scikit-learn: class 2 is neither true nor predicted."""
    logits, targets = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 0.0]]), np.array([0, 1, 1])
    expected = metrics.f1_score(targets, logits.argmax(axis=1), average="macro")
    assert compute_scores("single_label", logits, targets)["macro_f1"] == pytest.approx(expected)


def test_mcc_of_a_constant_prediction_is_zero() -> None:
    assert compute_scores("single_label", np.array([[1.0, 0.0]] * 4), np.array([0, 1, 0, 1]))["mcc"] == 0.0


def test_nll_stays_finite_for_extreme_logits() -> None:
    scores = compute_scores("single_label", np.array([[1e4, -1e4], [1e4, -1e4]]), np.array([0, 1]))
    assert scores["nll"] == pytest.approx(1e4)


def test_multi_label_scores_equal_scikit_learn(rng: np.random.Generator) -> None:
    logits, targets = rng.normal(size=(200, 5)), (rng.random((200, 5)) < 0.3).astype(float)
    scores = compute_scores("multi_label", logits, targets)
    predicted = (logits > 0).astype(int)
    assert scores["micro_f1"] == pytest.approx(metrics.f1_score(targets, predicted, average="micro"))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(targets, predicted, average="macro"))
    assert scores["exact_match"] == pytest.approx(metrics.accuracy_score(targets, predicted))
    probabilities = 1 / (1 + np.exp(-logits))
    expected = np.mean([metrics.log_loss(targets[:, k], probabilities[:, k]) for k in range(5)])
    assert scores["nll"] == pytest.approx(expected)


def test_regression_scores_equal_scipy(rng: np.random.Generator) -> None:
    targets = rng.normal(50, 3, size=100)
    logits = targets + rng.normal(0, 2, size=100)
    scores = compute_scores("regression", logits.reshape(-1, 1), targets)
    assert scores["pearson"] == pytest.approx(stats.pearsonr(logits, targets).statistic)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(logits, targets).statistic)
    assert scores["mse"] == pytest.approx(metrics.mean_squared_error(targets, logits))
    assert scores["mae"] == pytest.approx(metrics.mean_absolute_error(targets, logits))


def test_correlation_of_a_constant_is_undefined_and_the_rest_is_not() -> None:
    scores = compute_scores("regression", np.zeros((4, 1)), np.array([1.0, 2.0, 3.0, 4.0]))
    assert np.isnan(scores["pearson"])
    assert np.isnan(scores["spearman"])
    assert scores["mse"] == pytest.approx(7.5)


@pytest.mark.parametrize("task", MEASURES)
def test_the_announced_names_are_what_is_computed(task: str, rng: np.random.Generator) -> None:
    logits = rng.normal(size=(20, 1 if task == "regression" else 3))
    targets = {
        "single_label": rng.integers(0, 3, 20),
        "multi_label": (rng.random((20, 3)) < 0.5).astype(float),
        "regression": rng.normal(size=20),
    }[task]
    assert set(compute_scores(task, logits, targets)) == set(MEASURES[task].names)


def test_scores_from_sums_are_those_of_the_rows_drawn_twice(rng: np.random.Generator) -> None:
    """A bootstrap draw is a weighting of rows: weight 2 must equal repeating the row."""
    logits, targets = rng.normal(size=(30, 3)), rng.integers(0, 3, 30)
    weights = rng.integers(0, 3, 30)
    from_sums = scores_from_sums("single_label", weights @ row_terms("single_label", logits, targets))
    repeated = compute_scores("single_label", np.repeat(logits, weights, axis=0), np.repeat(targets, weights))
    for name, value in from_sums.items():
        assert value == pytest.approx(repeated[name])


def test_calibration_error_of_one_bin_is_the_difference_of_means() -> None:
    """Confidences .9 .8 .7 .6, hits 1 1 0 0: |0.75 − 0.5| in one bin; in two: (|.85 − 1| + |.65 − 0|) / 2."""
    top = np.array([0.9, 0.8, 0.7, 0.6])
    probabilities, targets = np.column_stack([top, 1 - top]), np.array([0, 0, 1, 1])
    assert expected_calibration_error(probabilities, targets, bins=1) == pytest.approx(0.25)
    assert expected_calibration_error(probabilities, targets, bins=2) == pytest.approx((0.15 + 0.65) / 2)


def test_temperature_undoes_a_known_overconfidence(rng: np.random.Generator) -> None:
    """Labels drawn from softmax(z) and logits 3 z: the right temperature is 3."""
    true_logits = rng.normal(size=(20_000, 3))
    targets = np.array([rng.choice(3, p=row) for row in softmax(true_logits)])
    assert fit_temperature(3 * true_logits, targets) == pytest.approx(3.0, rel=0.05)
