"""Mixout: the formula, its mean and its gradient; the matrices of the layers alone, in training alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import AutoModelForSequenceClassification

from finetune.errors import ModelError
from finetune.models.layers import linear_paths
from finetune.techniques.mixout import Mixout, mixed_weights
from tests.conftest import ARCHITECTURES
from tests.interrupting import interrupted_and_resumed, timeless
from tests.running import assert_same_weights, train
from tests.techniques.models import BATCH, loaded, tiny_folder, without_weights
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
layered = pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "albert"])
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def moved(model: nn.Module) -> nn.Module:
    """As training does: all weights leave their pretrained values."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


# --- the formula --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_each_weight_is_the_formula_for_a_mask_of_the_right_share(probability: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weights, start = (torch.randn(100, 80, dtype=torch.float64, generator=generator) for _ in range(2))
    torch.manual_seed(0)
    mixed = mixed_weights(weights, start, probability)
    # [M w0 + (1 - M) w - p w0] / (1 - p), for M = 1 and M = 0
    replaced = (start - probability * start) / (1 - probability)
    kept = (weights - probability * start) / (1 - probability)
    mask = torch.isclose(mixed, replaced, rtol=0, atol=1e-12)
    torch.testing.assert_close(mixed, torch.where(mask, replaced, kept), rtol=0, atol=1e-12)
    assert float(mask.double().mean()) == pytest.approx(probability, abs=0.02)


def test_its_mean_is_the_weight_itself() -> None:
    weights, start = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 1.0, 0.5])
    torch.manual_seed(0)
    mean = torch.stack([mixed_weights(weights, start, 0.5) for _ in range(20_000)]).mean(0)
    torch.testing.assert_close(mean, weights, rtol=0, atol=0.06)  # 3 standard errors of the second
    assert mean[2].item() == pytest.approx(0.5, abs=1e-6)


def test_the_gradient_reaches_what_was_kept_divided_by_its_share() -> None:
    weights, start = nn.Parameter(torch.ones(1000)), torch.zeros(1000)
    torch.manual_seed(0)
    mixed = mixed_weights(weights, start, 0.75)
    mixed.sum().backward()
    assert weights.grad is not None
    kept = mixed.detach() != 0
    assert torch.equal(weights.grad, torch.where(kept, 4.0, 0.0))
    assert 180 < int(kept.sum()) < 320


# --- the model ----------------------------------------------------------------------------------------------


@layered
def test_names_of_the_weights_and_evaluation_stay_as_they_were(architecture: str, tmp_path: Path) -> None:
    batch = torch.tensor(BATCH)
    plain, ours = moved(loaded(tiny_folder(architecture))), moved(loaded(tiny_folder(architecture), Mixout()))
    assert list(plain.state_dict()) == list(ours.state_dict())
    ours.save_pretrained(tmp_path / "saved")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        expected = plain.eval()(batch).logits
        torch.testing.assert_close(ours.eval()(batch).logits, expected, rtol=0, atol=0)
        torch.testing.assert_close(again.eval()(batch).logits, expected, rtol=0, atol=0)


@layered
def test_only_matrices_of_the_layers_are_mixed_and_only_in_training(architecture: str) -> None:
    """Each linear map on its own: two passes over the same input differ where weights are mixed."""
    model = moved(loaded(tiny_folder(architecture), Mixout())).train()
    layers = set(linear_paths(model))
    for path, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        inputs = torch.ones(1, module.in_features)
        assert torch.equal(module(inputs), module(inputs)) == (path not in layers), path
        module.eval()
        assert torch.equal(module(inputs), nn.functional.linear(inputs, module.weight, module.bias))
    assert len(layers) >= 8


def test_two_passes_differ_in_training_and_the_anchor_is_what_was_loaded() -> None:
    model = moved(loaded(tiny_folder("bert", **STILL), Mixout()))
    batch = torch.tensor(BATCH)
    with torch.no_grad():
        assert torch.equal(model.eval()(batch).logits, model(batch).logits)
        model.bert.train()
        assert not torch.equal(model(batch).logits, model(batch).logits)
    plain = loaded(tiny_folder("bert", **STILL))
    for path in linear_paths(plain):
        assert torch.equal(model.get_submodule(path).pretrained_weight, plain.get_parameter(f"{path}.weight"))


def test_the_anchor_follows_the_model_to_another_device_and_is_no_parameter() -> None:
    model = loaded(tiny_folder("bert"), Mixout())
    count = len(list(loaded(tiny_folder("bert")).parameters()))
    assert len(list(model.parameters())) == count
    path = linear_paths(model)[0]
    assert model.to("meta").get_submodule(path).pretrained_weight.device.type == "meta"


def test_a_model_without_weights_can_be_prepared() -> None:
    model = without_weights(tiny_folder("bert"), Mixout())
    assert model.get_submodule(linear_paths(model)[0]).pretrained_weight.is_meta


def test_weights_that_rest_are_not_mixed() -> None:
    model = moved(loaded(tiny_folder("bert", **STILL), Mixout())).train()
    module = model.get_submodule(linear_paths(model)[0])
    module.weight.requires_grad_(False)
    inputs = torch.ones(1, 16)
    assert torch.equal(module(inputs), module(inputs))


# --- in training --------------------------------------------------------------------------------------------


def test_the_first_step_is_plain_but_for_the_gradients_that_were_put_back(
    write_recipe: Write, still_model: Path, tmp_path: Path
) -> None:
    """Before it w = w0, so that the loss is the same; half of each matrix of the layers has no gradient."""
    training = {"max_grad_norm": 1000.0}
    spies = {}
    for name, techniques in {"plain": {}, "mixout": {"mixout": {}}}.items():
        spies[name] = Spy()
        recipe = write_recipe(model=still_model, techniques=techniques, training=training)
        watch(recipe, tmp_path / name, first=spies[name])
    plain, ours = spies["plain"].before[0].gradients, spies["mixout"].before[0].gradients
    torch.testing.assert_close(spies["mixout"].losses[0].rows, spies["plain"].losses[0].rows, rtol=0, atol=0)
    mixed = {f"{path}.weight" for path in linear_paths(loaded(still_model))}
    for name, gradient in plain.items():
        if name not in mixed:
            torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-7)
            continue
        kept = ours[name] != 0
        if name.endswith(("query.weight", "key.weight")):
            continue  # of the order of rounding
        assert 0.3 < float(kept.double().mean()) < 0.7, name
        torch.testing.assert_close(ours[name][kept], 2 * gradient[kept], rtol=1e-3, atol=1e-7)


def test_a_resumed_run_equals_one_that_never_stopped(write_recipe: Write, tmp_path: Path) -> None:
    """The anchor is taken before the checkpoint is loaded. Stopped at a checkpoint, and between two."""
    recipe = write_recipe(techniques={"mixout": {"probability": 0.7}})
    whole = train(recipe, tmp_path / "whole")
    for step in (6, 8):
        cut = tmp_path / f"cut-{step}"
        assert timeless(interrupted_and_resumed(recipe, cut, step)) == timeless(whole), step
        assert_same_weights(cut, tmp_path / "whole")


def test_it_runs_in_bf16_and_beside_frozen_layers_and_the_same_anchor_without_noise(
    write_recipe: Write, tmp_path: Path
) -> None:
    techniques = {"mixout": {}, "freeze": {}, "l2_sp": {}, "head_first": {}}
    record = train(write_recipe(techniques=techniques, training={"precision": "bf16"}), tmp_path / "run")
    assert record.status == "finished"
    assert record.budget.precision == "bf16"


# --- what it refuses ----------------------------------------------------------------------------------------


def test_shared_layers_are_refused() -> None:
    with pytest.raises(ModelError, match=r"techniques\.mixout: architecture 'albert'"):
        without_weights(tiny_folder("albert"), Mixout())


def test_a_run_in_which_no_matrix_trains_is_refused(write_recipe: Write, tmp_path: Path) -> None:
    for order in (("mixout", "freeze"), ("freeze", "mixout")):
        settings: dict[str, Any] = {"mixout": {}, "freeze": {"layers": 1.0}}
        with pytest.raises(ModelError, match=r"techniques\.mixout: would have no effect"):
            train(write_recipe(techniques={name: settings[name] for name in order}), tmp_path / "run")


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 2.0, True])
def test_settings_outside_their_range_are_refused(probability: Any) -> None:
    with pytest.raises(ValidationError, match="probability"):
        Mixout(probability=probability)
