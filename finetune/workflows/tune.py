"""Tune a preset: learning rate, then strengths, by folds of the training rows; test is opened once, at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune.data.loader import Loader
from finetune.errors import Change, OutputError, RecipeError, RunFailed
from finetune.experiments.asked import Preset
from finetune.experiments.estimates import describe_jobs, find_pace
from finetune.experiments.executors import DEFAULT as LOCAL
from finetune.experiments.executors import Executor, choose_executor
from finetune.experiments.nesting import refuse_nested
from finetune.experiments.options import Options
from finetune.experiments.planning import plan_runs, write_jobs
from finetune.experiments.progress import look_up
from finetune.experiments.sampling import load_optuna
from finetune.experiments.search_space import search_space
from finetune.experiments.tuning import Tuner, best_of, folds_left, shortfall
from finetune.experiments.variants import Variant, fit_variants
from finetune.listener import Listener
from finetune.measurement.scores import Measure
from finetune.recipe import DEFAULT_RATE, Recipe, is_auto, preset_name, with_rate
from finetune.records.comparison import ComparisonFolder
from finetune.records.schema import OWN
from finetune.records.tune import Dimension, Trial, Trials, read_trials, write_trials
from finetune.reports.tune import trial_text
from finetune.training.measures import measure_for
from finetune.training.prepare import fitted_recipe
from finetune.training.version import ALGORITHM_VERSION
from finetune.workflows.arguments import seed_list
from finetune.workflows.asking import Request
from finetune.workflows.calls import split_call
from finetune.workflows.experiment import Experiment, carry_out, plan_experiment, run_all, tell_data
from finetune.workflows.folders import find_experiment, folder_name, open_experiment
from finetune.workflows.results import TuneResult
from finetune.workflows.tuned import publish_tune

FOLDS = 3
MOST_TRIALS = 1000
MOST_RATE_TRIALS = 10  # of one number: more are better spent on the strengths
Ranges = Mapping[str, Sequence[float]]


def tune(
    recipe: Any = None,
    *,
    preset: Preset = "medium",
    trials: int = 30,
    folds: int = FOLDS,
    ranges: Ranges | Sequence[str] | None = None,
    seeds: int | Sequence[int] = 3,
    model: Any = None,
    data: Any = None,
    overrides: Any = (),
    skip_bad_rows: bool = False,
    drop_leaks: bool = False,
    technique: Any = None,
    metric: str | Sequence[str] | None = None,
    allow_code: bool = False,
    executor: str = LOCAL,
    jobs: str | int = "auto",
    jobs_per_gpu: int = 1,
    cell_timeout: float | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    command: str | None = None,
    listener: Listener | None = None,
) -> TuneResult:
    """Search the learning rate and strengths of a preset; keep the default unless it is beaten beyond chance.

    Every setting is trained on folds of the training rows, and stopped early if it is worse than the best beyond
    chance; then the default and the best setting are trained on the data's own splits, and measured on test. The same
    call continues where it was stopped; with more `trials` it adds some.

    Args:
        preset: Preset to tune: name, path, or `{name: {technique: settings}}`; "own" stands for the recipe's own
            techniques.
        trials: Settings to try in addition to the default; a third of them, at most ten, vary the learning rate only.
        folds: Number of folds of the training rows, each left out in turn.
        ranges: Key -> (low, high), or `key=low,high`: only these settings are searched, in these ranges. By default the
            learning rate, and the ranges that the techniques declare (docs/techniques.md).
        seeds: Seeds of the runs that are measured on test; the folds are trained with the first.
        recipe, model, data, overrides, skip_bad_rows, drop_leaks, technique, metric, allow_code: See `Request`.
        executor, jobs, jobs_per_gpu, cell_timeout, output, resume, command, listener: As for `compare`.

    Raises:
        FinetuneError, KeyboardInterrupt: As `compare`.
    """
    request, rest = split_call("tune", locals())
    return tune_request(request, **rest)


@dataclass(frozen=True)
class Plan:
    """A planned tune: nothing has been written yet.

    Attributes:
        folder: Output folder; the runs that are measured on test go into its `test/`.
        default: The recipe with the preset's settings for this data.
        trials: The trials so far, if any.
        wanted: Settings to try in addition to the default.
        seeds: Seeds of the runs that are measured on test.
        executor: Executor of all jobs.
        sets: The data, loaded once.
        command: The command that reproduces it.
        measure: Main score and loss.
    """

    folder: ComparisonFolder
    default: Recipe
    trials: Trials
    wanted: int
    seeds: list[int]
    executor: Executor
    sets: Loader
    command: str
    measure: Measure

    def variant(self, trial: Trial) -> Variant:
        """A trial on the data's own splits."""
        recipe = self.default if not trial.number else Options(self.default).resolve(None, trial.settings)
        recipe = recipe.model_copy(update={"preset": trial.name})
        return Variant(trial.name, "default" if trial.number else None, recipe, settings=trial.settings)

    def on_folds(self, trial: Trial) -> Variant:
        """A trial on folds of the training rows; the data checks are those of all rows."""
        variant = self.variant(trial)
        section = variant.recipe.data.model_copy(update={"folds_of": "train", "check": False})
        inner = replace(variant, recipe=variant.recipe.model_copy(update={"data": section}))
        return fit_variants([inner], self.trials.folds, self.sets)[0][0]

    def on_default(self) -> Experiment:
        """The default on its folds, with which every tune begins.

        Raises:
            FinetuneError: A run could never work.
        """
        variant = self.on_folds(Trial(number=0, stage="default", settings={}))
        asked = ([self.trials.seed], self.trials.folds, self.folder, self.executor, self.sets)
        return plan_experiment("tune", self.command, "default", [variant], *asked)

    def describe(self) -> dict[str, Any]:
        """How many trainings are left at most, and how long they will take."""
        first = self.on_default()
        states = [look_up(self.folder, job) for job in first.runs]
        found = describe_jobs(states, self.executor, find_pace(states, self.executor, self.sets), further=1)
        each = found["seconds"] / (found["to_run"] / found["jobs"] + 1)
        folds = folds_left(self.trials, self.wanted)
        last = 2 * len(self.seeds)
        space = [each.model_dump() for each in self.trials.space]
        return {
            "space": space,
            "folds": folds,
            "test": last,
            "jobs": found["jobs"],
            "seconds": each * (folds + last) / found["jobs"],
            "source": found["source"],
        }


def tune_request(request: Request, *, listener: Listener, **asked: Any) -> TuneResult:
    """As `tune`, from a `Request`; `asked` goes to `plan_tune`."""
    plan = plan_tune(request, listener=listener, **asked)
    with plan.folder.locked():
        tuner = _search(plan, listener)
        if missing := shortfall(tuner.state, plan.wanted):
            listener.notice(missing, "warning")
        last = _test_experiment(plan, tuner)
        with last.folder.locked():
            manifest = carry_out(last, "best", listener)
        report, paths = publish_tune(plan, tuner, listener)
    failed = [f"{entry.folder}: {entry.error}" for entry in manifest.cells if entry.error is not None]
    return TuneResult(report, plan.folder.path, paths, failed)


def plan_tune(
    request: Request,
    *,
    preset: Preset,
    trials: int,
    folds: int,
    ranges: Any,
    seeds: int | Sequence[int],
    executor: str,
    jobs: str | int,
    jobs_per_gpu: int,
    cell_timeout: float | None = None,
    output: str | Path | None,
    resume: bool,
    command: str,
    listener: Listener,
) -> Plan:
    """What `tune` would do. Nothing is written; the listener is told about data and choices.

    Raises:
        FinetuneError: A run could never work, or the folder holds a different tune.
    """
    refuse_nested("tune")
    load_optuna()
    listed = seed_list(seeds)
    _check_numbers(trials, folds)
    options = request.options()
    if "training.seeds" in options.overridden_keys():
        why = "an experiment takes its seeds from an argument."
        raise RecipeError(why, Change(arguments={"seeds": 5}), key="training.seeds")
    resolved = options.resolve(None if preset == OWN else preset)
    sets = Loader()
    default = _default(resolved, sets, preset, listener)
    space = search_space(default, sets.load(default.data), ranges)
    varied = [each.key.rpartition(".")[2] for each in space] if ranges else []
    name = folder_name(
        "tune", default.name, request.data_name(), preset_name(preset), *varied, changed=request.changed()
    )
    folder = find_experiment(output, name, resume, "tune")
    chosen = choose_executor(executor, jobs, (trials + 1) * folds, jobs_per_gpu, cell_timeout)
    measure = measure_for(sets.load(default.data), default.training.score)
    rate_trials = _rate_trials(trials, space)
    start = Trials(
        identity="", algorithm=ALGORITHM_VERSION, folds=folds, seed=listed[0], rate_trials=rate_trials, space=space
    )
    plan = Plan(folder, default, start, trials, listed, chosen, sets, command, measure)
    plan_runs([plan.variant(Trial(number=0, stage="default", settings={}))], listed[:1], None, sets)
    identity = plan.on_default().runs[0].entry.key
    return replace(plan, trials=_earlier(folder, start.model_copy(update={"identity": identity})))


def _check_numbers(trials: int, folds: int) -> None:
    if isinstance(trials, bool) or not isinstance(trials, int) or not 1 <= trials <= MOST_TRIALS:
        why = f"expected 1 to {MOST_TRIALS} settings to try in addition to the default."
        raise RecipeError(why, Change(arguments={"trials": 30}), argument="trials", found=trials)
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise RecipeError(
            "expected two folds or more.", Change(arguments={"folds": FOLDS}), argument="folds", found=folds
        )


def _rate_trials(trials: int, space: Sequence[Dimension]) -> int:
    """Trials of the learning rate alone: all where nothing else is searched."""
    rates = sum(each.is_rate for each in space)
    if rates in (0, len(space)):
        return trials if rates else 0
    return min(MOST_RATE_TRIALS, max(1, trials // 3))


def _default(recipe: Recipe, sets: Loader, preset: Preset, listener: Listener) -> Recipe:
    """The recipe with the preset's settings for this data, told to the listener.

    Raises:
        RecipeError, DataError: It has no test split, or cannot be cut into folds.
    """
    section = recipe.data
    for key in ("order_by", "folds", "folds_of"):
        if getattr(section, key) is not None:
            found = getattr(section, key)
            why = "cannot be set here: a tune cuts the training rows into folds of its own."
            if key == "order_by":
                why = "folds of the training rows would train on rows that come after those that measure."
            raise RecipeError(why, Change(settings={f"data.{key}": None}), key=f"data.{key}", found=found)
    loaded = sets.load(section)
    if loaded.test is None:
        raise RecipeError(
            "there is no test split, and the score that settings were chosen by says too little about new texts.",
            Change(settings={"data.test_size": 0.2}),
            Change(settings={"data.test": "FILE"}),
            key="data.test",
        )
    tell_data([recipe], loaded, listener)
    fitted = fitted_recipe(recipe, loaded).model_copy(update={"rules": {}, "choices": None})
    for decision in fitted.decisions:
        listener.notice(decision.text)
    if is_auto(fitted):
        listener.notice(
            f"training.learning_rate: auto would be chosen anew on each fold; the tune starts from {DEFAULT_RATE:g} "
            "and chooses it itself"
        )
        fitted = with_rate(fitted, DEFAULT_RATE)
    return fitted.model_copy(update={"decisions": [], "preset": preset_name(preset)})


def _earlier(folder: ComparisonFolder, asked: Trials) -> Trials:
    """What an earlier command has tried in this folder; trials that failed are tried again.

    Raises:
        OutputError: It was of something else.
    """
    found = read_trials(folder.path)
    if found is None:
        return asked
    differing = [
        text
        for text, is_other in (
            (f"version {found.algorithm} of the algorithms, now {asked.algorithm}", found.algorithm != asked.algorithm),
            (f"{found.folds} folds, now {asked.folds}", found.folds != asked.folds),
            (f"seed {found.seed}, now {asked.seed}", found.seed != asked.seed),
            ("another search space", found.space != asked.space),
        )
        if is_other
    ]
    if not differing and found.identity != asked.identity:
        differing = ["another recipe, preset, model or data"]
    if differing:
        raise OutputError(
            f"holds a tune of {'; '.join(differing)}, and its trials cannot be continued here.",
            Change(text="Choose another folder."),
            argument="output",
            found=str(folder.path),
        )
    again = [
        trial.model_copy(update={"status": "running", "reason": ""})
        if trial.status == "failed" and trial.can_run
        else trial
        for trial in found.trials
    ]
    return found.model_copy(update={"trials": again})


def _search(plan: Plan, listener: Listener) -> Tuner:
    """Run what is missing of all trials; the caller holds the folder.

    Raises:
        RunFailed: The default settings failed.
    """
    score = plan.measure.score

    def tell(trial: Trial) -> None:
        listener.notice(trial_text(trial, plan.trials, score))

    tuner = Tuner(
        state=plan.trials,
        wanted=plan.wanted,
        variant=plan.on_folds,
        folder=plan.folder,
        data=plan.sets,
        task=plan.sets.load(plan.default.data).task,
        metric=score,
        slots=plan.executor.slots,
        save=lambda trials: write_trials(plan.folder.path, trials),
        publish=lambda jobs: write_jobs(plan.folder, jobs, "none"),
        tell=tell,
    )
    experiment = plan.on_default()
    earlier = plan.folder.read().cells if plan.folder.exists() else []
    manifest = experiment.manifest().model_copy(update={"cells": earlier})
    manifest = open_experiment(plan.folder, manifest, listener)
    run_all(experiment, manifest, [], "none", listener, further=tuner)
    default = tuner.state.trials[0]
    if default.status != "complete":
        raise RunFailed(
            f"the default settings failed, and nothing can be compared with them: {default.reason.rstrip('.')}. The "
            "same command tries again."
        )
    return tuner


def _test_experiment(plan: Plan, tuner: Tuner) -> Experiment:
    """The default, and the best setting where it is another one, on the data's own splits."""
    default, best = tuner.state.trials[0], best_of(tuner.state.trials)
    variants = [plan.variant(trial) for trial in ([default, best] if best.number else [default])]
    fitted, _ = fit_variants(variants, None, plan.sets)
    folder = ComparisonFolder(plan.folder.path / "test")
    return plan_experiment(
        "compare", plan.command, "default", fitted, plan.seeds, None, folder, plan.executor, plan.sets
    )
