"""Freezing: what is frozen does not move by a bit, in every architecture, and what is not frozen does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from finetune.errors import ModelError, RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget, Part
from finetune.techniques.freeze import Freeze, frozen_layers
from tests.conftest import ARCHITECTURES
from tests.raising import refuses
from tests.running import train, weights
from tests.techniques.models import BATCH, loaded, tiny_folder, trainable, without_weights
from tests.techniques.watching import Spy, pretrained_weights, watch

Write = Callable[..., Path]
BUDGET = Budget("single_label", epochs=3, learning_rate=0.005, steps_per_epoch=6, warmup=0.1)
# Read off the modules of transformers by hand: what begins so is below the first layer or shared by all, and what
# comes after the layers; {} is the layer.
BOTTOM = {
    "bert": ["bert.embeddings."],
    "roberta": ["roberta.embeddings."],
    "xlm-roberta": ["roberta.embeddings."],
    "distilbert": ["distilbert.embeddings."],
    "electra": ["electra.embeddings."],
    "deberta-v2": ["deberta.embeddings.", "deberta.encoder.rel_embeddings.", "deberta.encoder.conv."],
    "modernbert": ["model.embeddings."],
    "mpnet": ["mpnet.embeddings.", "mpnet.encoder.relative_attention_bias."],
}
LAYER = {
    "bert": "bert.encoder.layer.{}.",
    "roberta": "roberta.encoder.layer.{}.",
    "xlm-roberta": "roberta.encoder.layer.{}.",
    "distilbert": "distilbert.transformer.layer.{}.",
    "electra": "electra.encoder.layer.{}.",
    "deberta-v2": "deberta.encoder.layer.{}.",
    "modernbert": "model.layers.{}.",
    "mpnet": "mpnet.encoder.layer.{}.",
}
TOP = {"bert": ["bert.pooler."], "modernbert": ["model.final_norm."]}
known_layers = pytest.mark.parametrize("architecture", sorted(LAYER))


@pytest.mark.parametrize(
    ("wanted", "layers", "expected"),
    [
        (4, 12, 4),
        (0, 12, 0),
        (20, 12, 20),  # refused on the model, which says how many there are
        (1 / 3, 12, 4),
        (1 / 3, 6, 2),
        (1 / 3, 2, 1),
        (0.01, 12, 1),  # at least one
        (0.99, 12, 11),  # below 1.0 never all
        (1.0, 12, 12),
        (1, 12, 1),  # a number, not a share
    ],
)
def test_layers_are_a_number_or_a_share(wanted: float, layers: int, expected: int) -> None:
    assert frozen_layers(wanted, layers) == expected


def test_every_architecture_has_its_names_in_this_file() -> None:
    assert {*LAYER, "albert"} == set(ARCHITECTURES)


@known_layers
@pytest.mark.parametrize("build", [loaded, without_weights])
def test_embeddings_and_lowest_layers_are_frozen_and_nothing_else(architecture: str, build: Callable[..., Any]) -> None:
    model = build(tiny_folder(architecture), Freeze())  # a third of two layers is one
    frozen = (*BOTTOM[architecture], LAYER[architecture].format(0))
    names = {name for name, _ in model.named_parameters()}
    assert trainable(model) == {name for name in names if not name.startswith(frozen)}
    assert any(name.startswith(LAYER[architecture].format(1)) for name in trainable(model))
    assert all(any(name.startswith(start) for name in names) for start in frozen)


@known_layers
def test_with_all_layers_frozen_the_head_alone_trains(architecture: str) -> None:
    model = without_weights(tiny_folder(architecture), Freeze(layers=1.0))
    prefix = f"{model.base_model_prefix}."
    assert trainable(model) == {name for name, _ in model.named_parameters() if not name.startswith(prefix)}
    assert trainable(model)


@pytest.mark.parametrize(("architecture", "above"), [("bert", "bert.pooler."), ("modernbert", "model.final_norm.")])
def test_what_follows_the_layers_trains_unless_all_is_frozen(architecture: str, above: str) -> None:
    some = trainable(without_weights(tiny_folder(architecture), Freeze()))
    below = trainable(without_weights(tiny_folder(architecture), Freeze(embeddings=False, layers=1.0)))
    none = trainable(without_weights(tiny_folder(architecture), Freeze(layers=2)))
    assert any(name.startswith(above) for name in some)
    assert any(name.startswith(above) for name in below)
    assert any(name.startswith(BOTTOM[architecture][0]) for name in below)
    assert not any(name.startswith(above) for name in none)


def test_embeddings_alone_can_be_frozen() -> None:
    model = without_weights(tiny_folder("bert"), Freeze(layers=0))
    assert {name for name, _ in model.named_parameters()} - trainable(model) == {
        name for name, _ in model.named_parameters() if name.startswith("bert.embeddings.")
    }


def test_frozen_layers_keep_their_dropout() -> None:
    model = loaded(tiny_folder("bert"), Freeze(layers=1.0)).train()
    batch = torch.tensor(BATCH)
    torch.manual_seed(0)
    with torch.no_grad():
        assert not torch.equal(model.bert(batch)[0], model.bert(batch)[0])


# --- in training --------------------------------------------------------------------------------------------


def test_what_is_frozen_does_not_move_by_a_bit_and_the_rest_does(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    """Weight decay moves whatever the optimizer holds, so that it would show."""
    techniques = {"freeze": {}, "weight_decay": {"total_shrink": 0.5}}
    run = watch(write_recipe(techniques=techniques), tmp_path / "run")
    for name, start in pretrained_weights(tiny_model).items():
        frozen = name.startswith(("bert.embeddings.", "bert.encoder.layer.0."))
        assert torch.equal(run.weights[name], start) == frozen, name
    assert run.record.model.trainable < run.record.model.parameters


def test_a_linear_probe_moves_the_head_at_its_own_learning_rate(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    spy = Spy()
    run = watch(
        write_recipe(techniques={"freeze": {"layers": 1.0, "learning_rate": 0.02}}), tmp_path / "run", first=spy
    )
    assert all(torch.equal(run.weights[name], value) for name, value in pretrained_weights(tiny_model).items())
    assert set(spy.after[0].values) == {"classifier.weight", "classifier.bias"}
    assert not torch.equal(spy.after[0].values["classifier.weight"], spy.after[-1].values["classifier.weight"])
    rates = [0.02 * step / 2 for step in range(2)] + [0.02 * (18 - step) / 16 for step in range(2, 18)]
    assert [seen.rate for seen in spy.after] == pytest.approx(rates)


def test_freezing_nothing_that_trains_changes_the_numbers_of_the_rest(write_recipe: Write, tmp_path: Path) -> None:
    plain, frozen = tmp_path / "plain", tmp_path / "frozen"
    train(write_recipe(), plain)
    train(write_recipe(techniques={"freeze": {}}), frozen)
    name = "bert.encoder.layer.1.output.dense.weight"
    assert not torch.equal(weights(plain)[name], weights(frozen)[name])


# --- what it says, and refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [loaded, without_weights])
def test_more_layers_than_there_are_are_refused_with_what_to_type(build: Callable[..., Any]) -> None:
    with refuses(ModelError, match=r"techniques\.freeze\.layers: 3 layers to freeze, but this model has 2"):
        build(tiny_folder("bert"), Freeze(layers=3))


def test_too_many_layers_are_refused_before_training(write_recipe: Write, tmp_path: Path) -> None:
    with refuses(ModelError, match="but this model has 2"):
        train(write_recipe(techniques={"freeze": {"layers": 3}}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_shared_layers_are_refused() -> None:
    with refuses(ModelError, match=r"techniques\.freeze: architecture 'albert' shares .*freeze=off"):
        without_weights(tiny_folder("albert"), Freeze())


def test_a_learning_rate_for_more_than_the_head_is_refused() -> None:
    for settings in ({}, {"layers": 1}, {"layers": 1.0, "embeddings": False}):
        with refuses(ModelError, match=r"techniques\.freeze\.learning_rate: is for a head that trains alone"):
            without_weights(tiny_folder("bert"), Freeze(**settings, learning_rate=1e-3))
    assert Freeze(layers=2, learning_rate=0.1).rate_factor(Part(3, 2, True), BUDGET) == pytest.approx(20.0)
    assert Freeze().rate_factor(Part(3, 2, True), BUDGET) == 1.0


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": True},
        {"layers": False},
        {"layers": -1},
        {"layers": 0.0},
        {"layers": 1.5},
        {"layers": "all"},
        {"embeddings": 1},
        {"embeddings": False, "layers": 0},
        {"learning_rate": 0.0},
    ],
)
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Freeze(**settings)


def test_a_share_and_a_number_survive_a_recipe(write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={"freeze": {"layers": 1.0}}))
    assert resolve(recipe).recipe.techniques["freeze"].layers.__class__ is float
    overridden = resolve(recipe, overrides=["techniques.freeze.layers=1"]).recipe.techniques["freeze"]
    assert overridden.layers.__class__ is int


def test_it_fights_with_the_others_that_choose_what_trains(write_recipe: Write) -> None:
    for other in ("train_only", "lora"):
        reason = "both control which weights of the encoder train"
        with refuses(RecipeError, match=f"{other}: conflicts with freeze: {reason}"):
            resolve(str(write_recipe(techniques={"freeze": {}, other: {}})))


def test_the_cost_is_that_of_the_passes_that_are_left() -> None:
    assert round(Freeze().training_cost(BUDGET), 2) == Freeze.cost == 0.78
    assert Freeze(layers=1.0).training_cost(BUDGET) == pytest.approx(1 / 3)
    assert Freeze(layers=6).training_cost(BUDGET) == pytest.approx(2 / 3)
    assert Freeze(layers=0).training_cost(BUDGET) == 1.0
    assert Freeze(embeddings=False, layers=1.0).training_cost(BUDGET) == pytest.approx(2 / 3)


def test_a_probe_at_a_fine_tuning_rate_is_warned_of() -> None:
    small = Budget("single_label", 3, 2e-5, 60, 0.1)
    (warning,) = Freeze(layers=1.0).warnings(small)
    assert warning.key == ".learning_rate"
    assert "a learning rate of 2e-05 hardly moves it" in warning.why
    assert Freeze(layers=1.0, learning_rate=1e-3).warnings(small) == Freeze().warnings(small) == []
    assert Freeze(layers=1.0).warnings(BUDGET) == []
