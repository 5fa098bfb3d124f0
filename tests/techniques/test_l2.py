"""Coupled L2: the gradient that torch.optim.Adam's own weight_decay adds, once a step, after clipping."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import get_linear_schedule_with_warmup

from finetune.techniques import StepView, WeightNames
from finetune.techniques.l2 import L2
from tests.techniques.watching import (
    BUDGET,
    EMBEDDINGS,
    UNUSED_ROWS,
    Spy,
    is_penalised,
    pretrained_weights,
    step_view,
    watch,
)

Write = Callable[..., Path]


def test_adam_with_the_technique_equals_adam_with_coupled_weight_decay() -> None:
    """Both optimizers see the same random gradients for 25 steps."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, 4, generator=generator)
    ours, reference = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    plain = torch.optim.Adam([ours], lr=0.01)
    coupled = torch.optim.Adam([reference], lr=0.01, weight_decay=0.05)
    names = WeightNames(*[frozenset({"w"})] * 3, frozenset())
    view = StepView({"w": ours}, plain, {}, names, BUDGET)
    for _ in range(25):
        gradient = torch.randn(5, 4, generator=generator)
        ours.grad, reference.grad = gradient.clone(), gradient.clone()
        L2(strength=0.05).before_optimizer_step(view)
        plain.step()
        coupled.step()
    torch.testing.assert_close(ours, reference, rtol=0, atol=0)
    assert not torch.allclose(ours, start)


def test_only_penalised_parameters_with_a_gradient_are_touched() -> None:
    values = {
        "weight": torch.tensor([2.0, -4.0]),
        "bias": torch.tensor([5.0]),
        "frozen.weight": torch.ones(2),
    }
    view = step_view(values, 0.1, set(values), {"weight", "frozen.weight"}, {})
    view.parameters["weight"].grad = torch.tensor([1.0, 1.0])
    view.parameters["bias"].grad = torch.tensor([1.0])
    L2(strength=0.5).before_optimizer_step(view)
    assert view.parameters["weight"].grad.tolist() == [2.0, -1.0]  # 1 + 0.5 · 2 and 1 + 0.5 · (−4)
    assert view.parameters["bias"].grad.tolist() == [1.0]
    assert view.parameters["frozen.weight"].grad is None
    assert {name: value.tolist() for name, value in view.parameters.items()} == {
        name: value.tolist() for name, value in values.items()
    }


def test_the_gradient_is_that_of_half_lambda_times_the_square() -> None:
    weight = torch.tensor([0.3, -1.7, 0.0], requires_grad=True)
    (0.25 / 2 * weight.square().sum()).backward()
    view = step_view({"w": weight.detach()}, 0.1, {"w"}, {"w"}, {})
    view.parameters["w"].grad = torch.zeros(3)
    L2(strength=0.25).before_optimizer_step(view)
    torch.testing.assert_close(view.parameters["w"].grad, weight.grad, rtol=1e-7, atol=0)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_in_a_run_it_comes_once_a_step_and_after_clipping(
    write_recipe: Write, still_model: Path, tmp_path: Path, accumulation: int
) -> None:
    """The clipped norm of the loss's gradient is at most 0.01; λ w alone is far above that."""
    recipe = write_recipe(
        model=still_model,
        training={"epochs": 1, "max_grad_norm": 0.01, "accumulation": accumulation},
        techniques={"l2": {"strength": 1.0}},
    )
    first, last = Spy(), Spy()
    watch(recipe, tmp_path / "run", first=first, last=last)
    assert len(last.before) == 6
    for clipped, penalised in zip(first.before, last.before, strict=True):
        norm = torch.stack([gradient.square().sum() for gradient in clipped.gradients.values()]).sum().sqrt()
        assert norm <= 0.01 * (1 + 1e-5)
        for name, gradient in penalised.gradients.items():
            penalty = penalised.values[name] if is_penalised(name) else torch.zeros(())
            torch.testing.assert_close(gradient, clipped.gradients[name] + penalty, rtol=1e-6, atol=1e-7)


def test_a_run_moves_weights_without_gradient_as_adam_with_coupled_decay_does(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    """Unused word embeddings see λ w as their only gradient; Adam makes whole steps of it whatever λ is."""
    recipe = write_recipe(techniques={"l2": {"strength": 1e-3}})
    run = watch(recipe, tmp_path / "run")
    reference = nn.Parameter(pretrained_weights(tiny_model)[EMBEDDINGS][UNUSED_ROWS].clone())
    start = reference.detach().clone()
    optimizer = torch.optim.Adam([reference], lr=0.005, weight_decay=1e-3)
    schedule = get_linear_schedule_with_warmup(optimizer, 2, 18)  # 3 epochs of 6 steps, a tenth rises
    for _ in range(18):
        reference.grad = torch.zeros_like(reference)
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(run.weights[EMBEDDINGS][UNUSED_ROWS], reference.detach(), rtol=0, atol=1e-6)
    assert (reference - start).abs().max() > 0.01


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.1])
def test_a_strength_outside_its_range_is_refused(strength: float) -> None:
    with pytest.raises(ValidationError, match="strength"):
        L2(strength=strength)
