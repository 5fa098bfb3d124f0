"""From variants, seeds and folds to the runs of the table, and to the files that describe them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from finetune.atomic import write_text
from finetune.data.loader import Loader
from finetune.data.rows import Data
from finetune.errors import Change, OutputError, Problem, RecipeError
from finetune.experiments.jobs import KINDS, Job
from finetune.experiments.kept_models import Keep
from finetune.experiments.keys import code_digest, run_key
from finetune.experiments.variants import Variant, for_comparison
from finetune.models.load import model_fingerprint
from finetune.recipe import Recipe, resolve
from finetune.records.checksum import read_checked, with_checksum
from finetune.records.comparison import ComparisonFolder, FinalName, JobEntry, Kind, Manifest, VariantEntry
from finetune.records.frozen import Frozen, what_is_wrong
from finetune.records.store import slug
from finetune.training.budgets import plan_budget
from finetune.training.facts import declared_cost
from finetune.training.prepare import check_run
from finetune.training.rate_folds import row_passes

AGAIN = "Type the experiment's command again: it rewrites the file."


def plan_runs(variants: Sequence[Variant], seeds: Sequence[int], folds: int | None, data: Loader) -> list[Job]:
    """All runs of the table, checked except for the weights; seed by seed, so that an unfinished experiment has pairs.

    Raises:
        DataError, ModelError, RecipeError: A run would certainly fail; nothing has been started yet.
    """
    code = code_digest()
    models = {variant.recipe.model: model_fingerprint(variant.recipe.model) for variant in variants}
    problems: list[Problem] = []
    jobs = []
    for seed in seeds:
        for fold in range(folds) if folds else (None,):
            for variant in variants:
                recipe = variant.recipe_for(seed, folds, fold)
                loaded = data.load(recipe.data)
                if seed == seeds[0] and not fold:
                    problems += _problems(variant, recipe, loaded)
                key = run_key(recipe, seed, loaded.fingerprint, models[recipe.model])
                name = f"{slug(variant.name)}-seed{seed}{'' if fold is None else f'-fold{fold}'}-{key[:8]}"
                entry = JobEntry(variant=variant.name, seed=seed, fold=fold, key=key, folder=f"cells/{name}", code=code)
                cost = declared_cost(recipe, plan_budget(recipe, loaded))
                jobs.append(Job(entry, recipe, row_passes(recipe, loaded), cost))
    if problems:
        raise RecipeError([problem for number, problem in enumerate(problems) if problem not in problems[:number]])
    most = max(job.work for job in jobs)
    return [replace(job, work=job.work / most) for job in jobs]


def _problems(variant: Variant, recipe: Recipe, data: Data) -> list[Problem]:
    try:
        check_run(recipe, data)
    except RecipeError as error:
        return [for_comparison(problem, variant.typed).at(variant.name) for problem in error.problems]
    return []


def make_manifest(
    kind: Kind,
    command: str,
    baseline: str,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    folds: int | None,
    runs: Sequence[Job],
    final: FinalName = "best",
) -> Manifest:
    """The manifest with the request of this experiment."""
    return Manifest(
        kind=kind,
        command=command,
        baseline=baseline,
        variants=[
            VariantEntry(
                name=variant.name,
                baseline=variant.baseline,
                technique=variant.technique,
                techniques=variant.recipe.to_dict()["techniques"],
                preset=variant.preset,
                size=variant.size,
                settings=dict(variant.settings),
                point=dict(variant.point),
            )
            for variant in variants
        ],
        seeds=list(seeds),
        folds=folds,
        cells=[job.entry for job in runs],
        final=final,
    )


class WrittenJob(JobEntry):
    """A job in jobs.json."""

    recipe: dict[str, Any] = Field(min_length=1)

    def entry(self) -> JobEntry:
        """The job as in the manifest."""
        return JobEntry.model_validate(self.model_dump(exclude={"recipe"}))


class WrittenJobs(Frozen):
    """jobs.json: all jobs of an experiment that are known so far.

    Attributes:
        keep: Which models are kept, as in `run_jobs`.
        directory: Folder in which the experiment was started; relative paths of recipes start there.
        jobs: Each with its recipe.
    """

    keep: Keep = "all"
    directory: str | None = None
    jobs: list[WrittenJob]

    @model_validator(mode="after")
    def _fit_together(self) -> WrittenJobs:
        keys = {job.key for job in self.jobs}
        if len(keys) < len(self.jobs):
            raise ValueError("two jobs have the same key")
        if unknown := {key for job in self.jobs for key in job.inputs} - keys:
            raise ValueError(f"no job has the key {min(unknown)}, from which another one starts")
        return self


def write_jobs(folder: ComparisonFolder, jobs: Sequence[Job], keep: Keep) -> None:
    """Write every job with its whole recipe to a file, so that `finetune work` and `finetune cell` can run them.

    Args:
        folder: Folder of the experiment.
        jobs: Its jobs.
        keep: Which models are kept, as in `run_jobs`.
    """
    # A line for each: with indents, json takes ten times as long.
    lines = ",\n".join(json.dumps(_written(job), ensure_ascii=False) for job in jobs)
    place = json.dumps({"keep": keep, "directory": str(Path.cwd())})  # relative paths of recipes start there
    write_text(folder.jobs_path, with_checksum(f'{place[:-1]},\n"jobs": [\n{lines}\n]}}'))


def _written(job: Job) -> dict[str, Any]:
    return {**job.entry.model_dump(exclude={"error", "retries"}), "recipe": job.recipe.to_dict()}


def read_jobs(folder: ComparisonFolder) -> WrittenJobs:
    """The content written by `write_jobs`.

    Raises:
        OutputError: There is no such file, or it is damaged.
    """
    path = folder.jobs_path
    try:
        return WrittenJobs.model_validate(read_checked(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OutputError(
            f"{path}: no such file. Name the folder of a comparison, an ablation, a curve or a sweep that was started.",
        ) from error
    except Exception as error:  # whatever JSON of others makes of it
        raise OutputError(f"{path}: cannot be read: {what_is_wrong(error)}.", Change(text=AGAIN)) from error


def job_of(written: WrittenJob, path: Path) -> Job:
    """One of those jobs.

    Raises:
        OutputError: This version does not know its kind or recipe.
    """
    if written.kind not in KINDS:
        raise OutputError(f"{path}: a job of kind '{written.kind}' is unknown to this version of finetune.")
    try:
        return Job(written.entry(), resolve(written.recipe).recipe)
    except RecipeError as error:
        wrong = replace(error.problems[0], changes=()).for_command_line()  # whose changes are for a recipe of one's own
        why = f"{path}: the recipe of the job {written.folder} is not valid: {wrong}"
        raise OutputError(why, Change(text=AGAIN)) from error


def write_texts(folder: ComparisonFolder, jobs: Sequence[Job], data: Loader) -> None:
    """Save the rows that scores are reported on, so that a report can show where presets disagree."""
    kept: dict[str, dict[str, list[object]]] = {}
    for job in jobs:
        loaded = data.load(job.recipe.data)
        rows = loaded.validation if loaded.test is None else loaded.test
        if loaded.fingerprint not in kept:
            pairs = [None] * len(rows) if rows.pairs is None else rows.pairs
            kept[loaded.fingerprint] = {
                row: [text, pair, rows.name(index)]
                for index, (row, text, pair) in enumerate(zip(rows.ids, rows.texts, pairs, strict=True))
            }
    folder.path.mkdir(parents=True, exist_ok=True)
    write_text(folder.texts, json.dumps(kept, ensure_ascii=False))
