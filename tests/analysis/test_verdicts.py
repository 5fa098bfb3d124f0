"""Words for numbers: each is reached, and changes exactly where its rule says."""

from typing import Any, get_args

import pytest

from finetune.analysis.verdicts import (
    MARGIN,
    SMALL_GAP,
    Candidate,
    State,
    best_candidate,
    judge,
    judge_change,
    recommend,
)
from finetune.records.report import Change, Decomposition, Difference, Summary, Verdict

EPSILON = 1e-9


def summary(mean: float | None, low: float | None = None, high: float | None = None) -> Summary:
    return Summary(mean=mean, sd=0.1, low=low, high=high, values=[mean])


def state(score_gap: Summary | None, loss_gap: Summary | None = None, **changes: Any) -> State:
    gaps = {"accuracy": score_gap, "nll": loss_gap}
    known: dict[str, Any] = {
        "finished": 5,
        "failed": 0,
        "degenerate": 0,
        "replicates": 5,
        "train": summary(0.95),
        "gap": {name: gap for name, gap in gaps.items() if gap is not None},
        "score": "accuracy",
        "loss": "nll",
        "floor": 0.8,
    }
    return State(**{**known, **changes})


def word(score_gap: Summary | None, loss_gap: Summary | None = None, **changes: Any) -> Verdict:
    return judge(state(score_gap, loss_gap, **changes))[0]


SMALL = summary(0.0, -0.04, 0.04)
WIDE = summary(0.1, -0.1, 0.3)
CLEAR = summary(0.1, 0.05, 0.15)

# --- the state of a preset -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score_gap", "loss_gap", "expected"),
    [
        (CLEAR, None, "overfits"),
        (CLEAR, CLEAR, "overfits"),
        (SMALL, CLEAR, "overconfident only"),
        (WIDE, CLEAR, "overconfident only"),
        (SMALL, SMALL, "healthy"),
        (SMALL, None, "healthy"),
        (summary(-0.1, -0.2, -0.05), None, "healthy"),
        (WIDE, WIDE, "not enough evidence"),
        (WIDE, summary(0.3), "not enough evidence"),
        (summary(0.1), CLEAR, "not enough evidence"),
        (None, CLEAR, "not enough evidence"),
        (summary(0.1, low=0.05), CLEAR, "not enough evidence"),
    ],
)
def test_a_verdict_follows_from_the_intervals(score_gap: Summary, loss_gap: Summary, expected: Verdict) -> None:
    assert word(score_gap, loss_gap) == expected


@pytest.mark.parametrize(("low", "expected"), [(EPSILON, "overfits"), (0.0, "healthy"), (-EPSILON, "healthy")])
def test_a_gap_hurts_from_the_moment_its_interval_leaves_zero(low: float, expected: Verdict) -> None:
    assert word(summary(0.01, low, 0.02)) == expected


@pytest.mark.parametrize(
    ("high", "expected"),
    [(SMALL_GAP - EPSILON, "healthy"), (SMALL_GAP, "not enough evidence"), (1, "not enough evidence")],
)
def test_a_preset_is_healthy_only_when_a_gap_worth_worrying_about_is_ruled_out(high: float, expected: Verdict) -> None:
    assert word(summary(0.0, -0.02, high)) == expected


@pytest.mark.parametrize(
    ("low", "expected"), [(EPSILON, "overconfident only"), (0.0, "healthy"), (-EPSILON, "healthy"), (None, "healthy")]
)
def test_a_loss_gap_is_seen_from_the_moment_its_interval_leaves_zero(low: float | None, expected: Verdict) -> None:
    assert word(SMALL, summary(0.1, low, 0.3)) == expected


@pytest.mark.parametrize(("finished", "expected"), [(0, "failed"), (1, "not enough evidence")])
def test_without_a_finished_run_a_preset_has_failed(finished: int, expected: Verdict) -> None:
    assert word(None, finished=finished, failed=3, replicates=finished) == expected


@pytest.mark.parametrize(
    ("degenerate", "finished", "expected"),
    [
        (3, 5, "did not learn"),
        (2, 4, "did not learn"),
        (2, 5, "overfits"),
        (1, 1, "did not learn"),
        (0, 5, "overfits"),
    ],
)
def test_half_of_the_runs_make_a_preset_degenerate(degenerate: int, finished: int, expected: Verdict) -> None:
    assert word(CLEAR, degenerate=degenerate, finished=finished) == expected


@pytest.mark.parametrize(("train", "expected"), [(0.8 - EPSILON, "underfits"), (0.8, "overfits")])
def test_a_preset_underfits_when_it_fits_train_worse_than_the_baseline_fits_validation(
    train: float, expected: Verdict
) -> None:
    assert word(CLEAR, train=summary(train)) == expected


def test_a_baseline_is_not_compared_with_itself() -> None:
    assert word(CLEAR, train=summary(0.1), floor=None) == "overfits"
    assert word(CLEAR, train=None) == "overfits"
    assert word(CLEAR, train=summary(None)) == "overfits"


def test_one_repetition_is_not_enough_evidence_for_a_gap_but_for_underfitting() -> None:
    assert word(CLEAR, replicates=1) == "not enough evidence"
    assert word(CLEAR, replicates=1, train=summary(0.5)) == "underfits"
    assert word(CLEAR, replicates=1, finished=1, degenerate=1) == "did not learn"


def test_every_verdict_is_reachable_and_has_a_reason_with_figures() -> None:
    reached = [
        judge(found)
        for found in (
            state(SMALL),
            state(SMALL, CLEAR),
            state(CLEAR),
            state(CLEAR, train=summary(0.5)),
            state(CLEAR, degenerate=5),
            state(WIDE),
            state(None, finished=0),
        )
    ]
    assert {verdict for verdict, _ in reached} == set(get_args(Verdict))
    assert dict(reached)["overfits"] == "the accuracy gap is +10.0 points [+5.0, +15.0]"
    assert "50.0 %" in dict(reached)["underfits"]
    assert "80.0 %" in dict(reached)["underfits"]
    assert "+30.0 points" in dict(reached)["not enough evidence"]


# --- what a preset changed -------------------------------------------------------------------------------------


def difference(
    mean: float | None, clear: bool | None, low: float | None = None, high: float | None = None
) -> Difference:
    return Difference(mean=mean, values=[mean, mean], low=low, high=high, distinguishable=clear)


UP, DOWN = difference(0.03, True, 0.01, 0.05), difference(-0.03, True, -0.05, -0.01)
FLAT, UNSURE = difference(0.0, False, -0.005, 0.005), difference(0.0, False, -0.05, 0.05)


def changed(
    reported: Difference | None,
    gap: Difference | None,
    loss_gap: Difference | None = FLAT,
    parts: Decomposition | None = None,
    score: str = "accuracy",
) -> Change:
    return judge_change(reported, gap, loss_gap, parts, score, "nll")[0]


@pytest.mark.parametrize(
    ("reported", "gap", "loss_gap", "expected"),
    [
        (UP, FLAT, FLAT, "better"),
        (UP, DOWN, DOWN, "better"),
        (UP, UP, UP, "better"),
        (FLAT, DOWN, FLAT, "smaller gap, score maintained"),
        (FLAT, FLAT, DOWN, "smaller gap, score maintained"),
        (FLAT, DOWN, None, "smaller gap, score maintained"),
        (UNSURE, DOWN, FLAT, "smaller gap, score unclear"),
        (DOWN, DOWN, FLAT, "smaller gap, lower score"),
        (DOWN, FLAT, DOWN, "smaller gap, lower score"),
        (DOWN, FLAT, FLAT, "worse"),
        (DOWN, UP, UP, "worse"),
        (DOWN, FLAT, None, "worse"),
        (FLAT, DOWN, UP, "score and loss gaps disagree"),
        (FLAT, UP, DOWN, "score and loss gaps disagree"),
        (FLAT, UP, FLAT, "larger gap"),
        (FLAT, FLAT, UP, "larger gap"),
        (UNSURE, UNSURE, UNSURE, "no significant difference"),
        (None, FLAT, FLAT, "failed"),
        (FLAT, None, FLAT, "failed"),
        (difference(None, None), FLAT, FLAT, "not enough evidence"),
        (difference(0.1, None), difference(-0.1, None), None, "not enough evidence"),
        (difference(0.0, None), difference(0.0, None), None, "no significant difference"),
        (difference(0.0, None), DOWN, None, "smaller gap, score unclear"),
    ],
)
def test_a_change_follows_from_what_is_distinguishable(
    reported: Difference, gap: Difference, loss_gap: Difference, expected: Change
) -> None:
    assert changed(reported, gap, loss_gap) == expected


def test_a_change_is_explained_by_both_gaps_where_both_are_known() -> None:
    score_gap, loss_gap = "accuracy gap −3.0 points [−5.0, −1.0]", "log loss gap +0.030 nats [+0.010, +0.050]"
    assert f"{score_gap}, {loss_gap}" in judge_change(FLAT, DOWN, UP, None, "accuracy", "nll")[1]
    alone = judge_change(FLAT, DOWN, None, None, "accuracy", "nll")[1]
    assert score_gap in alone
    assert "log loss" not in alone


def test_every_change_but_the_baseline_itself_is_reachable() -> None:
    cases = [
        (UP, FLAT),
        (FLAT, DOWN),
        (UNSURE, DOWN),
        (DOWN, DOWN),
        (DOWN, FLAT),
        (FLAT, UP),
        (UNSURE, UNSURE),
        (None, FLAT),
        (difference(0.1, None), difference(0.1, None)),
    ]
    words = {changed(*case) for case in cases} | {changed(FLAT, DOWN, UP)}
    assert words == set(get_args(Change)) - {"baseline"}


@pytest.mark.parametrize(
    ("low", "expected"),
    [
        (-MARGIN, "smaller gap, score maintained"),
        (-MARGIN - EPSILON, "smaller gap, score unclear"),
        (None, "smaller gap, score unclear"),
    ],
)
def test_a_score_is_kept_when_a_loss_of_a_point_is_ruled_out(low: float | None, expected: Change) -> None:
    assert changed(difference(0.0, False, low, 0.01), DOWN) == expected


def test_equal_scores_of_one_pair_prove_nothing() -> None:
    one = Difference(mean=0.0, values=[0.0])
    assert changed(one, one) == "not enough evidence"


def test_a_difference_without_direction_is_no_change() -> None:
    assert changed(difference(0.0, True, 0.0, 0.0), FLAT) == "no significant difference"


def parts_of(fell: Difference, rose: Difference) -> Decomposition:
    return Decomposition(closed=UP, train_fell=fell, validation_rose=rose)


@pytest.mark.parametrize(
    ("fell", "rose", "told"),
    [
        (UP, FLAT, "only the train score decreased significantly"),
        (UP, UP, "the validation score improved"),
        (FLAT, UP, "the validation score improved"),
        (FLAT, FLAT, None),
        (DOWN, DOWN, None),
    ],
)
def test_a_gap_that_closed_only_by_a_lower_train_score_says_so(
    fell: Difference, rose: Difference, told: str | None
) -> None:
    reason = judge_change(FLAT, DOWN, FLAT, parts_of(fell, rose), "accuracy", "nll")[1]
    assert reason.startswith("accuracy 0.0 points [−0.5, +0.5]; accuracy gap −3.0 points [−5.0, −1.0]")
    assert reason.endswith(f"; {told}") if told else "decreased" not in reason and "improved" not in reason


def test_where_a_gap_came_from_is_only_said_of_a_gap_that_shrank() -> None:
    assert "train score decreased" not in judge_change(FLAT, UP, FLAT, parts_of(UP, FLAT), "accuracy", "nll")[1]


# --- which preset to take --------------------------------------------------------------------------------------


def candidate(name: str, validation: float, gap: float, cost: float = 1.0, eligible: bool = True) -> Candidate:
    return Candidate(name, validation, gap, (cost, 10.0), eligible)


def choose(candidates: list[Candidate], **ps: float | None) -> tuple[str, str]:
    chosen = recommend(candidates, ps, "accuracy", len(candidates))
    assert chosen is not None
    return chosen


NONE, LIGHT, STRONG = candidate("none", 0.80, 0.2), candidate("light", 0.82, 0.15), candidate("strong", 0.81, 0.05)


def test_a_distinguishably_best_score_wins_whatever_its_gap() -> None:
    name, reason = choose([NONE, LIGHT, STRONG], none=0.001, strong=0.04)
    assert name == "light"
    assert "is significantly the best" in reason


def test_among_ties_with_the_best_the_smallest_gap_wins() -> None:
    name, reason = choose([NONE, LIGHT, STRONG], none=0.001, strong=0.5)
    assert name == "strong"
    assert "of the 2 presets whose validation accuracy" in reason
    assert "light: 82.0 %; strong: 81.0 %" in reason


@pytest.mark.parametrize(("p", "chosen"), [(0.05 + EPSILON, "strong"), (0.05 - EPSILON, "light")])
def test_a_tie_is_a_p_of_five_percent_or_more(p: float, chosen: str) -> None:
    assert choose([LIGHT, STRONG], strong=p)[0] == chosen


def test_the_best_may_have_the_smallest_gap_itself() -> None:
    name, reason = choose([NONE, candidate("best", 0.9, 0.01)], none=0.5)
    assert name == "best"
    assert "and the smallest gap" in reason


def test_equal_gaps_are_decided_by_cost_and_never_by_the_clock() -> None:
    dear, cheap = candidate("a", 0.82, 0.1, cost=2.0), Candidate("b", 0.81, 0.1, (1.0, 2.0, 1.0), True)
    assert choose([dear, cheap], b=0.5)[0] == "b"
    fewer = Candidate("c", 0.81, 0.1, (1.0, 1.0, 2.0), True)
    name, reason = choose([dear, cheap, fewer], b=0.5, c=0.5)
    assert name == "c"
    assert "Lowest cost at the same gap" in reason


def test_a_candidate_of_unknown_p_is_no_tie_and_named() -> None:
    name, reason = choose([NONE, LIGHT, STRONG], none=0.5, strong=None)
    assert name == "light"
    assert reason.endswith("Too few or identical pairs to judge strong.")
    assert "Too few" not in choose([NONE, LIGHT, STRONG], none=0.5, strong=0.01)[1]


def test_with_one_seed_the_best_score_is_taken_and_said_to_be_no_more_than_that() -> None:
    name, reason = choose([NONE, LIGHT, STRONG], none=None, strong=None)
    assert name == "light"
    assert reason.endswith("With these runs no difference can be tested.")  # also where pairs are identical


def test_a_preset_without_rivals_is_said_to_be_the_only_one_and_not_that_others_failed() -> None:
    assert choose([LIGHT]) == ("light", "It is the only preset; its validation accuracy is 82.0 %.")
    chosen = recommend([LIGHT], {}, "accuracy", 2)
    assert chosen == ("light", "All other presets failed, underfit or did not learn.")


def test_a_preset_that_underfits_is_never_taken() -> None:
    out = candidate("out", 0.99, 0.0, eligible=False)
    assert choose([NONE, out], none=None, out=None)[0] == "none"
    name, reason = choose([NONE, out], out=0.9)
    assert name == "none"
    assert "underfit" in reason


def test_when_all_underfit_the_best_of_them_is_taken() -> None:
    first, second = candidate("a", 0.5, 0.1, eligible=False), candidate("b", 0.6, 0.1, eligible=False)
    assert choose([first, second], a=0.01)[0] == "b"


def test_of_equal_scores_the_best_is_that_with_the_smaller_gap() -> None:
    found = best_candidate([candidate("a", 0.8, 0.2), candidate("b", 0.8, 0.1)])
    assert found is not None
    assert found.name == "b"


def test_without_candidates_nothing_is_recommended() -> None:
    assert best_candidate([]) is None
    assert recommend([], {}, "accuracy", 2) is None
