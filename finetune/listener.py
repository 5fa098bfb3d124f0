"""Events of a workflow while it runs. To show them, implement some of these methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from finetune.experiments.progress import JobState, Progress
    from finetune.measurement.scores import Measure
    from finetune.records.schema import DataFacts, Scores

Level = Literal["note", "warning"]


@dataclass(frozen=True)
class RunProgress:
    """Progress of one run.

    Attributes:
        title: Name of the run, such as `strong seed 0`.
        measure: The main score and loss.
        step: Optimizer steps done.
        steps: Optimizer steps of the run.
        epoch: Passes over the training rows.
        epochs: Passes in total.
    """

    title: str
    measure: Measure
    step: int
    steps: int
    epoch: float
    epochs: float


class Listener:
    """Receives the events of a workflow. Every method does nothing unless overridden; none may raise or take long."""

    def notice(self, text: str, level: Level = "note") -> None:
        """A decision that was made for the user, or something to look at, as one line in command-line form."""

    def data_checked(self, facts: DataFacts) -> None:
        """The data has been read and checked: findings and the scores of simple models."""

    def run_started(self, run: RunProgress) -> None:
        """A single run starts training."""

    def run_stepped(self, run: RunProgress) -> None:
        """One optimizer step of a single run is done."""

    def run_evaluated(self, run: RunProgress, train: Scores, validation: Scores) -> None:
        """A single run has measured its train sample and validation."""

    def run_ended(self, run: RunProgress) -> None:
        """A single run has finished its last training step, or has stopped."""

    def jobs_started(self, progress: Progress, measure: Measure) -> None:
        """Several runs start: those of a comparison, an ablation, a curve or a sweep."""

    def job_changed(self, progress: Progress, job: JobState, measure: Measure) -> None:
        """One of several runs started, stepped, was evaluated, finished or failed: `job.last_event` says which."""

    def jobs_ended(self, progress: Progress, measure: Measure) -> None:
        """All runs have ended, or the user stopped them."""


SILENT = Listener()
