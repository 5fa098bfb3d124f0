"""Help a started experiment: any number of machines that share its folder run the remaining jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune import own_code
from finetune.data.loader import Loader
from finetune.errors import Change, OutputError, RunFailed
from finetune.experiments.executors import DEFAULT as LOCAL
from finetune.experiments.executors import choose_executor
from finetune.experiments.finals import reads_models
from finetune.experiments.jobs import Job
from finetune.experiments.kept_models import Keep
from finetune.experiments.nesting import refuse_nested
from finetune.experiments.planning import job_of, read_jobs
from finetune.experiments.running import run_jobs
from finetune.listener import Listener
from finetune.records.comparison import ComparisonFolder, Manifest
from finetune.training.measures import measure_for
from finetune.workflows.arguments import as_list
from finetune.workflows.default_listener import chosen_listener


@dataclass(frozen=True)
class WorkResult:
    """Of `work`.

    Attributes:
        folder: Folder of the experiment.
        runs: All runs of its table.
        here: Runs that this call finished.
        finished: Runs finished on any machine.
        failures: Errors of the others, each with its folder.
        command: The experiment's command: run again, it writes the report.
    """

    folder: Path
    runs: int
    here: int
    finished: int
    command: str
    failures: list[str] = field(default_factory=list)

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: A run has failed.
        """
        if self.failures:
            raise RunFailed(self.failures)


def work(
    folder: str | Path,
    *,
    technique: Any = None,
    allow_code: bool = False,
    executor: str = LOCAL,
    jobs: str | int = "auto",
    jobs_per_gpu: int = 1,
    cell_timeout: float | None = None,
    listener: Listener | None = None,
) -> WorkResult:
    """Run the remaining runs of a comparison, ablation, curve or sweep, together with other processes that do the same.

    A run belongs to the process that holds the lock file in its folder. If that process dies, the run is taken over
    from its last checkpoint. Returns when no run is waiting or in progress on any machine. Refits, soups and students
    (`final`) and the report are left to the experiment's own call. Relative paths in its recipe are resolved against
    the current folder.

    Args:
        folder: Folder of the experiment, shared by all of them.
        technique: The user's own techniques that its recipe names.
        allow_code: Run code that its recipe names: see `Request`.
        executor, jobs, jobs_per_gpu, cell_timeout, listener: As for `compare`.

    Raises:
        OutputError: The folder holds no experiment that has been started.
        KeyboardInterrupt: Passed on; completed work is kept.
    """
    refuse_nested("work")
    experiment = ComparisonFolder(Path(folder))
    runs, kept = _written(experiment, technique)
    chosen = choose_executor(executor, jobs, len(runs), jobs_per_gpu, cell_timeout)
    first = runs[0].recipe
    own_code.check(dict.fromkeys(module for job in runs for module in job.recipe.training.metrics), allow_code)
    measure = measure_for(Loader().load(first.data), first.training.score)
    heard = chosen_listener(listener)
    started: set[str] = set()
    last: list[Any] = []

    def on_change(progress: Any, state: Any) -> None:
        if not last:
            heard.jobs_started(progress, measure)
        last[:] = [progress]
        if state.last_event == "started":
            started.add(state.job.entry.key)
        heard.job_changed(progress, state, measure)

    manifest = experiment.read()
    # What a comparison ends with may read any of the models: its own command removes them afterwards.
    keep: Keep = "all" if reads_models(manifest.final or "best") else kept
    try:
        ended = run_jobs(experiment, manifest, runs, chosen, keep, on_change, is_helper=True)
    finally:
        if last:
            heard.jobs_ended(last[0], measure)
    return _result(experiment, runs, started, ended)


def _written(experiment: ComparisonFolder, technique: Any) -> tuple[list[Job], Keep]:
    """The runs that its command has written down, and which of their models stay."""
    from finetune.techniques import use_technique

    for each in as_list(technique):
        use_technique(each)
    written = read_jobs(experiment)
    planned = [job_of(each, experiment.jobs_path) for each in written.jobs]
    runs = [job for job in planned if job.entry.kind == "train"]
    if not runs:
        raise OutputError(f"{experiment.jobs_path}: lists no run.", Change(text="Type the experiment's command again."))
    return runs, written.keep


def _result(experiment: ComparisonFolder, runs: Sequence[Job], started: set[str], ended: Manifest) -> WorkResult:
    errors = {entry.key: entry.error for entry in ended.cells if entry.error}
    failures = [f"{job.entry.folder}: {errors[job.entry.key]}" for job in runs if job.entry.key in errors]
    here = len(started - errors.keys())
    return WorkResult(experiment.path, len(runs), here, len(runs) - len(failures), ended.command, failures)
