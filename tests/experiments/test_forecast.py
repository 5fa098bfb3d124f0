"""The time that is left: within a quarter of the truth once a tenth of the work is done, whatever presets cost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from finetune.experiments.jobs import Event, Job
from finetune.experiments.progress import JobState, Progress
from finetune.records.comparison import JobEntry

STEPS = 60


class Clock:
    """A clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("finetune.experiments.progress.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def job(variant: str, number: int, cost: float = 1.0, work: float = 1.0) -> JobState:
    key = f"{variant}{number}"
    entry = JobEntry(variant=variant, seed=number, fold=None, key=key, folder=f"cells/{key}", code="c")
    return JobState(Job(entry, Any, work, cost), "waiting", work * cost)  # type: ignore[arg-type]


def events(state: JobState, begin: float, seconds: float, startup: float, stop: float) -> Iterator[tuple[float, Event]]:
    """A job that computes the first `stop` of its steps."""
    key, steps = state.job.entry.key, round(STEPS * stop)
    yield begin, Event("started", key)
    for step in range(1, steps + 1):
        yield begin + startup + (seconds - startup) * step / steps, Event("step", key, step, STEPS)
    yield begin + seconds, Event("finished", key)


def simulate(
    clock: Clock, states: list[JobState], slots: int, true: dict[str, tuple[float, float]]
) -> tuple[list[tuple[float, float]], float]:
    """(time, time left as told) at every event, and when all have ended.

    Args:
        true: Variant -> seconds of a job of work 1 with all its steps, and the fraction of them at which it stops.
    """
    free, told = [clock.now] * slots, []
    rng = random.Random(0)
    for state in states:
        slot = free.index(min(free))
        seconds, stop = true[state.job.entry.variant]
        took = 6.0 + seconds * state.job.work * stop * rng.uniform(0.95, 1.05)
        told += [(at, state, event) for at, event in events(state, free[slot], took, 6.0, stop)]
        free[slot] += took
    progress, shown = Progress(states, slots), []
    for at, state, event in sorted(told, key=lambda entry: entry[0]):
        clock.now = at
        state.update(event)
        left = progress.remaining_seconds()
        if left is not None:
            shown.append((at, left))
    return shown, max(free)


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize(
    "true",
    [
        {"none": (60.0, 1.0), "light": (62.0, 1.0), "strong": (95.0, 1.0)},  # as declared
        {"none": (60.0, 1.0), "light": (60.0, 0.4), "strong": (150.0, 1.0)},  # dearer, and one that stops early
    ],
)
def test_it_is_within_a_quarter_after_the_first_round_of_presets(
    clock: Clock, slots: int, true: dict[str, tuple[float, float]]
) -> None:
    declared = {"none": 1.0, "light": 1.0, "strong": 1.56}
    begin = clock.now
    states = [job(name, seed, declared[name]) for seed in range(10) for name in true]
    shown, end = simulate(clock, states, slots, true)
    total = end - begin
    late = [(at, left) for at, left in shown if total * 0.1 <= at - begin <= 0.9 * total]
    assert len(late) > 100
    for at, left in late:
        assert left == pytest.approx(end - at, rel=0.25), (at - begin, end - at)


def test_folds_and_sizes_count_by_their_work(clock: Clock) -> None:
    begin = clock.now
    states = [job("none", number, work=work) for number, work in enumerate([1.0, 0.1, 0.1, 0.5, 0.25, 0.05])]
    shown, end = simulate(clock, states, 1, {"none": (600.0, 1.0)})
    for at, left in shown:
        if at - begin > 0.1 * (end - begin) and end - at > 60:
            assert left == pytest.approx(end - at, rel=0.25)


def test_the_last_job_counts_whole_however_many_slots_are_free(clock: Clock) -> None:
    short, long = job("none", 0), job("none", 1)
    short.status, short.seconds = "finished", 100.0
    long.update(Event("started", "none1"))
    clock.now += 20
    assert Progress([short, long], slots=8).remaining_seconds() == pytest.approx(80.0)


def test_what_follows_the_jobs_is_counted_after_the_last_of_them(clock: Clock) -> None:
    first, second = job("none", 0), job("none", 1)
    first.status, first.seconds = "finished", 100.0
    assert Progress([first, second], slots=8, after=1.25).remaining_seconds() == pytest.approx(100.0 + 125.0)


def test_nothing_is_said_before_anything_was_measured(clock: Clock) -> None:
    state = job("none", 0)
    progress = Progress([state, job("strong", 0, 1.5)], slots=1)
    assert progress.remaining_seconds() is None
    state.update(Event("started", "none0"))
    assert progress.remaining_seconds() is None


def test_what_earlier_commands_ran_is_known_from_their_records(clock: Clock) -> None:
    kept = replace(job("none", 0), status="finished", kept=True, done=1.0, seconds=40.0)
    assert Progress([kept, job("none", 1), job("strong", 1, 1.5)], slots=1).remaining_seconds() == pytest.approx(100.0)


def test_a_resumed_run_counts_as_the_whole_of_what_was_computed_of_it(clock: Clock) -> None:
    state = job("none", 0)
    state.update(Event("started", "none0"))
    clock.now += 5
    state.update(Event("step", "none0", 31, STEPS))
    clock.now += 10
    state.update(Event("step", "none0", 41, STEPS))
    left = Progress([state], slots=1).remaining_seconds()
    assert left == pytest.approx(19 + 5 * 19 / 60, abs=1)
    clock.now += 19
    state.update(Event("finished", "none0"))
    assert state.seconds == pytest.approx(34 / (29 / 60))
