"""From the trials of a tune to its published files: report, recipe and model of the chosen setting."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from finetune.analysis.choice import validation_order
from finetune.analysis.comparison import report_of
from finetune.analysis.tune import RULE, choose, compare_trials, spared, tested_settings, with_words
from finetune.atomic import replaced_folder, write_text
from finetune.experiments.tuning import Tuner, best_of
from finetune.listener import Listener
from finetune.recipe import Recipe
from finetune.records.comparison import ComparisonFolder
from finetune.records.frame import ReportFrame
from finetune.records.schema import FinishedRecord
from finetune.records.tune import TuneReport
from finetune.reports.tune_page import write_tune
from finetune.workflows.model_cards import write_card
from finetune.workflows.publishing import tell_skipped

if TYPE_CHECKING:
    from finetune.workflows.tune import Plan

RECIPE = "tuned.yaml"


def publish_tune(plan: Plan, tuner: Tuner, listener: Listener) -> tuple[TuneReport, list[Path]]:
    """Choose, write recipe and report, and put the chosen model in its place; the caller holds the folder.

    Returns:
        The report, and the paths of tune.json, tune.html and tune.md.
    """
    found = report_of([plan.folder.path / "test"])
    tell_skipped(found.skipped, listener)
    group, trials = found.groups[0], tuner.state
    pooled = {trial.number: tuner.pooled(trial) for trial in trials.trials if trial.fold_scores}
    reports, tried = compare_trials(trials.trials, pooled, group.task, group.score)
    best = best_of(trials.trials).name
    chosen = choose(reports, best)
    trial = next(trial for trial in trials.trials if trial.name == chosen)
    recipe = plan.variant(trial).recipe
    path = plan.folder.path / RECIPE
    write_text(path, recipe_text(recipe, plan.command, chosen))
    report = TuneReport(
        title=f"{group.name}: tuning {plan.default.preset}",
        name=group.name,
        preset=str(plan.default.preset),
        command=plan.command,
        task=group.task,
        score=group.score,
        folds=trials.folds,
        seed=trials.seed,
        seeds=plan.seeds,
        rows={
            **{split: count for split, count in group.rows.items() if split != "train_probe"},
            "fold": len(plan.sets.load(plan.on_default().runs[0].recipe.data).train),
        },
        space=trials.space,
        trials=reports,
        tried=tried,
        trained=sum(len(trial.fold_scores) for trial in trials.trials),
        spared=spared(trials),
        best=best,
        chosen=chosen,
        rule=RULE,
        tested=tested_settings(reports, group),
        headline="",
        conditions=ReportFrame(**{key: getattr(group, key) for key in ReportFrame.model_fields}),
        recipe=str(path),
        model=_export(ComparisonFolder(plan.folder.path / "test"), chosen, plan.folder, listener),
    )
    report = with_words(report)
    return report, write_tune(report, plan.folder.path)


def recipe_text(recipe: Recipe, command: str, chosen: str) -> str:
    """A recipe file: values that differ from the schema's defaults, and the techniques with all of their settings."""
    content: dict[str, Any] = recipe.model_dump(mode="json", exclude_defaults=True)
    kept = {key: value for key, value in content.items() if key in ("model", "data", "training")}
    # Of techniques every setting: null is not the default of all that may be null.
    body = yaml.safe_dump(
        {**kept, "techniques": recipe.to_dict()["techniques"]}, sort_keys=False, allow_unicode=True, width=100
    )
    about = "the default settings stayed" if chosen == "default" else f"the settings of {chosen}"
    lines = [f"# Tuned: {about}", "#", *(f"#   {line}" for line in command.splitlines()), ""]
    return "\n".join(lines) + "\n" + body


def _export(tested: ComparisonFolder, chosen: str, folder: ComparisonFolder, listener: Listener) -> str | None:
    """Copy the model of the chosen setting, of its best seed on validation; None where no seed has finished."""
    runs = [tested.run(entry) for entry in tested.read().cells if entry.variant == chosen]
    finished = {run: record for run in runs if isinstance(record := run.read(), FinishedRecord) and run.model.is_dir()}
    if not finished:
        return None
    best = max(finished, key=lambda run: validation_order(finished[run]))
    with replaced_folder(folder.model) as partial:
        shutil.copytree(best.model, partial)
    shipped = best.path.relative_to(folder.path).as_posix()  # where explain, evaluate and export find its rows
    folder.write(folder.read().model_copy(update={"shipped": shipped}))
    write_card(best, folder.model, listener)
    return str(folder.model)
