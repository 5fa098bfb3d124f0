"""What a workflow tells, on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.cli.options import notice
from finetune.listener import Level, Listener, RunProgress
from finetune.reports.findings import check_lines
from finetune.reports.matrix import MatrixDisplay

if TYPE_CHECKING:
    from finetune.experiments.progress import JobState, Progress
    from finetune.measurement.scores import Measure
    from finetune.records.schema import DataFacts, Scores


class WarningListener(Listener):
    """Notices and findings, without progress.

    Args:
        notes: Whether notes and findings are shown, too; warnings always are.
    """

    def __init__(self, notes: bool = True) -> None:
        self._notes = notes

    def notice(self, text: str, level: Level = "note") -> None:
        if self._notes or level == "warning":
            notice(f"{level}: {text}")

    def data_checked(self, facts: DataFacts) -> None:
        if not self._notes:
            return
        for line in check_lines(facts):
            notice(line)


class TerminalListener(WarningListener):
    """Notices, findings and progress."""

    def __init__(self) -> None:
        super().__init__()
        from finetune.reports.progress import RunDisplay

        self._run = RunDisplay()
        self._matrix = MatrixDisplay()

    def run_started(self, run: RunProgress) -> None:
        self._run.start(run)

    def run_stepped(self, run: RunProgress) -> None:
        self._run.step(run)

    def run_evaluated(self, run: RunProgress, train: Scores, validation: Scores) -> None:
        self._run.evaluated(run, train, validation)

    def run_ended(self, run: RunProgress) -> None:
        self._run.close()

    def jobs_started(self, progress: Progress, measure: Measure) -> None:
        self._matrix.start()

    def job_changed(self, progress: Progress, job: JobState, measure: Measure) -> None:
        self._matrix.show(progress, job, measure)

    def jobs_ended(self, progress: Progress, measure: Measure) -> None:
        self._matrix.close()


def choose_listener(quiet: bool) -> Listener:
    """Everything on stderr; with --quiet only warnings."""
    return WarningListener(notes=False) if quiet else TerminalListener()
