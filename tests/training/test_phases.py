"""What a run's time went into: every moment counted once, nothing left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.advice import speed
from finetune.recipe import resolve
from finetune.records.store import RunFolder
from finetune.training import phases
from finetune.training.phases import PHASES, Stopwatch, process_age
from finetune.training.prepare import prepare
from finetune.training.runner import run_seed
from tests.interrupting import interrupted_and_resumed
from tests.running import train

Write = Callable[..., Path]


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    told = Clock()
    monkeypatch.setattr(phases.time, "perf_counter", told)
    return told


def test_time_inside_a_nested_phase_counts_there_alone(clock: Clock) -> None:
    watch = Stopwatch("outside", before=5.0)
    clock.wait(1)
    with watch.phase("outer"):
        clock.wait(2)
        with watch.phase("inner"):
            clock.wait(4)
        clock.wait(8)
    clock.wait(16)
    assert watch.seconds() == {"outside": 22.0, "outer": 10.0, "inner": 4.0}
    assert sum(watch.seconds().values()) == 5 + 31


def test_advice_means_the_same_phases() -> None:
    assert set(speed.TRAINING) == set(phases.TRAINING)
    assert {*speed.PREPARING, *speed.MEASURING} <= set(PHASES)


def test_a_phase_that_is_open_counts_until_now(clock: Clock) -> None:
    watch = Stopwatch()
    with watch.phase("open"):
        clock.wait(3)
        assert watch.seconds()["open"] == 3
        clock.wait(1)
    assert watch.seconds() == {"other": 0, "open": 4}


def test_a_switch_lasts_until_the_phase_around_it_ends(clock: Clock) -> None:
    watch = Stopwatch("outside")
    with watch.phase("first"):
        clock.wait(1)
        watch.switch("second")
        clock.wait(2)
    clock.wait(4)
    assert watch.seconds() == {"outside": 4, "first": 1, "second": 2}


def test_an_error_closes_the_phases_it_leaves(clock: Clock) -> None:
    watch = Stopwatch("outside")

    def fails() -> None:
        with watch.phase("outer"), watch.phase("inner"):
            clock.wait(1)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fails()
    clock.wait(2)
    assert watch.seconds() == {"outside": 2, "outer": 0, "inner": 1}


def test_what_was_measured_elsewhere_is_added(clock: Clock) -> None:
    watch = Stopwatch()
    with watch.phase("model"):
        clock.wait(1)
    watch.add({"model": 2.0, "tokens": 3.0})
    assert watch.seconds() == {"other": 0, "model": 3, "tokens": 3}


def test_the_age_of_a_process_grows_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    first = process_age()
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(phases.time, "clock_gettime", lambda _which: before + 1000)
    assert first > 0
    assert process_age() == pytest.approx(first + 1000, abs=60)


def test_where_the_system_tells_no_age_it_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_args: Any, **_kwargs: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", nothing)
    assert process_age() == 0.0


def test_the_phases_of_a_run_are_known_and_sum_to_its_total(write_recipe: Write, tmp_path: Path) -> None:
    watch = Stopwatch(phases.START, before=7.0)
    prepared = prepare(resolve(str(write_recipe())).recipe, stopwatch=watch)
    record = run_seed(prepared, 0, RunFolder(tmp_path / "run"), stopwatch=watch)
    spent = record.time.phases
    # It names its rate, adapts no encoder, and tells no tracker.
    assert set(spent) == set(PHASES) - {phases.PROFILING, phases.ADAPTATION, phases.LEARNING_RATE, phases.TRACKERS}
    assert spent["start"] >= 7
    assert all(seconds >= 0 for seconds in spent.values())
    assert sum(spent.values()) == pytest.approx(record.time.total_seconds, abs=0.02)
    assert record.time.seconds <= record.time.total_seconds - 6.9  # what was before is not the run's own
    assert 0 < record.time.first_step < record.time.training_seconds <= record.time.seconds


def test_a_run_that_shares_its_preparation_counts_only_its_own_time(write_recipe: Write, tmp_path: Path) -> None:
    record = train(write_recipe(), tmp_path / "run")
    assert not {phases.START, phases.DATA, phases.CHECKS} & set(record.time.phases)


def test_a_resumed_run_counts_all_its_legs(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = RunFolder.read

    def longer(folder: RunFolder) -> Any:
        """The first leg, as if its steps had taken an hour."""
        record = read(folder)
        if record is None or record.status == "finished":
            return record
        spent = {**record.time.phases, phases.FORWARD_BACKWARD: 3600.0}
        return record.model_copy(update={"time": record.time.model_copy(update={"phases": spent})})

    monkeypatch.setattr(RunFolder, "read", longer)
    recipe = write_recipe()
    steps = prepare(resolve(str(recipe)).recipe).budget.steps
    assert steps is not None
    record = interrupted_and_resumed(recipe, tmp_path / "run", steps - 1)
    assert record.time.phases[phases.FORWARD_BACKWARD] > 3600
    assert record.time.total_seconds == pytest.approx(sum(record.time.phases.values()), abs=0.02)
    assert record.time.first_step < 3600
