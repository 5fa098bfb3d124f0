"""Runs tasks in worker processes; whatever happens to one of them, the others continue."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import finetune
from finetune import own_code
from finetune.errors import Change, RecipeError
from finetune.experiments.executors import TaskSource
from finetune.experiments.executors.losses import Losses
from finetune.experiments.executors.resources import Resources, share_machine
from finetune.experiments.executors.watch import Watch
from finetune.experiments.executors.worker import ALIVE, HEARTBEAT, READY
from finetune.experiments.jobs import Event
from finetune.techniques import carry_techniques

PATIENCE = 300.0  # seconds that an interrupted worker gets to write its record; a second Ctrl-C ends the wait
ENDED = ("finished", "failed", "busy")
MODULE = "finetune.experiments.executors.worker"


class LocalExecutor:
    """Worker processes on this machine, one per slot.

    Raises:
        RecipeError: See `share_machine`; or this system cannot start workers that way.
    """

    def __init__(
        self, jobs: str = "auto", tasks: int = 1, jobs_per_gpu: int = 1, cell_timeout: float | None = None
    ) -> None:
        if os.name != "posix":
            raise RecipeError(
                "worker processes need Linux or macOS.",
                Change(arguments={"executor": "inline"}),
                argument="executor",
                found="local",
            )
        self.resources = share_machine(jobs, tasks, jobs_per_gpu)
        self.slots = self.resources.slots
        self.threads = self.resources.threads
        self._timeout = cell_timeout
        self._losses = Losses()

    def run(self, source: TaskSource, on_event: Callable[[Event], None]) -> None:
        """See `Executor.run`."""
        workers: list[Worker] = []
        try:
            while True:
                self._hand_out(source, workers)
                if not any(worker.key for worker in workers):
                    return
                for worker in _ready(workers):
                    for event in worker.events():
                        on_event(event)
                for worker in workers:
                    if lost := worker.lost():
                        on_event(self._losses.after(worker.take_away(lost)))
        except KeyboardInterrupt:
            for worker in workers:
                worker.interrupt()
            for worker in workers:
                worker.wait(PATIENCE)
            raise
        finally:
            for worker in workers:
                worker.stop()

    def _hand_out(self, source: TaskSource, workers: list[Worker]) -> None:
        """Give every idle worker a task, and start workers as long as there are slots and tasks."""
        idle = [worker for worker in workers if worker.key is None]
        while idle or len(workers) < self.slots:
            task = source.next()
            if task is None:
                return
            if not idle:
                workers.append(Worker(len(workers), self.resources, timeout=self._timeout))
                idle = [workers[-1]]
            idle.pop(0).give(task.key, pickle.dumps(task))


def _ready(workers: list[Worker]) -> Iterator[Worker]:
    """Busy workers that have said something, or have died: the pipe's end closes with the process. None, if for a while
    nobody has."""
    connections = {worker.connection: worker for worker in workers if worker.key is not None}
    return iter([connections[handle] for handle in wait(list(connections), HEARTBEAT)])  # type: ignore[index]


class Worker:
    """One process and its current task; replaced by a fresh process when it dies.

    Args:
        number: Number of the worker, from 0, which determines the GPU that it sees.
        resources: Resources of all workers.
        techniques: From `carry_techniques` of another process; None for those of this one.
        timeout: Seconds within which a task must make progress; None for no limit.

    Attributes:
        key: Key of its current task; None if it is idle.
    """

    def __init__(
        self, number: int, resources: Resources, techniques: bytes | None = None, timeout: float | None = None
    ) -> None:
        self._number = number
        self._resources = resources
        self._techniques = techniques
        self.key: str | None = None
        self._step = 0  # of the task: the last one that was heard of
        self._watch = Watch(timeout)
        self._start()

    def _start(self) -> None:
        ours, theirs = Pipe()
        with theirs:
            # A process group of its own: Ctrl-C in a terminal reaches the parent alone, which passes it on once the
            # worker can answer (`interrupt`). The module is named, so that the caller's script is not run again.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
                env=self._environment(),
            )
        self.connection: Connection = ours
        self._can_answer = False
        with contextlib.suppress(OSError):  # it died at once: `events` tells
            self.connection.send(
                {
                    "parent": os.getpid(),
                    "path": sys.path,
                    "threads": self._resources.threads,
                    "techniques": carry_techniques() if self._techniques is None else self._techniques,
                }
            )

    def _environment(self) -> dict[str, str]:
        package = str(Path(finetune.__file__).parent.parent)
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        chosen = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(self._resources.threads)}
        chosen[own_code.VARIABLE] = own_code.carried()
        if self._resources.gpus:
            number = self._number % self._resources.gpus
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # of those that this program may use
            chosen["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number] if visible else str(number)
        return chosen

    def give(self, key: str, task: bytes) -> None:
        """Send a task to the idle process.

        Args:
            key: Key of the task.
            task: Pickled, because it may hold techniques that this process does not know.
        """
        self.key = key
        self._step = 0
        self._watch.got_further()
        try:
            self.connection.send_bytes(task)
        except OSError:  # it died while it had nothing to do: nothing is lost
            self._restart()
            self.connection.send_bytes(task)

    def events(self) -> Iterator[Event]:
        """Events that have arrived. A process that died fails its task and is replaced."""
        try:
            while self.connection.poll():
                message: Any = self.connection.recv()
                if message in (READY, ALIVE):
                    self._watch.is_alive()
                    self._can_answer = True
                    continue
                self._watch.got_further()
                if message.kind in ENDED:
                    self.key = None
                self._step = max(self._step, message.step)
                yield message
        except (EOFError, OSError):
            code = self.process.wait()
            if self.key is None:
                self._restart()
            else:
                yield self._lose(_how_it_died(code))

    def lost(self) -> str:
        """Why the running task must be taken away from its process; "" if it need not."""
        return "" if self.key is None else self._watch.lost()

    def take_away(self, why: str) -> Event:
        """Replace the process; its task has failed."""
        return self._lose(why)

    def _lose(self, message: str) -> Event:
        assert self.key is not None, "only a busy process loses a task"
        key, self.key = self.key, None
        self._restart()
        return Event("failed", key, self._step, message=message, died=True)

    def interrupt(self) -> None:
        """Let a running task record that it was interrupted; end a process that has nothing to write yet."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGINT if self._can_answer else signal.SIGKILL)

    def wait(self, seconds: float) -> None:
        """Give the process the given time to end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def stop(self) -> None:
        """End the process, when nothing is running or its result is no longer needed."""
        if self.key is None:
            with contextlib.suppress(OSError):
                self.connection.send(None)
                self.wait(PATIENCE)
        self.process.kill()
        self.process.wait()
        self.connection.close()

    def _restart(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self._start()


def _how_it_died(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return (
            "its process was killed (signal 9), most likely for want of memory, so it is not tried again here. Type "
            "the same command again, with fewer runs at a time (--jobs 1) or a smaller batch"
        )
    return f"its process ended with code {code}. To see why, run it alone: finetune cell FOLDER KEY"
