"""A tune while it runs: order of trials, early stopping between folds, several at a time, failures, going on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from finetune.analysis.pooled import Pooled
from finetune.errors import RecipeError
from finetune.experiments import tuning
from finetune.experiments.tuning import Tuner, best_of, folds_left, shortfall
from finetune.records.tune import Dimension, Trial, Trials

ROWS, FOLDS = 60, 3
RATE = Dimension(key="rate", low=1e-5, high=1e-3, is_log=True, default=1e-4, is_rate=True)
STRENGTH = Dimension(key="strength", low=0.01, high=1.0, is_log=True, default=0.1, is_rate=False)
TARGETS = np.arange(ROWS) % 2


def predictions(wrong: int) -> Pooled:
    """Of a fold, of which the first rows are missed."""
    answers = np.where(np.arange(ROWS) < wrong, 1 - TARGETS, TARGETS)
    return Pooled(np.eye(2)[answers], TARGETS, None, [ROWS])


class Bench:
    """Stands for planning, running and reading: what a setting misses on each fold is computed from it.

    Attributes:
        done: Names of jobs that have been run, in their order.
        fails: Names of jobs that fail -> why.
        saved: The last state that was written.
        told: Trials that ended.
        published: Names of the jobs that other machines may run.
    """

    def __init__(self, patch: pytest.MonkeyPatch, misses: Callable[[dict[str, float]], int]) -> None:
        self.misses = misses
        self.done: list[str] = []
        self.fails: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.saved = Trials(
            identity="x", algorithm=1, folds=FOLDS, seed=0, rate_trials=3, space=[RATE, STRENGTH], trials=[]
        )
        self.told: list[Trial] = []
        self.settings: dict[str, dict[str, float]] = {}
        self.published: list[str] = []
        patch.setattr(tuning, "plan_runs", self.plan)
        patch.setattr(
            tuning,
            "look_up",
            lambda folder, job: SimpleNamespace(status="finished" if job.entry.key in self.done else "waiting"),
        )
        patch.setattr(tuning, "read_fold", lambda key, groups: predictions(self.misses(self.settings[key])))

    def plan(self, variants: Any, seeds: Any, folds: int, data: Any) -> list[Any]:
        trial: Trial = variants[0]
        if trial.settings["strength"] > 0.9:
            raise RecipeError("cannot act.", key="strength")
        jobs = []
        for fold in range(folds):
            key = f"{trial.name}/{fold}"
            self.settings[key] = trial.settings
            jobs.append(SimpleNamespace(entry=SimpleNamespace(key=key, fold=fold), recipe=SimpleNamespace(data=None)))
        return jobs

    def tuner(self, wanted: int = 6, slots: int = 1) -> Tuner:
        return Tuner(
            state=self.saved,
            wanted=wanted,
            variant=lambda trial: trial,  # type: ignore[arg-type, return-value]
            folder=SimpleNamespace(run=lambda entry: entry.key),  # type: ignore[arg-type]
            data=SimpleNamespace(load=lambda section: SimpleNamespace(validation=SimpleNamespace(groups=None))),  # type: ignore[arg-type]
            task="single_label",
            metric="accuracy",
            slots=slots,
            save=lambda trials: setattr(self, "saved", trials),
            publish=lambda jobs: setattr(self, "published", [job.entry.key for job in jobs]),
            tell=self.told.append,
        )

    def run(self, tuner: Tuner, jobs: int = 1000) -> list[str]:
        """Run up to so many jobs; returns the names of all that have been run."""
        for _ in range(jobs):
            given = tuner.more(self.failures)
            if not given:
                break
            keys = [job.entry.key for job in given]
            self.done += [key for key in keys if key not in self.fails]
            self.failures |= {key: self.fails[key] for key in keys if key in self.fails}
        return self.done


def flat(settings: dict[str, float]) -> int:
    return 20


def rising(settings: dict[str, float]) -> int:
    """Better with the rate, up to half of the rows; and with the strength."""
    return round(30 - 8 * np.log10(settings["rate"] / 1e-5) - 3 * np.log10(settings["strength"] / 0.01))


def test_the_default_comes_first_then_rates_then_strengths_at_the_best_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, rising)
    done = bench.run(bench.tuner())
    assert done[:FOLDS] == ["default/0", "default/1", "default/2"]
    trials = bench.saved.trials
    assert [trial.stage for trial in trials] == ["default", *["learning rate"] * 3, *["strengths"] * 3]
    assert trials[0].settings == {"rate": 1e-4, "strength": 0.1}
    assert all(trial.settings["strength"] == 0.1 for trial in trials[:4])
    best_rate = best_of(trials[:4]).settings["rate"]
    assert {trial.settings["rate"] for trial in trials[4:]} == {best_rate}
    assert best_rate > 1e-4
    complete = [trial for trial in trials if trial.status == "complete"]
    assert all(trial.score == pytest.approx(1 - rising(trial.settings) / ROWS) for trial in complete)
    assert set(done) <= set(bench.published)
    assert best_of(trials).score == max(trial.score or 0 for trial in complete)


def test_where_no_further_rate_is_found_the_strengths_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates from 1e-4 to 1.01e-4 are two, to three digits: the default and one other."""
    bench = Bench(monkeypatch, lambda settings: 20 if settings["rate"] == 1e-4 else 15)
    narrow = Dimension(key="rate", low=1e-4, high=1.01e-4, is_log=True, default=1e-4, is_rate=True)
    bench.saved = bench.saved.model_copy(update={"space": [narrow, STRENGTH]})
    bench.run(bench.tuner(), jobs=FOLDS + 4)
    done = bench.run(bench.tuner())  # goes on after it was stopped
    trials = bench.saved.trials
    rates = [trial for trial in trials if trial.stage == "learning rate"]
    assert 1 <= len(rates) < bench.saved.rate_trials
    assert [trial.stage for trial in trials[1 + len(rates) :]] == ["strengths"] * (6 - len(rates))
    assert {trial.settings["rate"] for trial in trials[1 + len(rates) :]} == {
        best_of([trials[0], *rates]).settings["rate"]
    }
    assert not shortfall(bench.saved, 6)
    assert len(done) == len(set(done))


def test_where_recipes_refuse_every_rate_the_strengths_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, flat)
    plan = bench.plan

    def refusing(variants: Any, *others: Any) -> list[Any]:
        if variants[0].settings["rate"] != 1e-4:
            raise RecipeError("cannot act.", key="rate")
        return plan(variants, *others)

    monkeypatch.setattr(tuning, "plan_runs", refusing)
    bench.run(bench.tuner(wanted=4))
    tried = [trial.stage for trial in bench.saved.trials if trial.can_run]
    assert tried == ["default", *["strengths"] * 3]  # of 12 settings that are drawn for 4, 9 were rates


def test_a_hopeless_setting_is_stopped_after_the_folds_that_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, lambda settings: 5 if settings["rate"] == 1e-4 else 30)
    tuner = bench.tuner(wanted=3)
    assert tuner.at_most == 12
    done = bench.run(tuner)
    assert [name for name in done if name.startswith("trial")] == ["trial-1/0", "trial-2/0", "trial-3/0"]
    assert all(trial.status == "stopped" for trial in bench.saved.trials[1:])
    assert bench.saved.trials[1].reason == "worse than default beyond chance after 1 of 3 folds"
    assert bench.saved.trials[1].score is None
    assert tuner.at_most == len(done) == 6
    assert best_of(bench.saved.trials).number == 0


def test_a_setting_that_is_not_clearly_worse_is_trained_on_all_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, lambda settings: 20 if settings["rate"] == 1e-4 else 21)
    bench.run(bench.tuner(wanted=3))
    assert [trial.status for trial in bench.saved.trials] == ["complete"] * 4


def test_several_are_trained_at_a_time_and_rates_end_before_strengths_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, flat)
    tuner = bench.tuner(slots=2)
    assert [job.entry.key for job in tuner.more({})] == ["default/0", "default/1", "default/2"]
    assert tuner.more({}) == []  # nothing can be stopped early before the default is known
    bench.done += ["default/0", "default/1", "default/2"]
    assert [job.entry.key for job in tuner.more({})] == ["trial-1/0"]
    assert [job.entry.key for job in tuner.more({})] == ["trial-2/0"]
    assert tuner.more({}) == []
    bench.done += ["trial-1/0", "trial-1/1", "trial-1/2", "trial-2/0", "trial-2/1", "trial-2/2"]
    assert [job.entry.key for job in tuner.more({})] == ["trial-3/0"]
    assert tuner.more({}) == []  # the second slot waits: the best rate is not known yet
    first, second = (trial.settings["rate"] for trial in bench.saved.trials[1:3])
    assert first != second


def test_stopped_anywhere_it_goes_on_with_the_same_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Bench(monkeypatch, rising)
    whole.run(whole.tuner())
    for jobs in range(1, 12):
        bench = Bench(monkeypatch, rising)
        bench.run(bench.tuner(), jobs)
        before = list(bench.done)
        done = bench.run(bench.tuner())
        assert bench.saved.trials == whole.saved.trials
        assert done == whole.done
        assert len(set(done)) == len(done), f"a fold was trained again after {before}"


def test_more_trials_are_added_to_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, flat)
    bench.run(bench.tuner(wanted=4))
    first = bench.saved.trials
    bench.run(bench.tuner(wanted=8))
    assert bench.saved.trials[:5] == first
    assert len(bench.saved.trials) == 9


def test_more_trials_are_added_where_the_learning_rate_alone_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, flat)
    strength = STRENGTH.model_copy(update={"is_rate": True, "high": 0.8})  # of a technique, too: no strengths are left
    bench.saved = bench.saved.model_copy(update={"space": [RATE, strength], "rate_trials": 2})
    bench.run(bench.tuner(wanted=2))
    bench.run(bench.tuner(wanted=5))
    assert [trial.stage for trial in bench.saved.trials] == ["default", *["learning rate"] * 5]


def test_what_is_left_is_never_less_than_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, flat)
    assert folds_left(bench.saved, 4) == 5 * FOLDS
    bench.run(bench.tuner(wanted=4))
    assert (folds_left(bench.saved, 4), folds_left(bench.saved, 6)) == (0, 2 * FOLDS)
    assert (folds_left(bench.saved, 1), bench.tuner(wanted=1).at_most) == (0, 0)  # fewer than there are


def test_a_fold_that_fails_ends_its_trial_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, flat)
    bench.fails = {"trial-2/1": "out of memory"}
    bench.run(bench.tuner())
    failed = bench.saved.trials[2]
    assert (failed.status, failed.reason, len(failed.fold_scores)) == ("failed", "out of memory", 1)
    assert [trial.status for trial in bench.saved.trials].count("complete") == 6
    assert failed in bench.told


def test_without_the_default_nothing_else_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, flat)
    bench.fails = {"default/1": "diverged"}
    bench.run(bench.tuner())
    assert [(trial.status, trial.reason) for trial in bench.saved.trials] == [("failed", "diverged")]


def test_settings_that_a_recipe_refuses_are_none_of_the_trials_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, flat)
    bench.run(bench.tuner(wanted=9))
    refused = [trial for trial in bench.saved.trials if trial.settings["strength"] > 0.9]
    assert all((trial.status, trial.reason) == ("failed", "strength: cannot act.") for trial in refused)
    assert sum(trial.status == "complete" for trial in bench.saved.trials) == 10
    wide = STRENGTH.model_copy(update={"low": 0.9, "high": 1.5, "default": 0.9})
    bench = Bench(monkeypatch, flat)
    bench.saved = bench.saved.model_copy(update={"space": [RATE, wide], "rate_trials": 1})
    bench.run(bench.tuner(wanted=3))
    assert [trial.can_run for trial in bench.saved.trials] == [True, True, *[False] * 8]  # and then it gives up
    assert shortfall(bench.saved, 3).startswith(
        "1 of 3 settings were tried: in these ranges no other untried setting was found"
    )
    assert shortfall(bench.saved, 1) == ""


def test_groups_of_rows_count_as_one_observation(tmp_path: Path) -> None:
    right, wrong = predictions(0), predictions(12)
    grouped = Pooled(wrong.logits, wrong.targets, [row // 12 for row in range(ROWS)], [ROWS])
    assert right.minus(wrong, "single_label", "accuracy").better_p < 0.001
    by_group = Pooled(right.logits, right.targets, grouped.groups, [ROWS]).minus(grouped, "single_label", "accuracy")
    assert by_group.better_p > 0.05  # the difference is that of a single author
