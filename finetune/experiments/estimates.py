"""The jobs of a comparison, and an estimate of their time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune.data.loader import Loader
from finetune.experiments.executors import Executor
from finetune.experiments.jobs import Job
from finetune.experiments.progress import look_up
from finetune.records.comparison import ComparisonFolder


@dataclass(frozen=True)
class Pace:
    """How long work takes on this machine.

    Attributes:
        seconds: Seconds of one unit of `Job.work`.
        source: Where they are from, in words.
    """

    seconds: float
    source: str


def find_pace(folder: ComparisonFolder, jobs: Sequence[Job], executor: Executor, data: Loader) -> Pace:
    """The pace of the finished runs of this folder if there are any, else of a few steps taken now on this machine;
    costs of techniques are the declared ones, and early stopping is not counted."""
    states = [look_up(folder, job) for job in jobs]
    finished = [state for state in states if state.status == "finished"]
    records = [(state, folder.run(state.job.entry).read()) for state in finished]
    known = [record.time.seconds / state.weight for state, record in records if record is not None]
    if known:
        return Pace(statistics.mean(known), f"from {len(known)} finished runs")
    if not any(state.status == "waiting" for state in states):
        return Pace(0.0, "nothing is left")
    from finetune.training.estimate import estimate_seconds
    from finetune.training.prepare import prepare

    job = max(jobs, key=lambda job: job.work)
    prepared = prepare(job.recipe, data.load(job.recipe.data))
    return Pace(estimate_seconds(prepared, executor.threads) / job.work, "from a few steps taken now")


def describe_jobs(
    folder: ComparisonFolder,
    jobs: Sequence[Job],
    executor: Executor,
    pace: Pace,
    further: float = 0.0,
    has_ended: bool = False,
) -> dict[str, Any]:
    """All jobs with the state of each, and the seconds that the rest will take at that pace.

    `further` trainings follow at the end, for jobs that are not known yet, as a multiple of the most expensive job; if
    `has_ended` says that they are done, they count only if a job is left.
    """
    states = [look_up(folder, job) for job in jobs]
    todo = [state for state in states if state.status == "waiting"]
    most = max(state.weight for state in states)
    last = further if todo or not has_ended else 0.0
    return {
        "cells": [{**state.job.entry.model_dump(), "state": state.status} for state in states],
        "to_run": len(todo),
        "jobs": executor.slots,
        "threads": executor.threads,
        "seconds": pace.seconds * (sum(state.weight for state in todo) / executor.slots + last * most),
        "source": pace.source,
    }
