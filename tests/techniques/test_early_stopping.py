"""Early stopping: the selection rule value by value, and real runs that stop and ship the best weights."""

import dataclasses
import itertools
import json
import math
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.records.facts import EarlyStop
from finetune.records.schema import FinishedRecord
from finetune.reports.run_content import run_facts
from finetune.techniques import Budget, SelectionRule
from finetune.techniques.early_stopping import EarlyStopping
from finetune.training.prepare import prepare
from finetune.training.record import warning_texts
from finetune.training.selection import Selector
from tests.conftest import labelled_texts, write_csv
from tests.raising import typed
from tests.running import train, weights

Write = Callable[..., Path]
Trained = Callable[..., tuple[Path, FinishedRecord]]


def selector(
    metric: str = "accuracy",
    patience: int = 2,
    min_delta: float = 0.0,
    min_epochs: int = 1,
    loss: str = "nll",
) -> Selector:
    return Selector(SelectionRule("score", patience, min_delta, min_epochs), metric, loss)


def feed(
    chosen: Selector, values: list[float], losses: list[float] | None = None, learns_in: int = 1
) -> list[tuple[bool, bool]]:
    """One evaluation an epoch, 10 steps each; returns (best so far, stopped) after each, up to the stop.

    Only the evaluation of epoch `learns_in` beats the trivial answer.
    """
    seen = []
    for epoch, value in enumerate(values, start=1):
        validation = {"nll": 1.0 if losses is None else losses[epoch - 1], "mse": 1.0, chosen.metric: value}
        best = chosen.observe(10 * epoch, float(epoch), validation, epoch == learns_in)
        seen.append((best, chosen.state.stopped))
        if chosen.state.stopped:
            break
    return seen


# --- when it stops ----------------------------------------------------------------------------------------


def test_it_stops_after_patience_evaluations_in_a_row_without_a_gain() -> None:
    chosen = selector(patience=2)
    assert feed(chosen, [0.5, 0.6, 0.6, 0.55, 0.9]) == [
        (True, False),
        (True, False),
        (False, False),
        (False, True),
    ]
    assert chosen.state.best_step == 20


def test_a_gain_starts_the_count_anew() -> None:
    assert [stopped for _, stopped in feed(selector(patience=2), [0.5, 0.4, 0.6, 0.5, 0.7, 0.6, 0.5])] == [
        *[False] * 6,
        True,
    ]


def test_patience_of_one_stops_at_the_first_evaluation_without_a_gain() -> None:
    assert feed(selector(patience=1), [0.5, 0.5]) == [(True, False), (False, True)]


def test_the_first_evaluation_neither_stops_nor_waits() -> None:
    assert feed(selector(patience=1), [0.0]) == [(True, False)]


def test_slow_progress_counts_against_the_last_gain_not_the_last_value() -> None:
    """Loss 1.0 → .90 is a gain of .10; .85 is .05 from .90 and waits; .81 is .09 from .90 and counts.

    A reference that creeps along (.85) would see .04 in the last step and stop here.
    """
    chosen = selector(metric="nll", patience=2, min_delta=0.06)
    assert [stopped for _, stopped in feed(chosen, [1.0, 0.90, 0.85, 0.81])] == [False] * 4
    assert chosen.state.waited == 0
    assert chosen.state.reference == -0.81


def test_progress_below_min_delta_in_sum_stops() -> None:
    chosen = selector(metric="nll", patience=2, min_delta=0.06)
    assert [stopped for _, stopped in feed(chosen, [1.0, 0.98, 0.95])] == [False, False, True]
    assert chosen.state.reference == -1.0


def test_a_gain_must_exceed_min_delta() -> None:
    """In binary fractions, so that "exactly" means it."""
    assert feed(selector(patience=1, min_delta=0.25), [0.5, 0.75])[-1] == (True, True)
    assert feed(selector(patience=1, min_delta=0.25), [0.5, 0.8125])[-1] == (True, False)


def test_not_before_min_epochs() -> None:
    chosen = selector(patience=1, min_epochs=4)
    assert [stopped for _, stopped in feed(chosen, [0.9, 0.5, 0.5, 0.5, 0.5])] == [False, False, False, True]
    assert chosen.state.best_step == 10


def test_a_gain_before_min_epochs_is_over_saves_the_run() -> None:
    """Three evaluations without a gain passed while stopping was not allowed; the fourth gains."""
    assert [stopped for _, stopped in feed(selector(patience=2, min_epochs=5), [0.9, 0.5, 0.5, 0.5, 0.95])] == [
        False
    ] * 5


def test_a_rounded_epoch_does_not_cost_an_evaluation() -> None:
    chosen = selector(patience=1, min_epochs=2)
    chosen.observe(10, 0.9999999999, {"accuracy": 0.5, "nll": 1.0}, True)
    chosen.observe(20, 1.9999999999, {"accuracy": 0.5, "nll": 1.0}, True)
    assert chosen.state.stopped


# --- when it begins to count ------------------------------------------------------------------------------


def test_a_run_that_has_not_begun_to_learn_is_not_stopped() -> None:
    """Six epochs at the majority class, then it takes off, and then it waits."""
    chosen = selector(patience=2)
    assert [stopped for _, stopped in feed(chosen, [0.5] * 6 + [0.8, 0.8, 0.7], learns_in=7)] == [False] * 8 + [True]
    assert (chosen.state.learned_step, chosen.state.best_step) == (70, 70)


def test_what_came_before_is_no_mark_to_be_beaten() -> None:
    """The first evaluation that beats the trivial answer may have less of the metric than a lucky one before it."""
    chosen = selector(patience=2)
    assert [stopped for _, stopped in feed(chosen, [0.7, 0.6, 0.65, 0.6, 0.6], learns_in=2)] == [False] * 4 + [True]
    assert chosen.state.best_step == 10


def test_a_run_that_never_begins_goes_to_its_end_and_ships_its_best() -> None:
    chosen = selector(patience=1)
    assert not any(stopped for _, stopped in feed(chosen, [0.5, 0.6, 0.5, 0.5, 0.4], learns_in=0))
    assert (chosen.state.learned_step, chosen.state.best_step) == (None, 20)


# --- what ships -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["nll", "brier", "ece", "mse", "mae"])
def test_losses_count_downwards(metric: str) -> None:
    chosen = selector(metric=metric, patience=3)
    assert [best for best, _ in feed(chosen, [0.5, 0.7, 0.3, 0.4])] == [True, False, True, False]
    assert chosen.state.best_step == 30


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "mcc", "pearson", "exact_match", "my_own_score"])
def test_scores_count_upwards(metric: str) -> None:
    chosen = selector(metric=metric, patience=3)
    assert [best for best, _ in feed(chosen, [0.5, 0.3, 0.7, -0.4])] == [True, False, True, False]
    assert chosen.state.best_step == 30


def test_equal_scores_are_decided_by_the_lower_loss_then_by_the_earlier_step() -> None:
    chosen = selector(patience=9)
    best = [found for found, _ in feed(chosen, [0.8, 0.8, 0.8, 0.8, 0.7], losses=[0.6, 0.5, 0.5, 0.55, 0.1])]
    assert best == [True, True, False, False, False]
    assert chosen.state.best_step == 20


def test_a_tie_with_a_lower_loss_ships_but_is_no_gain() -> None:
    chosen = selector(patience=2)
    assert feed(chosen, [0.8, 0.8, 0.8], losses=[0.6, 0.5, 0.4]) == [
        (True, False),
        (True, False),
        (True, True),
    ]
    assert chosen.state.best_step == 30


def test_a_gain_too_small_to_count_still_ships() -> None:
    """The best evaluation of all is shipped, not the last one that counted as a gain."""
    chosen = selector(patience=2, min_delta=0.1)
    assert feed(chosen, [0.5, 0.55, 0.52]) == [(True, False), (True, False), (False, True)]
    assert chosen.state.best_step == 20


# --- undefined metrics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["pearson", "mse"])
def test_nan_is_never_a_gain(metric: str) -> None:
    chosen = selector(metric=metric, patience=2, loss="nll")
    assert feed(chosen, [0.5, math.nan, math.nan]) == [(True, False), (False, False), (False, True)]
    assert chosen.state.best_step == 10


@pytest.mark.parametrize(("metric", "value"), [("pearson", -0.9), ("mse", 1e6)])
def test_any_number_is_a_gain_over_nan(metric: str, value: float) -> None:
    chosen = selector(metric=metric, patience=2, min_delta=0.5, loss="nll")
    assert [best for best, _ in feed(chosen, [math.nan, value])] == [True, True]
    assert chosen.state.best_step == 20
    assert chosen.state.waited == 0


def test_nan_throughout_stops_and_ships_the_lowest_loss() -> None:
    chosen = selector(metric="pearson", patience=2, loss="nll")
    assert [stopped for _, stopped in feed(chosen, [math.nan] * 4, losses=[0.5, 0.4, 0.45, 0.1])] == [
        False,
        False,
        True,
    ]
    assert chosen.state.best_step == 20


def test_an_undefined_loss_loses_the_tie() -> None:
    chosen = selector(patience=9)
    assert [best for best, _ in feed(chosen, [0.8, 0.8, 0.8], losses=[math.nan, 0.9, math.nan])] == [
        True,
        True,
        False,
    ]


# --- interruption -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [[0.5, 0.6, 0.6, 0.55], [math.nan, math.nan, 0.3, 0.2], [0.5, math.nan, 0.7, 0.7, 0.9, 0.1]]
)
@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_state_restored_from_json_goes_on_as_if_nothing_had_happened(values: list[float], cut: int) -> None:
    losses = [1.0, 0.9, 0.8, 0.85, 0.7, 0.9]
    whole, before, after = selector(patience=3), selector(patience=3), selector(patience=3)
    expected = feed(whole, values, losses, learns_in=2)
    feed(before, values[:cut], losses, learns_in=2)
    saved = json.loads(json.dumps(before.to_dict()))
    after.restore(saved)
    assert after.state == before.state
    found = [
        (
            after.observe(
                10 * epoch, float(epoch), {"accuracy": values[epoch - 1], "nll": losses[epoch - 1]}, epoch == 2
            ),
            after.state.stopped,
        )
        for epoch in range(cut + 1, len(expected) + 1)
    ]
    assert found == expected[cut:]
    assert after.state == whole.state
    assert set(saved) == {field.name for field in dataclasses.fields(after.state)}


# --- settings ---------------------------------------------------------------------------------------------


def budget(epochs: int) -> Budget:
    return Budget("single_label", epochs, 5e-5, 10, 0.1)


@pytest.mark.parametrize("epochs", [1, 2, 3, 10])
@pytest.mark.parametrize("patience", [1, 2, 3, 9, 10])
def test_patience_that_no_run_can_outlast_is_cut_and_said(epochs: int, patience: int) -> None:
    """Told by the rule itself, fed with a score that never moves: what stops at the last epoch stops nothing."""
    stopping = EarlyStopping(patience=patience)
    rule = stopping.selection_rule().within(epochs)
    assert stopping.problems(budget(epochs)) == []
    seen = feed(Selector(rule, "accuracy", "nll"), [0.5] * epochs)
    is_cut_short = seen[-1][1] and len(seen) < epochs
    assert [problem.key for problem in stopping.warnings(budget(epochs))] == ([] if is_cut_short else [".patience"])
    assert rule.patience == (patience if patience < epochs else max(1, epochs - 1))
    assert (stopping.effect(budget(epochs)) is None) == (rule.patience == patience)


@pytest.mark.parametrize("patience", [1, 3, 20])
def test_without_stop_no_patience_ends_a_run_and_one_that_was_set_is_a_warning(patience: int) -> None:
    stopping = EarlyStopping(patience=patience, stop=False)
    rule = stopping.selection_rule().within(6)
    seen = feed(Selector(rule, "accuracy", "nll"), [0.5, 0.9, *[0.1] * 4])
    assert seen == [(True, False), (True, False), *[(False, False)] * 4]
    assert stopping.problems(budget(6)) == []
    assert [problem.key for problem in stopping.warnings(budget(6))] == ([] if patience == 3 else [".patience"])
    assert stopping.effect(budget(6)) == "never stops; keeps the best checkpoint"


def test_without_stop_more_epochs_for_few_rows_make_no_warning() -> None:
    """`training.min_steps` raises the epochs, and with them the patience of runs that may stop."""
    assert EarlyStopping().with_epochs_scaled(1.7).patience == 5
    assert EarlyStopping(stop=False).with_epochs_scaled(1.7).warnings(budget(17)) == []
    (warning,) = EarlyStopping(stop=False, patience=5).with_epochs_scaled(1.7).warnings(budget(17))
    assert warning.found == 5, "as it was set"


def test_strong_on_few_rows_warns_of_nothing_that_nobody_set(write_recipe: Write) -> None:
    recipe = resolve(str(write_recipe(training={"min_steps": 200})), "strong").recipe
    assert not [text for text in warning_texts(prepare(recipe)) if "early_stopping" in text]


def test_without_stop_min_epochs_is_refused() -> None:
    (problem,) = EarlyStopping(stop=False, min_epochs=5).problems(budget(10))
    assert (problem.key, problem.found) == (".min_epochs", 5)
    assert "with stop=false training never stops early" in problem.why


@pytest.mark.parametrize(
    ("patience", "min_epochs", "epochs", "is_refused"),
    [(1, 5, 5, True), (1, 4, 5, False), (1, 3, 5, False), (1, 2, 5, True), (3, 4, 10, True), (3, 5, 10, False)],
)
def test_min_epochs_that_never_act_are_refused(patience: int, min_epochs: int, epochs: int, is_refused: bool) -> None:
    """Told by the rule: does a score that never moves stop later with it, and before the end?"""
    stopping = EarlyStopping(patience=patience, min_epochs=min_epochs)
    problems = stopping.problems(budget(epochs))
    assert [problem.key for problem in problems] == [".min_epochs"] * is_refused
    with_it, without = (
        len(feed(selector(patience=patience, min_epochs=least), [0.5] * (epochs + 5))) for least in (min_epochs, 1)
    )
    assert (without < with_it < epochs) is not is_refused


@pytest.mark.parametrize(("epochs", "patience", "min_epochs"), [(5, 1, 5), (4, 3, 4), (2, 1, 2), (10, 3, 4), (1, 1, 4)])
def test_what_the_refusal_advises_is_accepted(write_recipe: Write, epochs: int, patience: int, min_epochs: int) -> None:
    settings = {"early_stopping": {"patience": patience, "min_epochs": min_epochs}}
    recipe = str(write_recipe(training={"epochs": epochs}, techniques=settings))
    with pytest.raises(RecipeError, match=r"tiny\.yaml: techniques\.early_stopping\.min_epochs: ") as caught:
        resolve(recipe)
    advised = [part.split()[0].rstrip(",") for part in typed(caught.value).split("--set ")[1:]]
    assert advised
    for setting in advised:
        resolve(recipe, overrides=[setting])


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_every_preset_runs_in_a_short_budget(write_recipe: Write, epochs: int) -> None:
    for preset in ("light", "medium", "strong", "peft"):
        resolve(str(write_recipe(training={"epochs": epochs})), preset)


def test_an_unknown_metric_is_refused_with_the_closest_known(write_recipe: Write) -> None:
    recipe = resolve(str(write_recipe(techniques={"early_stopping": {"patience": 1, "metric": "acuracy"}}))).recipe
    with pytest.raises(RecipeError, match=r"techniques\.early_stopping\.metric: 'acuracy' is not measured.*accuracy"):
        prepare(recipe)


@pytest.mark.parametrize(("metric", "expected"), [("score", "accuracy"), ("loss", "nll"), ("macro_f1", "macro_f1")])
def test_score_and_loss_stand_for_the_tasks_own(write_recipe: Write, metric: str, expected: str) -> None:
    recipe = write_recipe(techniques={"early_stopping": {"patience": 1, "metric": metric}})
    assert prepare(resolve(str(recipe)).recipe).metric == expected


@pytest.mark.parametrize("min_delta", ["-0.1", ".nan", ".inf"])
def test_a_min_delta_that_no_gain_can_be_measured_by_is_refused(write_recipe: Write, min_delta: str) -> None:
    with pytest.raises(RecipeError, match=r"techniques\.early_stopping\.min_delta: "):
        resolve(
            str(write_recipe(techniques={"early_stopping": {"patience": 1}})),
            overrides=[f"techniques.early_stopping.min_delta={min_delta}"],
        )


# --- real runs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worsening(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[..., Path]:
    """Recipes with these settings of the technique, or without it.

    Nine in ten train rows are good, nine in ten validation rows bad: learning makes validation worse.
    """
    root, numbers = tmp_path_factory.mktemp("worsening"), itertools.count()
    texts = [text for text, _ in labelled_texts(80)]
    train_rows = [(text, "bad" if index % 10 == 0 else "good") for index, text in enumerate(texts[:48])]
    held_rows = [(text, "good" if index % 10 == 0 else "bad") for index, text in enumerate(texts[48:])]
    data = {
        "source": str(write_csv(root / "train.csv", ["text", "label"], train_rows)),
        "validation": str(write_csv(root / "validation.csv", ["text", "label"], held_rows)),
        "max_length": 32,
    }
    training = {"epochs": 6, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32", "warmup": 0.0}

    def write(**settings: Any) -> Path:
        techniques = {"early_stopping": {"metric": "loss", **settings}} if settings else {}
        recipe = {"model": {"id": str(tiny_model)}, "data": data, "training": training, "techniques": techniques}
        path = root / f"{next(numbers)}.yaml"
        path.write_text(json.dumps(recipe), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, worsening: Callable[..., Path]) -> Trained:
    """Runs of such recipes, each done once: `trained(patience=2)` -> folder and record. Not to be changed.

    No evaluation beats the most frequent class; that they all do is planted, so that patience counts.
    """
    root = tmp_path_factory.mktemp("stopped")

    @cache
    def run(**settings: Any) -> tuple[Path, FinishedRecord]:
        folder = root / "-".join(["run", *(f"{key}={value}" for key, value in settings.items())])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("finetune.training.building.beats_trivial", lambda *_: True)
            return folder, train(worsening(**settings), folder)

    return run


def test_a_run_stops_and_ships_the_weights_of_its_best_epoch(trained: Trained) -> None:
    _, record = trained(patience=2)
    losses = [evaluation.validation["nll"] for evaluation in record.history]
    assert losses == sorted(losses)
    assert len(losses) == 3  # the first sets the mark, two wait
    assert (record.budget.steps_done, record.budget.steps) == (18, 36)
    assert (record.selected.step, record.last.step) == (6, 18)
    assert record.selected.validation["nll"] == losses[0]
    assert record.last.validation["nll"] == losses[2]
    assert record.budget.early_stopping == EarlyStop(stopped=True, patience=2, learned_step=6)
    facts = dict(run_facts(record))
    assert facts["Stopping"].startswith("Stopped early at epoch 3 of 6: 2 evaluations in a row without an improvement")
    assert "Train longer" not in facts["Diagnosis"]
    assert not [text for text in record.warnings if "training.epochs" in text]
    _, plain = trained()
    assert [text for text in plain.warnings if "training.epochs" in text], "it is 36 steps long"
    assert plain.budget.early_stopping is None
    assert "early_stopping" not in plain.budget.model_dump()


def test_a_run_at_the_majority_class_is_not_stopped_and_says_so(worsening: Callable[..., Path], tmp_path: Path) -> None:
    """By the real rule of what a run has learned."""
    record = train(worsening(patience=1), tmp_path / "run")
    assert record.budget.steps_done == record.budget.steps == 36
    assert record.budget.early_stopping == EarlyStop(stopped=False, patience=1, learned_step=None)
    assert dict(run_facts(record))["Stopping"].startswith("Early stopping never became active")


def test_what_ships_gives_the_predictions_of_the_selected_epoch(
    trained: Trained, worsening: Callable[..., Path]
) -> None:
    """The folder is loaded by plain transformers; every validation text is scored one by one, unpadded."""
    folder, _ = trained(patience=2)
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    stored = np.load(folder / "predictions.npz")
    texts = prepare(resolve(str(worsening(patience=2))).recipe).data.validation.texts
    with torch.no_grad():
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])
    torch.testing.assert_close(logits.numpy(), stored["selected_validation_logits"], rtol=0, atol=1e-5)
    assert np.abs(logits.numpy() - stored["last_validation_logits"]).max() > 0.01


def test_up_to_the_stop_the_run_is_the_one_without_early_stopping(trained: Trained) -> None:
    """Same learning rates, same batches: the schedule is planned for all epochs."""
    (_, stopped), (_, plain) = trained(patience=2), trained()
    assert len(plain.history) == 6
    assert stopped.history == plain.history[:3]
    assert plain.selected.step == plain.last.step == 36


def test_min_epochs_keeps_a_run_going(trained: Trained) -> None:
    _, record = trained(patience=1, min_epochs=4)
    assert record.budget.steps_done == 24
    assert record.selected.step == 6


def test_a_run_that_never_stops_still_ships_its_best_epoch(trained: Trained) -> None:
    folder, record = trained(patience=5)
    assert record.budget.steps_done == 36
    assert record.budget.early_stopping is not None
    assert not record.budget.early_stopping.stopped, "the last evaluation ends no run early"
    assert record.selected.step == 6
    plain_folder, plain = trained()
    assert plain.history == record.history
    assert not torch.equal(weights(folder)["classifier.weight"], weights(plain_folder)["classifier.weight"])


def test_without_stop_a_run_ends_at_its_last_epoch_and_keeps_its_best(trained: Trained) -> None:
    _, record = trained(patience=1, stop=False)
    assert record.budget.steps_done == 36
    assert record.budget.early_stopping is None, "nothing could stop it"
    assert (record.selected.step, record.last.step) == (6, 36)
    assert record.techniques["early_stopping"].outcome == "the weights of epoch 1 are kept, of 6 epochs"
    assert "Stopping" not in dict(run_facts(record))


def test_a_best_epoch_with_an_undefined_score_ships_too(
    write_recipe: Write, still_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An L1 penalty that empties the head makes outputs constant: loss is defined, correlation is not.

    The head of the checkpoint predicts 0, far from the training targets: moving there makes validation worse from epoch
    to epoch.
    """
    classifier = AutoModelForSequenceClassification.from_pretrained(still_model, num_labels=1)
    torch.nn.init.zeros_(classifier.classifier.weight)
    classifier.save_pretrained(shutil.copytree(still_model, tmp_path / "zero"))
    texts = [text for text, _ in labelled_texts(80)]
    files = {
        "source": str(
            write_csv(
                tmp_path / "train.csv",
                ["text", "label"],
                [(text, f"{2 + index / 100:.2f}") for index, text in enumerate(texts[:48])],
            )
        ),
        "validation": str(
            write_csv(
                tmp_path / "validation.csv",
                ["text", "label"],
                [(text, f"{-index / 1000:.3f}") for index, text in enumerate(texts[48:])],
            )
        ),
        "validation_size": None,
        "test_size": None,
    }
    monkeypatch.setattr("finetune.training.building.beats_trivial", lambda *_: True)
    techniques = {"l1": {"strength": 1000.0}, "early_stopping": {"metric": "loss", "patience": 2}}
    recipe = write_recipe(model=tmp_path / "zero", data=files, training={"epochs": 6}, techniques=techniques)
    record = train(recipe, tmp_path / "run")
    assert record.selected.step == 6
    assert record.selected.validation["pearson"] is None
    assert record.last.step == 18
