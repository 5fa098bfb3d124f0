"""Messages of a workflow, on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.cli.output import notice
from finetune.listener import Level, Listener
from finetune.reports.findings import check_lines
from finetune.reports.matrix import MatrixDisplay
from finetune.reports.progress import RunDisplay

if TYPE_CHECKING:
    from finetune.records.schema import DataFacts


class WarningListener(Listener):
    """Notices and findings, each once, without progress.

    Args:
        notes: Whether notes and findings are shown, too; warnings always are.

    Attributes:
        told: Messages that have been shown.
    """

    def __init__(self, notes: bool = True) -> None:
        self._notes = notes
        self.told: set[str] = set()

    def notice(self, text: str, level: Level = "note") -> None:
        if self._notes or level == "warning":
            self._tell(text, f"{level}: {text}")

    def data_checked(self, facts: DataFacts) -> None:
        if not self._notes:
            return
        for line in check_lines(facts):
            self._tell(line, line)

    def _tell(self, text: str, line: str) -> None:
        if text not in self.told:
            self.told.add(text)
            notice(line)


class TerminalListener(WarningListener, RunDisplay, MatrixDisplay):
    """Notices, findings and progress."""

    def __init__(self) -> None:
        WarningListener.__init__(self)
        RunDisplay.__init__(self)
        MatrixDisplay.__init__(self)


def choose_listener(quiet: bool) -> WarningListener:
    """Everything on stderr; with --quiet only warnings."""
    return WarningListener(notes=False) if quiet else TerminalListener()
