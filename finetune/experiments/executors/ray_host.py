"""Code on the nodes of a Ray cluster: an actor with one worker process, and the check of what a node sees.

The worker is that of the local executor, so that a run is the same wherever it runs: a separate process for the
signals, threads and imports of a training, which Ray handles differently in the processes that it starts.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

import finetune
from finetune.experiments.executors.local import PATIENCE, Worker
from finetune.experiments.executors.resources import Resources
from finetune.experiments.jobs import Event

LOOKING = 10.0  # seconds in which a file that was made elsewhere must show: network file systems keep lists of names
LISTENING = 1.0  # seconds that one call waits for something new


@dataclass(frozen=True)
class Setup:
    """Information that a node needs before it runs anything.

    Attributes:
        directory: Folder in which the command was started; relative paths of recipes start there.
        marker: A file just created in the folder of the experiment.
        version: Version of finetune of the command.
        path: Folders in which Python of the command searches for modules.
        environment: Variables that control libraries.
        threads: CPU threads of a task.
        techniques: From `carry_techniques`.
        timeout: Seconds within which a task must make progress; None for no limit.
    """

    directory: str
    marker: str
    version: str
    path: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    techniques: bytes = b""
    timeout: float | None = None


def look(setup: Setup) -> str:
    """Reason that keeps this node from running tasks, as the end of a sentence; empty if there is none."""
    node = socket.gethostname()
    if finetune.__version__ != setup.version:
        return f"{node} has finetune {finetune.__version__}, and {setup.version} is needed"
    if not Path(setup.directory).is_dir():
        return f"{node} has no folder {setup.directory}"
    end = time.monotonic() + LOOKING
    while not os.path.exists(setup.marker):
        os.listdir(setup.directory)
        if time.monotonic() > end:
            return f"{node} does not see {os.path.dirname(setup.marker)}"
        time.sleep(0.5)
    return ""


class Host:
    """An actor: one worker process, which ends when the actor does. Its methods are called one at a time.

    Args:
        setup: See `Setup`.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._worker: Worker | None = None

    def start(self) -> str:
        """Start the worker. As `look`, which comes first."""
        if problem := look(self._setup):
            return problem
        os.chdir(self._setup.directory)
        os.environ.update(self._setup.environment)
        sys.path += [each for each in self._setup.path if each not in sys.path and Path(each).exists()]
        self._worker = Worker(0, Resources(1, self._setup.threads, 0), self._setup.techniques, self._setup.timeout)
        return ""

    def give(self, key: str, task: bytes) -> None:
        """Like `Worker.give`."""
        self._running().give(key, task)

    def events(self) -> list[Event]:
        """Events of the worker since the last call; waits a moment for them."""
        worker = self._running()
        wait([worker.connection], LISTENING)
        said = list(worker.events())
        lost = worker.lost()
        return [*said, worker.take_away(lost)] if lost else said

    def interrupt(self) -> None:
        """Let the task record that it was interrupted, and wait for that."""
        self._running().interrupt()
        self._running().wait(PATIENCE)

    def stop(self) -> None:
        """End the worker, which is idle."""
        self._running().stop()

    def _running(self) -> Worker:
        assert self._worker is not None, "started first"
        return self._worker
