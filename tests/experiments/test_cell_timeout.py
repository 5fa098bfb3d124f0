"""A process that is stopped or hangs loses its run, which goes on in another one. No time passes: the clock is ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetune
from finetune.errors import RecipeError
from finetune.experiments.executors import choose_executor, local, ray_host, slurm_executor, watch
from finetune.experiments.executors.local import Worker
from finetune.experiments.executors.ray_host import Host, Setup
from finetune.experiments.executors.slurm_executor import SlurmExecutor, Submitted
from finetune.experiments.executors.slurm_task import write_event
from finetune.experiments.executors.watch import Watch
from finetune.experiments.jobs import Event
from finetune.listener import Listener
from finetune.records.comparison import ComparisonFolder
from tests.experiments.handing_out import recipe_of, task, timeless
from tests.raising import refuses

Write = Callable[..., Path]
MINUTE = 60.0

# Waits for ever at its third measurement or later (the first is a trial), once, if it is armed.
HANGING = """
import pathlib
import threading

import datasets
import evaluate

ARMED = pathlib.Path("{armed}")


class Hanging(evaluate.Metric):
    measured = 0

    def _info(self):
        features = datasets.Features({{"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        self.measured += 1
        if self.measured > 4 and ARMED.exists():
            ARMED.unlink()
            threading.Event().wait()
        return {{"rows": float(len(predictions))}}
"""


class Clock:
    """Stands still, or goes 20 seconds further with each look."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.runs: Callable[[], bool] = lambda: False

    def __call__(self) -> float:
        self.seconds += 20.0 if self.runs() else 0.0
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "now", clock)
    return clock


class Mischief(Listener):
    """Stops the worker at the first evaluation, and lets the run hang when it goes on; remembers what was told."""

    def __init__(self, workers: list[Worker], armed: Path) -> None:
        self.told: list[str] = []
        self.waits = False  # until the process is taken for lost
        self._workers, self._armed = workers, armed
        self._done: list[str] = []

    def job_changed(self, progress: Any, state: Any, measure: Any) -> None:
        """See `Listener`."""
        if state.last_event == "evaluated" and not self.told and not self.waits:
            self.waits = True
            os.kill(self._workers[-1].process.pid, signal.SIGSTOP)
        if state.last_event == "finished" and len(self.told) == 1:
            self._armed.touch()
            self.waits = True
        if state.last_event == "busy":
            self.told.append(state.message)
            self.waits = False


def test_a_run_goes_on_elsewhere_and_the_manifest_says_why(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, without_plots: None
) -> None:
    """Its first process is stopped, and its second one hangs. Records are as if nothing had been."""
    armed, metric = tmp_path / "armed", tmp_path / "hanging.py"
    metric.write_text(HANGING.format(armed=armed), encoding="utf-8")
    monkeypatch.setattr(local, "HEARTBEAT", 0.02)  # seconds between looks
    workers: list[Worker] = []
    really_start = Worker._start
    monkeypatch.setattr(Worker, "_start", lambda self: (workers.append(self), really_start(self))[1])
    mischief = Mischief(workers, armed)
    # The second process lives, which no heartbeat can show where no time passes.
    monkeypatch.setattr(Watch, "is_quiet", lambda watched: not mischief.told)
    clock.runs = lambda: mischief.waits and (not mischief.told or not armed.exists())
    asked: dict[str, Any] = {
        "presets": ["none", "light"],
        "seeds": [0],
        "metric": str(metric),
        "jobs": 1,
        "final": "best",
    }
    asked["recipe"] = str(write_recipe())
    finetune.compare(**asked, cell_timeout=5, listener=mischief, output=tmp_path / "out")
    reasons = [f"{why}; it continues from its last checkpoint" for why in (watch.STOPPED, watch.HANGS.format(5))]
    assert mischief.told == reasons
    assert len(workers) == 3, "one process and its two successors"
    folder = ComparisonFolder(tmp_path / "out")
    cells = folder.read().cells
    assert [cell.retries for cell in cells if cell.retries] == [reasons], "of the first run: it waited for the second"
    assert all(cell.error is None for cell in cells)

    finetune.compare(**asked, listener=Listener(), output=tmp_path / "undisturbed")
    for cell in cells:
        assert timeless(folder.run(cell).path) == timeless(tmp_path / "undisturbed" / cell.folder)
    finetune.compare(**asked, listener=Listener(), output=tmp_path / "out")
    assert folder.read().cells == cells, "the same command again keeps what happened"


# --- the watch -------------------------------------------------------------------------------------------------


def test_without_a_limit_only_a_process_that_does_not_answer_is_lost(clock: Clock) -> None:
    watched = Watch()
    for _ in range(100):
        clock.seconds += 10 * MINUTE
        watched.is_alive()
        assert watched.lost() == ""
    clock.seconds += watch.SILENCE + 1
    assert "stopped answering" in watched.lost()


def test_with_a_limit_it_has_to_get_further_too(clock: Clock) -> None:
    watched = Watch(5 * MINUTE)
    clock.seconds += 4 * MINUTE
    watched.is_alive()
    assert watched.lost() == ""
    watched.got_further()
    clock.seconds += 5 * MINUTE
    watched.is_alive()
    assert watched.lost() == ""
    clock.seconds += 1
    assert watched.lost() == "its run made no progress for 5 minutes (--cell-timeout)"
    clock.seconds += watch.QUIET
    assert "stopped answering" in watched.lost()


# --- the other executors ---------------------------------------------------------------------------------------


def test_a_slurm_job_that_gets_no_further_is_cancelled_and_submitted_again(
    slurm_cluster: Path, write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    class Job:
        job_id = "100_7"

    cancelled: list[list[str]] = []
    monkeypatch.setattr(slurm_executor, "_scancel", cancelled.append)
    given, file = task("a", recipe_of(write_recipe(), "none"), tmp_path / "cell"), tmp_path / "events"
    executor = SlurmExecutor("1", 1, cell_timeout=5 * MINUTE)
    job = Submitted(given, Job(), file, 5 * MINUTE)
    clock.seconds += 100 * MINUTE
    assert list(executor._news(job)) == [], "it waits in the queue"
    write_event(file, Event("started", "a"))
    assert [event.kind for event in executor._news(job)] == ["started"]
    for minute in range(1, 6):
        clock.seconds += MINUTE
        os.utime(file, (minute, minute))  # the heartbeat of its node
        assert list(executor._news(job)) == []
    clock.seconds += 1
    (event,) = executor._news(job)
    assert (event.kind, event.key) == ("busy", "a")
    assert "made no progress for 5 minutes" in event.message
    assert cancelled == [["100_7"]]


def test_a_slurm_job_that_beats_no_more_is_said_to_be_stopped(
    write_recipe: Write, tmp_path: Path, clock: Clock
) -> None:
    class Job:
        job_id = "1"

    job = Submitted(task("a", recipe_of(write_recipe(), "none"), tmp_path), Job(), tmp_path / "events", MINUTE)
    write_event(tmp_path / "events", Event("started", "a"))
    assert len(list(job.read())) == 1
    assert job.lost() == ""
    clock.seconds += 2 * MINUTE
    assert job.lost() == watch.STOPPED


def test_on_a_ray_node_the_limit_is_that_of_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float | None] = []
    monkeypatch.setattr(ray_host, "Worker", lambda *arguments: limits.append(arguments[3]))
    monkeypatch.setattr(ray_host.os, "chdir", lambda _: None)
    (tmp_path / "marker").touch()
    version = finetune.__version__
    for timeout in (None, 5 * MINUTE):
        assert Host(Setup(str(tmp_path), str(tmp_path / "marker"), version, (), timeout=timeout)).start() == ""
    assert limits == [None, 5 * MINUTE]


# --- what is refused -------------------------------------------------------------------------------------------


class Theirs:
    """An executor of before there were limits."""

    def __init__(self, jobs: str, tasks: int, jobs_per_gpu: int) -> None:
        self.slots = self.threads = 1

    def run(self, source: Any, on_event: Any) -> None:
        """Runs nothing."""


@pytest.mark.parametrize("name", ["inline", f"{__name__}:Theirs"])
def test_an_executor_that_cannot_take_a_run_away_refuses_a_limit(name: str) -> None:
    assert choose_executor(name, "1", 1, 1).slots == 1
    with refuses(RecipeError, "--cell-timeout 5: .*cannot take a run away from its process. Try: --executor local"):
        choose_executor(name, "1", 1, 1, 5)


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf"), True])
def test_a_limit_is_a_number_of_minutes(minutes: float) -> None:
    with refuses(RecipeError, "expected minutes, more than 0"):
        choose_executor("local", "1", 1, 1, minutes)
