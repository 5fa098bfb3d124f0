"""From variants, seeds and folds to the runs of the table, and what is written down of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finetune.atomic import write_text
from finetune.data.loader import Loader
from finetune.data.rows import Data
from finetune.errors import Problem, RecipeError
from finetune.experiments.jobs import Job
from finetune.experiments.keys import code_digest, run_key
from finetune.experiments.variants import Variant, for_comparison
from finetune.models.load import model_fingerprint
from finetune.recipe import Recipe
from finetune.records.checksum import with_checksum
from finetune.records.comparison import ComparisonFolder, FinalName, JobEntry, Kind, Manifest, VariantEntry
from finetune.records.store import slug
from finetune.training.budgets import plan_budget
from finetune.training.facts import declared_cost
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
                name = f"{slug(variant.name)}-seed{seed}{'' if fold is None else f'-fold{fold}'}-{key[:8]}"
                entry = JobEntry(variant=variant.name, seed=seed, fold=fold, key=key, folder=f"cells/{name}", code=code)
                cost = declared_cost(recipe, plan_budget(recipe, loaded))
                jobs.append(Job(entry, recipe, row_passes(recipe, loaded), cost))
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
        final=final,
    )


def write_jobs(folder: ComparisonFolder, jobs: Sequence[Job]) -> None:
    """Write down every job with its whole recipe, so that `finetune cell` can run one of them alone."""
    content = {
        "directory": str(Path.cwd()),  # relative paths of recipes start there
        "jobs": [{**job.entry.model_dump(exclude={"error"}), "recipe": job.recipe.to_dict()} for job in jobs],
    }
    write_text(folder.jobs_path, with_checksum(json.dumps(content, ensure_ascii=False, indent=1)))


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
