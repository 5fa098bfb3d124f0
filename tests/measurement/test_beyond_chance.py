"""Whether predictions are better beyond chance: against scipy, and against the definition of the jackknife."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from finetune.measurement.beyond_chance import beats_trivial, better_p, constant_logits
from finetune.measurement.scores import compute_scores

ROWS = 60


def made_up(task: str, seed: int, skill: float = 1.0) -> tuple[Any, Any]:
    """Logits that follow the targets as closely as `skill` says, and the targets."""
    rng = np.random.default_rng(seed)
    if task == "single_label":
        targets = rng.choice(3, size=ROWS, p=[0.5, 0.3, 0.2])
        return skill * np.eye(3)[targets] + rng.normal(size=(ROWS, 3)), targets
    if task == "multi_label":
        targets = (rng.random((ROWS, 3)) < [0.5, 0.3, 0.1]).astype(float)
        return skill * (2 * targets - 1) + rng.normal(size=(ROWS, 3)), targets
    targets = rng.normal(3, 2, size=ROWS)
    return (skill * targets + rng.normal(size=ROWS)).reshape(-1, 1), targets


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_against_the_majority_class_is_the_paired_t_test(seed: int) -> None:
    logits, targets = made_up("single_label", seed)
    majority = np.bincount(targets).argmax()
    right, trivially = (logits.argmax(axis=1) == targets).astype(float), (targets == majority).astype(float)
    p = stats.ttest_rel(right, trivially, alternative="greater").pvalue
    assert beats_trivial("single_label", "accuracy", logits, targets) == (p < 0.05)
    constant = np.tile(constant_logits("single_label", targets, 3), (ROWS, 1))
    found = better_p("single_label", "accuracy", logits, constant, targets)
    assert found == pytest.approx(p if right.mean() > trivially.mean() else 1.0)


def test_squared_error_and_log_loss_are_paired_t_tests_too() -> None:
    logits, targets = made_up("regression", 0)
    own, mean = (logits[:, 0] - targets) ** 2, (targets.mean() - targets) ** 2
    expected = stats.ttest_rel(mean, own, alternative="greater").pvalue
    constant = np.full_like(logits, targets.mean())
    assert better_p("regression", "mse", logits, constant, targets) == pytest.approx(expected)
    logits, targets = made_up("multi_label", 0, skill=2.0)
    frequencies = targets.mean(axis=0)
    own = -stats.bernoulli.logpmf(targets, 1 / (1 + np.exp(-logits))).mean(axis=1)
    same = -stats.bernoulli.logpmf(targets, frequencies).mean(axis=1)
    expected = stats.ttest_rel(same, own, alternative="greater").pvalue
    constant = np.tile(constant_logits("multi_label", targets, 3), (ROWS, 1))
    assert better_p("multi_label", "average_precision", logits, constant, targets) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("task", "metric"),
    [("single_label", "macro_f1"), ("single_label", "mcc"), ("multi_label", "micro_f1"), ("regression", "pearson")],
)
def test_other_scores_are_jackknifed_over_rows(task: str, metric: str) -> None:
    """One score after the other, each without a row."""
    (first, targets), (second, _) = made_up(task, 1, skill=1.5), made_up(task, 1, skill=0.7)

    def difference(kept: Any) -> float:
        return float(
            np.subtract(*(compute_scores(task, each[kept], targets[kept])[metric] for each in (first, second)))
        )

    whole = difference(np.arange(ROWS))
    left_out = np.array([difference(np.delete(np.arange(ROWS), row)) for row in range(ROWS)])
    error = np.sqrt((ROWS - 1) / ROWS * ((left_out - left_out.mean()) ** 2).sum())
    assert whole > 0
    expected = stats.t.sf(whole / error, ROWS - 1)
    assert better_p(task, metric, first, second, targets) == pytest.approx(expected, rel=1e-6)
    assert better_p(task, metric, second, first, targets) == 1.0


def test_rows_of_a_group_count_once() -> None:
    """Every row four times is no more evidence than once."""
    (first, targets), (second, _) = made_up("single_label", 2, 1.5), made_up("single_label", 2, 0.7)
    once = better_p("single_label", "accuracy", first, second, targets)
    four = [np.repeat(each, 4, axis=0) for each in (first, second, targets)]
    assert better_p("single_label", "accuracy", *four) < once
    assert better_p("single_label", "accuracy", *four, groups=[f"g{row // 4}" for row in range(4 * ROWS)]) == (
        pytest.approx(once)
    )


@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
@pytest.mark.parametrize(
    "metric", ["accuracy", "macro_f1", "micro_f1", "mcc", "nll", "brier", "ece", "pearson", "mse", "mae"]
)
def test_no_answer_that_is_the_same_for_every_text_beats_the_trivial_one(task: str, metric: str) -> None:
    targets = made_up(task, 3)[1]
    outputs = 1 if task == "regression" else 3
    for seed in range(20):
        constant = np.tile(np.random.default_rng(seed).normal(size=outputs), (ROWS, 1))
        assert not beats_trivial(task, metric, constant, targets)
    trivial = np.tile(constant_logits(task, targets, outputs), (ROWS, 1))
    assert not beats_trivial(task, metric, trivial, targets)


@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
def test_a_rare_class_can_be_learned(task: str) -> None:
    logits, targets = made_up(task, 4, skill=6.0)
    metric = {"single_label": "macro_f1", "multi_label": "average_precision", "regression": "pearson"}[task]
    assert beats_trivial(task, metric, logits, targets)
    assert not beats_trivial(task, metric, logits[:1], targets[:1]), "a single row proves nothing"
    assert not beats_trivial(task, metric, np.full_like(logits, np.nan), targets)


def test_predictions_that_do_not_depend_on_the_text_seldom_pass() -> None:
    passed = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        logits, targets = rng.normal(size=(ROWS, 2)), rng.integers(2, size=ROWS)
        passed += beats_trivial("single_label", "accuracy", logits, targets)
    assert passed <= 0.05 * 400 + 2 * np.sqrt(400 * 0.05 * 0.95)
