"""The jobs of a comparison, and an estimate of their time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune.data.loader import Loader
from finetune.experiments.executors import Executor
from finetune.experiments.progress import JobState


@dataclass(frozen=True)
class Pace:
    """How long work takes on this machine.

    Attributes:
        seconds: Seconds of one unit of `Job.work`.
        source: Where they are from, in words.
    """

    seconds: float
    source: str


def find_pace(states: Sequence[JobState], executor: Executor, data: Loader) -> Pace:
    """The pace of the jobs that have finished if there are any, else of a few steps taken now on this machine; costs of
    techniques are the declared ones, and early stopping is not counted."""
    known = [state.seconds / state.weight for state in states if state.seconds is not None]
    if known:
        return Pace(statistics.mean(known), f"from {len(known)} finished runs")
    if not any(state.status == "waiting" for state in states):
        return Pace(0.0, "nothing is left")
    from finetune.training.estimate import estimate_seconds
    from finetune.training.prepare import prepare

    job = max((state.job for state in states), key=lambda job: job.work)
    prepared = prepare(job.recipe, data.load(job.recipe.data))
    return Pace(estimate_seconds(prepared, executor.threads) / job.work, "from a few steps taken now")


def describe_jobs(
    states: Sequence[JobState], executor: Executor, pace: Pace, further: float = 0.0, has_ended: bool = False
) -> dict[str, Any]:
    """All jobs with the state of each, and the seconds that the rest will take at that pace.

    `further` trainings follow at the end, for jobs that are not known yet, as a multiple of the most expensive job; if
    `has_ended` says that they are done, they count only if a job is left.
    """
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
