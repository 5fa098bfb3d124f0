"""Progress of the jobs of an experiment, for displays and estimates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from finetune.errors import OutputError
from finetune.experiments.forecast import remaining_seconds
from finetune.experiments.jobs import Event, Job
from finetune.experiments.scheduler import Planned
from finetune.records.comparison import ComparisonFolder
from finetune.records.predictions import read_run
from finetune.records.schema import FinishedRecord, Scores

Status = Literal["waiting", "running", "finished", "failed", "interrupted"]


@dataclass
class JobState:
    """State of one job.

    Attributes:
        job: The job.
        status: Its status.
        weight: Expected work: its declared cost, in plain runs of the largest size.
        kept: Whether it was finished before this command started.
        done: Fraction of its steps that are done.
        started_at: Fraction that was done at its first event (above 0 for a resumed run).
        step: Optimizer steps done.
        steps: Optimizer steps in total.
        train: Scores of the train sample at the last evaluation.
        validation: Validation scores of the last evaluation; empty for a refit, which trains on these rows.
        message: Why it failed, or waits.
        damaged: The result of an earlier command cannot be read, or lacks the model that another job reads; the job
            starts again from the beginning.
        last_event: Kind of the last event.
        began, first_step, last_step: Time of the start, and of the reports of the first and the last step, on the clock
            of `time.monotonic`; None before.
        seconds: Duration of the whole job, or for a resumed job, the estimated duration without interruption.
    """

    job: Job
    status: Status
    weight: float
    kept: bool = False
    done: float = 0.0
    started_at: float | None = None
    step: int = 0
    steps: int = 0
    train: Scores = field(default_factory=dict)
    validation: Scores = field(default_factory=dict)
    message: str = ""
    damaged: bool = False
    last_event: str = ""
    began: float | None = None
    first_step: float | None = None
    last_step: float | None = None
    seconds: float | None = None

    def restarted(self) -> JobState:
        """The same job, restarted from the beginning."""
        return JobState(self.job, "waiting", self.weight, damaged=True)

    @property
    def resumed(self) -> bool:
        """Whether an earlier command computed a part of it: a run from the start reports its first step."""
        return self.started_at is not None and self.started_at * self.steps > 1.5

    @property
    def planned(self) -> Planned:
        """The job as the scheduler knows it."""
        entry = self.job.entry
        return Planned(entry.key, (entry.seed, entry.fold), self.weight, tuple(entry.inputs))

    def update(self, event: Event) -> None:
        """Update the state from an event of an executor."""
        self.last_event, now = event.kind, time.monotonic()
        if event.steps:
            self.first_step, self.last_step = now if self.first_step is None else self.first_step, now
            self.step, self.steps, self.done = event.step, event.steps, event.step / event.steps
            self.started_at = self.done if self.started_at is None else self.started_at
        if event.scores is not None:
            self.measured(event.scores["train_probe"], event.scores["validation"])
        if event.kind == "started":
            self.status, self.began = "running", now
        if event.kind == "finished" and self.began is not None:
            before = (self.started_at or 0.0) if self.resumed else 0.0
            self.seconds = (now - self.began) / (1 - before) if before < 1 else None
        if event.kind in ("finished", "failed"):
            self.status, self.done = event.kind, 1.0  # type: ignore[assignment]  # checked in the line above
            self.message = event.message
        if event.kind == "interrupted":
            self.status = "interrupted"
        if event.kind == "busy":
            self.status, self.message = "waiting", event.message

    def measured(self, train: Mapping[str, float | None], validation: Mapping[str, float | None]) -> None:
        """Update the scores from an evaluation."""
        self.train = dict(train)
        self.validation = {} if self.job.entry.kind == "refit" else dict(validation)


@dataclass
class Progress:
    """All jobs of a command so far, and how many run at the same time.

    Attributes:
        states: State of each job.
        slots: Number of jobs at the same time.
        at_most: Maximum number of jobs in the end; 0 if all are known.
        after: Trainings, one after another, when all have ended: a multiple of the most expensive job.
    """

    states: list[JobState]
    slots: int
    at_most: int = 0
    after: float = 0.0

    @property
    def total(self) -> int:
        """Number of jobs, including those that may follow."""
        return max(len(self.states), self.at_most)

    def remaining_seconds(self) -> float | None:
        """See `forecast.remaining_seconds`."""
        return remaining_seconds(self.states, self.slots, time.monotonic(), self.total - len(self.states), self.after)


def look_up(folder: ComparisonFolder, job: Job) -> JobState:
    """The state in which an earlier command left a job. Changes nothing."""
    run = folder.run(job.entry)
    state = JobState(job, "waiting", job.work * job.cost)
    if not run.record_path.exists():
        return state
    try:
        record, _ = read_run(run)
    except OutputError:
        state.damaged = True
        return state
    if isinstance(record, FinishedRecord):
        state.status, state.kept, state.done, state.seconds = "finished", True, 1.0, record.time.seconds
        state.measured(record.selected.train_probe, record.selected.validation)
    return state
