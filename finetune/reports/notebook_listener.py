"""Progress in a notebook: bars of tqdm, and notices as lines of text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from finetune.listener import Level
from finetune.reports.findings import check_lines
from finetune.reports.matrix import footer, job_title
from finetune.reports.progress import RunDisplay, progress_bar
from finetune.reports.terminal import live_scores

if TYPE_CHECKING:
    from finetune.experiments.progress import JobState, Progress
    from finetune.measurement.scores import Measure
    from finetune.records.schema import DataFacts


class NotebookListener(RunDisplay):
    """A bar per run; for several runs one bar over all. Warnings go to stderr, which a notebook highlights; notes do
    not."""

    def __init__(self) -> None:
        super().__init__(bar=True)
        self._jobs: Any = None

    def notice(self, text: str, level: Level = "note") -> None:
        _write(f"{level}: {text}", sys.stderr if level == "warning" else sys.stdout)

    def data_checked(self, facts: DataFacts) -> None:
        for line in check_lines(facts):
            _write(line, sys.stdout)

    def jobs_started(self, progress: Progress, measure: Measure) -> None:
        done = sum(state.status == "finished" for state in progress.states)
        self._jobs = progress_bar(progress.total, "runs", "run", done)

    def job_changed(self, progress: Progress, job: JobState, measure: Measure) -> None:
        if self._jobs is None:
            return
        ended = sum(state.status in ("finished", "failed") for state in progress.states)
        self._jobs.update(ended - self._jobs.n)
        if job.last_event == "evaluated":
            self._jobs.set_postfix_str(f"{job_title(job.job.entry)}: {live_scores(measure, job.train, job.validation)}")
        elif job.last_event == "finished":
            self._jobs.set_postfix_str(footer(progress))
        elif job.last_event == "failed":
            _write(f"warning: {job_title(job.job.entry)} failed: {job.message}", sys.stderr)

    def jobs_ended(self, progress: Progress, measure: Measure) -> None:
        if self._jobs is not None:
            self._jobs.close()
            self._jobs = None


def _write(line: str, stream: TextIO) -> None:
    stream.write(f"{line}\n")
    stream.flush()
