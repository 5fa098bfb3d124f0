"""L2-SP: the closed form, the total pull, and that the encoder alone is pulled, to its pretrained values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget, StepView, WeightNames
from finetune.techniques.l2_sp import L2SP, pulled
from tests.interrupting import interrupted_and_resumed, timeless
from tests.raising import typed
from tests.running import train
from tests.techniques.watching import Spy, pretrained_weights, step_view, watch

Write = Callable[..., Path]
BUDGET = Budget("single_label", epochs=4, learning_rate=0.1, steps_per_epoch=5, warmup=0.1)


def test_the_pull_moves_a_share_of_the_way_and_never_past() -> None:
    weights, anchor = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 2.0, 0.5])
    assert pulled(weights, anchor, 0.25).tolist() == pytest.approx([0.75, -1.0, 0.5])
    assert pulled(weights, anchor, 0.0).tolist() == weights.tolist()
    assert pulled(weights, anchor, 1.0).tolist() == anchor.tolist()
    assert pulled(weights, anchor, 1.7).tolist() == anchor.tolist()


def test_on_a_quadratic_it_follows_the_closed_form() -> None:
    """Loss a/2 (w − m)² under SGD: w_t = w* + ρ^t (w₀ − w*) with ρ = (1 − ηλ)(1 − ηa)."""
    rate, strength, curvature, minimum, start = 0.1, 2.0, 3.0, 5.0, 1.0
    weight = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=rate)
    names = WeightNames(frozenset("w"), frozenset(), frozenset("w"), frozenset("w"))
    view = StepView({"w": weight}, optimizer, {"w": torch.tensor([start], dtype=torch.float64)}, names, BUDGET)
    for _ in range(7):
        optimizer.zero_grad()
        (curvature / 2 * (weight - minimum) ** 2).sum().backward()
        optimizer.step()
        L2SP(strength=strength).after_optimizer_step(view)
    ratio = (1 - rate * strength) * (1 - rate * curvature)
    fixed = ((1 - rate * strength) * rate * curvature * minimum + rate * strength * start) / (1 - ratio)
    assert weight.item() == pytest.approx(fixed + ratio**7 * (start - fixed), rel=1e-12)


@pytest.mark.parametrize("pull", [0.05, 0.2, 0.9])
def test_the_total_pull_is_the_share_of_the_way_back_over_the_whole_schedule(pull: float) -> None:
    weights, anchor = torch.tensor([3.0, -1.0], dtype=torch.float64), torch.tensor([1.0, 1.0], dtype=torch.float64)
    start = weights - anchor
    for rate in BUDGET.learning_rates():
        view = step_view({"w": weights}, rate, set(), set(), {"w": anchor}, BUDGET)
        L2SP(total_pull=pull).after_optimizer_step(view)
        weights = view.parameters["w"].detach()
    torch.testing.assert_close(weights - anchor, (1 - pull) * start, rtol=1e-9, atol=0)


def test_each_parameter_is_pulled_by_its_own_learning_rate() -> None:
    slow, fast = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([{"params": [slow], "lr": 0.01}, {"params": [fast], "lr": 0.1}], lr=0.5)
    names = WeightNames(frozenset({"slow", "fast"}), frozenset(), frozenset(), frozenset({"slow", "fast"}))
    anchors = {"slow": torch.zeros(1), "fast": torch.zeros(1)}
    L2SP(strength=2.0).after_optimizer_step(StepView({"slow": slow, "fast": fast}, optimizer, anchors, names, BUDGET))
    assert slow.item() == pytest.approx(0.98)
    assert fast.item() == pytest.approx(0.8)


def test_each_step_of_a_run_is_the_formula_on_the_encoder_and_nothing_else(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    """Biases and norms are pulled too. The rates rise for 2 of 18 steps, then fall."""
    first, last = Spy(), Spy()
    watch(write_recipe(techniques={"l2_sp": {"strength": 50.0}}), tmp_path / "run", first=first, last=last)
    anchors = pretrained_weights(tiny_model)
    rates = [0.005 * step / 2 for step in range(2)] + [0.005 * (18 - step) / 16 for step in range(2, 18)]
    for rate, moved, done in zip(rates, first.after, last.after, strict=True):
        for name, value in moved.values.items():
            if name in moved.head:
                assert torch.equal(done.values[name], value), name
                continue
            away = (value - anchors[name]).double().numpy()
            expected = anchors[name].double().numpy() + (1 - 50.0 * rate) * away
            np.testing.assert_allclose(done.values[name].double().numpy(), expected, rtol=0, atol=1e-6)


def _distance(weights: dict[str, Tensor], anchors: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float((weights[name] - anchors[name]).square().sum()) for name in anchors))


def test_the_stronger_the_pull_the_nearer_the_encoder_stays(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    anchors = pretrained_weights(tiny_model)
    settings = {"plain": {}, "weak": {"l2_sp": {}}, "strong": {"l2_sp": {"total_pull": 0.95}}}
    distances = {
        name: _distance(watch(write_recipe(techniques=techniques), tmp_path / name).weights, anchors)
        for name, techniques in settings.items()
    }
    assert distances["strong"] < distances["weak"] < distances["plain"]


def test_a_resumed_run_is_pulled_to_the_pretrained_values_and_not_to_the_checkpoint(
    write_recipe: Write, tmp_path: Path
) -> None:
    recipe = write_recipe(techniques={"l2_sp": {"total_pull": 0.9}})
    whole = train(recipe, tmp_path / "whole")
    assert timeless(interrupted_and_resumed(recipe, tmp_path / "cut", 8)) == timeless(whole)


def test_the_total_pull_is_kept_where_another_technique_changes_the_rates(write_recipe: Write, tmp_path: Path) -> None:
    """At 4 times the recipe's rate λ is 4 times smaller; and what a run pulls is what the formula says."""
    first, last = Spy(), Spy()
    techniques = {"train_only": {"learning_rate": 0.02}, "l2_sp": {"total_pull": 0.5}}
    run = watch(write_recipe(techniques=techniques), tmp_path / "run", first=first, last=last)
    name = "bert.encoder.layer.1.output.dense.bias"
    left = 1.0
    for moved, done in zip(first.after, last.after, strict=True):  # its pretrained value is 0
        shrunk = done.values[name].norm() / moved.values[name].norm()
        left *= 1.0 if shrunk.isnan() else float(shrunk)
    assert left == pytest.approx(0.5, rel=1e-4)
    assert str(run.record.techniques["l2_sp"].effect).endswith("total pull 50.00 %")


# --- what it says, and refuses ------------------------------------------------------------------------------


def test_a_strength_takes_the_place_of_the_default_pull() -> None:
    assert L2SP(strength=35.0).total_pull is None
    assert L2SP().total_pull == 0.2
    assert L2SP.model_validate(L2SP(strength=35.0).model_dump()) == L2SP(strength=35.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 1.0, "total_pull": 0.2},
        {"strength": None, "total_pull": None},
        {"total_pull": None},
        {"total_pull": 0.0},
        {"total_pull": 1.0},
        {"strength": 0.0},
        {"strength": 2e5},
    ],
)
def test_settings_outside_their_range_are_refused(settings: dict[str, float | None]) -> None:
    with pytest.raises(ValidationError, match=r"strength|total_pull"):
        L2SP(**settings)


def test_a_strength_that_throws_weights_past_their_start_is_refused(write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={"l2_sp": {"strength": 200.0}}))
    with pytest.raises(RecipeError, match=r"techniques\.l2_sp\.strength: 200 × learning rate 0\.005 ≥ 1") as caught:
        resolve(recipe)
    advised = typed(caught.value).partition("Try: ")[2].replace("--set ", "").split()
    assert resolve(recipe, overrides=advised).recipe.techniques == {"l2_sp": L2SP()}
    assert L2SP(strength=199.0).problems(Budget(None, 3, 0.005, None, 0.1)) == []


def test_a_pull_of_under_one_percent_is_warned_of() -> None:
    usual = Budget("single_label", epochs=10, learning_rate=2e-5, steps_per_epoch=64, warmup=0.1)
    (warning,) = L2SP(strength=1.0).warnings(usual)
    assert warning.key == ".strength"
    assert warning.why.startswith("pulls weights 0.64 % of the way back over these 640 steps")
    assert L2SP(total_pull=0.005).warnings(usual)[0].key == ".total_pull"
    assert L2SP().warnings(usual) == L2SP(strength=35.0).warnings(usual) == []


def test_the_effect_names_strength_and_pull() -> None:
    usual = Budget("single_label", epochs=10, learning_rate=2e-5, steps_per_epoch=64, warmup=0.1)
    text = L2SP().effect(usual)
    assert text is not None
    strength = float(text.removeprefix("λ = ").split(":")[0])
    left = math.prod(1 - rate * strength for rate in usual.learning_rates())
    assert 1 - left == pytest.approx(0.2, rel=1e-3)
    assert text.endswith("total pull 20.00 %")
    assert L2SP().effect(Budget(None, 10, 2e-5, None, 0.1)) is None
