"""Process settings that the command line makes, and no function called from Python."""

import signal
from typing import Any, NoReturn

from finetune.allocation import tune_allocator
from finetune.openmp import yield_while_waiting
from finetune.quiet import quieten_libraries


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a cluster sends before it takes a machine away. Everything that Ctrl-C saves is saved."""


def prepare_process() -> None:
    """Keep freed memory for reuse, let waiting threads yield the processor, and show only errors of other
    libraries."""
    tune_allocator()
    yield_while_waiting()
    quieten_libraries()


def handle_signals() -> None:
    """Take SIGTERM as Ctrl-C, once: launchers and clusters send several, and what is being saved must not be disturbed.
    A second Ctrl-C still ends the saving. A process that a shell or nohup started with one of these signals ignored
    continues to ignore it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated
