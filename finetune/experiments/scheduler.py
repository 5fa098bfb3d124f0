"""The next job to start, and the outcomes of jobs. Pure: knows neither processes nor files."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["finished", "failed", "interrupted", "busy"]
Status = Literal["waiting", "running", "finished", "failed", "interrupted", "busy", "blocked"]


@dataclass(frozen=True)
class Planned:
    """The facts that determine when a job runs.

    Attributes:
        key: Content key of the job.
        replicate: Its repetition, such as (seed, fold). Repetitions run one after the other, so that a stopped
            experiment has complete pairs.
        weight: Expected work. The longest job of a replicate starts first, so that no worker waits long at the end.
        inputs: Keys of the jobs that must finish first.
    """

    key: str
    replicate: tuple[int, int | None]
    weight: float
    inputs: tuple[str, ...] = ()


class Scheduler:
    """Hands out jobs whose inputs have finished, in the order of their replicates. The time per job does not grow with
    the number of jobs.

    Args:
        jobs: All jobs of the experiment, replicate by replicate.
        finished: Keys of jobs that have already finished, these or others.

    Raises:
        ValueError: A key occurs twice, or an input is not a job.
    """

    def __init__(self, jobs: Sequence[Planned], finished: frozenset[str] = frozenset()) -> None:
        if len({job.key for job in jobs}) < len(jobs):
            raise ValueError("a job is planned twice")
        self._status: dict[str, Status] = {job.key: "waiting" for job in jobs}
        self._status.update(dict.fromkeys(finished, "finished"))
        unknown = {key for job in jobs for key in job.inputs} - set(self._status)
        if unknown:
            raise ValueError(f"inputs that are not jobs: {sorted(unknown)}")
        replicates = {replicate: place for place, replicate in enumerate(dict.fromkeys(job.replicate for job in jobs))}
        self._keys = [job.key for job in sorted(jobs, key=lambda job: (replicates[job.replicate], -job.weight))]
        self._place = {key: place for place, key in enumerate(self._keys)}  # in running order
        self._missing: dict[str, set[str]] = {}  # job -> inputs that have not finished
        self._followers: dict[str, list[str]] = {}  # job -> jobs that it is an input of
        self._busy: set[str] = set()
        for job in jobs:
            self._missing[job.key] = {key for key in job.inputs if self._status[key] != "finished"}
            for key in dict.fromkeys(job.inputs):
                self._followers.setdefault(key, []).append(job.key)
        self._ready = [self._place[key] for key in self._keys if self._can_start(key)]  # sorted, so it is a heap

    def add(self, job: Planned, is_finished: bool) -> None:
        """Add one more job, which starts from no other one, after all existing ones.

        Raises:
            ValueError: It was already added.
        """
        if job.key in self._status:
            raise ValueError("a job is planned twice")
        self._status[job.key] = "finished" if is_finished else "waiting"
        self._place[job.key] = len(self._keys)
        self._keys.append(job.key)
        self._missing[job.key] = set()
        self._offer(job.key)

    def next(self) -> str | None:
        """The job to start now, which counts as running from here on; None if none can start."""
        while self._ready:
            key = self._keys[heapq.heappop(self._ready)]
            if self._can_start(key):
                self._status[key] = "running"
                return key
        return None

    def record(self, key: str, outcome: Outcome) -> list[str]:
        """Record the outcome of a job.

        Returns:
            Jobs that can never start now, because one of their inputs did not finish.
        """
        self._status[key] = outcome
        (self._busy.add if outcome == "busy" else self._busy.discard)(key)
        if outcome == "finished":
            for follower in self._followers.get(key, ()):
                self._missing[follower].discard(key)
                self._offer(follower)
        return self._block(key) if outcome in ("failed", "interrupted") else []

    def busy(self) -> list[str]:
        """Jobs that another process is running, in running order."""
        return sorted(self._busy, key=self._place.__getitem__)

    def retry(self, key: str) -> None:
        """Let a busy job start again: the other process is gone."""
        self._status[key] = "waiting"
        self._busy.discard(key)
        self._offer(key)

    def status(self, key: str) -> Status:
        return self._status[key]

    def left(self) -> list[str]:
        """Jobs that have neither ended nor been given up, in running order."""
        return [key for key in self._keys if self._status[key] in ("waiting", "running", "busy")]

    def _can_start(self, key: str) -> bool:
        return self._status[key] == "waiting" and not self._missing[key]

    def _offer(self, key: str) -> None:
        if self._can_start(key):
            heapq.heappush(self._ready, self._place[key])

    def _block(self, lost: str) -> list[str]:
        """Give up what waits for a job, and what waits for that."""
        blocked: list[str] = []
        hopeless = [lost]
        while hopeless:
            waiting = {each for key in hopeless for each in self._followers.get(key, ())}
            hopeless = sorted((key for key in waiting if self._status[key] == "waiting"), key=self._place.__getitem__)
            self._status.update(dict.fromkeys(hopeless, "blocked"))
            blocked += hopeless
        return blocked
