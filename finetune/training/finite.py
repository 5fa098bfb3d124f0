"""Detects a non-finite objective without making a GPU wait."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from finetune.errors import RunFailed


class NotFinite(RunFailed):
    """The objective or the model's outputs became nan or infinite: training diverged."""


def reading_delay(device: torch.device) -> int:
    """Number of passes after which an objective is read.

    A host that reads a number from a GPU waits until all queued work is done, and queues nothing meanwhile. One pass
    later the number has already arrived.
    """
    return 1 if device.type == "cuda" else 0


class FiniteWatch:
    """Checks objectives in the order in which they were computed.

    Args:
        delay: Number of passes after which an objective is read; 0 for at once.
    """

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._pending: deque[tuple[_Arriving, Callable[[float], Exception]]] = deque()

    def add(self, objective: Tensor, failure: Callable[[float], Exception]) -> None:
        """Add an objective, and check the one that is due.

        Args:
            objective: A scalar.
            failure: Makes the error from a value that is not finite.

        Raises:
            Exception: The failure of a non-finite objective, this one or an earlier one.
        """
        self._pending.append((_Arriving(objective), failure))
        while len(self._pending) > self._delay:
            self._check()

    def catch_up(self) -> None:
        """Check all remaining objectives.

        Raises:
            Exception: As above.
        """
        while self._pending:
            self._check()

    def _check(self) -> None:
        arriving, failure = self._pending.popleft()
        value = arriving.number()
        if not math.isfinite(value):
            raise failure(value)


class _Arriving:
    """A number on its way to the host."""

    def __init__(self, value: Tensor) -> None:
        self._value = value.detach()
        self._event: torch.cuda.Event | None = None
        if value.is_cuda:
            self._value = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            self._value.copy_(value.detach(), non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def number(self) -> float:
        """The number; waits for work queued before it, and for none queued after it."""
        if self._event is not None:
            self._event.synchronize()
        return float(self._value)
