"""The choice of a tune on made-up predictions, whose every figure can be computed on paper."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from finetune.analysis.pooled import Pooled, pool
from finetune.analysis.tune import choose, compare_trials, spared
from finetune.records.tune import Trial, TrialReport, Trials

ROWS = 200
TARGETS = np.arange(ROWS) % 2


def answers(wrong: int, first: int = 0, rows: int = ROWS) -> Pooled:
    """Some rows are missed, from the first on."""
    missed = (np.arange(rows) >= first) & (np.arange(rows) < first + wrong)
    return Pooled(
        np.eye(2)[np.where(missed, 1 - TARGETS[:rows], TARGETS[:rows])], TARGETS[:rows], None, [rows // 2] * 2
    )


def trial(number: int, score: float | None = None, **more: object) -> Trial:
    status = "complete" if score is not None else "stopped"
    found = {"number": number, "stage": "strengths" if number else "default", "settings": {"a": float(number)}}
    return Trial.model_validate(found | {"status": status, "score": score, "fold_scores": [0.5, 0.5]} | more)


def reports(wrong: dict[int, Pooled]) -> tuple[list[TrialReport], int]:
    trials = [trial(number, found.score("single_label", "accuracy")) for number, found in wrong.items()]
    return compare_trials(trials, wrong, "single_label", "accuracy")


def test_differences_are_paired_and_adjusted_for_all_that_was_tried() -> None:
    pooled = {0: answers(60), 1: answers(40), 2: answers(60, first=30), 3: answers(70)}
    found, tried = reports(pooled)
    assert tried == 3
    assert [report.difference for report in found] == [None, *(pytest.approx(each) for each in (0.1, 0.0, -0.05))]
    right = [(pooled[number].logits.argmax(axis=1) == TARGETS).astype(float) for number in (1, 0)]
    test = stats.ttest_rel(*right)
    assert found[1].p == pytest.approx(min(1.0, 3 * test.pvalue))
    interval = test.confidence_interval(1 - 0.05 / 3)
    assert (found[1].low, found[1].high) == pytest.approx((interval.low, interval.high), abs=1e-3)
    for report in found[1:]:
        assert report.low is not None
        assert report.p is not None
        assert (report.low > 0) == (report.p < 0.05)


def test_the_default_stays_unless_it_is_beaten_beyond_chance() -> None:
    clear, _ = reports({0: answers(60), 1: answers(30)})
    assert choose(clear, "trial-1") == "trial-1"
    close, _ = reports({0: answers(60), 1: answers(57, first=2)})
    assert close[1].difference is not None
    assert close[1].difference > 0
    assert choose(close, "trial-1") == "default"
    assert choose(close, "default") == "default"


def test_the_more_was_tried_the_more_it_takes() -> None:
    pooled = {0: answers(60), 1: answers(50)}
    assert choose(reports(pooled)[0], "trial-1") == "trial-1"
    many = pooled | {number: answers(60, first=number) for number in range(2, 40)}
    found, _ = reports(many)
    assert found[1].p is not None
    assert found[1].p > reports(pooled)[0][1].p  # type: ignore[operator]


def test_a_stopped_setting_is_compared_on_the_folds_that_it_has() -> None:
    half = answers(50, rows=100)
    one_fold = Pooled(half.logits, half.targets, None, [100])
    found, tried = compare_trials(
        [trial(0, 0.7), trial(1, fold_scores=[0.5])], {0: answers(60), 1: one_fold}, "single_label", "accuracy"
    )
    assert tried == 1
    assert found[1].difference == pytest.approx(0.5 - 0.4)


def test_trials_without_a_fold_are_not_counted() -> None:
    failed = trial(1, status="failed", fold_scores=[])
    found, tried = compare_trials([trial(0, 0.7), failed], {0: answers(60)}, "single_label", "accuracy")
    assert (tried, found[1].difference) == (0, None)


def test_folds_are_scored_together() -> None:
    parts = [answers(10, rows=100), answers(0, rows=50)]
    whole = pool([Pooled(part.logits, part.targets, None, [len(part.targets)]) for part in parts])
    assert whole.score("single_label", "accuracy") == pytest.approx(1 - 10 / 150)
    assert whole.first(1).counts == [100]


def test_what_stopping_early_has_saved() -> None:
    made = [
        trial(0, 0.7, fold_scores=[0.7] * 3),
        trial(1, fold_scores=[0.5]),
        trial(2, status="failed", fold_scores=[]),
    ]
    trials = Trials(identity="", algorithm=1, folds=3, seed=0, rate_trials=1, space=[], trials=made)
    assert spared(trials) == 2
