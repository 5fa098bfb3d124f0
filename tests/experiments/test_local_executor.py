"""Executors: a task that dies or fails takes no other with it, and tasks leave nothing to each other."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from pathlib import Path

import pytest

from finetune.errors import RecipeError
from finetune.experiments.executors import choose_executor, local, watch
from finetune.experiments.executors import worker as worker_module
from finetune.experiments.executors.inline import InlineExecutor
from finetune.experiments.executors.local import LocalExecutor, Worker
from finetune.experiments.executors.resources import MEMORY_OF_A_WORKER, Resources, share_machine
from finetune.experiments.executors.worker import ALIVE, Sender
from finetune.experiments.jobs import Event, Task
from finetune.records.store import RunFolder
from tests.experiments.handing_out import recipe_of, task, timeless
from tests.experiments.inline import REFERENCE
from tests.raising import refuses
from tests.running import assert_same_weights, train

Write = Callable[..., Path]


class Tasks:
    """A source that hands out some tasks in turn."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._left = list(tasks)

    def next(self) -> Task | None:
        return self._left.pop(0) if self._left else None


class Teller:
    """Remembers events, and does something at the first that fits."""

    def __init__(self, at: Callable[[Event], bool] = lambda _: False, act: Callable[[], None] = lambda: None) -> None:
        self.events: list[Event] = []
        self._at, self._act, self._acted = at, act, False

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if not self._acted and self._at(event):
            self._acted = True
            self._act()

    def ends(self) -> dict[str, str]:
        return {event.key: event.kind for event in self.events if event.kind in ("finished", "failed")}

    def message(self, key: str) -> str:
        return next(event.message for event in self.events if event.key == key and event.kind == "failed")


def test_cells_that_fail_or_are_killed_stop_no_other_and_leave_nothing_behind(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker: a plain cell, one that fails, one whose process is killed at its first evaluation, and two more.

    The fourth runs in a process of its own, the fifth after it; both must equal the same run made here, alone.
    """
    path = write_recipe(training={"epochs": 5})
    workers: list[Worker] = []
    really_start = Worker._start
    monkeypatch.setattr(Worker, "_start", lambda self: (workers.append(self), really_start(self))[1])
    long = recipe_of(path, "none", "training.epochs=400")
    plain, strong = recipe_of(path, "none"), recipe_of(path, "strong", seed=3)
    absent = plain.model_copy(update={"model": plain.model.model_copy(update={"id": str(tmp_path / "no-model")})})
    recipes = [strong, absent, long, plain, strong]
    tasks = [task(str(index), recipe, tmp_path / f"cell-{index}") for index, recipe in enumerate(recipes)]
    teller = Teller(
        lambda event: event.kind == "evaluated" and event.key == "2",
        lambda: os.kill(workers[-1].process.pid, signal.SIGKILL),
    )
    one_worker().run(Tasks(tasks), teller)

    assert teller.ends() == {"0": "finished", "1": "failed", "2": "failed", "3": "finished", "4": "finished"}
    assert "no-model" in teller.message("1")
    assert "signal 9" in teller.message("2")
    assert "not tried again here. Type the same command again" in teller.message("2")
    assert all(worker.process.poll() is not None for worker in workers)

    train(path, tmp_path / "alone", "strong", seed=3, overrides=["training.seeds=[3]"])
    for cell in ("cell-0", "cell-4"):
        assert timeless(tmp_path / cell) == timeless(tmp_path / "alone")
        assert_same_weights(tmp_path / cell, tmp_path / "alone")
    train(path, tmp_path / "alone-plain", "none")
    assert timeless(tmp_path / "cell-3") == timeless(tmp_path / "alone-plain")
    assert_same_weights(tmp_path / "cell-3", tmp_path / "alone-plain")


def test_a_loss_that_is_no_number_fails_its_cell_and_no_other(write_recipe: Write, tmp_path: Path) -> None:
    path = write_recipe()
    wild = recipe_of(path, "none", "training.learning_rate=0.999", "training.max_grad_norm=0", "training.warmup=0")
    huge = wild.model_copy(update={"training": wild.training.model_copy(update={"learning_rate": 1e30})})
    tasks = [task("wild", huge, tmp_path / "wild"), task("plain", recipe_of(path, "none"), tmp_path / "plain")]
    teller = Teller()
    InlineExecutor().run(Tasks(tasks), teller)
    assert teller.ends() == {"wild": "failed", "plain": "finished"}
    assert "the training objective became nan in step 2 of 18" in teller.message("wild")
    record = RunFolder(tmp_path / "wild").read()
    assert record is not None
    assert record.status == "failed"
    assert record.error == teller.message("wild")


def test_no_tasks_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "_start", lambda self: pytest.fail("a process was started"))
    one_worker().run(Tasks([]), Teller())


def test_a_worker_that_died_between_two_tasks_does_not_end_the_experiment(write_recipe: Write, tmp_path: Path) -> None:
    worker = Worker(0, Resources(1, 1, 0))
    before = worker.process.pid
    try:
        worker.process.kill()
        worker.process.wait()
        worker.give("0", pickle.dumps(task("0", recipe_of(write_recipe(), "none"), tmp_path / "cell")))
        if worker.process.pid == before:  # the pipe took the task: that it closed shows when it is read
            assert [(event.kind, event.died) for event in worker.events()] == [("failed", True)]
        assert worker.process.pid != before
    finally:
        worker.key = None
        worker.process.kill()
        worker.stop()


def test_a_task_of_a_stopped_process_goes_to_another_one_and_fails_the_third_time(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that take a task and never say a word, as after SIGSTOP."""
    started: list[subprocess.Popen[bytes]] = []

    def start(self: Worker) -> None:
        self.connection, self.theirs = Pipe()  # type: ignore[attr-defined]
        self.process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
        started.append(self.process)

    monkeypatch.setattr(Worker, "_start", start)
    monkeypatch.setattr(local, "wait", lambda handles, _: [])
    monkeypatch.setattr(watch, "SILENCE", -1.0)
    monkeypatch.setattr(local, "PATIENCE", 0.0)
    asked, teller = task("0", recipe_of(write_recipe(), "none"), tmp_path / "cell"), Teller()
    one_worker().run(Tasks([asked, asked, asked]), teller)
    assert [event.kind for event in teller.events] == ["busy", "busy", "failed"]
    assert "stopped answering" in teller.message("0")
    assert "(3 times, without progress)" in teller.message("0")
    assert len(started) == 4
    assert all(process.poll() is not None for process in started)


def test_heartbeats_and_events_do_not_mix_and_end_with_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT", 0.001)
    ours, theirs = Pipe()
    sender = Sender(theirs)
    with sender.beating():
        for _ in range(3):
            assert ours.recv() == ALIVE
        sender.send("event")
    while ours.recv() != "event":
        pass
    sender.send("last")
    while (message := ours.recv()) != "last":
        assert message == ALIVE
    if ours.poll(0.05):
        assert ours.recv() == ALIVE  # one that was on its way
    assert not ours.poll(0.05)


def one_worker() -> LocalExecutor:
    executor = LocalExecutor("1", 5, 1)
    executor.resources = Resources(1, 1, 0)
    return executor


# --- how many workers ------------------------------------------------------------------------------------------


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, two cores, much memory."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("finetune.experiments.executors.resources._memory", lambda: 64e9)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("asked", ["0", "-1", "", "two", "1.5", " 2", "²", "auto ", "None"])
def test_a_number_of_jobs_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(RecipeError, match="expected a number from 1, or auto"):
        share_machine(asked, 4)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    ("asked", "cells", "jobs", "threads"),
    [
        ("1", 8, 1, 2),
        ("2", 8, 2, 1),
        ("7", 8, 7, 1),
        ("99", 4, 4, 1),
        ("auto", 8, 2, 1),
        ("auto", 1, 1, 2),  # a single cell gets all cores
        ("2", 0, 1, 2),
    ],
)
def test_cores_are_shared_among_the_jobs_that_were_asked_for(asked: str, cells: int, jobs: int, threads: int) -> None:
    assert share_machine(asked, cells) == Resources(jobs, threads, 0)


@pytest.mark.usefixtures("two_cores")
def test_auto_takes_one_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert share_machine("auto", 8).slots == 3


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(("cells", "jobs"), [(20, 6), (4, 4)])
def test_several_workers_share_a_gpu_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, cells: int, jobs: int
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert share_machine("auto", cells, jobs_per_gpu=2) == Resources(jobs, 1, 3)
    assert share_machine("auto", cells, jobs_per_gpu=1) == share_machine("auto", cells)


@pytest.mark.usefixtures("two_cores")
def test_workers_of_a_gpu_need_one_and_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with refuses(RecipeError, r"--jobs-per-gpu 4: this process sees no GPU.*Try: --jobs 4"):
        share_machine("auto", 8, jobs_per_gpu=4)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with refuses(RecipeError, r"--jobs-per-gpu 4: jobs=3 says.*8 at the same time on 2 GPUs"):
        share_machine("3", 8, jobs_per_gpu=4)


@pytest.mark.parametrize(
    ("visible", "seen"), [(None, ["0", "1", "0", "1"]), ("5,7,GPU-a", ["5", "7", "5", "7"])], ids=["all", "some"]
)
def test_each_worker_sees_one_gpu_and_they_take_turns(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: list[str]
) -> None:
    """Numbers are those among the GPUs that this program may use."""
    given: list[dict[str, str]] = []
    monkeypatch.setattr("subprocess.Popen", lambda *_, env, **__: given.append(env))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    for number in range(4):
        Worker(number, Resources(4, 1, 2))
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in given] == seen


@pytest.mark.usefixtures("two_cores")
def test_auto_needs_memory_for_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr("finetune.experiments.executors.resources._memory", lambda: 3.5 * MEMORY_OF_A_WORKER)
    assert share_machine("auto", 8) == Resources(3, 1, 0)
    monkeypatch.setattr("finetune.experiments.executors.resources._memory", lambda: 0.5 * MEMORY_OF_A_WORKER)
    assert share_machine("auto", 8) == Resources(1, 4, 0)


# --- which executor --------------------------------------------------------------------------------------------


def test_the_inline_executor_runs_one_task_at_a_time() -> None:
    assert choose_executor("inline", "auto", 8, 1).slots == 1
    with refuses(RecipeError, r"--jobs 2: .*one task at a time. Try: --jobs 1, or --executor local"):
        choose_executor("inline", 2, 8, 1)
    with refuses(RecipeError, "expected a number from 1"):
        choose_executor("inline", "many", 8, 1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("locl", "Did you mean local"),
        ("no.such.module:Class", "cannot be loaded: ModuleNotFoundError"),
        ("tests.experiments.inline:Missing", "cannot be loaded: AttributeError"),
        ("pathlib:Path", "has no method 'run'"),
        (":Class", "cannot be loaded: ValueError: Empty module name"),
        ("../cluster:Class", "cannot be loaded: TypeError"),
    ],
)
def test_what_is_no_executor_is_refused_with_the_reason(name: str, told: str) -> None:
    with refuses(RecipeError, f"--executor {name}: .*{told}"):
        choose_executor(name, "auto", 1, 1)


def test_an_executor_of_the_users_own_is_named_by_module_and_class() -> None:
    executor = choose_executor(REFERENCE, "3", 8, 1)
    assert (executor.slots, executor.threads) == (3, 1)
