"""Cells without worker processes, which take seconds to start."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from finetune.experiments.executor import Workforce
from finetune.experiments.worker import Event, Task, _Preparations, _run


class InlineWorkers:
    """Runs tasks in this process, as one worker would, and remembers them; stops after some, if told to.

    Takes the place of `finetune.experiments.scheduler.run_tasks`.

    Attributes:
        folders: Names of the cells' folders, in the order in which they were run.
        stops_after: Cells after which Ctrl-C is pressed; None for never.
    """

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.stops_after: int | None = None

    def __call__(self, tasks: Sequence[Task], workforce: Workforce, on_event: Callable[[Event], None]) -> None:
        prepared = _Preparations()
        for number, task in enumerate(tasks):
            if number == self.stops_after:
                raise KeyboardInterrupt
            self.folders.append(task.folder.name)
            on_event(_run(task, prepared, on_event))
