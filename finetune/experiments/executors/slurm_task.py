"""The work of a SLURM job: one task, whose events go to a file that the driver reads."""

from __future__ import annotations

import json
import pickle
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from finetune import own_code
from finetune.experiments.executors.worker import INTERRUPTING, beating, interrupt_at, load_libraries
from finetune.experiments.jobs import Event

# SIGUSR2 is what submitit has SLURM send before the time limit.
SIGNALS = (*INTERRUPTING, signal.SIGUSR2)


@dataclass(frozen=True)
class SlurmTask:
    """Called by submitit in the job. Returns nothing: the results are in the record and in the file of events.

    Attributes:
        task: Pickled, because it may hold techniques that are unknown until they are received.
        events: File of the events.
        techniques: From `carry_techniques`.
        threads: CPU threads.
        path: Folders in which Python of the command searches for modules.
        allowed: From `own_code.carried`.
    """

    task: bytes
    events: Path
    techniques: bytes
    threads: int
    path: tuple[str, ...]
    allowed: str

    def __call__(self) -> None:
        """Run the task; continue it where an earlier job left it."""
        sys.path += [each for each in self.path if each not in sys.path]
        load_libraries(self.threads)
        from finetune.experiments.executors.execution import Preparations, execute
        from finetune.techniques import receive_techniques

        own_code.receive(self.allowed)
        receive_techniques(self.techniques)
        interrupt_at(SIGNALS)
        try:
            with beating(self.events.touch):
                last = execute(pickle.loads(self.task), Preparations(), self._send)
            write_event(self.events, last)
        except KeyboardInterrupt:
            return  # the event was sent

    def _send(self, event: Event) -> None:
        write_event(self.events, event)


def write_event(file: Path, event: Event) -> None:
    """Append an event to a file and close it, so that other machines see it."""
    with file.open("a", encoding="utf-8") as written:
        written.write(json.dumps(asdict(event)) + "\n")


def read_events(file: Path, offset: int) -> Iterator[tuple[Event, int]]:
    """Events of a file from an offset in bytes, each with the offset after it; None if there is no file yet."""
    try:
        with file.open("rb") as written:
            written.seek(offset)
            for line in written:
                if not line.endswith(b"\n"):
                    return  # the rest is still to come
                offset += len(line)
                yield Event(**json.loads(line)), offset
    except FileNotFoundError:
        return
