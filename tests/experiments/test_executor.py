"""Worker processes: one that dies or fails takes no other cell with it, and cells leave nothing to each other."""

import os
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.errors import RecipeError
from finetune.experiments import worker
from finetune.experiments.executor import MEMORY_OF_A_WORKER, Workforce, _Worker, choose_workforce, run_tasks
from finetune.experiments.worker import Event, Task
from finetune.recipe import Recipe, resolve
from finetune.records.store import RunFolder
from tests.running import assert_same_weights, train

Write = Callable[..., Path]


def recipe_of(path: Path, preset: str, *overrides: str, seed: int = 0) -> Recipe:
    return resolve(str(path), preset, overrides=overrides, seeds=[seed]).recipe


def timeless(folder: Path) -> dict[str, Any]:
    record = RunFolder(folder).read()
    assert record is not None
    return record.model_dump(exclude={"time", "device"})


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

    def ends(self) -> dict[int, str]:
        return {event.index: event.kind for event in self.events if event.kind in ("finished", "failed")}

    def message(self, index: int) -> str:
        return next(event.message for event in self.events if event.index == index and event.kind == "failed")


def test_cells_that_fail_or_are_killed_stop_no_other_and_leave_nothing_behind(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker: a plain cell, one that fails, one whose process is killed at its first evaluation, and two more.

    The fourth runs in a process of its own, the fifth after it; both must equal the same run made here, alone.
    """
    path = write_recipe(training={"epochs": 5})
    workers: list[_Worker] = []
    really_start = _Worker._start
    monkeypatch.setattr(_Worker, "_start", lambda self: (workers.append(self), really_start(self))[1])
    long = recipe_of(path, "none", "training.epochs=400")
    plain, strong = recipe_of(path, "none"), recipe_of(path, "strong", seed=3)
    absent = plain.model_copy(update={"model": plain.model.model_copy(update={"id": str(tmp_path / "no-model")})})
    recipes = [strong, absent, long, plain, strong]
    tasks = [Task(index, recipe, tmp_path / f"cell-{index}") for index, recipe in enumerate(recipes)]
    teller = Teller(
        lambda event: event.kind == "evaluated" and event.index == 2,
        lambda: os.kill(workers[-1].process.pid or 0, signal.SIGKILL),
    )
    run_tasks(tasks, Workforce(1, 1, 0), teller)

    assert teller.ends() == {0: "finished", 1: "failed", 2: "failed", 3: "finished", 4: "finished"}
    assert "no-model" in teller.message(1)
    assert "signal 9" in teller.message(2)
    assert all(not worker.process.is_alive() for worker in workers)

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
    tasks = [Task(0, huge, tmp_path / "wild"), Task(1, recipe_of(path, "none"), tmp_path / "plain")]
    teller = Teller()
    run_tasks(tasks, Workforce(1, 1, 0), teller)
    assert teller.ends() == {0: "failed", 1: "finished"}
    assert "nan" in teller.message(0).lower() or "finite" in teller.message(0).lower()
    record = RunFolder(tmp_path / "wild").read()
    assert record is not None
    assert record.status == "failed"
    assert record.error == teller.message(0)


def test_no_tasks_start_no_process() -> None:
    run_tasks([], Workforce(4, 1, 0), Teller())


def test_a_worker_that_died_between_two_cells_does_not_end_the_comparison(write_recipe: Write, tmp_path: Path) -> None:
    worker = _Worker(0, Workforce(1, 1, 0))
    try:
        worker.process.kill()
        worker.process.join()
        worker.give(deque([Task(0, recipe_of(write_recipe(), "none"), tmp_path / "cell")]))
    finally:
        worker.task = None
        worker.stop()


# --- how many workers ------------------------------------------------------------------------------------------


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, two cores, much memory."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("finetune.experiments.executor._memory", lambda: 64e9)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("asked", ["0", "-1", "", "two", "1.5", " 2", "²", "auto ", "None"])
def test_a_number_of_jobs_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(RecipeError, match="expected a number from 1, or auto"):
        choose_workforce(asked, 4)


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
    assert choose_workforce(asked, cells) == Workforce(jobs, threads, 0)


@pytest.mark.usefixtures("two_cores")
def test_auto_takes_one_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert choose_workforce("auto", 8).jobs == 3


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(("cells", "jobs"), [(20, 6), (4, 4)])
def test_several_workers_share_a_gpu_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, cells: int, jobs: int
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert choose_workforce("auto", cells, per_gpu=2) == Workforce(jobs, 1, 3)
    assert choose_workforce("auto", cells, per_gpu=1) == choose_workforce("auto", cells)


@pytest.mark.usefixtures("two_cores")
def test_workers_of_a_gpu_need_one_and_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"--jobs-per-gpu 4: this process sees no GPU.*type: --jobs 4"):
        choose_workforce("auto", 8, per_gpu=4)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(RecipeError, match=r"--jobs 3 --jobs-per-gpu 4: both.*8 at a time on 2 GPUs"):
        choose_workforce("3", 8, per_gpu=4)


def serve_and_tell(tasks: Any, threads: int, gpu: int | None) -> None:
    """A worker that tells which GPUs it sees instead of loading torch."""
    worker._load_libraries = lambda _: tasks.send(os.environ.get("CUDA_VISIBLE_DEVICES"))
    worker.serve(tasks, threads, gpu)


@pytest.mark.parametrize(
    ("visible", "seen"), [(None, ["0", "1", "0", "1"]), ("5,7,GPU-a", ["5", "7", "5", "7"])], ids=["all", "some"]
)
def test_each_worker_sees_one_gpu_and_they_take_turns(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: list[str]
) -> None:
    """Numbers are those among the GPUs that this program may use."""
    monkeypatch.setattr("finetune.experiments.executor.serve", serve_and_tell)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    workers = [_Worker(number, Workforce(4, 1, 2)) for number in range(4)]
    try:
        assert [each.connection.recv() for each in workers] == seen
    finally:
        for each in workers:
            each.stop()


@pytest.mark.usefixtures("two_cores")
def test_auto_needs_memory_for_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr("finetune.experiments.executor._memory", lambda: 3.5 * MEMORY_OF_A_WORKER)
    assert choose_workforce("auto", 8) == Workforce(3, 1, 0)
    monkeypatch.setattr("finetune.experiments.executor._memory", lambda: 0.5 * MEMORY_OF_A_WORKER)
    assert choose_workforce("auto", 8) == Workforce(1, 4, 0)
