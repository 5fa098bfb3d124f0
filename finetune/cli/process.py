"""Process settings that the command line makes, and no function called from Python."""

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO, TypeVar

from finetune.allocation import tune_allocator
from finetune.errors import HungUp
from finetune.openmp import yield_while_waiting
from finetune.quiet import quieten_libraries

T = TypeVar("T")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a cluster sends before it takes a machine away. Everything that Ctrl-C saves is saved."""


# Signal -> what it raises. Windows has no SIGHUP.
INTERRUPTS: dict[int, type[KeyboardInterrupt]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
if hasattr(signal, "SIGHUP"):
    INTERRUPTS[signal.SIGHUP] = HungUp


def prepare_process() -> None:
    """Keep freed memory for reuse, let waiting threads yield the processor, and show only errors of other
    libraries."""
    tune_allocator()
    yield_while_waiting()
    quieten_libraries()


def handle_signals() -> None:
    """Take SIGTERM and SIGHUP as Ctrl-C, once: launchers and clusters send several, and what is being saved must not be
    disturbed. A second Ctrl-C still ends the saving. A process that a shell or nohup started with one of these signals
    ignored continues to ignore it."""
    for number in INTERRUPTS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _: Any) -> NoReturn:
    for each in INTERRUPTS:
        if each != signal.SIGINT:
            signal.signal(each, signal.SIG_IGN)
    raise INTERRUPTS[number]


def ending(interrupt: KeyboardInterrupt) -> tuple[str, int]:
    """What is said of a command that a signal has ended, and its exit code: 128 + the number of the signal."""
    if isinstance(interrupt, Terminated):
        return "terminated", 143
    return ("hung up", 129) if isinstance(interrupt, HungUp) else ("interrupted", 130)


def outlive_readers() -> None:
    """Let no command end because nobody reads what it prints: `2>&1 | head`, a closed terminal, or a stream that was
    closed before the start. On stderr, which only messages go to, a full disk does not count either."""
    sys.stdout = _reopened(sys.stdout, (BrokenPipeError,))
    sys.stderr = _reopened(sys.stderr, (OSError,))


def _reopened(stream: TextIO | None, gone: tuple[type[OSError], ...]) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):  # one that a program put there
        return stream
    return _Unread(stream, gone)


class _Unread(io.TextIOWrapper):
    """A stream that discards what it is given from the first error on.

    Args:
        stream: The stream as Python has opened it.
        gone: The errors.
    """

    def __init__(self, stream: io.TextIOWrapper, gone: tuple[type[OSError], ...]) -> None:
        options = (stream.encoding, stream.errors, None, stream.line_buffering, stream.write_through)
        super().__init__(stream.buffer, *options)
        self._stream = stream  # closes the file when nothing refers to it
        self._gone = gone

    def write(self, text: str) -> int:
        return self._unless_gone(lambda: super(_Unread, self).write(text), len(text))

    def flush(self) -> None:
        return self._unless_gone(super().flush, None)

    def _unless_gone(self, act: Callable[[], T], otherwise: T) -> T:
        try:
            return act()
        except self._gone:
            discarding = os.open(os.devnull, os.O_WRONLY)
            os.dup2(discarding, self.fileno())
            os.close(discarding)
            return otherwise
