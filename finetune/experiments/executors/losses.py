"""Handling of tasks that lose their process: they continue elsewhere, unless that has failed before."""

from __future__ import annotations

from finetune.experiments.jobs import Event

RETRIES = 2  # of a task that gets no further


class Losses:
    """Counts how often tasks have lost their processes. A task is tried again only if another process may help: an
    error that Python raised would be raised again.
    """

    def __init__(self) -> None:
        self._lost: dict[str, tuple[int, int]] = {}  # key -> how often without getting further, furthest step

    def after(self, event: Event) -> Event:
        """The event to report after a loss.

        Args:
            event: The task failed because it lost its process, after `event.step` optimizer steps.

        Returns:
            "busy": the task is looked up again, and continues from its last checkpoint. Or the failure, if it was tried
            again twice without progress.
        """
        times, furthest = self._lost.get(event.key, (0, -1))
        times = 1 if event.step > furthest else times + 1
        self._lost[event.key] = (times, max(event.step, furthest))
        if times <= RETRIES:
            return Event("busy", event.key, message=f"{event.message}; it continues from its last checkpoint")
        return Event("failed", event.key, message=f"{event.message} ({times} times, without progress)")
