"""Who runs the tasks of an experiment: worker processes, this process, a cluster, or a class of the user's."""

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
    """Where an executor gets its tasks from."""

    def next(self) -> Task | None:
        """The task to start now; None if none can start before another one has ended."""
        ...


class Executor(Protocol):
    """Runs tasks, wherever it likes, and reports what happens.

    Its class is called with the keyword arguments `jobs` (a string: "auto", or a number such as "4"), `tasks` (how
    many there will be, finished ones included) and `jobs_per_gpu` (an int), and refuses with a RecipeError what it
    cannot do. Where a time limit is asked for, also with `cell_timeout` (seconds in which a task has to get further).

    Attributes:
        slots: Tasks that run at the same time.
        threads: CPU threads of each.
    """

    slots: int
    threads: int

    def run(self, source: TaskSource, on_event: Callable[[Event], None]) -> None:
        """Take tasks from the source until it has none and all that were taken have ended.

        Events of a task arrive in order: started, then steps and evaluations, then finished, failed or interrupted; or
        busy alone, where another process is running the task. After each of the latter the source is asked again: other
        tasks may have become ready. A task that fails, by whatever means, becomes a "failed" event and stops no other
        task.

        Raises:
            KeyboardInterrupt: As it came, after interrupted tasks have written down where they were.
        """
        ...


def choose_executor(
    name: str, jobs: str | int, tasks: int, jobs_per_gpu: int, cell_timeout: float | None = None
) -> Executor:
    """The executor of this name, or of `module:Class`.

    Args:
        name: Key of `EXECUTORS`, or a class as `module:Class`.
        jobs: Tasks at the same time: a number from 1, or "auto".
        tasks: All tasks of the experiment, finished ones included: what an undisturbed command would have run.
        jobs_per_gpu: Tasks at the same time on each GPU, where `jobs` is "auto".
        cell_timeout: Minutes in which a task has to get further; None for any time.

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
            f"is no executor.{suggest(name, EXECUTORS)}",
            Change(text="name one of your own as module:Class."),
            argument="executor",
            found=name,
        )
    try:
        loaded = getattr(importlib.import_module(module), title)
    except (ImportError, AttributeError) as error:
        raise RecipeError(
            f"cannot be loaded: {type(error).__name__}: {error}.", argument="executor", found=name
        ) from error
    if not callable(getattr(loaded, "run", None)):
        raise RecipeError(
            "has no method 'run', so it is no executor (see docs/launch.md).",
            argument="executor",
            found=name,
        )
    return loaded
