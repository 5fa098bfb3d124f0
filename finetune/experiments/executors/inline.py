"""Runs tasks one after the other in this process: for notebooks and debuggers."""

from __future__ import annotations

from collections.abc import Callable

from finetune.errors import Change, RecipeError
from finetune.experiments.executors import TaskSource
from finetune.experiments.executors.execution import Preparations, execute
from finetune.experiments.executors.resources import share_machine
from finetune.experiments.jobs import Event


class InlineExecutor:
    """One task at a time, with as many CPU threads as torch uses here.

    Raises:
        RecipeError: Several tasks at a time are requested.
    """

    def __init__(self, jobs: str = "auto", tasks: int = 1, jobs_per_gpu: int = 1) -> None:
        import torch

        if jobs not in ("auto", "1") or jobs_per_gpu > 1:
            share_machine(jobs, tasks, jobs_per_gpu)  # what is wrong in itself has a message of its own
            raise RecipeError(
                "the inline executor runs one task at a time.",
                Change(arguments={"jobs": 1}),
                Change(arguments={"executor": "local"}),
                argument="jobs",
                found=jobs,
            )
        self.slots = 1
        self.threads = torch.get_num_threads()

    def run(self, source: TaskSource, on_event: Callable[[Event], None]) -> None:
        """See `Executor.run`."""
        prepare = Preparations()
        while (task := source.next()) is not None:
            on_event(execute(task, prepare, on_event))
