"""WiSE-FT: its settings, refusals and shares. What a run makes of them: tests/training/test_interpolation.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from finetune.errors import ModelError, RecipeError
from finetune.recipe import resolve
from finetune.techniques import Technique, WeightNames
from finetune.techniques.wise_ft import WiSEFT
from finetune.training.prepare import prepare
from tests.raising import refuses
from tests.running import train, weights
from tests.techniques.watching import Spy, pretrained_weights, watch

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([], "at least 1 item"),
        ([0.0, 1.0], "greater than 0"),
        ([-0.5], "greater than 0"),
        ([0.5, 1.01], "less than or equal to 1"),
        ([1.0], "no value below 1"),
        ([0.5, 0.7, 0.5], "a value twice"),
        ([0.5, "0.7"], "valid number"),
        ([0.5, float("nan")], "finite number"),
        (0.5, "valid list"),
    ],
)
def test_shares_that_are_none_are_refused(shares: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WiSEFT(shares=shares)


def test_it_offers_its_shares_and_by_default_the_fine_tuned_weights_too() -> None:
    assert WiSEFT().interpolations() == (0.5, 0.7, 0.85, 1.0)
    assert WiSEFT(shares=[0.9, 0.3]).interpolations() == (0.9, 0.3)
    assert WiSEFT(shares=[0.9, 1]).interpolations() == (0.9, 1.0)


def test_a_list_may_be_typed(write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={"wise_ft": {}}))
    assert resolve(recipe, overrides=["techniques.wise_ft.shares=[0.6, 1.0]"]).recipe.techniques == {
        "wise_ft": WiSEFT(shares=[0.6, 1.0])
    }
    with refuses(RecipeError, match=r"techniques\.wise_ft: shares contains a value twice"):
        resolve(recipe, overrides=["techniques.wise_ft.shares=[0.6, 0.6]"])


def test_it_acts_on_what_is_trained_of_the_encoder() -> None:
    """Adapters inside the encoder count, though no pretrained value has their name."""
    names = WeightNames(
        trainable=frozenset({"bert.a", "bert.lora", "head"}),
        head=frozenset({"head"}),
        decayed=frozenset({"bert.a", "head"}),
        pretrained=frozenset({"bert.a", "bert.frozen"}),
    )
    assert WiSEFT().acts_on(names) == {"bert.a", "bert.lora"}


class _Freezing(Technique):
    family = "test"
    source = "test"

    def prepare_model(self, model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith("bert."))


def test_a_frozen_encoder_leaves_nothing_to_interpolate(write_recipe: Write) -> None:
    recipe = resolve(str(write_recipe(techniques={"wise_ft": {}}))).recipe
    frozen = recipe.model_copy(update={"techniques": {"freezing": _Freezing(), **recipe.techniques}})
    with refuses(ModelError, match=r"techniques\.wise_ft: would have no effect.*techniques\.wise_ft=off"):
        prepare(frozen)


def test_half_the_way_ships_with_the_whole_head(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    spy = Spy()
    run = watch(write_recipe(techniques={"wise_ft": {"shares": [0.5]}}), tmp_path / "run", last=spy)
    start, tuned = pretrained_weights(tiny_model), spy.after[-1].values
    moved = 0
    for name, value in run.weights.items():
        if name in start:
            middle = (start[name].double() + tuned[name].double()) / 2
            torch.testing.assert_close(value.double(), middle, rtol=0, atol=1e-7)
            moved += int((value != tuned[name]).sum())
        else:
            assert torch.equal(value, tuned[name]), name
    assert moved > 1000
    assert run.record.selected is not None
    assert run.record.selected.share == 0.5
    encoder = run.record.weights["encoder"]
    whole = sum(float((tuned[name].double() - value.double()).square().sum()) for name, value in start.items())
    assert encoder.distance == pytest.approx(0.5 * whole**0.5, rel=1e-5)


def test_merged_adapters_are_interpolated(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    """w − w₀ of a LoRA run is the product of the adapter's factors: half of it ships."""
    lora = {"lora": {"r": 2, "learning_rate": 0.01}}
    train(write_recipe("lora", techniques=lora), tmp_path / "lora")
    train(write_recipe("both", techniques={**lora, "wise_ft": {"shares": [0.5]}}), tmp_path / "both")
    start, whole, half = pretrained_weights(tiny_model), weights(tmp_path / "lora"), weights(tmp_path / "both")
    moved = {name for name in start if not torch.equal(whole[name], start[name])}
    assert any("query" in name for name in moved)
    for name, value in half.items():
        expected = (start[name] + whole[name]) / 2 if name in moved else whole[name]
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-6, msg=name)
