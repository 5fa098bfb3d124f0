"""Elastic net by proximal step: the operator against a numeric minimiser, and real runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.optimize import minimize_scalar

from finetune.techniques import Budget
from finetune.techniques.elastic_net import ElasticNet
from finetune.techniques.l1 import L1
from finetune.techniques.proximal import proximal_point
from tests.techniques.watching import Spy, is_penalised, pretrained_weights, step_view, watch

Write = Callable[..., Path]
HEAD = "classifier.weight"


@pytest.mark.parametrize("weight", [-2.0, -0.31, 0.0, 0.05, 0.29, 3.0])
@pytest.mark.parametrize(("l1", "l2"), [(0.5, 0.0), (0.0, 2.0), (0.5, 2.0), (4.0, 0.1)])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_the_proximal_point_is_the_minimiser_of_its_objective(weight: float, l1: float, l2: float, rate: float) -> None:
    """argmin_v ½(v − w)² + η (λ₁|v| + λ₂/2 v²), found by golden section over the numbers."""
    found = minimize_scalar(
        lambda v: 0.5 * (v - weight) ** 2 + rate * (l1 * abs(v) + l2 / 2 * v**2),
        bracket=(-4.0, 4.0),
        method="golden",
        tol=1e-10,
    )
    ours = float(proximal_point(torch.tensor(weight, dtype=torch.float64), rate, l1, l2))
    assert ours == pytest.approx(found.x, abs=1e-6)


def test_one_step_by_hand() -> None:
    """η = 0.1, λ₁ = 2, λ₂ = 5: take 0.2 off, then divide by 1.5; what is within 0.2 is exactly 0."""
    view = step_view({"w": torch.tensor([0.5, -0.8, 0.15])}, 0.1, {"w"}, {"w"}, {})
    ElasticNet(l1=2.0, l2=5.0).after_optimizer_step(view)
    assert view.parameters["w"].tolist() == pytest.approx([0.2, -0.4, 0.0], abs=1e-7)
    assert view.parameters["w"][2] == 0


def test_without_its_quadratic_part_it_is_l1() -> None:
    weights = torch.randn(50, generator=torch.Generator().manual_seed(0))
    ours = step_view({"w": weights}, 0.2, {"w"}, {"w"}, {})
    reference = step_view({"w": weights}, 0.2, {"w"}, {"w"}, {})
    ElasticNet(l1=0.7, l2=1e-12).after_optimizer_step(ours)
    L1(strength=0.7).after_optimizer_step(reference)
    torch.testing.assert_close(ours.parameters["w"], reference.parameters["w"], rtol=1e-6, atol=0)


def test_difference_is_shrunk_around_the_pretrained_values() -> None:
    """η = 0.1, λ₁ = 2, λ₂ = 10: 0.6, −0.6, 0.1 become (0.6 − 0.2) / 2 = 0.2, −0.2, exactly 0."""
    anchor = torch.tensor([1.0, 1.0, -3.0])
    values = {"encoder.weight": anchor + torch.tensor([0.6, -0.6, 0.1]), "head.weight": torch.tensor([0.1])}
    view = step_view(values, 0.1, {"head.weight"}, set(values), {"encoder.weight": anchor})
    ElasticNet(l1=2.0, l2=10.0, target="difference").after_optimizer_step(view)
    assert view.parameters["encoder.weight"].tolist() == pytest.approx([1.2, 0.8, -3.0], abs=1e-6)
    assert view.parameters["encoder.weight"][2] == -3.0
    assert view.parameters["head.weight"].item() == values["head.weight"].item()


@pytest.mark.parametrize("target", ["head", "difference"])
def test_each_step_of_a_run_is_the_formula_on_the_target_alone(
    write_recipe: Write, tiny_model: Path, tmp_path: Path, target: str
) -> None:
    """One spy looks before the proximal step, one after it. The rates rise for 2 of 18 steps, then fall."""
    first, last = Spy(), Spy()
    recipe = write_recipe(techniques={"elastic_net": {"l1": 0.5, "l2": 20.0, "target": target}})
    watch(recipe, tmp_path / "run", first=first, last=last)
    anchors = pretrained_weights(tiny_model)
    rates = [0.005 * step / 2 for step in range(2)] + [0.005 * (18 - step) / 16 for step in range(2, 18)]
    assert len(last.after) == 18
    for rate, moved, done in zip(rates, first.after, last.after, strict=True):
        for name, value in moved.values.items():
            if not is_penalised(name) or (name == HEAD) != (target == "head"):
                assert torch.equal(done.values[name], value), name
                continue
            anchor = np.zeros(()) if target == "head" else anchors[name].double().numpy()
            move = value.double().numpy() - anchor
            expected = anchor + np.sign(move) * np.maximum(np.abs(move) - 0.5 * rate, 0) / (1 + 20 * rate)
            np.testing.assert_allclose(done.values[name].double().numpy(), expected, rtol=0, atol=1e-7)


def test_a_run_on_the_head_leaves_exact_zeros_there_and_only_there(write_recipe: Write, tmp_path: Path) -> None:
    plain = watch(write_recipe(), tmp_path / "plain")
    run = watch(write_recipe(techniques={"elastic_net": {}}), tmp_path / "elastic_net")
    zeros = {name: int((value == 0).sum()) for name, value in run.weights.items()}
    assert 0 < zeros[HEAD] < run.weights[HEAD].numel()
    assert {name: count for name, count in zeros.items() if name != HEAD} == {
        name: int((value == 0).sum()) for name, value in plain.weights.items() if name != HEAD
    }


def test_a_run_on_the_difference_returns_weights_to_exactly_where_they_started(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    """λ₁ = 50 is far above what Adam moves in a step: only biases and normalisation weights get away."""
    anchors = pretrained_weights(tiny_model)
    recipe = write_recipe(techniques={"elastic_net": {"l1": 50.0, "target": "difference"}})
    run = watch(recipe, tmp_path / "run")
    moved = {name for name, value in anchors.items() if not torch.equal(run.weights[name], value)}
    free = {name for name in anchors if not is_penalised(name)}
    assert moved <= free
    assert free - moved <= {name for name in free if name.endswith("key.bias")}  # softmax does not see those
    assert not torch.equal(run.weights[HEAD], watch(write_recipe(), tmp_path / "plain").weights[HEAD])


def test_effect_counts_the_linear_part() -> None:
    budget = Budget("single_label", epochs=2, learning_rate=0.1, steps_per_epoch=5, warmup=0.0)  # Σ η = 0.55
    effect = ElasticNet(l1=2.0, l2=9.0, target="difference").effect(budget)
    assert effect == "reduces each weight of the difference by up to λ Σ η = 1.1"


@pytest.mark.parametrize("settings", [{"l1": 0.0}, {"l2": 0.0}, {"l1": -1.0}, {"target": "encoder"}])
def test_settings_outside_their_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        ElasticNet(**settings)
