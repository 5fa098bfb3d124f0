"""Time of the last sign of a task: a stopped process sends no heartbeat, and a hanging one makes no progress."""

from __future__ import annotations

import time

SILENCE = 900.0  # seconds without a heartbeat after which a process counts as stopped; machines can be very busy
QUIET = 60.0  # seconds without one that tell a process that is stopped from one that hangs
STOPPED = "its process stopped answering (was it stopped by a signal?)"
HANGS = "its run made no progress for {:g} minutes (--cell-timeout)"


def now() -> float:
    """Seconds on a monotonic clock."""
    return time.monotonic()


class Watch:
    """Watches one task at a time.

    Args:
        timeout: Seconds within which it must make progress; None: no limit as long as its process answers.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self._timeout = timeout
        self.got_further()

    def got_further(self) -> None:
        """Note that a task was started, or has reported progress."""
        self._heard = self._moved = now()

    def is_alive(self) -> None:
        """Note that its process has answered."""
        self._heard = now()

    def is_quiet(self) -> bool:
        """Whether its process does not answer."""
        return now() - self._heard > QUIET

    def lost(self) -> str:
        """Why its process counts as lost; "" as long as it does not."""
        if self._timeout is not None and now() - self._moved > self._timeout:
            return STOPPED if self.is_quiet() else HANGS.format(self._timeout / 60)
        return STOPPED if now() - self._heard > SILENCE else ""
