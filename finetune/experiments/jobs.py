"""Jobs: the units of work of an experiment. The content key alone determines the result of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.recipe import Recipe
from finetune.records.comparison import JobEntry


@dataclass(frozen=True)
class Job:
    """One unit of work: `entry` is written into the manifest, `recipe` is run.

    Attributes:
        entry: Kind, content key, folder, inputs, options and the place in the table.
        recipe: Recipe of the run; its only seed is the entry's.
        work: Cost without techniques, as a fraction of the most expensive job.
        cost: Declared training time of its techniques on its data, as a multiple of plain fine-tuning.
    """

    entry: JobEntry
    recipe: Recipe
    work: float = 1.0
    cost: float = 1.0


@dataclass(frozen=True)
class Task:
    """A job as sent to a worker: everything that another process must know.

    Attributes:
        key: Content key of the job.
        kind: Name in `KINDS`.
        recipe: Recipe to run.
        folder: Folder of the run.
        options: Options of this kind, as in the manifest.
        inputs: Folders of the jobs that it starts from, in the order of the manifest.
        group: Name of the experiment, for trackers.
    """

    key: str
    kind: str
    recipe: Recipe
    folder: Path
    options: dict[str, Any]
    inputs: tuple[Path, ...] = ()
    group: str | None = None


@dataclass(frozen=True)
class Event:
    """An event that an executor reports about a task.

    Attributes:
        kind: started, step, evaluated, finished, failed or interrupted; busy: another process is running it, or it has
            lost its process; its state must be looked up.
        key: Key of the task.
        step: Optimizer steps done.
        steps: Optimizer steps of the run.
        scores: After an evaluation: train_probe and validation.
        message: Why it failed, or why it is busy although no other process runs it.
        died: It failed because its process died or stopped answering: the work since its last checkpoint is lost, and
            it may well succeed elsewhere.
    """

    kind: str
    key: str
    step: int = 0
    steps: int = 0
    scores: dict[str, dict[str, float]] | None = None
    message: str = ""
    died: bool = False


Preparation = Callable[[Recipe], Any]  # recipe -> finetune.training.prepare.Prepared, shared between jobs


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes:
        run: Task, preparation and transformers callbacks -> a finished run in the task's folder.
        reads_models: The models of its inputs are kept until it has finished, and made again if they are gone.
    """

    run: Callable[[Task, Preparation, Sequence[Any]], None]
    reads_models: bool = False


def task_of(job: Job, folder: Path, folders: Mapping[str, str]) -> Task:
    """The job in the form passed to an executor.

    Args:
        job: The job.
        folder: Folder of the experiment.
        folders: Content key -> folder below it, of all jobs.
    """
    entry = job.entry
    inputs = tuple(folder / folders[key] for key in entry.inputs)
    place = (folder / entry.folder, dict(entry.options), inputs, folder.resolve().name)
    return Task(entry.key, entry.kind, job.recipe, *place)


def train(task: Task, prepare: Preparation, callbacks: Sequence[Any]) -> None:
    """Train, measure and save one run; an interrupted run is continued."""
    _run(prepare(task.recipe), task, callbacks)


def refit(task: Task, prepare: Preparation, callbacks: Sequence[Any]) -> None:
    """Train on train and validation together, for `options["steps"]` optimizer steps of the schedule."""
    from finetune.models.outputs import Outputs
    from finetune.records.predictions import read_run
    from finetune.records.store import RunFolder
    from finetune.training.refit import refitted

    _, arrays = read_run(RunFolder(task.inputs[0]))
    held_out = Outputs(arrays["selected_validation_logits"], arrays["validation_targets"])
    prepared = refitted(prepare(task.recipe), task.options["steps"], task.options.get("fraction"), held_out)
    _run(prepared, task, callbacks)


def soup(task: Task, prepare: Preparation, callbacks: Sequence[Any]) -> None:
    """Average the weights of the inputs' models; nothing is trained, and an interrupted soup is made again."""
    from finetune.records.store import RunFolder
    from finetune.training.soup import make_soup

    make_soup(prepare(task.recipe), [RunFolder(path) for path in task.inputs], RunFolder(task.folder))


def distil(task: Task, prepare: Preparation, callbacks: Sequence[Any]) -> None:
    """Train a student on the mean predictions of the inputs' models for training rows and unlabelled texts."""
    from finetune.records.store import RunFolder
    from finetune.training.distil import distilled, student_rows, teacher_targets

    prepared = prepare(task.recipe)
    rows = student_rows(prepared.data, prepared.data.unlabelled)
    members = [RunFolder(path) for path in task.inputs]
    targets = teacher_targets(prepared, rows, members, RunFolder(task.folder))
    _run(distilled(prepared, rows, targets, len(members)), task, callbacks)


def _run(prepared: Any, task: Task, callbacks: Sequence[Any]) -> None:
    from finetune.records.store import RunFolder
    from finetune.training.runner import run_seed

    folder = RunFolder(task.folder)
    run_seed(prepared, task.recipe.training.seeds[0], folder, list(callbacks), resume=True, group=task.group)


# A kind of job = a function above, one line here, and whoever plans such jobs.
KINDS = {
    "train": JobKind(train),
    "refit": JobKind(refit),
    "soup": JobKind(soup, reads_models=True),
    "distil": JobKind(distil, reads_models=True),
}
