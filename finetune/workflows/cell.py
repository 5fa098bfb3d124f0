"""Run one job of a planned experiment alone: for clusters, and to see why a job failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune import own_code
from finetune.errors import InUseError, OutputError, RunFailed
from finetune.experiments.executors.execution import Preparations, execute
from finetune.experiments.jobs import Event, Job, task_of
from finetune.experiments.nesting import refuse_nested
from finetune.experiments.planning import job_of, read_jobs
from finetune.experiments.progress import Progress, look_up
from finetune.listener import Listener
from finetune.records.comparison import ComparisonFolder, JobEntry
from finetune.records.schema import RunRecord
from finetune.training.measures import measure_for
from finetune.workflows.arguments import as_list
from finetune.workflows.default_listener import chosen_listener


def cell(
    folder: str | Path,
    key: str,
    *,
    technique: Any = None,
    allow_code: bool = False,
    listener: Listener | None = None,
) -> RunRecord:
    """Run one job of `jobs.json`, continue it where it was interrupted, or return the record if it has finished.

    The experiment's own command then finds it finished. Relative paths in its recipe are resolved against the current
    folder.

    Args:
        folder: Folder of the experiment.
        key: Content key of the job, or the beginning of one; or the name of its folder.
        technique: The user's own techniques that its recipe names.
        allow_code: Run code that its recipe names: see `Request`.
        listener: As for `compare`.

    Raises:
        OutputError: There is no such job, or another process is running it.
        RunFailed: The job could not continue; its record says why.
    """
    return run_cell(folder, key, technique=technique, allow_code=allow_code, listener=chosen_listener(listener))[1]


def run_cell(
    folder: str | Path, key: str, *, technique: Any, allow_code: bool, listener: Listener
) -> tuple[JobEntry, RunRecord]:
    """As `cell`; also returns which job it was."""
    refuse_nested("cell")
    from finetune.techniques import use_technique

    for each in as_list(technique):
        use_technique(each)
    experiment = ComparisonFolder(Path(folder))
    job, folders = _find(experiment, key)
    own_code.check(job.recipe.training.metrics, allow_code)
    state = look_up(experiment, job)
    progress = Progress([state], 1)
    prepare = Preparations()
    measure = measure_for(prepare(job.recipe).data, job.recipe.training.score)
    listener.jobs_started(progress, measure)

    def on_event(event: Event) -> None:
        state.update(event)
        listener.job_changed(progress, state, measure)

    try:
        last = execute(task_of(job, experiment.path, folders), prepare, on_event)
        on_event(last)
    finally:
        listener.jobs_ended(progress, measure)
    if last.kind == "busy":
        raise InUseError(f"{experiment.run(job.entry).path}: another process is running it.")
    if last.kind == "failed":
        raise RunFailed(last.message)
    record = experiment.run(job.entry).read()
    if record is None:
        raise OutputError(f"{experiment.run(job.entry).path}: was removed while it ran.")
    return job.entry, record


def _find(experiment: ComparisonFolder, key: str) -> tuple[Job, dict[str, str]]:
    """The job, and the folder of every job by its key.

    Raises:
        OutputError: There is no such job, or several.
    """
    path, written = experiment.jobs_path, read_jobs(experiment).jobs
    matches = [each for each in written if each.key.startswith(key) or Path(each.folder).name == key]
    if len(matches) != 1:
        known = ", ".join(each.key[:8] for each in written[:6])
        found = "several jobs" if matches else "no job"
        have = "have" if matches else "has"
        raise OutputError(f"{found} of {path} {have} the key '{key}'. The keys start with: {known}, …")
    return job_of(matches[0], path), {each.key: each.folder for each in written}
