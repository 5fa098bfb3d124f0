"""LoRA: adapters alone move, the merged model is a plain one with the same logits, and a run survives being cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from finetune.errors import ModelError, RecipeError
from finetune.models.dropout import dropout_sites
from finetune.models.layers import linear_paths
from finetune.recipe import resolve
from finetune.techniques.dropout import Dropout
from finetune.techniques.lora import LoRA
from tests.conftest import ARCHITECTURES, labelled_texts
from tests.interrupting import interrupted_and_resumed, timeless
from tests.raising import refuses, typed
from tests.running import assert_same_weights, train, weights
from tests.techniques.models import BATCH, loaded, tiny_folder, trainable, without_weights
from tests.techniques.watching import Spy, pretrained_weights, watch

Write = Callable[..., Path]
layered = pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "albert"])
QUERY = "bert.encoder.layer.0.attention.self.query"


def with_random_adapters(folder: Path, technique: LoRA) -> Any:
    """B starts at 0, so that an adapter changes nothing before training."""
    model = loaded(folder, technique).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return model


# --- the model ----------------------------------------------------------------------------------------------


@layered
@pytest.mark.parametrize("build", [loaded, without_weights])
def test_adapters_head_and_pooler_train_and_nothing_else(architecture: str, build: Callable[..., Any]) -> None:
    paths = linear_paths(without_weights(tiny_folder(architecture)))
    model = build(tiny_folder(architecture), LoRA(r=2))
    expected = {f"{path}.lora_{letter}.default.weight" for path in paths for letter in "AB"}
    prefix = f"{model.base_model_prefix}."
    others = {name for name in trainable(model) if not name.startswith(prefix)}
    pooler = {name for name in trainable(model) if ".pooler." in name}
    assert trainable(model) - others - pooler == expected
    assert len(expected) >= 16
    assert bool(pooler) == (architecture == "bert")
    assert all(name in others for name, _ in model.named_parameters() if not name.startswith(prefix))


@layered
def test_an_untrained_adapter_changes_nothing(architecture: str) -> None:
    batch = torch.tensor(BATCH)
    with torch.no_grad():
        plain = loaded(tiny_folder(architecture)).eval()(batch).logits
        adapted = loaded(tiny_folder(architecture), LoRA()).eval()(batch).logits
    torch.testing.assert_close(adapted, plain, rtol=0, atol=0)


@layered
def test_the_merged_model_is_plain_and_computes_the_same(architecture: str, tmp_path: Path) -> None:
    technique, folder, batch = LoRA(r=2, alpha=6.0), tiny_folder(architecture), torch.tensor(BATCH)
    plain, model = loaded(folder), with_random_adapters(folder, technique)
    attributes = set(vars(plain))
    with torch.no_grad():
        before = plain.eval()(batch).logits
        adapted = model(batch).logits
        technique.finish_model(model)
        merged = model(batch).logits
    assert not torch.allclose(adapted, before, atol=1e-3), "the adapters changed nothing, so nothing is tested"
    torch.testing.assert_close(merged, adapted, rtol=0, atol=1e-5)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [type(part) for part in model.modules()] == [type(part) for part in plain.modules()]
    assert set(vars(model)) == attributes
    model.save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("adapter*"))
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(batch).logits, adapted, rtol=0, atol=1e-5)


def test_a_merged_weight_is_the_formula() -> None:
    technique = LoRA(r=2, alpha=6.0)
    model = with_random_adapters(tiny_folder("bert"), technique)
    values = {name: value.detach().clone() for name, value in model.named_parameters()}
    technique.finish_model(model)
    start = pretrained_weights(tiny_folder("bert"))[f"{QUERY}.weight"].double().numpy()
    down = values[f"{QUERY}.lora_A.default.weight"].double().numpy()
    up = values[f"{QUERY}.lora_B.default.weight"].double().numpy()
    np.testing.assert_allclose(
        model.get_parameter(f"{QUERY}.weight").detach().double().numpy(), start + 6 / 2 * up @ down, atol=1e-6
    )


def test_adapters_differ_by_seed_and_by_nothing_else() -> None:
    name = f"{QUERY}.lora_A.default.weight"
    first, same, other = (loaded(tiny_folder("bert"), LoRA(), seed=seed).get_parameter(name) for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_adapters_dropout_is_their_own() -> None:
    """It acts in training only, and `dropout` neither sets it nor stumbles over it, whichever comes first."""
    lora, dropout = LoRA(dropout=0.5), Dropout(hidden=0.2, attention=0.0, classifier=0.0)
    for order in ((lora, dropout), (dropout, lora)):
        sites = dropout_sites(loaded(tiny_folder("bert"), *order))
        assert {site.probability for site in sites if site.kind == "adapter"} == {0.5}
        assert {site.probability for site in sites if site.kind == "hidden"} == {0.2}
    model = with_random_adapters(tiny_folder("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), lora)
    batch = torch.tensor(BATCH)
    with torch.no_grad():
        assert torch.equal(model(batch).logits, model(batch).logits)
        model.train()
        assert not torch.equal(model(batch).logits, model(batch).logits)


def test_targets_may_be_the_attention_or_named() -> None:
    folder = tiny_folder("bert")

    def adapted(targets: Any) -> set[str]:
        model = without_weights(folder, LoRA(targets=targets))
        return {name.split(".lora_A")[0] for name in trainable(model) if "lora_A" in name}

    layers = [f"bert.encoder.layer.{index}" for index in range(2)]
    maps = ("self.query", "self.key", "self.value", "output.dense")
    assert adapted("attention") == {f"{layer}.attention.{name}" for layer in layers for name in maps}
    assert adapted(["query", "value"]) == {
        f"{layer}.attention.self.{n}" for layer in layers for n in ("query", "value")
    }
    assert adapted(["intermediate.dense"]) == {f"{layer}.intermediate.dense" for layer in layers}


@layered
def test_every_architecture_has_attention_to_target(architecture: str) -> None:
    model = without_weights(tiny_folder(architecture))
    found = LoRA(targets="attention")._target_paths(model)
    assert 0 < len(found) < len(linear_paths(model))


# --- in training --------------------------------------------------------------------------------------------


@pytest.fixture
def recipe(write_recipe: Write) -> Path:
    return write_recipe(techniques={"lora": {"learning_rate": 0.02}, "early_stopping": {"patience": 2}})


def test_the_change_of_a_run_is_of_low_rank_and_in_the_targets_alone(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    spy = Spy()
    run = watch(write_recipe(techniques={"lora": {"r": 2, "learning_rate": 0.02}}), tmp_path / "run", first=spy)
    targets = {f"{path}.weight" for path in linear_paths(loaded(tiny_model))}
    for name, start in pretrained_weights(tiny_model).items():
        change = run.weights[name] - start
        if name in targets:
            rank = int(torch.linalg.matrix_rank(change.double(), atol=1e-5))
            assert 1 <= rank <= 2, name
        elif ".pooler." not in name:
            assert torch.equal(run.weights[name], start), name
    assert max(seen.rate for seen in spy.after) == pytest.approx(0.02)
    assert run.record.selected is not None
    assert run.record.weights["encoder"].distance is not None
    assert run.record.weights["encoder"].distance > 0


def test_a_resumed_run_equals_one_that_never_stopped_and_ships_what_was_measured(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the boundary of an epoch, within the second, and when all is trained."""
    whole = train(recipe, tmp_path / "whole")
    plain_transformers_computes_what_was_measured(tmp_path / "whole")
    for step in (6, 8):
        cut = tmp_path / f"cut-{step}"
        assert timeless(interrupted_and_resumed(recipe, cut, step)) == timeless(whole), step
        assert_same_weights(cut, tmp_path / "whole")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("finetune.training.runner.Run.measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "trained")
    assert timeless(train(recipe, tmp_path / "trained", resume=True)) == timeless(whole)
    assert_same_weights(tmp_path / "trained", tmp_path / "whole")


def plain_transformers_computes_what_was_measured(folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    predictions = np.load(folder / "predictions.npz")
    texts = [text for text, _ in labelled_texts(80)]
    for row, expected in zip(predictions["test_rows"], predictions["selected_test_logits"], strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(texts[int(row) - 1], return_tensors="pt")).logits[0]
        np.testing.assert_allclose(logits.numpy(), expected, atol=1e-5)


def test_the_selected_adapters_ship_and_not_the_last(write_recipe: Write, tmp_path: Path) -> None:
    """With this seed the loss on validation is lowest after the first epoch."""
    settings = {"patience": 3, "metric": "loss"}
    recipe = write_recipe(
        techniques={"lora": {"learning_rate": 0.03}, "early_stopping": settings},
        training={"warmup": 0.0, "epochs": 4},
    )
    record = train(recipe, tmp_path / "run", seed=1)
    assert record.selected is not None
    assert record.last is not None
    best = min(record.history, key=lambda evaluation: evaluation.validation["nll"])
    assert record.selected.step == best.step
    assert record.selected.validation["nll"] == pytest.approx(best.validation["nll"], rel=1e-4)
    assert record.selected.step < record.last.step, "the last was best, so nothing was tested"


def test_an_average_of_adapters_and_a_share_of_the_change_are_shipped_right(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    """WiSE-FT at one share after the merge: the change of each target shrinks to that share of it."""
    lora = {"lora": {"learning_rate": 0.02}, "ema": {"horizon": 0.3}}
    whole, half = tmp_path / "whole", tmp_path / "half"
    train(write_recipe(techniques=lora), whole)
    train(write_recipe(techniques={**lora, "wise_ft": {"shares": [0.5]}}), half)
    tuned, mixed = weights(whole), weights(half)
    assert tuned.keys() == mixed.keys()
    for name, start in pretrained_weights(tiny_model).items():
        torch.testing.assert_close(mixed[name] - start, (tuned[name] - start) / 2, rtol=0, atol=1e-6)


# --- what it refuses ----------------------------------------------------------------------------------------


def test_a_name_that_matches_nothing_is_refused_with_the_names_there_are() -> None:
    with refuses(
        ModelError, match=r"techniques\.lora\.targets: no linear map in the layers has a name that ends in 'q_lin'"
    ) as e:
        without_weights(tiny_folder("bert"), LoRA(targets=["query", "q_lin"]))
    assert "attention.self.query" in typed(e.value)
    assert "intermediate.dense" in typed(e.value)
    without_weights(tiny_folder("distilbert"), LoRA(targets=["q_lin"]))


def test_shared_layers_are_refused() -> None:
    with refuses(ModelError, match=r"techniques\.lora: architecture 'albert'"):
        without_weights(tiny_folder("albert"), LoRA())


@pytest.mark.parametrize("other", ["l2_sp", "mixout", "reinit"])
def test_what_needs_the_resting_weights_is_refused(write_recipe: Write, other: str) -> None:
    for names in (("lora", other), (other, "lora")):
        with refuses(RecipeError, match="cannot be used with"):
            resolve(str(write_recipe(techniques={name: {} for name in names})))


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 0},
        {"alpha": 0.0},
        {"dropout": 1.0},
        {"targets": "some"},
        {"targets": []},
        {"targets": [1]},
        {"learning_rate": 0.0},
    ],
)
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        LoRA(**settings)


def test_a_list_of_targets_can_be_written_in_a_recipe(write_recipe: Write) -> None:
    recipe = write_recipe(techniques={"lora": {"targets": ["query"]}})
    built = resolve(str(recipe)).recipe
    assert built.techniques["lora"] == LoRA(targets=["query"])
    assert json.loads(json.dumps(built.to_dict()))["techniques"]["lora"]["targets"] == ["query"]
