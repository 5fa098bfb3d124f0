"""Settings of the process that the program makes, and no function that is called from Python."""

import signal
from typing import Any, NoReturn

from finetune.allocation import tune_allocator
from finetune.openmp import yield_while_waiting
from finetune.quiet import quieten_libraries


class Terminated(KeyboardInterrupt):
    """SIGTERM: what a cluster sends before it takes a machine away. All that Ctrl-C saves is saved."""


def prepare_process() -> None:
    """Keep freed memory for reuse, let waiting threads give their processor away, and show only errors of other
    libraries."""
    tune_allocator()
    yield_while_waiting()
    quieten_libraries()


def handle_signals() -> None:
    """Take SIGTERM as Ctrl-C, once: launchers and clusters send several, and what is being saved must not be disturbed.
    A second Ctrl-C still ends the saving. What a shell or nohup has started with one of them ignored goes on ignoring
    it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated
