"""NEFTune: the size of the noise, who gets none, and that only training sees it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification

from finetune.errors import ModelError
from finetune.models.layers import word_embeddings
from finetune.models.load import build_without_weights
from finetune.techniques.neftune import NEFTune, largest_noise
from tests.conftest import ARCHITECTURES, tiny_config
from tests.raising import refuses
from tests.running import train
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
ROWS = [[2, 11, 3], [2, 11, 12, 13, 14, 15, 3], [2, 3]]


def padded(width: int) -> torch.Tensor:
    return torch.tensor([row + [0] * (width - len(row)) for row in ROWS])


def make(architecture: str = "bert", strength: float = 1.0) -> Any:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(tiny_config(architecture))
    NEFTune(strength=strength).prepare_model(model)
    return model


def noise_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """What training adds to the embeddings of these ids."""
    embeddings = word_embeddings(model)
    embeddings.train()
    noisy = embeddings(ids)
    return (noisy - embeddings.weight[ids]).detach()


# --- the size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "width", "strength"), [(512, 4096, 5.0), (32, 384, 5.0), (3, 16, 1.0)])
def test_the_bound_is_the_strength_over_the_root_of_tokens_times_width(
    length: int, width: int, strength: float
) -> None:
    found = largest_noise(torch.tensor([float(length)]), width, strength)
    assert found.item() == pytest.approx(strength / math.sqrt(length * width), rel=1e-6)


def test_the_figures_of_the_docstring() -> None:
    assert largest_noise(torch.tensor([512.0]), 4096, 5.0).item() == pytest.approx(0.0035, abs=5e-5)
    assert largest_noise(torch.tensor([32.0]), 384, 5.0).item() == pytest.approx(0.045, abs=5e-4)


@pytest.mark.parametrize("width", [7, 30])
def test_noise_is_uniform_within_the_bound_of_each_text_whatever_the_padding(width: int) -> None:
    model = make(strength=2.0)
    ids = padded(width)
    draws = torch.stack([noise_of(model, ids) for _ in range(300)])
    for row, tokens in enumerate(len(found) for found in ROWS):
        bound = 2.0 / math.sqrt(tokens * 16)
        found = draws[:, row, :tokens]
        assert found.abs().max() <= bound * 1.0001
        assert found.abs().max() > 0.99 * bound
        assert found.mean().abs() < 0.02 * bound
        assert found.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
        # In all a/√3 long, however many tokens.
        lengths = found.flatten(1).norm(dim=1)
        assert lengths.square().mean().sqrt().item() == pytest.approx(2.0 / math.sqrt(3), rel=0.02)
        assert not draws[:, row, tokens:].any()


def test_each_token_row_and_pass_gets_noise_of_its_own() -> None:
    model = make()
    ids = torch.tensor([[2, 11, 11, 3], [2, 11, 11, 3]])
    first, second = noise_of(model, ids), noise_of(model, ids)
    for one, two in ((first[0, 1], first[0, 2]), (first[0], first[1]), (first, second)):
        assert (one != two).float().mean() > 0.9


def test_it_comes_from_torchs_generator_which_checkpoints_hold() -> None:
    model = make()
    torch.manual_seed(5)
    first = noise_of(model, padded(7))
    torch.manual_seed(5)
    assert torch.equal(noise_of(model, padded(7)), first)


def test_gradients_pass_through_as_if_it_were_not_there() -> None:
    """d(e + noise)/de = 1: the gradient of a sum is the number of times that a row is read."""
    model = make()
    embeddings = word_embeddings(model).train()
    ids = torch.tensor([[2, 11, 11, 3]])
    embeddings(ids).sum().backward()
    assert embeddings.weight.grad[11].tolist() == [2.0] * 16
    assert embeddings.weight.grad[3].tolist() == [1.0] * 16


# --- where ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_noisy_in_training_only(architecture: str) -> None:
    torch.manual_seed(0)
    plain = AutoModelForSequenceClassification.from_config(tiny_config(architecture))
    noisy = make(architecture)
    noisy.load_state_dict(plain.state_dict())
    batch = {"input_ids": padded(7), "attention_mask": (padded(7) != 0).long()}
    with torch.no_grad():
        assert torch.equal(plain.eval()(**batch).logits, noisy.eval()(**batch).logits)
        noise = noise_of(noisy, batch["input_ids"])
    assert (noise[batch["input_ids"] != 0].abs() > 0).float().mean() > 0.99
    assert noise[batch["input_ids"] == 0].abs().max() == 0


def test_a_model_without_weights_is_prepared_too() -> None:
    NEFTune().prepare_model(build_without_weights(tiny_config("bert")))


def test_a_model_without_a_padding_token_is_refused() -> None:
    model = AutoModelForSequenceClassification.from_config(tiny_config("bert"))
    model.config.pad_token_id = None
    with refuses(ModelError, match=r"techniques\.neftune: .*pad_token_id.*techniques\.neftune=off"):
        NEFTune().prepare_model(model)


@pytest.mark.parametrize("strength", [0.0, -1.0, 101.0])
def test_strengths_out_of_range_are_refused(strength: float) -> None:
    with pytest.raises(ValidationError):
        NEFTune(strength=strength)


# --- in a run ---------------------------------------------------------------------------------------------------


def test_a_run_trains_on_noise_and_measures_without(write_recipe: Write, still_model: Path, tmp_path: Path) -> None:
    """On a model without dropout, at learning rate 0 in all but name: only the objective may differ."""
    training = {"learning_rate": 1e-12}
    plain, noisy = Spy(), Spy()
    one = watch(write_recipe("plain", still_model, training=training), tmp_path / "plain", last=plain)
    recipe = write_recipe(model=still_model, training=training, techniques={"neftune": {"strength": 3.0}})
    two = watch(recipe, tmp_path / "noisy", last=noisy)
    apart = [float((a.logits - b.logits).abs().max()) for a, b in zip(plain.losses, noisy.losses, strict=True)]
    assert min(apart) > 1e-4
    for a, b in zip(one.record.history, two.record.history, strict=True):
        assert a.validation["nll"] == pytest.approx(b.validation["nll"], rel=1e-6)
        assert a.train_probe["nll"] == pytest.approx(b.train_probe["nll"], rel=1e-6)


def test_bf16_passes_are_noisy_too(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"neftune": {}}, training={"precision": "bf16", "epochs": 1})
    assert train(recipe, tmp_path / "run").status == "finished"
    model = make()
    ids = padded(7)
    with torch.autocast("cpu", torch.bfloat16):
        assert (noise_of(model, ids)[ids != 0].abs() > 0).float().mean() > 0.99
