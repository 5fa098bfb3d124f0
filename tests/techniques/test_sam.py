"""SAM and ASAM: the ascent against numpy, and whole steps of real runs against a hand-made second gradient."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import PrivateAttr, ValidationError
from torch import Tensor, nn

from finetune.errors import RunFailed
from finetune.techniques import Budget, GradientView
from finetune.techniques.sam import SAM, ascent
from tests.running import train
from tests.techniques.passes import FREE, PassSpy, fresh_model, record_batches
from tests.techniques.watching import watch

Write = Callable[..., Path]


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_ascent_is_the_formula_over_all_tensors_together(adaptive: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), ()]
    weights, gradients = (
        [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes] for _ in range(2)
    )
    steps, norm = ascent(weights, gradients, 0.3, adaptive)
    w, g = (np.concatenate([part.numpy().ravel() for part in parts]) for parts in (weights, gradients))
    scale = np.abs(w) + 0.01 if adaptive else np.ones_like(w)
    assert norm == pytest.approx(np.linalg.norm(scale * g), rel=1e-12)
    expected = 0.3 * scale**2 * g / np.linalg.norm(scale * g)
    found = np.concatenate([step.numpy().ravel() for step in steps])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.linalg.norm(found / scale) == pytest.approx(0.3)


def test_the_ascent_climbs_as_far_as_any_step_of_its_length() -> None:
    """On a plane, no other point of the ball (or ellipsoid) is higher."""
    generator = torch.Generator().manual_seed(1)
    weight, slope = (torch.randn(4, generator=generator, dtype=torch.float64) for _ in range(2))
    for adaptive, scale in ((False, torch.ones(4)), (True, weight.abs() + 0.01)):
        (step,), _ = ascent([weight], [slope], 0.2, adaptive)
        others = torch.randn(10_000, 4, generator=generator, dtype=torch.float64)
        others = 0.2 * scale * others / others.norm(dim=1, keepdim=True)
        assert float(step @ slope) >= float((others @ slope).max())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "ρ = 0.05"),
        ({"adaptive": True}, "ρ = 0.5, relative to each weight"),
        ({"adaptive": True, "radius": 0.2}, "ρ = 0.2, relative to each weight"),
    ],
)
def test_the_radius_in_use_is_shown(settings: dict[str, Any], expected: str) -> None:
    assert SAM(**settings).effect(Budget(None, 3, 5e-5, None, 0.1)) == expected


# --- with a gradient made for the occasion ----------------------------------------------------------------


def made_view(
    gradients: list[list[float] | None], repeated: list[list[float]]
) -> tuple[GradientView, nn.ParameterList]:
    """Two parameters of two weights; a repetition records the weights it finds, and leaves a gradient of ones."""
    parameters = nn.ParameterList([torch.tensor([1.0, -2.0]), torch.tensor([0.1, 0.2])])
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.tensor(gradient)

    def repeat() -> None:
        repeated.append([value for parameter in parameters for value in parameter.tolist()])
        assert all(p.grad is None for p in parameters), "the first gradient would be added to"
        for parameter in parameters:
            parameter.grad = torch.ones(2)

    return GradientView(nn.Module(), {str(index): p for index, p in enumerate(parameters)}, repeat), parameters


def test_a_step_takes_the_gradient_from_uphill_and_comes_back_bit_for_bit() -> None:
    repeated: list[list[float]] = []
    view, parameters = made_view([[3.0, 0.0], [0.0, 4.0]], repeated)
    start = [parameter.detach().clone() for parameter in parameters]
    SAM(radius=0.5).after_gradients(view)
    assert repeated == [pytest.approx([1.3, -2.0, 0.1, 0.6])]
    assert all(torch.equal(parameter, value) for parameter, value in zip(parameters, start, strict=True))
    assert all(parameter.grad is not None and parameter.grad.tolist() == [1.0, 1.0] for parameter in parameters)


def test_what_has_no_gradient_stays_where_it_is() -> None:
    repeated: list[list[float]] = []
    view, _ = made_view([[3.0, 4.0], None], repeated)
    SAM(radius=1.0).after_gradients(view)
    assert repeated == [pytest.approx([1.6, -1.2, 0.1, 0.2])]


def test_a_gradient_of_zero_is_left_alone() -> None:
    repeated: list[list[float]] = []
    view, parameters = made_view([[0.0, 0.0], [0.0, 0.0]], repeated)
    SAM().after_gradients(view)
    assert repeated == []
    assert all(parameter.grad is not None and parameter.grad.tolist() == [0.0, 0.0] for parameter in parameters)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stops_the_run(value: float) -> None:
    view, parameters = made_view([[1.0, value], [0.0, 0.0]], [])
    with pytest.raises(RunFailed, match=r"techniques\.sam: the norm of the gradient became (nan|inf)"):
        SAM().after_gradients(view)
    assert parameters[0].tolist() == [1.0, -2.0]


def test_weights_come_back_if_the_second_pass_fails() -> None:
    view, parameters = made_view([[3.0, 0.0], [0.0, 4.0]], [])

    def fail() -> None:
        raise RunFailed("no")

    with pytest.raises(RunFailed, match="no"):
        SAM().after_gradients(GradientView(view.model, view.parameters, fail))
    assert [parameter.tolist() for parameter in parameters] == [pytest.approx([1.0, -2.0]), pytest.approx([0.1, 0.2])]


# --- in a run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("settings", [{"radius": 0.3}, {"adaptive": True}])
def test_the_first_step_uses_the_gradient_uphill_of_the_whole_batch(
    write_recipe: Write, still_model: Path, tmp_path: Path, settings: dict[str, Any], accumulation: int
) -> None:
    """Made again by hand over all rows of the step: climb, and take the gradient there."""
    batches: list[dict[str, Tensor]] = []
    spy = PassSpy.on(record_batches(batches))
    recipe = write_recipe(
        model=still_model,
        training={"epochs": 1, "accumulation": accumulation, **FREE},
        techniques={"sam": settings},
    )
    watch(recipe, tmp_path / "run", last=spy)
    assert len(batches) == 2 * accumulation * 6
    model = fresh_model(still_model)
    first = list(zip(batches[:accumulation], spy.losses[:accumulation], strict=True))

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        for batch, seen in first:
            (F.cross_entropy(model(**batch).logits, seen.labels, reduction="sum") / 8).backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    here = gradients()
    adaptive = settings.get("adaptive", False)
    with torch.no_grad():
        scales = {name: p.abs() + 0.01 if adaptive else torch.ones_like(p) for name, p in model.named_parameters()}
        norm = torch.stack([(scales[name] * here[name]).norm() for name in here]).norm()
        for name, parameter in model.named_parameters():
            parameter += (0.5 if adaptive else 0.3) * scales[name] ** 2 * here[name] / norm
    uphill = gradients()
    difference = max(float((uphill[name] - here[name]).abs().max()) for name in here)
    assert difference > 1e-3, "otherwise this test could not tell the two gradients apart"
    for name, expected in uphill.items():
        torch.testing.assert_close(spy.before[0].gradients[name], expected, rtol=1e-3, atol=2e-6, msg=name)


class _Weights(PassSpy):
    """Keeps the weights before and after the second pass of the technique it stands around."""

    _weights: list[dict[str, Tensor]] = PrivateAttr(default_factory=list)

    def after_gradients(self, view: GradientView) -> None:
        self._weights.append({name: value.detach().clone() for name, value in view.parameters.items()})


def test_weights_are_restored_bit_for_bit_before_the_optimizer_moves(write_recipe: Write, tmp_path: Path) -> None:
    first, last = _Weights(), _Weights()
    watch(write_recipe(training={"epochs": 1}, techniques={"sam": {}}), tmp_path / "run", first=first, last=last)
    assert len(first._weights) == 6
    for before, after in zip(first._weights, last._weights, strict=True):
        assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("accumulation", [1, 2])
def test_both_passes_have_the_same_masks_and_noise(write_recipe: Write, tmp_path: Path, accumulation: int) -> None:
    """Micro-batches, two passes of r_drop each, samples of the head: all are drawn again alike."""
    masks: list[Tensor] = []

    def keep_masks(model: Any) -> None:
        for name, module in model.named_modules():
            if isinstance(module, nn.Dropout) and "attention.self" not in name:
                module.register_forward_hook(
                    lambda module, _args, output: masks.append(output == 0) if module.training else None
                )

    spy = PassSpy.on(keep_masks)
    recipe = write_recipe(
        training={"epochs": 1, "accumulation": accumulation},
        techniques={
            "dropout": {"hidden": 0.3, "classifier": 0.5},
            "r_drop": {},
            "multi_sample_dropout": {"samples": 2},
            "sam": {"radius": 1e-9},
        },
    )
    watch(recipe, tmp_path / "run", last=spy)
    half = len(masks) // len(spy.before) // 2
    assert half == accumulation * 2 * (1 + 2 * 2 + 2)  # embeddings, two of each layer, two samples
    for step in range(len(spy.before)):
        start = 2 * step * half
        for first, second in zip(masks[start : start + half], masks[start + half : start + 2 * half], strict=True):
            assert torch.equal(first, second)
    assert not torch.equal(masks[0], masks[half // accumulation // 2])  # r_drop's two passes differ
    assert not torch.equal(masks[0], masks[2 * half])  # and so do two steps
    for one, two in zip(*_halves(spy.losses, 2 * accumulation), strict=True):
        torch.testing.assert_close(one.objective, two.objective, rtol=0, atol=1e-6)


def _halves(values: list[Any], step: int) -> tuple[list[Any], list[Any]]:
    """What the first and the second passes of each step left."""
    kept: tuple[list[Any], list[Any]] = ([], [])
    for index, value in enumerate(values):
        kept[index % step >= step // 2].append(value)
    return kept


def test_it_runs_in_bf16(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(training={"epochs": 1, "precision": "bf16"}, techniques={"sam": {}})
    record = train(recipe, tmp_path / "run")
    assert (record.status, record.budget.cost) == ("finished", 2.0)


@pytest.mark.parametrize("radius", [0.0, -1.0, 11.0])
def test_a_radius_outside_its_range_is_refused(radius: float) -> None:
    with pytest.raises(ValidationError, match="radius"):
        SAM(radius=radius)
