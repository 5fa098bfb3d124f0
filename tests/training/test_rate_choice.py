"""`training.learning_rate: auto`: the rule by hand, what is trained on, interruption, and the commands."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, r2_score
from transformers import TrainerCallback

from finetune.data.load import load_data
from finetune.errors import RecipeError, RunFailed
from finetune.experiments.executors import EXECUTORS, execution
from finetune.experiments.jobs import Event
from finetune.recipe import RATES, resolve
from finetune.records.store import RunFolder, read_record
from finetune.reports.run_content import run_facts
from finetune.training import rate_choice
from finetune.training.prepare import Prepared, prepare
from finetune.training.rate_choice import prepared_fit
from finetune.training.rate_decision import Outcome, decide, refuse_divergence
from finetune.training.rate_folds import Fit, choice_steps, plan_fits, rate_problems, row_passes
from finetune.training.runner import run_seed
from tests.analysis.making import Run, write_run
from tests.cli.invoking import invoke
from tests.conftest import labelled_texts, write_csv
from tests.experiments.inline import REFERENCE
from tests.interrupting import InterruptAt, killed, timeless
from tests.raising import typed
from tests.running import assert_same_weights, train

Write = Callable[..., Path]
AUTO = {"learning_rate": "auto"}
SLOW, FAST = 1e-6, 0.01  # of a tiny model: the first learns nothing


@pytest.fixture
def two_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tiny models learn with, instead of what fine-tuning does."""
    _set_rates(monkeypatch, (SLOW, FAST))


def _set_rates(monkeypatch: pytest.MonkeyPatch, rates: Sequence[float]) -> None:
    for module in ("training.rate_folds", "training.rate_decision", "recipe.checks"):
        monkeypatch.setattr(f"finetune.{module}.RATES", tuple(rates))
    for module in ("training.rate_folds", "training.rate_decision", "recipe.learning_rate"):
        monkeypatch.setattr(f"finetune.{module}.DEFAULT_RATE", rates[0])


@pytest.fixture
def two_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trainings."""
    monkeypatch.setattr("finetune.training.rate_folds.FOLDS", 2)


@pytest.fixture
def recipe(write_recipe: Write, still_model: Path) -> Path:
    return write_recipe(model=still_model, data={"check": False}, training={**AUTO, "epochs": 4})


# --- the rule -------------------------------------------------------------------------------------------------


def right_in(prepared: Prepared, rows: Sequence[int]) -> Any:
    """Logits of the training rows, right in these and wrong elsewhere, (rows, 2)."""
    targets = np.array([prepared.data.labels.index(name) for name in prepared.data.train.labels])  # type: ignore[union-attr]
    is_right = np.isin(np.arange(len(targets)), list(rows))
    return np.eye(2)[np.where(is_right, targets, 1 - targets)]


def outcomes(prepared: Prepared, logits: dict[float, Any]) -> list[Outcome]:
    fits, _ = plan_fits(prepared.data, 0)
    return [
        Outcome(fit, None, 3, "nan") if logits[fit.rate] is None else Outcome(fit, logits[fit.rate][fit.left_out], 10)
        for fit in fits
    ]


@pytest.mark.parametrize(("right", "expected"), [(40, 1e-4), (30, 5e-5)])
def test_the_score_is_pooled_over_the_folds_and_the_default_is_left_beyond_chance_only(
    recipe: Path, right: int, expected: float
) -> None:
    """48 rows, of which the default has 24 right. The three others are tested together: p × 3 against 0.05."""
    prepared = prepare(resolve(str(recipe)).recipe)
    logits = {
        2e-5: right_in(prepared, range(24)),
        5e-5: right_in(prepared, range(24)),
        1e-4: right_in(prepared, range(48 - right, 48)),
        2e-4: right_in(prepared, range(20)),
    }
    choice = decide(prepared, outcomes(prepared, logits), "somehow")
    targets = right_in(prepared, range(48)).argmax(axis=1)
    by_hand = {rate: accuracy_score(targets, each.argmax(axis=1)) for rate, each in logits.items()}
    assert {each.value: each.score for each in choice.tried} == pytest.approx(by_hand)
    default, best = (logits[rate].argmax(axis=1) == targets for rate in (5e-5, 1e-4))
    p = stats.ttest_rel(best.astype(float), default.astype(float), alternative="greater").pvalue
    assert {each.value: each.p for each in choice.tried}[1e-4] == pytest.approx(min(1.0, 3 * p))
    assert (3 * p < 0.05) == (expected == 1e-4)
    assert (choice.value, choice.default, choice.metric) == (expected, 5e-5, "accuracy")
    assert (choice.folds, choice.rows, choice.steps) == (3, 48, 120)
    assert "beyond chance" in choice.reason


def test_the_main_score_decides(recipe: Path) -> None:
    prepared = prepare(resolve(str(recipe), overrides=["training.score=macro_f1"]).recipe)
    logits = {rate: right_in(prepared, range(number)) for rate, number in zip(RATES, (10, 20, 47, 30), strict=True)}
    choice = decide(prepared, outcomes(prepared, logits), "")
    targets = right_in(prepared, range(48)).argmax(axis=1)
    assert choice.value == 1e-4
    by_hand = {rate: f1_score(targets, each.argmax(axis=1), average="macro") for rate, each in logits.items()}
    assert {each.value: each.score for each in choice.tried} == pytest.approx(by_hand)


def test_of_equal_scores_the_default_is_taken(recipe: Path) -> None:
    prepared = prepare(resolve(str(recipe)).recipe)
    choice = decide(prepared, outcomes(prepared, dict.fromkeys(RATES, right_in(prepared, range(30)))), "")
    assert (choice.value, choice.reason) == (5e-5, "the default; no other value is better")


def test_a_value_that_diverged_is_out_and_without_the_default_the_best_is_taken(recipe: Path) -> None:
    prepared = prepare(resolve(str(recipe)).recipe)
    logits = {2e-5: right_in(prepared, range(30)), 5e-5: right_in(prepared, range(28)), 1e-4: None, 2e-4: None}
    choice = decide(prepared, outcomes(prepared, logits), "")
    assert choice.value == 5e-5
    assert [(each.score is None, each.failure) for each in choice.tried] == [(False, None)] * 2 + [(True, "nan")] * 2
    assert decide(prepared, outcomes(prepared, {**logits, 5e-5: None}), "").value == 2e-5
    refuse_divergence(outcomes(prepared, logits))
    with pytest.raises(RunFailed, match="diverged at every learning rate"):
        refuse_divergence(outcomes(prepared, dict.fromkeys(RATES)))


def test_numbers_are_compared_by_r2(write_recipe: Write, tmp_path: Path) -> None:
    texts = [text for text, _ in labelled_texts(80)]
    source = write_csv(tmp_path / "numbers.csv", ["text", "label"], zip(texts, np.linspace(0.25, 9.5, 80), strict=True))
    prepared = prepare(resolve(str(write_recipe(data={"source": str(source)}, training=AUTO))).recipe)
    truth = np.array(prepared.data.train.labels)
    noise = np.random.default_rng(0).normal(size=len(truth))
    logits = {rate: (truth + spread * noise).reshape(-1, 1) for rate, spread in zip(RATES, (20, 9, 1, 2), strict=True)}
    logits[2e-5][:] = 3.0
    choice = decide(prepared, outcomes(prepared, logits), "")
    assert (choice.metric, choice.value) == ("r2", 1e-4)
    for tried in choice.tried:
        assert tried.score == pytest.approx(r2_score(truth, logits[tried.value][:, 0]))


# --- what is trained and measured -----------------------------------------------------------------------------


def test_only_training_rows_are_seen_each_left_out_once(recipe: Path) -> None:
    prepared = prepare(resolve(str(recipe)).recipe)
    data = prepared.data
    fits, how = plan_fits(data, 5)
    assert how == "stratified by class"
    for rate in RATES:
        parts = [prepared_fit(prepared, fit).data for fit in fits if fit.rate == rate]
        assert sorted(row for part in parts for row in part.validation.ids) == sorted(data.train.ids)
        for part in parts:
            assert sorted(part.train.ids + part.validation.ids) == sorted(data.train.ids)
            assert part.test is None
            assert set(part.whole_splits()) == {"train", "validation"}
            assert len({part.validation.labels.count(name) for name in data.labels or ()}) == 1
    assert [fit.left_out for fit in fits] == [fit.left_out for fit in plan_fits(data, 5)[0]]
    assert [fit.left_out for fit in fits] != [fit.left_out for fit in plan_fits(data, 6)[0]]


def test_the_budget_is_the_recipes_own_and_min_steps_hold_in_folds(write_recipe: Write) -> None:
    """48 rows in batches of 8 are 6 steps an epoch, 32 of them 4."""
    for min_steps, epochs in ((0, 4), (22, 6)):
        recipe = write_recipe(training={**AUTO, "epochs": 4, "min_steps": min_steps}, techniques={"llrd": {}})
        prepared = prepare(resolve(str(recipe)).recipe)
        fit = prepared_fit(prepared, plan_fits(prepared.data, 0)[0][0])
        assert (fit.recipe.training.epochs, fit.budget.steps, fit.budget.learning_rate) == (epochs, 4 * epochs, 2e-5)
        assert fit.recipe.techniques == prepared.recipe.techniques
        assert choice_steps(prepared.recipe, prepared.data) == 4 * 3 * 4 * epochs


def test_groups_are_not_cut(write_recipe: Write, tmp_path: Path) -> None:
    rows = [(text, label, f"author {number // 4 % 12}") for number, (text, label) in enumerate(labelled_texts(96))]
    source = write_csv(tmp_path / "groups.csv", ["text", "label", "who"], rows)
    data = {"source": str(source), "group": "who"}
    prepared = prepare(resolve(str(write_recipe(data=data, training=AUTO))).recipe)
    for fit in plan_fits(prepared.data, 0)[0]:
        part = prepared_fit(prepared, fit).data
        assert not set(part.train.groups or ()) & set(part.validation.groups or ())


def test_what_it_costs_is_counted(recipe: Path) -> None:
    """4 epochs of 48 rows, 16 + 16 measured; folds of 32 and 16 rows, three of them for each of four values."""
    resolved = resolve(str(recipe)).recipe
    data = load_data(resolved.data)
    plain = resolve(str(recipe), overrides=["training.learning_rate=5e-5"]).recipe
    assert row_passes(plain, data) == 4 * (3 * 48 + 32) + 16
    assert row_passes(resolved, data) == row_passes(plain, data) + 12 * 4 * (3 * 32 + 16)


# --- refused --------------------------------------------------------------------------------------------------


def problems_of(recipe: Path, overrides: Sequence[str] = (), preset: str | None = None) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        prepare(resolve(str(recipe), preset, overrides=overrides).recipe)
    return caught.value


def test_a_class_with_one_training_row_is_refused_and_the_advice_works(write_recipe: Write, tmp_path: Path) -> None:
    texts = labelled_texts(44)
    train_rows = [*texts[:19], ("a lone film", "rare")]
    held = [*texts[20:], ("a rare plot", "rare"), ("a rare scene", "rare")]
    files = {
        "source": str(write_csv(tmp_path / "train.csv", ["text", "label"], train_rows)),
        "validation": str(write_csv(tmp_path / "held.csv", ["text", "label"], held)),
        "validation_size": None,
        "test_size": None,
    }
    recipe = write_recipe(data=files, training=AUTO)
    error = problems_of(recipe)
    text = typed(error)
    assert "training.learning_rate: auto trains on folds of the training rows" in text
    assert "these classes have one: rare" in text
    advised = [part.split(", or ")[0].strip().strip("'") for part in text.split("--set ")[1:]]
    assert len(advised) == 2
    for setting in advised:
        prepare(resolve(str(recipe), overrides=[setting.split(" (")[0]]).recipe)


def test_rows_that_cannot_be_cut_are_refused(write_recipe: Write) -> None:
    prepared = prepare(resolve(str(write_recipe())).recipe)
    auto = resolve(str(write_recipe("auto", training=AUTO))).recipe
    train_rows = prepared.data.train
    one_group = replace(train_rows, groups=["a"] * len(train_rows))
    (problem,) = rate_problems(auto, replace(prepared.data, train=one_group))
    assert (problem.key, problem.changes[0].settings) == ("training.learning_rate", {"training.learning_rate": 5e-5})
    few = replace(
        prepared.data, task="regression", labels=None, train=replace(train_rows.take([0, 1]), labels=[1.0, 2.0])
    )
    (problem,) = rate_problems(auto, few)
    assert "2 training rows cannot be cut" in problem.why


def test_what_no_fold_could_be_trained_with_is_refused_before(write_recipe: Write) -> None:
    """17 warm-up steps of 18 are possible, of the 12 in a fold they are not."""
    recipe = write_recipe(training={**AUTO, "warmup": 17.0})
    text = typed(problems_of(recipe))
    assert (
        "training.warmup: In the folds that choose training.learning_rate, 32 of 48 training rows: 17 warm-up" in text
    )
    assert "Try: --set training.learning_rate=5e-05, or --set training.warmup=0.1" in text
    for change in ("training.learning_rate=5e-5", "training.warmup=0.1"):
        prepare(resolve(str(recipe), overrides=[change]).recipe)


def test_a_setting_must_be_right_at_every_value(write_recipe: Write) -> None:
    recipe = write_recipe(training=AUTO, techniques={"weight_decay": {"strength": 6000.0}})  # η λ < 1 up to 1e-4
    resolve(str(recipe), overrides=["training.learning_rate=1e-4"])
    with pytest.raises(RecipeError, match=r"techniques\.weight_decay\.strength"):
        resolve(str(recipe))


@pytest.mark.parametrize("value", ["atuo", "Auto", "true", "0", "1", "[]"])
def test_other_values_are_refused(write_recipe: Write, value: str) -> None:
    with pytest.raises(RecipeError, match=r"training\.learning_rate: "):
        resolve(str(write_recipe()), overrides=[f"training.learning_rate={value}"])


# --- real runs ------------------------------------------------------------------------------------------------


class Steps(TrainerCallback):
    """Counts the steps of the choice, and those of the run."""

    def __init__(self) -> None:
        self.chosen: list[Any] = []
        self.of_fits = 0
        self.of_run = 0
        self.of = "run"

    def for_fit(self, title: str, done: int, total: int, of_run: int) -> TrainerCallback:
        outer = self

        class Fits(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                outer.of_fits += 1

        return Fits()

    def rate_chosen(self, choice: Any) -> None:
        self.chosen.append(choice)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.of_run += 1


@pytest.mark.usefixtures("two_rates", "two_folds")
def test_it_is_the_run_with_the_chosen_value_and_says_so(recipe: Path, tmp_path: Path) -> None:
    steps = Steps()
    longer = "training.epochs=8"
    record = train(recipe, tmp_path / "auto", "light", [longer], callbacks=[steps])
    choice = record.budget.learning_rate
    assert choice is not None
    assert choice.value == FAST
    assert record.recipe["training"]["learning_rate"] == "auto"
    assert [each.value for each in choice.tried] == [SLOW, FAST]
    assert steps.of_fits == choice.steps <= 2 * 2 * 3 * 8
    assert steps.chosen == [choice]
    assert record.time.phases["learning_rate"] > 0
    assert [path.name for path in (tmp_path / "auto" / "learning_rate").iterdir()] == ["choice.json"]
    told = dict(run_facts(record))["Rate"]
    assert told.startswith(f"Learning rate {FAST:g}: better than the default of {SLOW:g} beyond chance. Over 2 folds")
    assert f"{choice.steps} optimizer steps, " in told
    typed_in = train(recipe, tmp_path / "typed", "light", [longer, f"training.learning_rate={FAST}"])
    assert_same_weights(tmp_path / "auto", tmp_path / "typed")
    assert record.history == typed_in.history
    assert record.techniques == typed_in.techniques
    assert record.selected == typed_in.selected
    assert "learning_rate" not in typed_in.budget.model_dump()


@pytest.mark.usefixtures("two_rates", "two_folds")
def test_an_interrupted_choice_goes_on_and_a_finished_one_is_not_repeated(
    write_recipe: Write, still_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signal 9 between two trainings, Ctrl-C in the second epoch of the second (24 rows, 3 steps an epoch), and again
    between the choice and the run."""
    recipe, fit = write_recipe(model=still_model, data={"check": False}, training={**AUTO, "epochs": 2}), 1
    whole = train(recipe, tmp_path / "whole")
    prepared, folder = prepare(resolve(str(recipe)).recipe), RunFolder(tmp_path / "cut")

    class InterruptIn(Steps):
        def for_fit(self, title: str, done: int, total: int, of_run: int) -> TrainerCallback:
            return InterruptAt(5) if done == fit * 6 else super().for_fit(title, done, total, of_run)

    killed(KILLER, [recipe, folder.path])
    assert read_record(folder.record_path).status == "running"
    with pytest.raises(KeyboardInterrupt):
        run_seed(prepared, 0, folder, [InterruptIn()], resume=True)
    assert read_record(folder.record_path).status == "interrupted"
    kept = {path.name for path in (folder.path / "learning_rate" / f"{SLOW:g}-fold0").iterdir()}
    assert kept == {"run.json", "predictions.npz"}, "nobody needs its model, or its rows"
    first = Steps()
    with monkeypatch.context() as patch:
        patch.setattr("finetune.training.runner.build_model", _raise_interrupt_once())
        with pytest.raises(KeyboardInterrupt):
            run_seed(prepared, 0, folder, [first], resume=True)
    whole_fits = 4 - fit  # of 6 steps each
    assert first.of_fits == whole_fits * 6 - 3, "neither what was complete is repeated, nor the epoch that was"
    second = Steps()
    resumed = run_seed(prepared, 0, folder, [second], resume=True)
    assert second.of_fits == 0
    assert resumed.time.resumed == 3
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_a_damaged_training_of_the_choice_is_said_and_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(write_run(tmp_path / "5e-05-fold0", Run()))
    assert rate_choice._finished(folder) == folder.read()
    folder.predictions.write_bytes(folder.predictions.read_bytes()[:90])
    assert rate_choice._finished(folder) is None
    assert not folder.path.exists()
    assert "predictions.npz: cannot be read" in caplog.text
    assert "is done again" in caplog.text


def test_a_damaged_choice_is_said_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / rate_choice.RESULT
    assert rate_choice._read(path) is None
    assert not caplog.text, "there was none"
    for damage in ("{", "[]", '{"value": 5e-5}'):
        path.write_text(damage, encoding="utf-8")
        assert rate_choice._read(path) is None
        assert f"{path}: cannot be read: " in caplog.text
        caplog.clear()


def test_progress_counts_the_steps_of_the_choice_and_of_the_run_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "SECONDS_BETWEEN_STEPS", -1.0)
    events: list[Event] = []
    reporter = execution._reporter("key", events.append)
    fit = reporter.for_fit("learning rate 5e-5, fold 2", 12, 48, 24)  # two folds: of 48 rows the run has all
    fit.on_step_end(None, SimpleNamespace(global_step=2, max_steps=12), None)
    reporter.on_step_end(None, SimpleNamespace(global_step=1, max_steps=24), None)
    assert [(event.step, event.steps) for event in events] == [(14, 72), (49, 72)]


KILLER = f"""
    import os, signal
    from pathlib import Path
    from finetune.recipe import checks, learning_rate
    from finetune.training import rate_choice, rate_decision, rate_folds
    from tests.running import train

    for module in (rate_folds, rate_decision, checks):
        module.RATES = ({SLOW}, {FAST})
    for module in (rate_folds, rate_decision, learning_rate):
        module.DEFAULT_RATE = {SLOW}
    rate_folds.FOLDS = 2
    original, calls = rate_choice._outcome, []

    def on_second(*given):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*given)

    def die(recipe, folder):
        rate_choice._outcome = on_second
        train(Path(recipe), Path(folder))
"""


def _raise_interrupt_once() -> Callable[..., Any]:
    """The last model to be built is that of the run; it is not built. All others are."""
    from finetune.training.building import build_model

    def build(prepared: Prepared, seed: int, stopwatch: Any) -> Any:
        if prepared.rate is not None:
            raise KeyboardInterrupt
        return build_model(prepared, seed, stopwatch)

    return build


def test_a_value_that_diverges_ends_no_run(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _set_rates(monkeypatch, (0.02, 1e30))
    record = train(recipe, tmp_path / "run", overrides=["training.max_grad_norm=0", "training.epochs=1"])
    choice = record.budget.learning_rate
    assert choice is not None
    assert choice.value == 0.02
    assert "became" in str(choice.tried[1].failure) or "not finite" in str(choice.tried[1].failure)
    assert "1e+30 diverged" in dict(run_facts(record))["Rate"]


def test_a_technique_that_sets_all_rates_leaves_nothing_to_choose(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(training={**AUTO, "epochs": 1}, techniques={"lora": {}})
    done = invoke("run", recipe, "-o", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    assert "warning: training.learning_rate: auto has nothing to choose" in done.stderr
    choice = read_record(tmp_path / "run" / "run.json").budget.learning_rate
    assert choice is not None
    assert (choice.value, choice.steps, choice.tried) == (5e-5, 0, [])


@pytest.mark.usefixtures("two_rates", "two_folds")
@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_the_other_tasks_choose_too(write_recipe: Write, tmp_path: Path, task: str) -> None:
    texts = [text for text, _ in labelled_texts(60)]
    labels = ["good|film", "bad", "film", ""] if task == "multi_label" else ["1.5", "2.25", "3.5", "9.75"]
    rows = [(text, labels[number % 4]) for number, text in enumerate(texts)]
    data = {"source": str(write_csv(tmp_path / "data.csv", ["text", "label"], rows)), "task": task, "check": False}
    record = train(write_recipe(data=data, training={**AUTO, "epochs": 1}), tmp_path / "run")
    choice = record.budget.learning_rate
    assert choice is not None
    assert choice.metric == {"multi_label": "micro_f1", "regression": "r2"}[task]
    assert choice.value in (SLOW, FAST)


# --- commands -------------------------------------------------------------------------------------------------


def test_a_dry_run_and_show_say_what_will_be_chosen_and_what_it_takes(recipe: Path, tmp_path: Path) -> None:
    for command in (("show", recipe), ("run", recipe, "--dry-run", "-o", tmp_path / "run")):
        told = invoke(*command)
        assert told.exit_code == 0, told.stderr
        assert "Rate        will be chosen from 2e-05, 5e-05, 0.0001, 0.0002: 3 folds of 48 training rows, 192" in (
            told.stdout
        )
        assert "(at 5e-05, the default)" in told.stdout
    plan = json.loads(invoke("show", recipe, "--json").stdout)
    assert plan["learning_rate"]["steps"] == 192
    assert plan["values"]["training.learning_rate"]["value"] == "auto"


@pytest.mark.usefixtures("two_rates", "two_folds", "without_plots")
def test_every_preset_of_a_comparison_chooses_its_own_and_the_refit_takes_it(
    write_recipe: Write, still_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXECUTORS, "local", REFERENCE)
    recipe = write_recipe(model=still_model, data={"check": False}, training={**AUTO, "epochs": 2})
    monkeypatch.setattr("finetune.training.estimate._step_seconds", lambda *_: 1.0)
    monkeypatch.setattr("finetune.training.estimate._evaluation_seconds", lambda *_: 0.0)
    (tmp_path / "mine.yaml").write_text('{"l2": {"strength": 0.001}}', encoding="utf-8")
    asked = ("compare", recipe, "--presets", "none,mine.yaml", "--seeds", 1, "-o", "out", "--final", "best")
    planned = json.loads(invoke(*asked, "--dry-run", "--json").stdout)
    plain = json.loads(invoke(*asked, "--dry-run", "--json", "--set", "training.learning_rate=5e-5").stdout)
    own, choice = 2 * (3 * 48 + 32) + 16, 2 * 2 * 2 * (3 * 24 + 24)  # passes of rows
    assert planned["seconds"] == pytest.approx(plain["seconds"] * (own + choice) / own)
    done = invoke(*asked, "--final", "refit")
    assert done.exit_code == 0, done.stderr
    assert "training.learning_rate (none, mine): will be chosen" in done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["groups"][0]
    runs = {variant["name"]: variant["runs"][0] for variant in report["variants"]}
    for name, run in runs.items():
        assert run["learning_rate"]["value"] in (SLOW, FAST)
        assert (
            f"training.learning_rate: auto chose for {name}: {run['learning_rate']['value']:g} in 1 run"
            in (report["notes"])
        )
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "## Learning rates" in page
    (refit,) = (tmp_path / "out" / "final").iterdir()
    chosen = runs[report["recommendation"]["variant"]]["learning_rate"]["value"]
    assert read_record(refit / "run.json").recipe["training"]["learning_rate"] == chosen
    again = invoke(*asked)
    assert again.exit_code == 0, again.stderr


@pytest.mark.usefixtures("two_rates", "two_folds", "without_plots")
def test_a_curve_chooses_at_every_size(
    write_recipe: Write, still_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXECUTORS, "local", REFERENCE)
    monkeypatch.setattr("finetune.experiments.sizes.MIN_STEPS", 1)
    recipe = write_recipe(model=still_model, data={"check": False}, training={**AUTO, "epochs": 2})
    done = invoke("curve", recipe, "--presets", "none", "--seeds", 1, "--sizes", "16,32", "-o", "out")
    assert done.exit_code == 0, done.stderr
    choices = [read_record(path).budget.learning_rate for path in (tmp_path / "out" / "cells").glob("*/run.json")]
    assert sorted(choice.rows for choice in choices if choice is not None) == [16, 32]
    assert "2 folds of 16 training rows" in done.stderr


def test_records_of_before_say_nothing_of_it() -> None:
    record = read_record(Path(__file__).parent.parent / "records" / "run.json")
    assert record.budget.learning_rate is None
    assert record.budget.early_stopping is None
    facts = run_facts(record)  # type: ignore[arg-type]
    assert not {"Rate", "Stopping"} & {label for label, _ in facts}
    assert Fit(1e-4, 1, []).title == "learning rate 0.0001, fold 2"
    assert math.isclose(RATES[1], 5e-5)
