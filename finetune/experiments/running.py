"""Runs the jobs of an experiment: which are done, which run now, their results, and which models are kept."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from finetune.errors import Change, InUseError, OutputError
from finetune.experiments.executors import Executor
from finetune.experiments.jobs import Event, Job, Task, task_of
from finetune.experiments.kept_models import Keep, KeptModels, models_read
from finetune.experiments.nesting import inside_experiment
from finetune.experiments.progress import JobState, Progress, look_up
from finetune.experiments.scheduler import Outcome, Scheduler
from finetune.records.comparison import ComparisonFolder, Manifest
from finetune.records.store import LOCK, RunFolder, is_in_use

OUTCOMES: dict[str, Outcome] = {
    "finished": "finished",
    "failed": "failed",
    "interrupted": "interrupted",
    "busy": "busy",
}
BETWEEN_WRITES = 2.0  # seconds between manifests: of ten thousand jobs it is four megabytes
BETWEEN_LOOKS = 2.0  # seconds between looks at jobs that other processes are running


class MoreJobs(Protocol):
    """Source of jobs that are not known when the others start."""

    @property
    def at_most(self) -> int:
        """Total number of jobs, if none is skipped."""
        ...

    def more(self, failures: Mapping[str, str]) -> Sequence[Job]:
        """Further jobs that can start now: none while others must end first, and none at the end.

        None of them starts from another one, and each is returned once.

        Args:
            failures: Key -> reason, for the failed jobs.
        """
        ...


def run_jobs(
    folder: ComparisonFolder,
    manifest: Manifest,
    jobs: Sequence[Job],
    executor: Executor,
    keep: Keep,
    on_change: Callable[[Progress, JobState], None],
    others: Sequence[Job] = (),
    is_helper: bool = False,
    further: MoreJobs | None = None,
    after: float = 0.0,
) -> Manifest:
    """Run the missing jobs. A failed job is recorded and stops no other. A job that another process is running is
    awaited, and taken over if that process dies.

    Args:
        folder: Folder of the experiment; the caller holds its lock, unless it is a helper.
        manifest: Lists the jobs; written before the first one starts, soon after failures, and at the end.
        jobs: Replicate by replicate.
        executor: Runs them.
        keep: Which models are kept: those of all runs, of each variant's best run by validation, or none.
        on_change: Called for every event.
        others: Jobs of the experiment that are not run now. Finished ones may be inputs of `jobs`; models that an
            unfinished one reads are kept.
        is_helper: Whether another command is in charge of the folder and of the manifest, which is then not changed.
        further: Called for more jobs whenever none can start, as long as it returns any.
        after: Trainings of the same command after these jobs: see `Progress`.

    Returns:
        The manifest with the errors of failed jobs.

    Raises:
        OutputError: The folder was deleted or renamed meanwhile; no new one is created.
        KeyboardInterrupt: Passed on; complete jobs are kept.
    """
    running = _Running(folder, manifest, jobs, executor.slots, keep, on_change, others, is_helper, further, after)
    running.write_manifest()
    running.tidy_up([job.entry.key for job in jobs])

    def run_what_is_free() -> None:
        with inside_experiment(str(folder.path)):
            executor.run(running, running.on_event)

    try:
        if running.scheduler.left() or running.add_more():
            run_what_is_free()
        while running.scheduler.busy():
            time.sleep(BETWEEN_LOOKS)
            run_what_is_free()
    finally:
        running.write_outcomes()
    if others:
        running.models.remove()
    return running.manifest()


class _Running:
    """The state of one command: gives tasks to the executor, and takes in its events."""

    def __init__(
        self,
        folder: ComparisonFolder,
        manifest: Manifest,
        jobs: Sequence[Job],
        slots: int,
        keep: Keep,
        on_change: Callable[[Progress, JobState], None],
        others: Sequence[Job],
        is_helper: bool,
        further: MoreJobs | None,
        after: float,
    ) -> None:
        self._is_helper = is_helper
        self._further = further
        self._folder = folder
        self._on_change = on_change
        self._states = {job.entry.key: look_up(folder, job) for job in jobs}
        self._others = {job.entry.key: look_up(folder, job) for job in others if job.entry.key not in self._states}
        self._folders = {key: state.job.entry.folder for key, state in self._all()}
        self._restart_without_models()
        states = list(self._states.values())
        finished = frozenset(key for key, state in self._all() if state.status == "finished")
        self.scheduler = Scheduler([state.planned for state in states], finished)
        left = len(self.scheduler.left())
        at_most = 0 if further is None else further.at_most
        self._progress = Progress(states, min(slots, max(1, left, at_most)), at_most, after)
        entries = [state.job.entry for _, state in self._all()]
        self.models = KeptModels(folder, keep, entries, [each.key for each in entries if each.key not in finished])
        self._manifest = manifest
        self._errors: dict[str, str | None] = dict.fromkeys(self._states)
        self._retries = {entry.key: list(entry.retries) for entry in [*manifest.cells, *manifest.jobs] if entry.retries}
        self._unwritten = False
        self._written = float("-inf")  # when the manifest was

    def _all(self) -> list[tuple[str, JobState]]:
        return [*self._states.items(), *self._others.items()]

    def _restart_without_models(self) -> None:
        """Run a finished job again if another one reads its removed model; no other work is lost."""
        waiting = [state.job.entry for state in self._states.values() if state.status != "finished"]
        needed = {key for entry in waiting for key in models_read(entry)}
        for key, state in self._states.items():
            if key in needed and state.status == "finished" and not self._folder.run(state.job.entry).model.is_dir():
                self._states[key] = state.restarted()

    def tidy_up(self, keys: Sequence[str]) -> None:
        """Remove leftovers of an earlier command from jobs not started yet: everything of jobs that start again from
        the beginning, and from finished jobs the files that a kill kept them from removing.
        """
        for state in (self._states[key] for key in keys):
            run = self._folder.run(state.job.entry)
            if state.kept:
                run.remove_checkpoints()
            elif state.damaged:
                self._remove(run, state)

    def _remove(self, run: RunFolder, state: JobState) -> None:
        """Unless another process has begun to do the same."""
        with contextlib.suppress(InUseError), run.locked():
            if look_up(self._folder, state.job).damaged or not run.model.is_dir():
                for path in run.path.iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                    elif path.name != LOCK:
                        path.unlink()

    def manifest(self) -> Manifest:
        """The manifest with the errors and retries so far."""
        return self._manifest.with_errors(self._errors).with_retries(self._retries)

    def write_manifest(self) -> None:
        """Write the manifest if this command is in charge of it."""
        if not self._is_helper:
            if self._written > float("-inf"):
                self._check_there()
            self._folder.write(self.manifest())
        self._unwritten, self._written = False, time.monotonic()

    def write_outcomes(self) -> None:
        """Write errors and retries that the manifest does not have yet."""
        if self._unwritten:
            self.write_manifest()

    def next(self) -> Task | None:
        """See `TaskSource.next`.

        Raises:
            OutputError: The folder is gone.
        """
        self._check_there()
        key = self.scheduler.next()
        if key is None:
            self._look_at_busy()
            key = self.scheduler.next()
        while key is None and self.add_more():
            key = self.scheduler.next()
        return None if key is None else task_of(self._states[key].job, self._folder.path, self._folders)

    def _check_there(self) -> None:
        """A run or a manifest would create the folder again, beside the completed work.

        Raises:
            OutputError: The folder is gone.
        """
        if not self._folder.exists():
            raise OutputError(
                f"{self._folder.path} was deleted or renamed while its runs were in progress.",
                Change(text="Put it back, or name its new place, and type the command again: completed work is kept."),
            )

    def add_more(self) -> bool:
        """Add further jobs; returns whether there were any."""
        if self._further is None:
            return False
        jobs = self._further.more(
            {key: state.message for key, state in self._states.items() if state.status == "failed"}
        )
        for job in jobs:
            state = look_up(self._folder, job)
            self._states[job.entry.key] = state
            self._folders[job.entry.key] = job.entry.folder
            self.scheduler.add(state.planned, state.status == "finished")
            self.models.add(job.entry, state.status == "finished")
            self._progress.states.append(state)
        if jobs:
            self._progress.at_most = self._further.at_most
            self._manifest = self._manifest.with_cells([job.entry for job in jobs])
            self.write_manifest()
            self.tidy_up([job.entry.key for job in jobs])
        return bool(jobs)

    def _look_at_busy(self) -> None:
        """Update the jobs that other processes were running."""
        for key in self.scheduler.busy():
            state = self._states[key]
            run = self._folder.run(state.job.entry)
            if is_in_use(run.path):
                continue
            now = look_up(self._folder, state.job)
            record = None if now.damaged else run.read()
            if now.status == "finished":
                self.on_event(Event("finished", key))
            elif record is not None and record.status == "failed":
                self.on_event(Event("failed", key, message=record.error or "it failed in another process"))
            else:
                self.scheduler.retry(key)

    def on_event(self, event: Event) -> None:
        """Process an event of the executor."""
        state = self._states[event.key]
        state.update(event)
        blocked = self.scheduler.record(event.key, OUTCOMES[event.kind]) if event.kind in OUTCOMES else []
        if event.kind == "failed":
            _mark_failed(self._folder.run(state.job.entry), event.message)
            lost = dict.fromkeys(blocked, f"not started: it needs {state.job.entry.folder}, which failed")
            for key, message in lost.items():
                self._states[key].update(Event("failed", key, message=message))
            self._errors |= {event.key: event.message, **lost}
            self._unwritten = True
        if event.kind == "busy" and event.message:
            self._retries.setdefault(event.key, []).append(event.message)
            self._unwritten = True
        if self._unwritten and time.monotonic() - self._written > BETWEEN_WRITES:
            self.write_manifest()
        if event.kind == "finished":
            self.models.has_finished(state.job.entry)
        self._on_change(self._progress, state)


def _mark_failed(run: RunFolder, message: str) -> None:
    """A process that was killed could not write it down itself."""
    with contextlib.suppress(OutputError):
        record = run.read()
        if record is not None and record.status == "running":
            run.write(record.model_copy(update={"status": "failed", "error": message}))
