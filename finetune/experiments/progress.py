"""Where the jobs of an experiment are: what displays show and estimates are made of."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from finetune.errors import OutputError
from finetune.experiments.jobs import Event, Job
from finetune.experiments.scheduler import Planned
from finetune.records.comparison import ComparisonFolder
from finetune.records.predictions import read_run
from finetune.records.schema import FinishedRecord, Scores

Status = Literal["waiting", "running", "finished", "failed", "interrupted"]


@dataclass
class JobState:
    """Where one job is.

    Attributes:
        job: Which one.
        status: Of the job.
        weight: Expected work: its declared cost, in plain runs of the largest size.
        kept: It was finished before this command started.
        done: Fraction of its steps that are done.
        started_at: Fraction that was done when it was first heard of: a resumed run.
        step: Optimizer steps done.
        steps: Optimizer steps in all.
        train: Scores of the train sample at the last evaluation.
        validation: Validation scores of the last evaluation.
        message: Why it failed, or waits.
        damaged: What an earlier command left cannot be read, or lacks the model that another job reads; the job starts
            again from nothing.
        last_event: What happened last: the kind of an event.
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

    def restarted(self) -> JobState:
        """The same job, which starts again from nothing."""
        return JobState(self.job, "waiting", self.weight, damaged=True)

    @property
    def planned(self) -> Planned:
        """The job as the scheduler knows it."""
        entry = self.job.entry
        return Planned(entry.key, (entry.seed, entry.fold), self.weight, tuple(entry.inputs))

    def update(self, event: Event) -> None:
        """Take in what an executor told."""
        self.last_event = event.kind
        if event.steps:
            self.step, self.steps, self.done = event.step, event.steps, event.step / event.steps
            self.started_at = self.done if self.started_at is None else self.started_at
        if event.scores is not None:
            self.train, self.validation = dict(event.scores["train_probe"]), dict(event.scores["validation"])
        if event.kind == "started":
            self.status = "running"
        if event.kind in ("finished", "failed"):
            self.status, self.done = event.kind, 1.0  # type: ignore[assignment]  # checked in the line above
            self.message = event.message
        if event.kind == "interrupted":
            self.status = "interrupted"
        if event.kind == "busy":
            self.status, self.message = "waiting", event.message


@dataclass
class Progress:
    """All jobs of a command, and when it started."""

    states: list[JobState]
    slots: int
    started: float = field(default_factory=time.monotonic)

    def remaining_seconds(self) -> float | None:
        """From the work done since the start; None before anything was."""
        done = sum(state.weight * _work_done(state) for state in self.states if not state.kept)
        left = sum(state.weight * (1 - state.done) for state in self.states if state.status in ("waiting", "running"))
        return (time.monotonic() - self.started) * left / done if done > 0 else None


def _work_done(state: JobState) -> float:
    """Fraction of a job that was computed by this command."""
    return max(0.0, state.done - (state.started_at or 0.0))


def look_up(folder: ComparisonFolder, job: Job) -> JobState:
    """What an earlier command left of a job. Changes nothing."""
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
        state.status, state.kept, state.done = "finished", True, 1.0
        state.train, state.validation = record.selected.train_probe, record.selected.validation
    return state
