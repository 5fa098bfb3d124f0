"""Random states that are restored, so that observing a run does not change it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


class TorchRandomState:
    """The random states that a forward pass draws from: of the CPU, and of the current GPU if there is one."""

    def __init__(self) -> None:
        self._cpu = torch.get_rng_state()
        self._gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._gpu is not None:
            torch.cuda.set_rng_state(self._gpu)


@contextlib.contextmanager
def same_random_state() -> Iterator[None]:
    """Restore the random states of Python, numpy and torch, including all GPUs, at the end of the block."""
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
