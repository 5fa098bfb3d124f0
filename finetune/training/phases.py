"""How a run spends its time: a stopwatch that is always on. It only reads a clock twice per phase.

On a GPU the host queues work and continues, so the time of a step appears where the host next waits for a result: read
`batches`, `forward_backward` and `optimizer` as one sum there. To separate them the host would have to wait in every
step, which makes training slow; `finetune run --profile` gets the times from the GPU itself.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

START = "start"  # of the process that trains: Python, libraries, recipe, tokenizer; not of what launched it
DATA = "data"  # reading and splitting
TOKENS = "tokens"  # of all splits
CHECKS = "checks"  # of the data, baselines included
MODEL = "model"  # building it, loading weights, setting up the trainer
LEARNING_RATE = "learning_rate"  # choosing it, where the recipe says auto
ADAPTATION = "adaptation"  # masked-language modelling, if a technique asks for it
FIRST_STAGE = "first_stage"  # training before fine-tuning, if a technique has such a stage
HEAD = "head"  # where it starts, if a technique computes that
BATCHES = "batches"  # padding and augmentation
FORWARD_BACKWARD = "forward_backward"
OPTIMIZER = "optimizer"  # clipping and what techniques do around a step included
EVALUATION = "evaluation"  # while training
CHECKPOINTS = "checkpoints"  # what training waits for them
MEASUREMENT = "measurement"  # of the final weights
WEIGHT_STATISTICS = "weight_statistics"
SAVING = "saving"  # model, predictions, record
TRACKERS = "trackers"  # those of training.report_to: no part of what the run itself takes
PROFILING = "profiling"  # starting and stopping the profiler
OTHER = "other"
PHASES = (
    START,
    DATA,
    TOKENS,
    CHECKS,
    MODEL,
    LEARNING_RATE,
    ADAPTATION,
    FIRST_STAGE,
    HEAD,
    BATCHES,
    FORWARD_BACKWARD,
    OPTIMIZER,
    EVALUATION,
    CHECKPOINTS,
    MEASUREMENT,
    WEIGHT_STATISTICS,
    SAVING,
    TRACKERS,
    PROFILING,
    OTHER,
)
TRAINING = (BATCHES, FORWARD_BACKWARD, OPTIMIZER)


class Stopwatch:
    """Wall seconds by phase. Each moment counts once, in the innermost phase.

    Args:
        name: Name for the time outside of every phase.
        before: Seconds that had passed under this name when the stopwatch was made.
    """

    def __init__(self, name: str = OTHER, before: float = 0.0) -> None:
        self._spent = {name: before}
        self._open = [name]
        self._since = time.perf_counter()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside as `name`."""
        self._settle()
        depth = len(self._open)
        self._open.append(name)
        try:
            yield
        finally:
            self._settle()
            del self._open[depth:]

    def switch(self, name: str) -> None:
        """Count the time from here to the end of the innermost phase as `name`."""
        self._settle()
        self._open[-1] = name

    def add(self, spent: Mapping[str, float]) -> None:
        """Count seconds measured elsewhere, such as in the interrupted part of a run."""
        for name, seconds in spent.items():
            self._spent[name] = self._spent.get(name, 0.0) + seconds

    def seconds(self) -> Mapping[str, float]:
        """Seconds of each phase so far, in the order of their first use."""
        self._settle()
        return MappingProxyType(self._spent)

    def _settle(self) -> None:
        now = time.perf_counter()
        self.add({self._open[-1]: now - self._since})
        self._since = now


def process_age() -> float:
    """Seconds since the system started this process, before Python ran; 0 if the system does not report it."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, ValueError, IndexError, AttributeError):  # not Linux
        return 0.0
