"""From variants, seeds and folds to jobs, and from finished jobs to those that come after them."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune.atomic import write_text
from finetune.data.loader import Loader
from finetune.data.rows import Data
from finetune.errors import OutputError, Problem, RecipeError
from finetune.experiments.jobs import Job
from finetune.experiments.keys import code_digest, job_key, run_key
from finetune.experiments.variants import Variant, for_comparison
from finetune.models.load import model_fingerprint
from finetune.recipe import Recipe, with_rate
from finetune.records.comparison import ComparisonFolder, JobEntry, Kind, Manifest, VariantEntry
from finetune.records.report import Group
from finetune.records.schema import FinishedRecord
from finetune.training.prepare import check_run
from finetune.training.rate_folds import row_passes


def plan_runs(variants: Sequence[Variant], seeds: Sequence[int], folds: int | None, data: Loader) -> list[Job]:
    """All runs of the table, checked short of the weights; seed by seed, so that an unfinished experiment is paired.

    Raises:
        DataError, ModelError, RecipeError: Something could never run; nothing has been started yet.
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
                    problems += _problems(variant.name, recipe, loaded)
                key = run_key(recipe, seed, loaded.fingerprint, models[recipe.model])
                name = f"{_slug(variant.name)}-seed{seed}{'' if fold is None else f'-fold{fold}'}-{key[:8]}"
                entry = JobEntry(variant=variant.name, seed=seed, fold=fold, key=key, folder=f"cells/{name}", code=code)
                jobs.append(Job(entry, recipe, row_passes(recipe, loaded)))
    if problems:
        raise RecipeError([problem for number, problem in enumerate(problems) if problem not in problems[:number]])
    most = max(job.work for job in jobs)
    return [replace(job, work=job.work / most) for job in jobs]


def _problems(variant: str, recipe: Recipe, data: Data) -> list[Problem]:
    try:
        check_run(recipe, data)
    except RecipeError as error:
        return [for_comparison(problem).at(variant) for problem in error.problems]
    return []


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") or "preset"


def plan_refit(folder: ComparisonFolder, group: Group, runs: Sequence[Job]) -> Job:
    """The recommended preset once more on train and validation, for the median of its selected steps.

    Args:
        folder: Of the comparison.
        group: Its analysis.
        runs: Its runs.

    Raises:
        OutputError: Nothing is recommended.
    """
    chosen = group.recommendation
    if chosen is None:
        raise OutputError("nothing is recommended, so there is no model to keep.")
    place = (chosen.variant, chosen.seed, chosen.fold)
    run = next(job for job in runs if (job.entry.variant, job.entry.seed, job.entry.fold) == place)
    variant = next(variant for variant in group.variants if variant.name == chosen.variant)
    steps = round(statistics.median(run.selected_step for run in variant.runs if run.selected_step is not None))
    record = folder.run(run.entry).read()
    fraction = record.selected.share if isinstance(record, FinishedRecord) else None
    chosen_rate = None if record is None else record.budget.learning_rate
    recipe = run.recipe if chosen_rate is None else with_rate(run.recipe, chosen_rate.value)
    options: dict[str, Any] = {"steps": steps} if fraction is None else {"steps": steps, "fraction": fraction}
    entry = JobEntry(
        kind="refit",
        variant=run.entry.variant,
        seed=run.entry.seed,
        fold=run.entry.fold,
        key=job_key("refit", [run.entry.key], options),
        folder=f"refits/{Path(run.entry.folder).name}-{steps}",
        inputs=[run.entry.key],
        options=options,
        code=run.entry.code,
    )
    return Job(entry, recipe, run.work)


def make_manifest(
    kind: Kind,
    command: str,
    baseline: str,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    folds: int | None,
    runs: Sequence[Job],
) -> Manifest:
    """What this experiment was asked for, as it is written down."""
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
            )
            for variant in variants
        ],
        seeds=list(seeds),
        folds=folds,
        cells=[job.entry for job in runs],
    )


def write_jobs(folder: ComparisonFolder, jobs: Sequence[Job]) -> None:
    """Write down every job with its whole recipe, so that `finetune cell` can run one of them alone."""
    content = {
        "directory": str(Path.cwd()),  # relative paths of recipes start there
        "jobs": [{**job.entry.model_dump(exclude={"error"}), "recipe": job.recipe.to_dict()} for job in jobs],
    }
    write_text(folder.jobs_path, json.dumps(content, ensure_ascii=False, indent=1))


def write_texts(folder: ComparisonFolder, jobs: Sequence[Job], data: Loader) -> None:
    """Keep the rows that scores are reported on, so that a report can show where presets disagree."""
    kept: dict[str, dict[str, list[object]]] = {}
    for job in jobs:
        loaded = data.load(job.recipe.data)
        rows = loaded.validation if loaded.test is None else loaded.test
        if loaded.fingerprint not in kept:
            pairs = [None] * len(rows) if rows.pairs is None else rows.pairs
            kept[loaded.fingerprint] = {
                row: [text, pair] for row, text, pair in zip(rows.ids, rows.texts, pairs, strict=True)
            }
    folder.path.mkdir(parents=True, exist_ok=True)
    write_text(folder.texts, json.dumps(kept, ensure_ascii=False))
