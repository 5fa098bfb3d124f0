"""Thresholds of several labels, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from finetune.measurement.thresholds import (
    Threshold,
    best_threshold,
    choose_thresholds,
    never_predicted,
    scores_above,
)


@given(st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=1, max_size=12))
def test_no_threshold_has_a_better_f1(rows: list[tuple[int, bool]]) -> None:
    logits, targets = np.array([float(x) / 2 for x, _ in rows]), np.array([float(y) for _, y in rows])
    found = best_threshold(logits, targets)

    def f1(threshold: float) -> float:
        predicted = logits > threshold
        marked = predicted.sum() + targets.sum()
        return float(2 * targets[predicted].sum() / marked) if marked else 0.0

    tried = [0.0, *((low + high) / 2 for low, high in zip(sorted(logits)[:-1], sorted(logits)[1:], strict=True))]
    assert f1(found) == pytest.approx(max(map(f1, tried)))
    if f1(0.0) == f1(found):
        assert found == 0.0, "0.5 stays where nothing is better"


def test_rare_labels_share_a_threshold_and_the_rarest_keep_half() -> None:
    rng = np.random.default_rng(0)
    targets = np.zeros((60, 4))
    targets[:20, 0] = 1
    targets[20:23, 1] = targets[30:33, 2] = 1
    logits = np.where(targets > 0, -1.0, -4.0) + rng.normal(0, 0.1, targets.shape)
    first, second, third, none = choose_thresholds(logits, targets)
    assert [t.origin for t in (first, second, third, none)] == ["own", "shared", "shared", "shared"]
    assert second == third == none
    assert -4 < first.logit < -1
    assert not never_predicted(logits, targets, [first, second, third, none])
    assert scores_above(logits, targets, [first, second, third, none])["macro_f1"] == 1.0
    half = [Threshold(0.0, "default")] * 4
    assert never_predicted(logits, targets, half) == [0, 1, 2], "a label that no row has is not missed"
    assert choose_thresholds(logits[20:], targets[20:], enough=7) == half, "six rows of all rare labels are too few"


def test_scores_are_those_of_predictions_above_the_probability() -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(50, 3)), (rng.random((50, 3)) < 0.3).astype(float)
    thresholds = [Threshold(value, "own") for value in (-0.7, 0.2, 1.1)]
    probabilities = 1 / (1 + np.exp(-logits))
    predicted = probabilities > [threshold.probability for threshold in thresholds]
    scores = scores_above(logits, targets, thresholds)
    assert scores["micro_f1"] == pytest.approx(f1_score(targets, predicted, average="micro"))
    assert scores["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert scores["exact_match"] == pytest.approx((predicted == targets).all(axis=1).mean())
