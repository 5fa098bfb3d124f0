"""Notices an objective that is not finite without making a GPU idle."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor


def passes_behind(device: torch.device) -> int:
    """After how many further passes an objective is looked at.

    Where the host has to ask a GPU for a number it waits until all it has ordered is done, and orders nothing
    meanwhile. One pass later the number has arrived on its own.
    """
    return 1 if device.type == "cuda" else 0


class FiniteWatch:
    """Looks at objectives in the order in which they were computed.

    Args:
        behind: After how many further passes; 0 for at once.
    """

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._coming: deque[tuple[_Arriving, Callable[[float], Exception]]] = deque()

    def add(self, objective: Tensor, complaint: Callable[[float], Exception]) -> None:
        """Take in an objective, and look at the one whose turn it is.

        Args:
            objective: A scalar.
            complaint: Makes the error of what was found instead of a finite number.

        Raises:
            Exception: The complaint of an objective that is not finite, this one or one before it.
        """
        self._coming.append((_Arriving(objective), complaint))
        while len(self._coming) > self._behind:
            self._look()

    def catch_up(self) -> None:
        """Look at what is left.

        Raises:
            Exception: As above.
        """
        while self._coming:
            self._look()

    def _look(self) -> None:
        arriving, complaint = self._coming.popleft()
        value = arriving.number()
        if not math.isfinite(value):
            raise complaint(value)


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
        """The number; waits for what was ordered before it, and for nothing after it."""
        if self._event is not None:
            self._event.synchronize()
        return float(self._value)
