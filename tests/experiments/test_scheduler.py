"""Which job is next: replicates stay together, inputs come first, and what can never run is given up."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.experiments.scheduler import Planned, Scheduler


def planned(*jobs: tuple[str, int, int | None, float], **inputs: tuple[str, ...]) -> list[Planned]:
    """Of (key, seed, fold, weight); `inputs` by key."""
    return [Planned(key, (seed, fold), weight, inputs.get(key, ())) for key, seed, fold, weight in jobs]


def order(scheduler: Scheduler) -> list[str]:
    """What runs, one after the other, all of it successfully."""
    ran = []
    while (key := scheduler.next()) is not None:
        ran.append(key)
        scheduler.record(key, "finished")
    return ran


def test_seeds_stay_together_and_the_longest_of_a_seed_comes_first() -> None:
    jobs = planned(("none7", 7, None, 1.0), ("strong7", 7, None, 2.4), ("none3", 3, None, 1.0), ("strong3", 3, None, 2))
    assert order(Scheduler(jobs)) == ["strong7", "none7", "strong3", "none3"]


def test_folds_are_replicates_of_their_own_and_equal_work_keeps_the_order() -> None:
    jobs = planned(("none0", 0, 0, 1.0), ("light0", 0, 0, 1.0), ("none1", 0, 1, 1.0), ("strong1", 0, 1, 2.0))
    assert order(Scheduler(jobs)) == ["none0", "light0", "strong1", "none1"]


def test_only_what_is_left_is_run() -> None:
    jobs = planned(("a", 0, None, 1.0), ("b", 0, None, 2.0), ("c", 1, None, 1.0))
    scheduler = Scheduler(jobs, frozenset({"b"}))
    assert scheduler.left() == ["a", "c"]
    assert order(scheduler) == ["a", "c"]
    assert scheduler.left() == []


def test_a_job_waits_for_its_inputs_and_for_nothing_else() -> None:
    scheduler = Scheduler(planned(("soup", 0, None, 9.0), ("a", 0, None, 2.0), ("b", 0, None, 1.0), soup=("a", "b")))
    assert [scheduler.next(), scheduler.next(), scheduler.next()] == ["a", "b", None]
    assert scheduler.record("a", "finished") == []
    assert scheduler.next() is None
    assert scheduler.record("b", "finished") == []
    assert scheduler.next() == "soup"
    assert scheduler.status("soup") == "running"


def test_an_input_may_have_been_finished_by_an_earlier_command() -> None:
    scheduler = Scheduler(planned(("refit", 0, None, 1.0), refit=("run",)), frozenset({"run"}))
    assert scheduler.next() == "refit"


@pytest.mark.parametrize("outcome", ["failed", "interrupted"])
def test_what_needs_a_job_that_did_not_finish_is_given_up_and_so_is_what_needs_that(outcome: str) -> None:
    jobs = planned(
        ("a", 0, None, 1.0), ("b", 0, None, 1.0), ("c", 0, None, 1.0), ("d", 0, None, 1.0), b=("a",), c=("b",)
    )
    scheduler = Scheduler(jobs)
    assert scheduler.next() == "a"
    assert scheduler.record("a", outcome) == ["b", "c"]  # type: ignore[arg-type]  # one of the literals
    assert [scheduler.status(key) for key in "abcd"] == [outcome, "blocked", "blocked", "waiting"]
    assert scheduler.left() == ["d"]
    assert order(scheduler) == ["d"]


def test_a_busy_job_is_left_until_it_has_ended_or_may_start_again() -> None:
    scheduler = Scheduler(planned(("a", 0, None, 2.0), ("b", 0, None, 1.0), ("c", 0, None, 1.0), c=("a",)))
    assert scheduler.next() == "a"
    assert scheduler.record("a", "busy") == [], "what needs it waits for it"
    assert (scheduler.busy(), scheduler.left()) == (["a"], ["a", "b", "c"])
    assert [scheduler.next(), scheduler.next()] == ["b", None]
    scheduler.retry("a")
    assert (scheduler.busy(), scheduler.next()) == ([], "a")


def test_a_job_that_is_planned_twice_or_needs_what_nobody_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Scheduler(planned(("a", 0, None, 1.0), ("a", 1, None, 1.0)))
    with pytest.raises(ValueError, match=r"\['b'\]"):
        Scheduler(planned(("a", 0, None, 1.0), a=("b",)))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 9)), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(0, 2**16),
)
def test_with_any_number_of_slots_each_job_runs_once_and_no_replicate_overtakes(
    given_jobs: list[tuple[int, float]], slots: int, seed: int
) -> None:
    jobs = [Planned(str(number), (seed, None), weight) for number, (seed, weight) in enumerate(given_jobs)]
    scheduler, random = Scheduler(jobs), Random(seed)
    running: list[str] = []
    started: list[str] = []
    while True:
        while len(running) < slots and (key := scheduler.next()) is not None:
            running.append(key)
            started.append(key)
        if not running:
            break
        scheduler.record(running.pop(random.randrange(len(running))), "finished")
    assert sorted(started) == sorted(job.key for job in jobs)
    replicate = {job.key: job.replicate for job in jobs}
    groups = [key for key, _ in itertools.groupby(replicate[key] for key in started)]
    assert len(groups) == len(set(groups))
