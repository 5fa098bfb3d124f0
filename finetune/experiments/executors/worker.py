"""A worker process: runs tasks one after the other. torch is imported once, and data and tokens are kept."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from finetune.parent import end_with

READY = "ready"  # sent once: from here on interruptions are handled
ALIVE = "alive"  # sent while a task runs
HEARTBEAT = 10.0  # seconds from one to the next
INTERRUPTING = (signal.SIGINT, signal.SIGTERM)


def main(descriptor: int) -> None:
    """Serve the parent at the other end of a pipe. Its first message says how to set up; then come tasks, then None.

    Args:
        descriptor: File descriptor of this end of the pipe.
    """
    os.set_inheritable(descriptor, False)  # what a task starts must not hold the pipe open
    connection = Connection(descriptor)
    try:
        _serve(connection, connection.recv())
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        for number in INTERRUPTING:
            signal.signal(number, signal.SIG_IGN)  # a second one would only disturb the end


def _serve(connection: Connection, setup: dict[str, Any]) -> None:
    end_with(setup["parent"])
    sys.path[:] = setup["path"]
    load_libraries(setup["threads"])
    from finetune.allocation import release_memory
    from finetune.experiments.executors.execution import Preparations, execute
    from finetune.techniques import receive_techniques

    receive_techniques(setup["techniques"])
    prepare = Preparations()
    interrupt_at(INTERRUPTING)
    connection.send(READY)
    sender = Sender(connection)
    while (task := connection.recv()) is not None:
        with sender.beating():
            last = execute(task, prepare, sender.send)
        sender.send(last)
        gc.collect()  # a trainer and its model hold each other
        release_memory()


class Sender:
    """Sends events, with heartbeats between them; a stopped process sends none.

    Args:
        connection: Connection to the parent.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """Send one message at a time, from any thread."""
        with self._lock:
            self._connection.send(message)

    def beating(self) -> contextlib.AbstractContextManager[None]:
        """Send heartbeats during the block."""
        return beating(lambda: self.send(ALIVE))


@contextlib.contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Call `beat` now and then during the block, from a thread."""
    over = threading.Event()

    def keep_on() -> None:
        while not over.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # the parent is gone: the task will notice
                beat()

    threading.Thread(target=keep_on, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def interrupt_at(numbers: Sequence[int]) -> None:
    """Let signals interrupt this process, even those that it was started to ignore or block, but only the first one: a
    cluster sends SIGTERM to every process of a job, and the parent then forwards it as SIGINT.
    """

    def interrupt(number: int, _: Any) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    if hasattr(signal, "pthread_sigmask"):  # Ray blocks SIGINT in its processes, and children inherit that
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def load_libraries(threads: int) -> None:
    """Load the libraries that every task needs, before the first one is timed.

    Args:
        threads: CPU threads of this process.
    """
    from finetune.allocation import collecting_rarely, tune_allocator
    from finetune.openmp import yield_while_waiting
    from finetune.quiet import quieten_libraries

    quieten_libraries()
    tune_allocator()
    yield_while_waiting()
    with collecting_rarely():
        import torch

        import finetune.training.runner  # noqa: F401 - what every task needs

    torch.set_num_threads(threads)
    # accelerate collects garbage in every run; what was imported is never garbage, and need not be walked through.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main(int(sys.argv[1]))
