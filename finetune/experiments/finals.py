"""The jobs that make the final model of a comparison from the runs of the recommended preset."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from finetune.data.loader import Loader
from finetune.data.rows import Data
from finetune.errors import Change, OutputError, Problem, RecipeError, suggest
from finetune.experiments.default_final import MADE, Final, not_worth_it
from finetune.experiments.jobs import KINDS, Job
from finetune.experiments.keys import job_key
from finetune.experiments.variants import Variant, for_comparison
from finetune.recipe import Recipe, with_rate
from finetune.records.comparison import FEWEST_MEMBERS, ComparisonFolder, FinalName, JobEntry
from finetune.records.report import Group, Recommendation, VariantReport
from finetune.records.schema import FinishedRecord
from finetune.records.store import slug
from finetune.training.refit import refit_steps

NAMES: tuple[FinalName, ...] = get_args(FinalName)


def check_final(name: Any, seeds: Sequence[int]) -> FinalName:
    """Refuse a final model that could not be made, before anything else is checked.

    Args:
        name: Requested kind.
        seeds: Seeds of the runs.

    Raises:
        RecipeError: There is no such kind, or it needs more seeds.
    """
    if name not in NAMES:
        raise RecipeError(f"is not one of {', '.join(NAMES)}.{suggest(str(name), NAMES)}", argument="final", found=name)
    if name in ("soup", "distil") and len(seeds) < FEWEST_MEMBERS:
        raise RecipeError(
            f"it is made from the runs of one preset with {FEWEST_MEMBERS} seeds or more (of one fold, with folds).",
            Change(arguments={"seeds": 5}),
            argument="final",
            found=name,
        )
    found: FinalName = name
    return found


def soup_warnings(final: Final, variants: Sequence[Variant], data: Data) -> list[str]:
    """Warnings, before anything is trained, about presets whose runs do not start alike."""
    if final.name != "soup":
        return []
    from finetune.models.load import find_head
    from finetune.training.soup import start_problem

    found = {
        variant.name: start_problem(variant.recipe, find_head(variant.recipe.model, data.task, data.labels))
        for variant in variants
    }
    problems = {name: problem for name, problem in found.items() if problem is not None}
    return [
        for_comparison(problem).at(f"--final soup: {', '.join(problems)}").for_command_line()
        for problem in list(problems.values())[:1]
    ]


def reads_models(final: FinalName) -> bool:
    """Whether the final model of a comparison starts from the models of its runs."""
    return any(KINDS[kind].reads_models for kind in MADE[final])


def possible_finals(final: Final, runs: Sequence[Job]) -> list[Job]:
    """All jobs that could follow the runs and read their models, whichever preset is recommended: one for each preset
    (and fold). Models are kept as long as such a job may follow.
    """
    kinds = [kind for kind in final.kinds if KINDS[kind].reads_models]
    groups: dict[tuple[str, int | None], list[Job]] = {}
    for run in runs:
        groups.setdefault((run.entry.variant, run.entry.fold), []).append(run)
    return [_from_all(kind, members) for kind in kinds for members in groups.values() if len(members) >= FEWEST_MEMBERS]


def plan_finals(final: Final, folder: ComparisonFolder, group: Group, runs: Sequence[Job], data: Loader) -> list[Job]:
    """The jobs that make the final model of the comparison.

    Args:
        final: Kind of the final model.
        folder: Folder of the comparison.
        group: Its analysis.
        runs: Its runs.
        data: Data of the runs.

    Returns:
        One job for each model. A job that cannot be done has the reason as its entry's error, and is not to be run.

    Raises:
        OutputError: Nothing is recommended.
    """
    chosen = group.recommendation
    if chosen is None:
        raise OutputError("nothing is recommended, so there is no model to make.")
    variant = next(variant for variant in group.variants if variant.name == chosen.variant)
    seeds = [run.seed for run in variant.runs if run.status == "finished" and run.fold == chosen.fold]
    places = [(chosen.variant, seed, chosen.fold) for seed in seeds]
    members = [run for run in runs if (run.entry.variant, run.entry.seed, run.entry.fold) in places]
    jobs = []
    for kind in MADE[final.name]:
        if kind == "refit":
            refit = _refit(folder, variant, chosen, runs, data)
            reason = (final.reason or not_worth_it(variant)) if final.is_default else None
            jobs.append(Job(refit.entry.model_copy(update={"error": reason}), refit.recipe, refit.work))
            continue
        problem = _problem(members)
        job = _from_all(kind, members)
        reason = None if problem is None else problem.for_command_line()
        first = next(run for run in members if run.entry.key == job.entry.inputs[0])
        recipe = _at_its_rate(first, folder)
        jobs.append(Job(job.entry.model_copy(update={"error": reason}), recipe, job.work))
    return jobs


def _problem(members: Sequence[Job]) -> Problem | None:
    """Why neither a soup nor a student can be made of these runs."""
    if len(members) >= FEWEST_MEMBERS:
        return None
    count = f"{len(members)} run{'s' * (len(members) != 1)} of it {'has' if len(members) == 1 else 'have'} finished"
    more = Change(arguments={"seeds": 5})
    return Problem(
        f"the recommended preset has too few runs: {count}, and {FEWEST_MEMBERS} are needed.", changes=(more,)
    )


def _from_all(kind: str, members: Sequence[Job]) -> Job:
    """A job that starts from the models of all these runs, with recipe and seed of the first in the order of seeds."""
    members = sorted(members, key=lambda member: member.entry.seed)
    first = members[0].entry
    keys = [member.entry.key for member in members]
    key = job_key(kind, keys, {})
    place = "" if first.fold is None else f"-fold{first.fold}"
    entry = JobEntry(
        kind=kind,
        variant=first.variant,
        seed=first.seed,
        fold=first.fold,
        key=key,
        folder=f"final/{kind}-{slug(first.variant)}{place}-{key[:8]}",
        inputs=keys,
        code=first.code,
    )
    return Job(entry, members[0].recipe, members[0].work if kind == "distil" else 0.0)


def _refit(
    folder: ComparisonFolder, variant: VariantReport, chosen: Recommendation, runs: Sequence[Job], data: Loader
) -> Job:
    """The recommended preset once more on train and validation, for the median of what was selected of its schedule."""
    place = (chosen.variant, chosen.seed, chosen.fold)
    run = next(job for job in runs if (job.entry.variant, job.entry.seed, job.entry.fold) == place)
    selected = [
        each.selected_step / each.planned_steps
        for each in variant.runs
        if each.selected_step is not None and each.planned_steps
    ]
    steps = refit_steps(run.recipe, data.load(run.recipe.data), min(1.0, statistics.median(selected)))
    record = folder.run(run.entry).read()
    fraction = record.selected.share if isinstance(record, FinishedRecord) else None
    options: dict[str, Any] = {"steps": steps} if fraction is None else {"steps": steps, "fraction": fraction}
    key = job_key("refit", [run.entry.key], options)
    entry = JobEntry(
        kind="refit",
        variant=run.entry.variant,
        seed=run.entry.seed,
        fold=run.entry.fold,
        key=key,
        folder=f"final/refit-{Path(run.entry.folder).name}-{steps}",
        inputs=[run.entry.key],
        options=options,
        code=run.entry.code,
    )
    return Job(entry, _at_its_rate(run, folder), run.work)


def _at_its_rate(run: Job, folder: ComparisonFolder) -> Recipe:
    """The recipe of a run that has finished, with the learning rate that it chose, where it was to choose one."""
    record = folder.run(run.entry).read()
    chosen = None if record is None else record.budget.learning_rate
    return run.recipe if chosen is None else with_rate(run.recipe, chosen.value)
