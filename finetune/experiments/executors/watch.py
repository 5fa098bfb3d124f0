"""When a task was last heard of: a process that is stopped sends no heartbeat, and one that hangs gets no further."""

from __future__ import annotations

import time

SILENCE = 900.0  # seconds without a heartbeat after which a process counts as stopped; machines can be very busy
QUIET = 60.0  # seconds without one that tell a process that is stopped from one that hangs
STOPPED = "its process stopped answering (was it stopped by a signal?)"
HANGS = "its run got no further in {:g} minutes (--cell-timeout)"


def now() -> float:
    """Seconds, on a clock that nobody sets."""
    return time.monotonic()


class Watch:
    """Of one task at a time.

    Args:
        timeout: Seconds in which it has to get further; None: it may take any time as long as its process answers.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self._timeout = timeout
        self.got_further()

    def got_further(self) -> None:
        """A task was begun, or has told something new."""
        self._heard = self._moved = now()

    def is_alive(self) -> None:
        """Its process has answered."""
        self._heard = now()

    def is_quiet(self) -> bool:
        """Whether its process does not answer."""
        return now() - self._heard > QUIET

    def lost(self) -> str:
        """Why its process is to be taken for lost; "" as long as it is not."""
        if self._timeout is not None and now() - self._moved > self._timeout:
            return STOPPED if self.is_quiet() else HANGS.format(self._timeout / 60)
        return STOPPED if now() - self._heard > SILENCE else ""
