"""L1 by proximal step: the operator, what it may touch, and exact zeros in real runs under Adam."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.optimize import minimize_scalar

from finetune.techniques import Budget
from finetune.techniques.l1 import L1
from finetune.techniques.proximal import soft_threshold
from tests.techniques.watching import Spy, is_penalised, pretrained_weights, step_view, watch

Write = Callable[..., Path]
HEAD = "classifier.weight"


def shrunk(weights: torch.Tensor, threshold: float) -> NDArray[np.float64]:
    """The definition, case by case."""
    values = weights.double().numpy()
    return np.where(values > threshold, values - threshold, np.where(values < -threshold, values + threshold, 0.0))


def test_soft_threshold_gives_exact_zeros() -> None:
    weights = torch.tensor([[1.5, -1.5, 0.5], [-0.5, 0.2, 0.0]], dtype=torch.float64)
    assert soft_threshold(weights, 0.5).tolist() == [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]


def test_soft_threshold_of_nothing_changes_nothing() -> None:
    weights = torch.tensor([1.5, -0.3, 0.0])
    assert soft_threshold(weights, 0.0).tolist() == weights.tolist()


@pytest.mark.parametrize("weight", [-2.0, -0.31, -0.1, 0.0, 0.05, 0.29, 3.0])
@pytest.mark.parametrize("threshold", [0.01, 0.3, 1.0])
def test_soft_threshold_is_the_minimiser_of_its_objective(weight: float, threshold: float) -> None:
    """argmin_v ½(v − w)² + t|v|, found by golden section over the numbers."""
    found = minimize_scalar(
        lambda v: 0.5 * (v - weight) ** 2 + threshold * abs(v),
        bracket=(-4.0, 4.0),
        method="golden",
        tol=1e-10,
    )
    ours = float(soft_threshold(torch.tensor(weight, dtype=torch.float64), threshold))
    assert ours == pytest.approx(found.x, abs=1e-6)


def test_the_threshold_is_strength_times_the_learning_rate_of_the_step() -> None:
    view = step_view({"w": torch.tensor([0.3, -0.3, 0.05])}, 0.1, {"w"}, {"w"}, {})
    L1(strength=2.0).after_optimizer_step(view)
    assert view.parameters["w"].tolist() == pytest.approx([0.1, -0.1, 0.0], abs=1e-7)
    assert view.parameters["w"][2] == 0


def test_each_weight_takes_the_learning_rate_of_its_own_group() -> None:
    values = {"slow": torch.tensor([1.0]), "fast": torch.tensor([1.0])}
    view = step_view(values, 0.1, set(values), set(values), {})
    optimizer = torch.optim.SGD(
        [{"params": [view.parameters["slow"]], "lr": 0.1}, {"params": [view.parameters["fast"]], "lr": 0.3}]
    )
    L1(strength=1.0).after_optimizer_step(replace(view, optimizer=optimizer))
    assert view.parameters["slow"].item() == pytest.approx(0.9, abs=1e-7)
    assert view.parameters["fast"].item() == pytest.approx(0.7, abs=1e-7)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("head", {"head.weight": [0.3, 0.0], "encoder.weight": [1.0, 1.05]}),
        ("difference", {"head.weight": [0.5, -0.1], "encoder.weight": [1.2, 1.0]}),
    ],
)
def test_a_target_leaves_everything_else_alone(target: str, expected: dict[str, list[float]]) -> None:
    """Threshold 0.2. Encoder weights are thresholded around their pretrained values, never around 0."""
    values = {
        "head.weight": torch.tensor([0.5, -0.1]),
        "head.bias": torch.tensor([0.1]),
        "encoder.weight": torch.tensor([1.0, 1.05]),
        "encoder.norm": torch.tensor([0.1]),
    }
    pretrained = {"encoder.weight": torch.tensor([1.4, 1.0]), "encoder.norm": torch.tensor([0.05])}
    head = {"head.weight", "head.bias"}
    view = step_view(values, 0.1, head, {"head.weight", "encoder.weight"}, pretrained)
    L1(strength=2.0, target=target).after_optimizer_step(view)
    for name, start in values.items():
        assert view.parameters[name].tolist() == pytest.approx(expected.get(name, start.tolist()), abs=1e-7)
    assert view.parameters["head.bias"].item() == values["head.bias"].item()
    assert view.parameters["encoder.norm"].item() == values["encoder.norm"].item()


def test_over_a_run_a_weight_loses_at_most_strength_times_the_sum_of_rates() -> None:
    """`effect` promises it: 10 steps from 0.1 down to 0.01 sum to 0.55, times λ = 0.5."""
    budget = Budget("single_label", epochs=2, learning_rate=0.1, steps_per_epoch=5, warmup=0.0)
    technique = L1(strength=0.5)
    assert technique.effect(budget) == "reduces each weight of the head by up to λ Σ η = 0.275"
    weights = torch.tensor([1.0, 0.2], dtype=torch.float64)
    for rate in budget.learning_rates():
        view = step_view({"w": weights}, rate, {"w"}, {"w"}, {})
        technique.after_optimizer_step(view)
        weights = view.parameters["w"].detach()
    assert weights.tolist() == pytest.approx([0.725, 0.0], abs=1e-12)


@pytest.mark.parametrize("target", ["head", "difference"])
def test_each_step_of_a_run_is_the_formula_on_the_target_alone(
    write_recipe: Write, tiny_model: Path, tmp_path: Path, target: str
) -> None:
    """One spy looks before the proximal step, one after it. The rates rise for 2 of 18 steps, then fall."""
    first, last = Spy(), Spy()
    recipe = write_recipe(techniques={"l1": {"strength": 0.5, "target": target}})
    watch(recipe, tmp_path / "run", first=first, last=last)
    anchors = pretrained_weights(tiny_model)
    rates = [0.005 * step / 2 for step in range(2)] + [0.005 * (18 - step) / 16 for step in range(2, 18)]
    assert len(last.after) == 18
    for rate, moved, done in zip(rates, first.after, last.after, strict=True):
        for name, value in moved.values.items():
            if is_penalised(name) and target == "head" and name == HEAD:
                expected = shrunk(value, 0.5 * rate)
            elif is_penalised(name) and target == "difference" and name != HEAD:
                expected = anchors[name].double().numpy() + shrunk(value - anchors[name], 0.5 * rate)
            else:
                assert torch.equal(done.values[name], value), name
                continue
            np.testing.assert_allclose(done.values[name].double().numpy(), expected, rtol=0, atol=1e-7)


def test_a_run_on_the_head_leaves_exact_zeros_there_and_only_there(write_recipe: Write, tmp_path: Path) -> None:
    plain = watch(write_recipe(), tmp_path / "plain")
    run = watch(write_recipe(techniques={"l1": {"strength": 0.5}}), tmp_path / "l1")
    zeros = {name: int((value == 0).sum()) for name, value in run.weights.items()}
    assert 0 < zeros[HEAD] < run.weights[HEAD].numel()
    assert int((plain.weights[HEAD] == 0).sum()) == 0
    assert run.record.weights["head"].zeros == zeros[HEAD]  # of weights and biases: no bias is zero
    assert {name: count for name, count in zeros.items() if name != HEAD} == {
        name: int((value == 0).sum()) for name, value in plain.weights.items() if name != HEAD
    }


def test_a_run_on_the_difference_returns_weights_to_exactly_where_they_started(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    """Adam moves a weight by about η per step: λ = 0.5 lets some of them through, λ = 50 none."""
    anchors = pretrained_weights(tiny_model)
    encoder = [name for name in anchors if is_penalised(name)]
    size = sum(anchors[name].numel() for name in encoder)
    unmoved = {}
    for strength in (0.5, 50.0):
        settings = {"strength": strength, "target": "difference"}
        run = watch(write_recipe(techniques={"l1": settings}), tmp_path / f"l1-{strength}")
        unmoved[strength] = sum(int((run.weights[name] == anchors[name]).sum()) for name in encoder)
        free = [name for name in anchors if not is_penalised(name) and not name.endswith("key.bias")]
        for name in free:  # a key's bias has no gradient: softmax does not see it
            assert not torch.equal(run.weights[name], anchors[name]), name
    assert unmoved[50.0] == size
    plain = watch(write_recipe(), tmp_path / "plain")
    without = sum(int((plain.weights[name] == anchors[name]).sum()) for name in encoder)
    assert without < unmoved[0.5] < size


@pytest.mark.parametrize("settings", [{"strength": 0.0}, {"strength": 2e4}, {"target": "encoder"}])
def test_settings_outside_their_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        L1(**settings)
