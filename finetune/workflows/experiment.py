"""Shared by compare, ablate and curve: planning runs, and executing the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from finetune import own_code
from finetune.analysis.quality_gates import Fields, QualityGate, parse_quality_gate
from finetune.data.loader import Loader
from finetune.experiments.default_final import BEST, Final
from finetune.experiments.estimates import Pace, describe_jobs, find_pace
from finetune.experiments.executors import Executor
from finetune.experiments.finals import possible_finals
from finetune.experiments.jobs import Job
from finetune.experiments.kept_models import Keep
from finetune.experiments.planning import make_manifest, plan_runs, write_jobs, write_texts
from finetune.experiments.progress import JobState, look_up
from finetune.experiments.running import MoreJobs, run_jobs
from finetune.experiments.seed_rounds import SeedRounds
from finetune.experiments.variants import Variant
from finetune.listener import Listener
from finetune.models.load import find_start
from finetune.records.comparison import ComparisonFolder, Kind, Manifest, SeedLook
from finetune.reports.seed_rounds import look_texts
from finetune.training.data_checks import check_recipe
from finetune.training.measures import measure_for, measured_names, with_score_note
from finetune.training.rate_folds import RatePlanned, choice_plan
from finetune.training.tracking.starting import tracker_notes
from finetune.workflows.folders import open_experiment
from finetune.workflows.start_notes import start_notes

if TYPE_CHECKING:
    from finetune.data.rows import Data
    from finetune.measurement.scores import Measure
    from finetune.recipe import Recipe


@dataclass(frozen=True)
class Experiment:
    """A planned experiment: nothing has been written yet.

    Attributes:
        kind: compare, ablate, curve, sweep or tune.
        command: The command that reproduces it.
        baseline: Name of the variant (for a curve, of the preset) that others are compared with.
        variants: The variants, with the settings for the size of the data.
        seeds: Seeds of the runs.
        folds: Number of cross-validation folds, or None.
        folder: Output folder.
        runs: Jobs of the table.
        executor: Executor of the jobs.
        data: Every split, loaded once.
        gates: Quality gates of its report.
        final: The final model.
        rounds: Source of further runs, if seeds are added while it runs; None if all are known.
    """

    kind: Kind
    command: str
    baseline: str
    variants: list[Variant]
    seeds: list[int]
    folds: int | None
    folder: ComparisonFolder
    runs: list[Job]
    executor: Executor
    data: Loader
    gates: Sequence[QualityGate] = ()
    final: Final = BEST
    rounds: SeedRounds | None = None

    def first_data(self) -> Data:
        """The data of the first run."""
        return self.data.load(self.runs[0].recipe.data)

    def measure(self) -> Measure:
        """The main score and loss."""
        return measure_for(self.first_data(), self.runs[0].recipe.training.score)

    def manifest(self) -> Manifest:
        asked = (self.kind, self.command, self.baseline, self.variants, self.seeds, self.folds)
        manifest = make_manifest(*asked, self.runs, self.final.name)
        return manifest if self.rounds is None else self.rounds.noted(manifest)

    def announce_data(self, listener: Listener) -> None:
        """Tell the listener what was decided about the data of the first run, and what to look at."""
        tell_data([run.recipe for run in self.runs], self.first_data(), listener)
        self.announce_rates(listener)
        for note in tracker_notes(self.runs[0].recipe, self.folder.path, self.folder.path.resolve().name):
            listener.notice(note)

    def announce_rates(self, listener: Listener) -> None:
        """Tell how learning rates will be chosen, where the recipe says auto: once for all presets with the same
        choice."""
        plans: dict[RatePlanned, list[str]] = {}
        for variant in self.variants:
            job = next(job for job in self.runs if job.entry.variant == variant.name)
            if (plan := choice_plan(job.recipe, self.data.load(job.recipe.data))) is not None:
                plans.setdefault(plan, []).append(variant.name)
        for plan, names in plans.items():
            listener.notice(f"training.learning_rate ({', '.join(names)}): {plan.text}", plan.level)

    def describe(self) -> dict[str, Any]:
        """Every run with its state, and an estimate of the remaining time; where seeds may be added, the runs that are
        certain, and under "at_most" the same for all that may follow."""
        most = self.runs if self.rounds is None else self.rounds.at_most_runs()  # which begin with those of self.runs
        states = [look_up(self.folder, job) for job in most]
        pace = find_pace(states, self.executor, self.data)
        described = self._described(states[: len(self.runs)], pace)
        if self.rounds is not None:
            described["at_most"] = self._described(states, pace)
        return {**described, "final": self.final.outcome}

    def _described(self, states: Sequence[JobState], pace: Pace) -> dict[str, Any]:
        return describe_jobs(states, self.executor, pace, self.trainings_after(), self._has_ended())

    def with_all_runs(self) -> Experiment:
        """The experiment after its runs, with those that were added meanwhile."""
        return self if self.rounds is None else replace(self, runs=self.rounds.asked)

    def trainings_after(self) -> float:
        """The training after the runs, one job after another, as a multiple of the most expensive run."""
        if not self.final.trains:
            return 0.0
        data = self.first_data()
        longer = 1 + len(data.validation) / len(data.train)  # of a refit, which trains on both
        return sum(longer if kind == "refit" else 1.0 for kind in self.final.trains)

    def _has_ended(self) -> bool:
        """Whether an earlier command has made what this one ends with, for what it had found then."""
        jobs = self.folder.read().jobs if self.folder.exists() else []
        made = {entry.kind for entry in jobs if self.folder.run(entry).predictions.is_file()}
        return made.issuperset(self.final.trains)


def plan_experiment(
    kind: Kind,
    command: str,
    baseline: str,
    variants: Sequence[Variant],
    seeds: list[int],
    folds: int | None,
    folder: ComparisonFolder,
    executor: Executor,
    data: Loader,
) -> Experiment:
    """Check everything that can be checked without training.

    Raises:
        FinetuneError: A run could never work.
    """
    runs = plan_runs(variants, seeds, folds, data)
    return Experiment(kind, command, baseline, list(variants), seeds, folds, folder, runs, executor, data)


def with_gates(experiment: Experiment, fail_on: Sequence[str]) -> Experiment:
    """The experiment with the quality gates that its report has to pass.

    Raises:
        RecipeError: A gate is malformed: reported now, and not after an hour of training.
    """
    if not fail_on:
        return experiment
    data = experiment.first_data()
    metrics = measured_names(experiment.runs[0].recipe, data)
    fields = Fields([variant.name for variant in experiment.variants], metrics, data.test is not None)
    return replace(experiment, gates=[parse_quality_gate(text, fields) for text in fail_on])


def tell_data(recipes: Sequence[Recipe], data: Data, listener: Listener) -> None:
    """Tell the listener what was decided about the data and the model's input, and what to look at.

    Args:
        recipes: Those that are to be trained. The data is that of the first one.
        data, listener: As elsewhere.
    """
    recipe = recipes[0]
    data = with_score_note(recipe, data)
    pooling, head = find_start(recipe.model, data.task, data.labels)
    code = own_code.notes(recipe.training.metrics)
    for note in (*start_notes(recipes, data, measure_for(data, recipe.training.score)), *head.notes, *code):
        listener.notice(note)
    about_model = (problem.for_command_line() for problem in (*pooling.warnings, *head.warnings))
    for warning in (*data.warnings, *about_model):
        listener.notice(warning, "warning")
    if recipe.data.check:
        listener.data_checked(check_recipe(recipe, data))


def carry_out(experiment: Experiment, keep: Keep, listener: Listener) -> Manifest:
    """Run the missing jobs; the caller holds the folder.

    Returns:
        The manifest, with the errors of runs that failed.
    """
    rounds = experiment.rounds
    possible = experiment.runs if rounds is None else rounds.possible
    if rounds is not None:
        rounds.publish = partial(write_jobs, experiment.folder, keep=keep)
    manifest = open_experiment(experiment.folder, experiment.manifest(), listener, possible)
    write_jobs(experiment.folder, experiment.runs, keep)
    write_texts(experiment.folder, experiment.runs, experiment.data)
    later = possible_finals(experiment.final, possible)
    after = experiment.trainings_after()
    try:
        return run_all(experiment, manifest, experiment.runs, keep, listener, later, rounds, after)
    finally:
        # After an interruption, too: a report of what is there names the decisions so far.
        if rounds is not None and experiment.folder.exists():
            experiment.folder.write(rounds.noted(experiment.folder.read()))


def in_rounds(experiment: Experiment, listener: Listener) -> Experiment:
    """The experiment with seeds added until every verdict is settled; its seeds are the most. Tells the listener which
    presets earlier runs have settled.
    """

    def tell(look: SeedLook) -> None:
        for text in look_texts(look):
            listener.notice(text)

    rounds = SeedRounds(experiment.runs, experiment.manifest(), experiment.folder, tell)
    return replace(experiment, runs=rounds.asked, rounds=rounds)


def run_all(
    experiment: Experiment,
    manifest: Manifest,
    jobs: Sequence[Job],
    keep: Keep,
    listener: Listener,
    others: Sequence[Job] = (),
    further: MoreJobs | None = None,
    after: float = 0.0,
) -> Manifest:
    """Run jobs with the experiment's executor, and tell the listener; the last three arguments as for `run_jobs`."""
    measure = experiment.measure()
    last: list[Any] = []

    def on_change(progress: Any, state: Any) -> None:
        if not last:
            listener.jobs_started(progress, measure)
        last[:] = [progress]
        listener.job_changed(progress, state, measure)

    try:
        asked = (experiment.folder, manifest, jobs, experiment.executor, keep, on_change, others)
        return run_jobs(*asked, further=further, after=after)
    finally:
        if last:
            listener.jobs_ended(last[0], measure)
