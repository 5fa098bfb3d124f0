"""Which job is next, and what came back. Pure: knows neither processes nor files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["finished", "failed", "interrupted", "busy"]
Status = Literal["waiting", "running", "finished", "failed", "interrupted", "busy", "blocked"]


@dataclass(frozen=True)
class Planned:
    """What decides when a job runs.

    Attributes:
        key: Content key of the job.
        replicate: Which repetition it is of, such as (seed, fold). Repetitions run one after the other, so that an
            experiment that is stopped holds complete pairs.
        weight: Expected work. Of a replicate the longest job goes first, so that no worker waits long at the end.
        inputs: Keys of the jobs that must have finished before.
    """

    key: str
    replicate: tuple[int, int | None]
    weight: float
    inputs: tuple[str, ...] = ()


class Scheduler:
    """Hands out jobs whose inputs have finished, in the order of their replicates.

    Args:
        jobs: All jobs of the experiment, replicate by replicate.
        finished: Keys of jobs that have finished before, these or others.

    Raises:
        ValueError: A key is there twice, or an input is no job.
    """

    def __init__(self, jobs: Sequence[Planned], finished: frozenset[str] = frozenset()) -> None:
        if len({job.key for job in jobs}) < len(jobs):
            raise ValueError("a job is planned twice")
        self._status: dict[str, Status] = {job.key: "waiting" for job in jobs}
        self._status.update(dict.fromkeys(finished, "finished"))
        unknown = {key for job in jobs for key in job.inputs} - set(self._status)
        if unknown:
            raise ValueError(f"inputs that are no jobs: {sorted(unknown)}")
        replicates = list(dict.fromkeys(job.replicate for job in jobs))
        self._jobs = sorted(jobs, key=lambda job: (replicates.index(job.replicate), -job.weight))
        self._block()

    def add(self, job: Planned, is_finished: bool) -> None:
        """Take in one more job, which starts from no other one, after all that are there.

        Raises:
            ValueError: It is there already.
        """
        if job.key in self._status:
            raise ValueError("a job is planned twice")
        self._status[job.key] = "finished" if is_finished else "waiting"
        self._jobs.append(job)

    def next(self) -> str | None:
        """The job to start now, which counts as running from here on; None if none can start."""
        for job in self._jobs:
            if self._status[job.key] == "waiting" and all(self._status[key] == "finished" for key in job.inputs):
                self._status[job.key] = "running"
                return job.key
        return None

    def record(self, key: str, outcome: Outcome) -> list[str]:
        """What became of a job.

        Returns:
            Jobs that can never start now, because one of their inputs did not finish.
        """
        self._status[key] = outcome
        return self._block()

    def busy(self) -> list[str]:
        """Jobs that another process is running, in running order."""
        return [job.key for job in self._jobs if self._status[job.key] == "busy"]

    def retry(self, key: str) -> None:
        """Let a busy job start again: the other process is gone."""
        self._status[key] = "waiting"

    def status(self, key: str) -> Status:
        return self._status[key]

    def left(self) -> list[str]:
        """Jobs that have neither ended nor been given up, in running order."""
        return [job.key for job in self._jobs if self._status[job.key] in ("waiting", "running", "busy")]

    def _block(self) -> list[str]:
        blocked: list[str] = []
        while hopeless := [job.key for job in self._jobs if self._is_hopeless(job)]:  # and what needs those, too
            self._status.update(dict.fromkeys(hopeless, "blocked"))
            blocked += hopeless
        return blocked

    def _is_hopeless(self, job: Planned) -> bool:
        lost = ("failed", "interrupted", "blocked")
        return self._status[job.key] == "waiting" and any(self._status[key] in lost for key in job.inputs)
