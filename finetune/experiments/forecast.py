"""Remaining time of the jobs of an experiment, from the time of similar jobs so far."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Sequence
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetune.experiments.progress import JobState

LEAST = 0.02  # fraction of a job that says how fast it is: its first steps are slower than the rest


def remaining_seconds(
    states: Sequence[JobState], slots: int, now: float, further: int = 0, after: float = 0.0
) -> float | None:
    """Seconds until the last training ends; None before anything was measured.

    A kind is a preset, or a job that follows a comparison. If one job of a kind has finished, the others are expected
    to take as long for their work, including early stopping and the time before the first step; else as long as a
    running one, by its steps; else their declared cost, at the rate of other kinds. Jobs go to the slot that is free
    first.

    Args:
        states: All jobs, in the order in which they are started.
        slots: Jobs at a time.
        now: Current time on the clock of the states.
        further: Number of jobs that may follow and are not known yet; each counts as the mean of the known ones.
        after: Trainings, one after another, when all have ended: a multiple of the most expensive job.
    """
    measured: dict[Hashable, list[float]] = {}
    for state in states:
        seconds = _whole_seconds(state)
        if seconds is not None and state.job.work:
            measured.setdefault(_kind(state), []).append(seconds / state.job.work)
    if not measured:
        return None
    rates = {kind: statistics.mean(values) for kind, values in measured.items()}
    costs = {_kind(state): state.job.cost for state in states}
    declared = statistics.mean(rate / costs[kind] for kind, rate in rates.items())
    running, waiting, wholes = [], [], []
    for state in states:
        whole = rates.get(_kind(state), declared * state.job.cost) * state.job.work
        wholes.append(whole)
        if state.status == "running":
            running.append(_rest(state, whole, now))
        elif state.status == "waiting":
            waiting.append(whole)
    waiting += [statistics.mean(wholes)] * further
    ends = [*running, *[0.0] * max(0, slots - len(running))]
    heapify(ends)
    for seconds in waiting:
        heapreplace(ends, ends[0] + seconds)
    return max(ends) + after * max(wholes)


def _kind(state: JobState) -> Hashable:
    return state.job.entry.kind, state.job.entry.variant


def _whole_seconds(state: JobState) -> float | None:
    """What the whole job took, or will take by its steps so far; None where that is not known."""
    if state.status == "finished":
        return state.seconds
    computed = state.done - (state.started_at or 0.0)
    if state.began is None or state.first_step is None or state.last_step is None or computed < LEAST:
        return None
    before = state.first_step - state.began
    return before + (state.last_step - state.first_step) / computed


def _rest(state: JobState, whole: float, now: float) -> float:
    """What is left of a running job, of the time that its kind takes."""
    if state.resumed or state.began is None:  # by its steps, as it began before
        return whole * (1 - state.done)
    return max(whole - (now - state.began), 0.0)
