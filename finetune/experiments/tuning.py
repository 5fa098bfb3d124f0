"""A running tune: which setting is tried next, on which fold, and which one is stopped early."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune.analysis.pooled import Pooled, pool, read_fold
from finetune.data.loader import Loader
from finetune.errors import FinetuneError
from finetune.experiments.jobs import Job
from finetune.experiments.planning import plan_runs
from finetune.experiments.progress import look_up
from finetune.experiments.sampling import next_settings
from finetune.experiments.variants import Variant
from finetune.measurement.beyond_chance import LEVEL
from finetune.records.comparison import ComparisonFolder
from finetune.records.tune import Stage, Trial, Trials

MOST = 3  # settings drawn for each trial that is asked for, where recipes refuse some
STOPPED = "worse than {} beyond chance after {} of {} folds"


@dataclass
class Tuner:
    """Plans the trainings of a tune one after the other: it is the `further` of `run_jobs`.

    Attributes:
        state: Trials so far; `save` is called after every change.
        wanted: Total number of trials, without the default.
        variant: Trial -> its variant, on folds.
        folder: Folder of the tune.
        data: Every fold, loaded once.
        task: What is predicted.
        metric: Main score, or the loss in its place.
        slots: Trainings at the same time.
        save: Called with every new state.
        publish: Called with all planned trainings, which other machines may run.
        tell: Called with a message about the outcome of a trial.
    """

    state: Trials
    wanted: int
    variant: Callable[[Trial], Variant]
    folder: ComparisonFolder
    data: Loader
    task: str
    metric: str
    slots: int
    save: Callable[[Trials], None]
    publish: Callable[[Sequence[Job]], None]
    tell: Callable[[Trial], None]
    _jobs: dict[int, list[Job]] = field(default_factory=dict)
    _sent: set[str] = field(default_factory=set)
    _arrays: dict[tuple[int, int], Pooled] = field(default_factory=dict)
    _before: int = 0  # folds that earlier commands have trained

    def __post_init__(self) -> None:
        self._before = sum(len(trial.fold_scores) for trial in self.state.trials)

    @property
    def at_most(self) -> int:
        """Number of trainings on folds of this command, if no further trial is stopped early."""
        trained = sum(len(trial.fold_scores) for trial in self.state.trials)
        return trained - self._before + folds_left(self.state, self.wanted)

    def more(self, failures: Mapping[str, str]) -> list[Job]:
        """The trainings that can start now in free slots; none while others must end first, or at the end.

        Args:
            failures: Key of a training -> why it failed; its trial has then failed too.
        """
        for trial in self._running():
            lost = [failures[job.entry.key] for job in self._plan(trial) if job.entry.key in failures]
            if lost:
                self._end(trial, status="failed", reason=lost[0])
        for trial in self.state.trials:
            if trial.status == "running":
                self._look_at(trial)
        default = self.state.trials[0] if self.state.trials else self._begin("default", self._defaults())
        if default.status == "failed":
            return []
        if default.status == "running":
            return self._send(default, range(self.state.folds))
        jobs = [job for trial in self._running() for job in self._send(trial, [len(trial.fold_scores)])]
        while not jobs and len(self._running()) < self.slots and (begun := self._next()) is not None:
            jobs = self._send(begun, [0]) if begun.status == "running" else []
        return jobs

    def pooled(self, trial: Trial) -> Pooled:
        """The predictions of a trial for the rows of its trained folds."""
        return pool([self._fold(trial, fold) for fold in range(len(trial.fold_scores))])

    def _running(self) -> list[Trial]:
        return [trial for trial in self.state.trials if trial.status == "running"]

    def _defaults(self) -> dict[str, float]:
        return {each.key: each.default for each in self.state.space}

    def _next(self) -> Trial | None:
        """The next trial, begun; None if there is none yet, or none any more."""
        tried = [trial for trial in self.state.trials if trial.number]
        if sum(trial.can_run for trial in tried) >= self.wanted or len(tried) >= MOST * self.wanted:
            return None
        rates = [trial for trial in tried if trial.stage == "learning rate"]
        if self._seeks_rates(tried, rates) and (begun := self._draw("learning rate", self.state.trials[0])) is not None:
            return begun
        if any(trial.status == "running" for trial in rates):
            return None  # the best learning rate is not known yet
        return self._draw("strengths", best_of([self.state.trials[0], *rates]))

    def _seeks_rates(self, tried: Sequence[Trial], rates: Sequence[Trial]) -> bool:
        """Whether learning rates are still looked for: not once strengths were tried at the best of them."""
        if all(each.is_rate for each in self.state.space):
            return True  # more trials may be asked for later
        has_strengths = len(rates) < len(tried)
        wanted = self.state.rate_trials
        return not has_strengths and sum(trial.can_run for trial in rates) < wanted and len(rates) < MOST * wanted

    def _draw(self, stage: Stage, base: Trial) -> Trial | None:
        """A trial of this stage, begun, that differs from the base in its settings; None if there is none any more."""
        space = [each for each in self.state.space if each.is_rate == (stage == "learning rate")]
        told = [base, *(trial for trial in self.state.trials if trial.stage == stage and trial is not base)]
        settings = next_settings(space, told, base.settings, self.state.seed, len(self.state.trials)) if space else None
        return None if settings is None else self._begin(stage, settings)

    def _begin(self, stage: Stage, settings: dict[str, float]) -> Trial:
        """A new trial; one whose settings could never run has failed at once."""
        trial = Trial(number=len(self.state.trials), stage=stage, settings=settings)
        self._replace(trial)
        self._plan(trial)
        return self.state.trials[trial.number]

    def _plan(self, trial: Trial) -> list[Job]:
        """Its trainings, fold by fold; none where they could never run, which ends it."""
        if trial.number not in self._jobs:
            try:
                self._jobs[trial.number] = plan_runs(
                    [self.variant(trial)], [self.state.seed], self.state.folds, self.data
                )
            except FinetuneError as error:
                if not trial.number:
                    raise
                self._jobs[trial.number] = []
                self._end(trial, status="failed", reason=error.for_command_line(), can_run=False)
        return self._jobs[trial.number]

    def _send(self, trial: Trial, folds: Sequence[int] | range) -> list[Job]:
        """Its trainings on these folds that have not been handed out."""
        jobs = [job for job in self._plan(trial) if job.entry.fold in folds and job.entry.key not in self._sent]
        if jobs and not self._sent & {job.entry.key for job in self._plan(trial)}:
            self.publish([job for planned in self._jobs.values() for job in planned])
        self._sent |= {job.entry.key for job in jobs}
        return jobs

    def _look_at(self, trial: Trial) -> None:
        """Take in the folds that have been trained since."""
        for job in self._plan(trial)[len(trial.fold_scores) :]:
            if look_up(self.folder, job).status != "finished":
                return
            assert job.entry.fold is not None, "planned with folds"
            self._before += job.entry.key not in self._sent
            fold = self._fold(trial, job.entry.fold)
            scores = [*trial.fold_scores, fold.score(self.task, self.metric)]
            trial = self._replace(trial.model_copy(update={"fold_scores": scores}))
            if len(scores) == self.state.folds:
                self._end(trial, status="complete", score=self.pooled(trial).score(self.task, self.metric))
            elif trial.number and (better := self._beyond(trial)) is not None:
                why = STOPPED.format(better.name, len(scores), self.state.folds)
                self._end(trial, status="stopped", score=None, reason=why)
                return

    def _beyond(self, trial: Trial) -> Trial | None:
        """The best so far, if it is better than this trial on the rows of its folds beyond chance."""
        best = best_of(self.state.trials)
        ours = self.pooled(trial)
        theirs = self.pooled(best).first(len(ours.counts))
        return best if theirs.minus(ours, self.task, self.metric).better_p < LEVEL else None

    def _fold(self, trial: Trial, fold: int) -> Pooled:
        """What the training on a fold has predicted for the rows that it left out."""
        if (trial.number, fold) not in self._arrays:
            job = self._plan(trial)[fold]
            groups = self.data.load(job.recipe.data).validation.groups
            self._arrays[trial.number, fold] = read_fold(self.folder.run(job.entry), groups)
        return self._arrays[trial.number, fold]

    def _end(self, trial: Trial, **changes: Any) -> None:
        self.tell(self._replace(trial.model_copy(update=changes)))

    def _replace(self, trial: Trial) -> Trial:
        trials = [*self.state.trials[: trial.number], trial, *self.state.trials[trial.number + 1 :]]
        self.state = self.state.model_copy(update={"trials": trials})
        self.save(self.state)
        return trial


def folds_left(state: Trials, wanted: int) -> int:
    """Trainings on folds until so many settings other than the default are tried, if none is stopped early."""
    begun = [trial for trial in state.trials if trial.can_run]
    unfinished = sum(state.folds - len(trial.fold_scores) for trial in begun if trial.status == "running")
    return unfinished + state.folds * max(0, wanted + 1 - len(begun))


def shortfall(state: Trials, wanted: int) -> str:
    """Why fewer settings were tried than requested; empty if there were as many."""
    tried = sum(trial.can_run for trial in state.trials[1:])
    if tried >= wanted:
        return ""
    return (
        f"{tried} of {wanted} settings were tried: in these ranges no other untried setting was found that the recipe "
        "accepts. Try: --range KEY=LOW,HIGH, with wider ends"
    )


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the best score among those trained on all folds; the first of equal ones."""
    complete = [trial for trial in trials if trial.status == "complete"]
    return max(complete, key=lambda trial: (-math.inf if trial.score is None else trial.score, -trial.number))
