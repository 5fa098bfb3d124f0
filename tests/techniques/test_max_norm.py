"""Max-norm: no row is ever longer than its limit, and rows within it are not touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from finetune.errors import ModelError
from finetune.techniques.max_norm import MaxNorm, clipped_rows
from tests.running import train
from tests.techniques.models import tiny_folder
from tests.techniques.watching import Spy, is_penalised, pretrained_weights, step_view, watch

Write = Callable[..., Path]
ROUNDING = 1 + 1e-5


def test_rows_equal_those_of_torch_renorm_and_the_others_stay_bit_for_bit() -> None:
    weights = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    clipped = clipped_rows(weights, 2.5)
    torch.testing.assert_close(clipped, torch.renorm(weights, p=2, dim=0, maxnorm=2.5), rtol=1e-5, atol=0)
    within = torch.linalg.vector_norm(weights, dim=1) <= 2.5
    assert 5 < int(within.sum()) < 45
    assert torch.equal(clipped[within], weights[within])


def test_each_row_may_have_its_own_limit_and_more_than_two_axes() -> None:
    weights = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]])
    limits = torch.tensor([1.0, 9.0, 0.0])
    expected = torch.tensor([[0.6, 0.8], [3.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(clipped_rows(weights, limits), expected, rtol=0, atol=1e-7)
    convolution = torch.randn(4, 3, 2)
    torch.testing.assert_close(
        clipped_rows(convolution, 1.0).flatten(1), clipped_rows(convolution.flatten(1), 1.0), rtol=0, atol=0
    )


def test_only_matrices_of_the_chosen_part_are_limited() -> None:
    values = {name: torch.full((2, 2), 3.0) for name in ("head.weight", "encoder.weight", "head.norm2d")}
    values |= {"head.scale": torch.full((2,), 9.0)}
    decayed = {"head.weight", "encoder.weight", "head.scale"}
    heads = {"head.weight", "head.norm2d", "head.scale"}
    pretrained = {"encoder.weight": torch.full((2, 2), 1.0)}
    view = step_view(values, 0.1, heads, decayed, pretrained)
    MaxNorm(head=1.0).after_optimizer_step(view)
    changed = {name for name, value in values.items() if not torch.equal(view.parameters[name], value)}
    assert changed == {"head.weight"}
    view = step_view(values, 0.1, heads, decayed, pretrained)
    MaxNorm(head=None, encoder=1.5).after_optimizer_step(view)
    changed = {name for name, value in values.items() if not torch.equal(view.parameters[name], value)}
    assert changed == {"encoder.weight"}
    torch.testing.assert_close(view.parameters["encoder.weight"].detach(), torch.full((2, 2), 1.5))


def test_the_head_stays_within_its_limit_after_every_step(write_recipe: Write, tmp_path: Path) -> None:
    first, last = Spy(), Spy()
    recipe = write_recipe(techniques={"max_norm": {"head": 0.1}}, training={"learning_rate": 0.05})
    watch(recipe, tmp_path / "run", first=first, last=last)
    bound = 0
    for moved, done in zip(first.after, last.after, strict=True):
        for name, value in moved.values.items():
            if name != "classifier.weight":
                assert torch.equal(done.values[name], value), name
                continue
            before = value.norm(dim=1)
            assert (done.values[name].norm(dim=1) <= 0.1 * ROUNDING).all()
            assert torch.equal(done.values[name][before <= 0.1], value[before <= 0.1])
            bound += int((before > 0.1).sum())
    assert bound > 10, "the limit was never reached, so nothing was tested"


def test_no_row_of_the_encoder_grows_beyond_a_multiple_of_its_pretrained_norm(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    first, last = Spy(), Spy()
    recipe = write_recipe(techniques={"max_norm": {"head": None, "encoder": 1.05}})
    watch(recipe, tmp_path / "run", first=first, last=last)
    anchors = pretrained_weights(tiny_model)
    bound = 0
    for moved, done in zip(first.after, last.after, strict=True):
        for name, value in moved.values.items():
            if name not in anchors or not is_penalised(name):
                assert torch.equal(done.values[name], value), name
                continue
            limit, before = 1.05 * anchors[name].norm(dim=1), value.norm(dim=1)
            assert (done.values[name].norm(dim=1) <= limit * ROUNDING).all(), name
            free = before <= limit
            assert torch.equal(done.values[name][free], value[free]), name
            bound += int((~free).sum())
    assert bound > 100


@pytest.mark.parametrize(
    "settings", [{"head": None}, {"head": 0.0}, {"head": 1000.0}, {"encoder": 0.9}, {"head": None, "encoder": None}]
)
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"head|encoder"):
        MaxNorm(**settings)


def test_a_limit_on_what_does_not_train_is_refused(write_recipe: Write, tmp_path: Path) -> None:
    techniques = {"max_norm": {"head": None, "encoder": 1.1}, "freeze": {"layers": 1.0}}
    recipe = write_recipe(model=tiny_folder("roberta"), techniques=techniques)
    with pytest.raises(ModelError, match=r"techniques\.max_norm: would have no effect"):
        train(recipe, tmp_path / "run")


@pytest.mark.parametrize(("limit", "idle"), [(50.0, True), (0.05, False)])
def test_a_run_says_when_the_limit_held_nothing(write_recipe: Write, tmp_path: Path, limit: float, idle: bool) -> None:
    record = train(write_recipe(techniques={"max_norm": {"head": limit}}), tmp_path / "run")
    assert any("the limit had no effect" in warning for warning in record.warnings) == idle
