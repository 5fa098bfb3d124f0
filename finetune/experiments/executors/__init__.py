"""Executors that run the tasks of an experiment: worker processes, this process, a cluster, or a user's class."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from typing import Any, Protocol

from finetune.errors import Change, RecipeError, suggest
from finetune.experiments.jobs import Event, Task

DEFAULT = "local"
# Name -> module:Class. An executor of your own needs no entry: --executor module:Class.
EXECUTORS = {
    "local": "finetune.experiments.executors.local:LocalExecutor",
    "inline": "finetune.experiments.executors.inline:InlineExecutor",
    "ray": "finetune.experiments.executors.ray_executor:RayExecutor",
    "slurm": "finetune.experiments.executors.slurm_executor:SlurmExecutor",
}


class TaskSource(Protocol):
    """Source of the tasks of an executor."""

    def next(self) -> Task | None:
        """The task to start now; None if none can start until another one has ended."""
        ...


class Executor(Protocol):
    """Runs tasks anywhere and reports their events.

    Its class is called with the keyword arguments `jobs` (a string: "auto", or a number such as "4"), `tasks` (their
    total number, finished ones included) and `jobs_per_gpu` (an int), and raises a RecipeError for what it cannot do.
    If a time limit is requested, it is also called with `cell_timeout` (seconds within which a task must make
    progress).

    Attributes:
        slots: Tasks that run at the same time.
        threads: CPU threads per task.
    """

    slots: int
    threads: int

    def run(self, source: TaskSource, on_event: Callable[[Event], None]) -> None:
        """Take tasks from the source until it has none and all taken tasks have ended.

        Events of a task arrive in order: started, then steps and evaluations, then finished, failed or interrupted; or
        busy alone, if another process is running the task. After each of these last events the source is called again:
        other tasks may have become ready. A task that fails, for whatever reason, becomes a "failed" event and stops no
        other task.

        Raises:
            KeyboardInterrupt: Passed on, after interrupted tasks have saved their state.
        """
        ...


def choose_executor(
    name: str, jobs: str | int, tasks: int, jobs_per_gpu: int, cell_timeout: float | None = None
) -> Executor:
    """The executor of this name, or of `module:Class`.

    Args:
        name: Key of `EXECUTORS`, or a class as `module:Class`.
        jobs: Tasks at the same time: a number from 1, or "auto".
        tasks: Number of all tasks of the experiment, finished ones included, as for a command without interruption.
        jobs_per_gpu: Tasks at the same time on each GPU, if `jobs` is "auto".
        cell_timeout: Minutes within which a task must make progress; None for no limit.

    Raises:
        RecipeError: There is no such executor, or it refuses these numbers.
    """
    loaded = _load(name, EXECUTORS.get(name, name))
    limit = {} if cell_timeout is None else {"cell_timeout": _seconds(cell_timeout, name, loaded)}
    made: Executor = loaded(jobs=str(jobs), tasks=tasks, jobs_per_gpu=jobs_per_gpu, **limit)
    return made


def _seconds(minutes: float, name: str, executor: Any) -> float:
    """
    Raises:
        RecipeError: It is no time, or this executor cannot take a task away from its process.
    """
    if isinstance(minutes, bool) or not 0 < minutes < math.inf:
        raise RecipeError("expected minutes, more than 0.", argument="cell_timeout", found=minutes)
    if "cell_timeout" not in inspect.signature(executor).parameters:
        raise RecipeError(
            f"the executor {name} cannot take a run away from its process.",
            Change(arguments={"executor": "local"}),
            argument="cell_timeout",
            found=minutes,
        )
    return minutes * 60


def _load(name: str, reference: str) -> Any:
    module, colon, title = reference.partition(":")
    if not colon:
        raise RecipeError(
            f"is not an executor.{suggest(name, EXECUTORS)}",
            Change(text="Name one of your own as module:Class."),
            argument="executor",
            found=name,
        )
    try:
        loaded = getattr(importlib.import_module(module), title)
    except Exception as error:  # whatever a module of others raises, and names that are none
        raise RecipeError(
            f"cannot be loaded: {type(error).__name__}: {error}.", argument="executor", found=name
        ) from error
    if not callable(getattr(loaded, "run", None)):
        raise RecipeError(
            "has no method 'run', so it is not an executor (see docs/launch.md).",
            argument="executor",
            found=name,
        )
    return loaded
