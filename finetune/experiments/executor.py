"""Runs cells in worker processes; whatever happens to one of them, the others go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from finetune.errors import RecipeError
from finetune.experiments.worker import Event, Task, serve

MEMORY_OF_A_WORKER = 3.8e9  # bytes: peak of a worker on `tweets` with a 22M-parameter encoder (docs/performance.md)
PATIENCE = 30.0  # seconds that an interrupted worker gets to write its record
ENDED = ("finished", "failed")


@dataclass(frozen=True)
class Workforce:
    """How many workers, and what each of them gets."""

    jobs: int
    threads: int
    gpus: int


def choose_workforce(asked: str, cells: int, per_gpu: int = 1) -> Workforce:
    """Workers for `--jobs` and `--jobs-per-gpu`.

    auto: `per_gpu` on each GPU; without GPUs one a core, as far as memory goes. Small encoders scale badly over
    threads: two workers of one thread finish more cells an hour than one worker of two.

    Args:
        asked: A number from 1, or auto.
        cells: Of the whole matrix, finished ones included.
        per_gpu: Workers on each GPU, 1 or more.

    Raises:
        RecipeError: `asked` is neither a number from 1 nor auto; `per_gpu` asks for more than 1 where there is no GPU,
            or beside a number of jobs.
    """
    import torch

    gpus, cores = torch.cuda.device_count(), len(os.sched_getaffinity(0))
    if per_gpu > 1:
        _check_per_gpu(per_gpu, asked, gpus)
    if asked == "auto":
        jobs = gpus * per_gpu or max(1, min(cores, int(_memory() / MEMORY_OF_A_WORKER)))
    elif asked.isascii() and asked.isdigit() and int(asked) >= 1:
        jobs = int(asked)
    else:
        raise RecipeError(f"--jobs {asked}: expected a number from 1, or auto.")
    # Neither what is left to do nor memory that happens to be free decides the threads of a worker: a repeated
    # command must compute what it would have computed undisturbed, and the order of sums depends on the threads.
    jobs = min(jobs, max(1, cells))
    return Workforce(jobs, max(1, cores // jobs), gpus)


def _check_per_gpu(per_gpu: int, asked: str, gpus: int) -> None:
    if not gpus:
        raise RecipeError(
            f"--jobs-per-gpu {per_gpu}: this process sees no GPU. For {per_gpu} cells at a time on the CPU type: "
            f"--jobs {per_gpu}, without --jobs-per-gpu"
        )
    if asked != "auto":
        raise RecipeError(
            f"--jobs {asked} --jobs-per-gpu {per_gpu}: both say how many cells run at a time. Leave one out: "
            f"--jobs-per-gpu {per_gpu} alone means {gpus * per_gpu} at a time on {gpus} GPU{'s' * (gpus > 1)}"
        )


def _memory() -> float:
    """Bytes that the machine has, in use or not."""
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def run_tasks(tasks: Sequence[Task], workforce: Workforce, on_event: Callable[[Event], None]) -> None:
    """Run all tasks and report what happens. Returns when each has ended.

    Raises:
        KeyboardInterrupt: After the workers have written down where they were.
    """
    waiting = deque(tasks)
    workers: list[_Worker] = []
    try:
        for number in range(min(workforce.jobs, len(tasks))):
            workers.append(_Worker(number, workforce))
            workers[-1].give(waiting)
        while any(worker.task is not None for worker in workers):
            for worker in _ready(workers):
                for event in worker.events():
                    on_event(event)
                if worker.task is None:
                    worker.give(waiting)
    except KeyboardInterrupt:
        for worker in workers:
            worker.interrupt()
        for worker in workers:
            worker.process.join(PATIENCE)
        raise
    finally:
        for worker in workers:
            worker.stop()


def _ready(workers: list[_Worker]) -> Iterator[_Worker]:
    handles: dict[Any, _Worker] = {}
    for worker in workers:
        if worker.task is not None:
            handles |= {worker.connection: worker, worker.process.sentinel: worker}
    return iter(dict.fromkeys(handles[handle] for handle in wait(list(handles))))


class _Worker:
    """One process and the task it is at; replaced by a fresh process when it dies."""

    def __init__(self, number: int, workforce: Workforce) -> None:
        self._number = number
        self._workforce = workforce
        self.task: Task | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked torch may hang on its own locks
        ours, theirs = context.Pipe()
        gpu = self._number % self._workforce.gpus if self._workforce.gpus else None
        self.process = context.Process(target=serve, args=(theirs, self._workforce.threads, gpu), daemon=True)
        with _environment(OMP_NUM_THREADS=str(self._workforce.threads)), _interrupts_held():
            self.process.start()
        theirs.close()
        self.connection: Connection = ours

    def give(self, waiting: deque[Task]) -> None:
        """Send the next task, if there is one."""
        self.task = waiting.popleft() if waiting else None
        if self.task is None:
            return
        try:
            self.connection.send(self.task)
        except OSError:  # it died while it had nothing to do: nothing is lost
            self.process.join()
            self.connection.close()
            self._start()
            self.connection.send(self.task)

    def events(self) -> Iterator[Event]:
        """What has arrived. A process that died fails its task and is replaced."""
        try:
            while self.connection.poll():
                event: Event = self.connection.recv()
                if event.kind in ENDED:
                    self.task = None
                yield event
        except (EOFError, ConnectionResetError):  # its end of the pipe closes with the process, and not before
            self.process.join()
            if self.task is not None:
                index, self.task = self.task.index, None
                yield Event("failed", index, message=_how_it_died(self.process.exitcode))
            self.connection.close()
            self._start()

    def interrupt(self) -> None:
        """Let a running task write that it was interrupted."""
        if self.process.is_alive() and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGINT)

    def stop(self) -> None:
        """End the process; nothing is running any more, or nobody waits for it."""
        with contextlib.suppress(OSError):
            if self.task is None:
                self.connection.send(None)
                self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


def _how_it_died(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed (signal 9), most likely for want of memory. Try: --jobs 1, or a smaller batch"
    return f"its process ended with code {code}. Run the cell alone to see why."


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes when this is over; a process started meanwhile holds it back until `serve` is ready for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for what is started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
