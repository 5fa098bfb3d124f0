"""Training biases or norms only: told by what they are, in every architecture; nothing else of the encoder moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from finetune.errors import ModelError, RecipeError
from finetune.recipe import resolve
from finetune.techniques.train_only import TrainOnly
from tests.conftest import ARCHITECTURES
from tests.raising import refuses
from tests.techniques.models import loaded, tiny_folder, trainable, without_weights
from tests.techniques.watching import Spy, pretrained_weights, watch

Write = Callable[..., Path]


def expected_names(model: Any, weights: str) -> set[str]:
    """By the type of each module: what torch and transformers call a norm has vectors only; maps have matrices."""
    wanted = set()
    prefix = f"{model.base_model_prefix}."
    for path, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        is_norm = isinstance(module, nn.LayerNorm) or (bool(own) and all(value.dim() == 1 for value in own.values()))
        for name in own:
            full = f"{path}.{name}"
            is_wanted = is_norm if weights == "norms" else name == "bias"
            if is_wanted or not full.startswith(prefix) or "pooler" in full:
                wanted.add(full)
    return wanted


@pytest.mark.parametrize("build", [loaded, without_weights])
@pytest.mark.parametrize("weights", ["biases", "norms"])
@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "modernbert"])
def test_what_is_named_trains_with_head_and_pooler(architecture: str, weights: str, build: Callable[..., Any]) -> None:
    model = build(tiny_folder(architecture), TrainOnly(weights=weights))
    assert trainable(model) == expected_names(model, weights)
    inside = [name for name in trainable(model) if name.startswith(f"{model.base_model_prefix}.")]
    assert 8 <= len(inside) < len(list(model.parameters())) - 8


def test_an_encoder_without_biases_is_refused_with_what_it_has() -> None:
    folder = tiny_folder("modernbert")
    with refuses(ModelError, match=r"of architecture 'modernbert' has no biases.*train_only\.weights=norms"):
        without_weights(folder, TrainOnly())
    model = loaded(folder, TrainOnly(weights="norms"))
    assert trainable(model) == expected_names(model, "norms")


@pytest.mark.parametrize("weights", ["biases", "norms"])
def test_only_those_move_in_a_run_and_at_their_own_rate(
    write_recipe: Write, tiny_model: Path, tmp_path: Path, weights: str
) -> None:
    spy = Spy()
    techniques = {"train_only": {"weights": weights, "learning_rate": 0.02}, "weight_decay": {"total_shrink": 0.1}}
    run = watch(write_recipe(techniques=techniques), tmp_path / "run", first=spy)
    moved = set()
    for name, start in pretrained_weights(tiny_model).items():
        if not torch.equal(run.weights[name], start):
            moved.add(name)
    wanted = {name for name in expected_names(loaded(tiny_model), weights) if name.startswith("bert.")}
    still = {name for name in wanted if name.endswith("key.bias")}  # softmax does not see a key's bias
    assert moved - still == wanted - still
    assert len(moved) > 10
    assert max(seen.rate for seen in spy.after) == pytest.approx(0.02)


def test_mixing_matrices_that_rest_is_refused(write_recipe: Write) -> None:
    with refuses(RecipeError, match="mixout: cannot be used with train_only: the weights that it would mix are frozen"):
        resolve(str(write_recipe(techniques={"train_only": {}, "mixout": {}})))


def test_head_first_would_set_the_same_learning_rate(write_recipe: Write) -> None:
    with refuses(
        RecipeError, match="head_first: cannot be used with train_only: both set the learning rate of the head"
    ):
        resolve(str(write_recipe(techniques={"train_only": {}, "head_first": {}})))


@pytest.mark.parametrize("settings", [{"weights": "all"}, {"learning_rate": 0.0}, {"learning_rate": 1.0}])
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        TrainOnly(**settings)
