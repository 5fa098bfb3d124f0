"""Head first: the encoder rests bit for bit, then both train on a schedule that starts anew."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import PrivateAttr, ValidationError

from finetune.errors import ModelError, RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget, Part, StepView
from finetune.techniques.head_first import HeadFirst, warmup_and_decay
from tests.interrupting import interrupted_and_resumed, timeless
from tests.raising import typed
from tests.running import assert_same_weights, train
from tests.techniques.watching import Spy, pretrained_weights, watch

Write = Callable[..., Path]
HEAD, ENCODER = Part(13, 12, True), Part(3, 12, False)
HEAD_NAMES = {"classifier.weight", "classifier.bias"}


class OptimizerSpy(Spy):
    """Writes down, after every step, what has a gradient, what the optimizer has a state for, and all rates."""

    _steps: list[tuple[set[str], set[str], dict[str, float]]] = PrivateAttr(default_factory=list)

    @property
    def steps(self) -> list[tuple[set[str], set[str], dict[str, float]]]:
        return self._steps

    def after_optimizer_step(self, step: StepView) -> None:
        super().after_optimizer_step(step)
        moved = {name for name, value in step.parameters.items() if value.grad is not None}
        state = {name for name, value in step.parameters.items() if step.optimizer.state.get(value)}
        rates = {name: step.learning_rate_of(value) for name, value in step.parameters.items()}
        self._steps.append((moved, state, rates))


# --- the schedule -------------------------------------------------------------------------------------------


def test_the_second_phase_rises_and_falls_by_hand() -> None:
    found = [warmup_and_decay(step, 8, 3) for step in range(8)]
    assert found == pytest.approx([1 / 4, 2 / 4, 3 / 4, 5 / 5, 4 / 5, 3 / 5, 2 / 5, 1 / 5])
    assert [warmup_and_decay(step, 3, 0) for step in range(3)] == pytest.approx([1.0, 2 / 3, 1 / 3])


def test_the_whole_schedule_by_hand() -> None:
    """2 of 4 epochs of 5 steps for the head; a tenth of the 10 that are left is one rising step."""
    budget = Budget("single_label", epochs=4, learning_rate=0.1, steps_per_epoch=5, warmup=0.1)
    technique = HeadFirst(epochs_alone=2, learning_rate=0.5)
    later = [0.05, *(0.1 * left / 9 for left in range(9, 0, -1))]
    assert [technique.schedule(HEAD, step, budget) for step in range(20)] == pytest.approx([0.5] * 10 + later)
    resting = [technique.schedule(ENCODER, step, budget) for step in range(20)]
    assert resting[:10] == [0.0] * 10
    assert resting[10:] == pytest.approx(later)
    assert all(rate > 0 for rate in resting[10:]), "0 would let it rest again"


def test_rising_steps_may_be_a_number() -> None:
    budget = Budget("single_label", epochs=4, learning_rate=0.1, steps_per_epoch=5, warmup=4)
    rates = [HeadFirst(epochs_alone=2).schedule(ENCODER, step, budget) for step in range(10, 20)]
    assert rates.index(max(rates)) == 4
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])


@pytest.mark.parametrize(
    ("wanted", "epochs", "expected"), [(0.2, 10, 2), (0.2, 3, 1), (0.2, 2, 1), (0.01, 10, 1), (3, 10, 3), (0.5, 9, 4)]
)
def test_epochs_alone_are_a_number_or_a_share_of_at_least_one(wanted: float, epochs: int, expected: int) -> None:
    budget = Budget("single_label", epochs, 0.1, 5, 0.1)
    assert HeadFirst(epochs_alone=wanted)._alone(budget) == expected
    assert HeadFirst(epochs_alone=wanted).effect(budget) == f"head alone for {expected} of {epochs} epochs"


# --- in training --------------------------------------------------------------------------------------------


def test_the_encoder_rests_without_gradient_or_optimizer_state_and_moves_later(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    spy = OptimizerSpy()
    techniques = {"head_first": {"learning_rate": 0.02}, "weight_decay": {"total_shrink": 0.5}}
    run = watch(write_recipe(techniques=techniques), tmp_path / "run", last=spy)
    anchors = pretrained_weights(tiny_model)
    assert len(spy.steps) == 18
    for index, (seen, (moved, state, rates)) in enumerate(zip(spy.after, spy.steps, strict=True)):
        if index < 6:
            assert moved == state == HEAD_NAMES
            assert all(torch.equal(seen.values[name], start) for name, start in anchors.items())
            assert {rates[name] for name in HEAD_NAMES} == {0.02}
            assert {rates[name] for name in anchors} == {0.0}
        else:
            assert moved == state == {*anchors, *HEAD_NAMES}
            expected = 0.005 * ([1 / 3, 2 / 3] + [left / 10 for left in range(10, 0, -1)])[index - 6]
            assert all(rate == pytest.approx(expected) for rate in rates.values())
    heads = [seen.values["classifier.weight"] for seen in spy.after]
    assert not any(torch.equal(one, two) for one, two in itertools.pairwise(heads))
    assert not any(torch.equal(run.weights[name], start) for name, start in anchors.items())


def test_the_head_of_the_first_phase_is_the_one_of_a_linear_probe(write_recipe: Write, tmp_path: Path) -> None:
    """The same steps as with everything frozen, at a constant rate: the first phase does nothing else."""
    first, second = Spy(), Spy()
    training = {"epochs": 2, "learning_rate": 0.02, "warmup": 0.0}
    watch(write_recipe(techniques={"head_first": {"learning_rate": 0.02}}, training=training), tmp_path / "a", first)
    watch(write_recipe(techniques={"freeze": {"layers": 1.0}}, training=training), tmp_path / "b", second)
    one, two = (spy.after[0].values["classifier.weight"] for spy in (first, second))
    assert torch.equal(one, two)  # later the rate of the probe falls


@pytest.mark.parametrize("step", [6, 3, 8])  # at the end of the first phase, within it, and after it
def test_a_resumed_run_equals_one_that_never_stopped(write_recipe: Write, tmp_path: Path, step: int) -> None:
    recipe = write_recipe(techniques={"head_first": {"learning_rate": 0.02}})
    whole = train(recipe, tmp_path / "whole")
    assert timeless(interrupted_and_resumed(recipe, tmp_path / "cut", step)) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_accumulation_changes_nothing(write_recipe: Write, still_model: Path, tmp_path: Path) -> None:
    recipe = write_recipe(model=still_model, techniques={"head_first": {}})
    train(recipe, tmp_path / "one")
    train(recipe, tmp_path / "two", overrides=["training.accumulation=2"])
    assert_same_weights(tmp_path / "one", tmp_path / "two", tolerance=1e-5)


def test_it_composes_with_frozen_lower_layers_and_layer_wise_rates(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    spy = OptimizerSpy()
    techniques = {"head_first": {}, "freeze": {}, "llrd": {"decay": 0.5}}
    run = watch(write_recipe(techniques=techniques), tmp_path / "run", last=spy)
    assert spy.steps[0][0] == HEAD_NAMES
    frozen = ("bert.embeddings.", "bert.encoder.layer.0.")
    for name, start in pretrained_weights(tiny_model).items():
        assert torch.equal(run.weights[name], start) == name.startswith(frozen), name
        assert (name in spy.steps[-1][0]) == (not name.startswith(frozen))


# --- what it refuses ----------------------------------------------------------------------------------------


def test_an_encoder_that_never_trains_is_refused(write_recipe: Write, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"techniques\.head_first: would have no effect"):
        train(write_recipe(techniques={"head_first": {}, "freeze": {"layers": 1.0}}), tmp_path / "run")


@pytest.mark.parametrize(("settings", "epochs"), [({}, 1), ({"epochs_alone": 3}, 3), ({"epochs_alone": 0.9}, 2)])
def test_an_epoch_must_be_left_to_fine_tune(write_recipe: Write, settings: dict[str, Any], epochs: int) -> None:
    recipe = str(write_recipe(techniques={"head_first": settings}, training={"epochs": epochs}))
    with pytest.raises(RecipeError, match=r"techniques\.head_first\.epochs_alone: .* none is left") as caught:
        resolve(recipe)
    advised = typed(caught.value).partition("--set ")[2]
    assert resolve(recipe, overrides=[advised]).recipe.techniques


def test_warming_up_must_not_take_all_that_is_left(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"head_first": {"epochs_alone": 2}}, training={"warmup": 6})
    with pytest.raises(RecipeError, match=r"epochs_alone: 6 steps are left .* training\.warmup takes 6 of them"):
        train(recipe, tmp_path / "run")


def test_it_fights_with_another_schedule(write_recipe: Write) -> None:
    with pytest.raises(RecipeError, match="conflicts with head_first: both control the learning-rate schedule"):
        resolve(str(write_recipe(techniques={"head_first": {}, "swa": {}})))


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs_alone": 0},
        {"epochs_alone": 1.5},
        {"epochs_alone": 0.0},
        {"epochs_alone": True},
        {"learning_rate": 0.0},
    ],
)
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        HeadFirst(**settings)


def test_the_cost_is_a_third_in_the_epochs_of_the_head() -> None:
    assert round(HeadFirst().training_cost(Budget(None, 10, 1e-4, None, 0.1)), 2) == HeadFirst.cost
    assert HeadFirst(epochs_alone=5).training_cost(Budget(None, 10, 1e-4, None, 0.1)) == pytest.approx(2 / 3)
