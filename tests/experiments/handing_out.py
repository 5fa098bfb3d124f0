"""Tasks of executors without an experiment: handed out, taken back where they are to go on, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from finetune.experiments.jobs import Event, Task
from finetune.recipe import Recipe, resolve
from finetune.records.store import RunFolder, is_in_use


def recipe_of(path: Path, preset: str, *overrides: str, seed: int = 0) -> Recipe:
    return resolve(str(path), preset, overrides=overrides, seeds=[seed]).recipe


def task(key: str, recipe: Recipe, folder: Path) -> Task:
    return Task(key, "train", recipe, folder, {})


def timeless(folder: Path) -> dict[str, Any]:
    record = RunFolder(folder).read()
    assert record is not None
    return record.model_dump(exclude={"time", "device"})


class Desk:
    """A source of tasks that takes in what becomes of them. A busy one is handed out again, once its folder is free.

    Args:
        tasks: In turn.
        at: Which event is waited for.
        act: What happens at the first such event.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        at: Callable[[Event], bool] = lambda _: False,
        act: Callable[[], None] = lambda: None,
    ) -> None:
        self._tasks = {task.key: task for task in tasks}
        self._left = list(self._tasks)
        self.events: list[Event] = []
        self._at, self._act, self._acted = at, act, False

    def next(self) -> Task | None:
        for key in self._left:
            if not is_in_use(self._tasks[key].folder):
                self._left.remove(key)
                return self._tasks[key]
        return None

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if event.kind == "busy":
            self._left.append(event.key)
        if not self._acted and self._at(event):
            self._acted = True
            self._act()

    def kinds(self, key: str) -> list[str]:
        """Of the events of a task, without steps and evaluations."""
        return [event.kind for event in self.events if event.key == key and event.kind not in ("step", "evaluated")]

    def message(self, key: str) -> str:
        return next(event.message for event in self.events if event.key == key and event.kind == "failed")
