"""Runs of an experiment without worker processes, which take seconds to start."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from finetune.experiments.executors import TaskSource
from finetune.experiments.executors.execution import Preparations, execute
from finetune.experiments.jobs import Event

REFERENCE = "tests.experiments.inline:RecordingExecutor"


class RecordingExecutor:
    """Runs tasks in this process, as one worker would, and remembers them; stops after some, if told to.

    Takes the place of the local executor: `monkeypatch.setitem(EXECUTORS, "local", REFERENCE)`.

    Attributes:
        folders: Names of the runs' folders, in the order in which they were run.
        stops_after: Runs after which Ctrl-C is pressed; None for never.
    """

    folders: ClassVar[list[str]] = []
    stops_after: ClassVar[int | None] = None

    def __init__(self, jobs: str, tasks: int, jobs_per_gpu: int) -> None:
        self.slots = 1 if jobs == "auto" else int(jobs)
        self.threads = 1

    def run(self, source: TaskSource, on_event: Callable[[Event], None]) -> None:
        prepare = Preparations()
        number = 0
        while (task := source.next()) is not None:
            if number == self.stops_after:
                raise KeyboardInterrupt
            number += 1
            self.folders.append(task.folder.name)
            on_event(execute(task, prepare, on_event))
