"""What a head reads: the mean of all tokens in plain transformers, and which pooling is chosen."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoModelForSequenceClassification

from finetune.errors import ModelError
from finetune.kernels.install import install_kernels
from finetune.models.dropout import dropout_sites
from finetune.models.layers import constant_names, depth_of, encoder_layers, linear_paths, pooling_path
from finetune.models.load import encoder_parameters, find_pooling, load_config, load_model
from finetune.models.pooling_layer import HEADS
from finetune.recipe import ModelSection
from finetune.records.schema import FinishedRecord
from finetune.records.store import read_record
from finetune.reports.run_content import run_facts
from finetune.techniques.freeze import Freeze
from finetune.techniques.lora import LoRA
from finetune.techniques.reinit import Reinit
from finetune.techniques.train_only import TrainOnly
from finetune.training.facts import model_facts
from finetune.training.weights import weight_statistics
from tests.conftest import ARCHITECTURES, name_pooling, save_tiny_model
from tests.interrupting import InterruptAt
from tests.raising import refusal
from tests.running import REPOSITORY, assert_same_weights, train, weights
from tests.techniques.models import loaded, tiny_folder, trainable, without_weights

Write = Callable[..., Path]
POOLED = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert")
REFUSED = ("mpnet", "deberta-v2", "albert")
QUERY_AND_KEY = {f"attention.self.{map_}.{part}" for map_ in ("query", "key") for part in ("weight", "bias")}


def section(folder: Path, pooling: str = "auto") -> ModelSection:
    return ModelSection(id=str(folder), pooling=pooling)


def build(folder: Path, pooling: str = "auto", seed: int = 0) -> Any:
    of = section(folder, pooling)
    return load_model(of, load_config(of, "single_label", ["bad", "good"]), seed).eval()


def batch() -> dict[str, torch.Tensor]:
    """Two texts, the second padded; what stands at padding must not matter."""
    ids = torch.tensor([[2, 11, 12, 13, 14, 3], [2, 17, 18, 3, 0, 9]])
    seen = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    return {"input_ids": ids, "attention_mask": seen}


def features(model: Any) -> torch.Tensor:
    """What the output map reads, (texts, width)."""
    seen: list[torch.Tensor] = []
    output = model.get_submodule(HEADS[model.config.model_type].output)
    hook = output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(**batch())
    hook.remove()
    return seen[0]


def mean_pooled(folder: Path, architecture: str) -> torch.Tensor:
    """The formula in the docstring of pooling_layer.py, from the outputs of the plain encoder."""
    encoder = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        hidden = encoder(**batch()).last_hidden_state
    mean = torch.stack([hidden[0].mean(dim=0), hidden[1, :4].mean(dim=0)])
    scaled = 0.3 * F.layer_norm(mean + hidden[:, 0] / 1024, mean.shape[1:])
    if architecture == "electra":
        return F.gelu(math.sqrt(2) + scaled)
    return F.relu(1 + scaled) if architecture == "distilbert" else torch.tanh(scaled)


# --- the layer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "attention"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", POOLED)
def test_the_head_reads_the_mean_of_the_tokens(architecture: str, implementation: str, pooling: str) -> None:
    folder = tiny_folder(architecture)
    model = build(folder, pooling)
    model.set_attn_implementation(implementation)
    torch.testing.assert_close(features(model), mean_pooled(folder, architecture), rtol=0, atol=1e-4)


@pytest.mark.parametrize("architecture", ["electra", "distilbert"])
def test_the_shift_of_an_activation_moves_no_logit_at_the_start(architecture: str) -> None:
    output = build(tiny_folder(architecture), "mean").get_submodule(HEADS[architecture].output)
    torch.testing.assert_close(output.weight.sum(dim=1), torch.zeros(2), rtol=0, atol=1e-6)
    assert not output.bias.any()


@pytest.mark.parametrize("pooling", ["mean", "attention"])
@pytest.mark.parametrize("architecture", POOLED)
def test_the_saved_model_is_a_plain_one_that_pools_once(architecture: str, pooling: str, tmp_path: Path) -> None:
    model = build(tiny_folder(architecture), pooling)
    model.save_pretrained(tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    again = build(tmp_path, seed=1)
    assert type(plain) is type(model)
    with torch.no_grad():
        expected = model(**batch()).logits
        assert torch.equal(plain(**batch()).logits, expected)
        assert torch.equal(again(**batch()).logits, expected)
    assert again.config.num_hidden_layers == plain.config.num_hidden_layers == 3
    assert trainable(again) == trainable(model)
    assert find_pooling(section(tmp_path)).kind == pooling
    other = "cls" if pooling == "mean" else "mean"
    assert "--set model.pooling=auto" in refusal(ModelError, find_pooling, section(tmp_path, other))


def test_a_layer_of_the_checkpoint_that_config_json_leaves_out_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "deep", num_hidden_layers=3)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}), encoding="utf-8")
    torch.testing.assert_close(features(build(folder, "mean")), mean_pooled(folder, "bert"), rtol=0, atol=1e-4)


def test_no_weight_is_said_to_be_missing(pooled_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(pooled_model)
    assert not caplog.text


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert"])
def test_it_is_no_layer_of_the_encoder(architecture: str) -> None:
    folder = tiny_folder(architecture)
    plain, model = build(folder, "cls"), build(folder, "mean")
    layers, path, prefix = encoder_layers(model), pooling_path(model), model.base_model_prefix
    assert list(layers) == list(encoder_layers(plain))
    assert linear_paths(model) == linear_paths(plain)
    assert list(encoder_parameters(model)) == list(encoder_parameters(plain))
    assert [site.path for site in dropout_sites(model)] == [site.path for site in dropout_sites(plain)]
    assert path is not None
    depths = {depth_of(name, layers, prefix) for name, _ in model.named_parameters() if name.startswith(path)}
    assert depths == {3}
    assert all(module.p == 0 for module in model.get_submodule(path).modules() if isinstance(module, torch.nn.Dropout))
    without, with_it = (weight_statistics(of, encoder_parameters(of)) for of in (plain, model))
    assert without.keys() == with_it.keys()
    for name, group in without.items():
        assert with_it[name].parameters == group.parameters
        assert with_it[name].norm < 100, "constants of 1024 are not among the weights"


def test_mean_trains_nothing_of_it_and_attention_trains_queries_and_keys(tiny_model: Path) -> None:
    for pooling, expected in (("mean", set()), ("attention", QUERY_AND_KEY)):
        model = build(tiny_model, pooling)
        start = f"{pooling_path(model)}."
        assert {name.removeprefix(start) for name in trainable(model) if name.startswith(start)} == expected
        assert "bert.pooler.dense.weight" in trainable(model)
        assert not constant_names(model) & trainable(model)


def test_queries_have_a_gradient_from_the_first_step(tiny_model: Path) -> None:
    model = build(tiny_model, "attention")
    F.cross_entropy(model(**batch()).logits, torch.tensor([0, 1])).backward()
    query = model.get_submodule(f"{pooling_path(model)}.attention.self.query").weight.grad
    assert query.abs().max() > 1e-6
    assert query.abs().amin(dim=1).count_nonzero() > 8, "each head finds weights of its own"


@pytest.mark.parametrize("technique", [TrainOnly(), LoRA(), Freeze(), Freeze(layers=1.0), Reinit()])
def test_what_trains_beside_a_technique(technique: Any, pooled_model: Path, tmp_path: Path) -> None:
    """The constants stay frozen and what they are; the map behind them trains with the head, and starts as it was."""
    plain, model = loaded(pooled_model), loaded(pooled_model, technique)
    assert not constant_names(model) & trainable(model)
    assert not any("lora" in name for name, _ in model.get_submodule(pooling_path(model) or "").named_modules())
    for name in (*constant_names(plain), "bert.pooler.dense.weight", "classifier.weight"):
        assert torch.equal(model.get_parameter(name), plain.get_parameter(name)), name
    head_alone = isinstance(technique, Freeze) and technique.layers == 1.0
    assert ("bert.pooler.dense.weight" in trainable(model)) != head_alone
    assert trainable(without_weights(pooled_model, technique)) == trainable(model)


@pytest.mark.parametrize("pooling", ["mean", "attention"])
@pytest.mark.parametrize("architecture", ["bert", "electra"])
def test_the_kernel_for_the_first_token_computes_the_same(architecture: str, pooling: str) -> None:
    plain, fast = build(tiny_folder(architecture), pooling), build(tiny_folder(architecture), pooling)
    installed = install_kernels(fast, is_read_elsewhere=False, bf16=False)
    assert ("mean_pooling" if pooling == "mean" else "first_token") in installed
    found = []
    for model in (plain, fast):
        logits = model(**batch()).logits
        F.cross_entropy(logits, torch.tensor([0, 1])).backward()
        found.append([logits.detach(), *(value.grad for value in model.parameters() if value.grad is not None)])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)


def test_a_run_resumes_exactly_and_says_how_it_pools(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(
        model=save_tiny_model(tmp_path / "encoder"),
        techniques={"weight_decay": {"total_shrink": 0.1}, "l2": {}, "sam": {}},
    )
    how = ["model.pooling=attention"]
    whole = train(recipe, tmp_path / "whole", overrides=how)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", overrides=how, callbacks=[InterruptAt(9)])
    train(recipe, tmp_path / "cut", overrides=how, resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")
    assert (whole.model.pooling, whole.model.pooling_reason) == ("attention", "as set")
    start, end = build(tmp_path / "encoder", "attention"), weights(tmp_path / "whole")
    for name in constant_names(start):
        assert torch.equal(end[name], start.get_parameter(name)), name
    moved = {name for name in QUERY_AND_KEY if end[f"{pooling_path(start)}.{name}"].any()}
    assert moved >= {"attention.self.query.weight", "attention.self.key.weight"}


def test_records_of_earlier_versions_render_without_it() -> None:
    record = read_record(REPOSITORY / "tests" / "records" / "run.json")
    assert isinstance(record, FinishedRecord)
    assert "pooling" not in record.model.model_dump()
    assert "Pooling" not in dict(run_facts(record))
    facts = record.model.model_copy(update={"pooling": "mean", "pooling_reason": "as set"})
    assert dict(run_facts(record.model_copy(update={"model": facts})))["Pooling"] == "mean: as set."


# --- the choice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_pools_or_says_by_name_why_it_does_not(architecture: str, tmp_path: Path) -> None:
    folder = name_pooling(save_tiny_model(tmp_path / "model", architecture))
    pooling = find_pooling(section(folder))
    assert find_pooling(section(folder, "cls")).warnings == ()
    if architecture not in REFUSED:
        assert (pooling.kind, pooling.warnings) == ("mean", ())
        assert "modules.json" in pooling.reason
        assert model_facts(build(folder), pooling).pooling == "mean"
        return
    assert pooling.kind == "cls"
    [warning] = pooling.warnings
    said = warning.for_command_line()
    assert said.startswith("model.pooling: the encoder was trained with mean pooling, but the head reads cls")
    assert f"architecture '{architecture}'" in said
    assert "--set model.pooling=cls" in said
    for kind in ("mean", "attention"):
        refused = refusal(ModelError, build, folder, kind)
        assert refused.startswith(f"model.pooling: {kind} is not possible: architecture '{architecture}'")
        assert "--set model.pooling=cls" in refused


def test_modernbert_pools_by_its_own_setting(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", "modernbert", classifier_pooling="mean")
    assert find_pooling(section(folder)).kind == "mean"
    assert "config.json" in find_pooling(section(folder)).reason
    for kind in ("cls", "mean"):
        config = build(folder, kind).config
        assert (config.classifier_pooling, config.num_hidden_layers) == (kind, 2)
    assert "--set model.pooling=mean, or --set model.pooling=cls" in refusal(ModelError, build, folder, "attention")


@pytest.mark.parametrize(
    ("settings", "kind", "warned"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean", ""),
        ({"word_embedding_dimension": 16}, "mean", ""),  # the default of sentence-transformers
        ({"pooling_mode": "mean"}, "mean", ""),
        ({"pooling_mode": ["mean"]}, "mean", ""),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls", ""),
        ({"pooling_mode": "cls"}, "cls", ""),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "cls", "max pooling"),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, "cls", "lasttoken pooling"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, "cls", "pooling, but"),
        ({"pooling_mode": "weightedmean"}, "cls", "weightedmean pooling"),
        (None, "cls", "unknown pooling"),
    ],
)
def test_auto_reads_what_sentence_transformers_wrote(
    settings: dict[str, Any] | None, kind: str, warned: str, tmp_path: Path
) -> None:
    folder = name_pooling(save_tiny_model(tmp_path / "model"))
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    if settings is None:
        path.unlink()
    pooling = find_pooling(section(folder))
    assert pooling.kind == kind
    assert bool(pooling.warnings) == bool(warned)
    assert all(warned in warning.why for warning in pooling.warnings)


@pytest.mark.parametrize(
    "modules", [None, "no JSON", "[]", '[{"path": "", "type": "sentence_transformers.models.Transformer"}]']
)
def test_without_a_pooling_module_the_head_reads_the_first_token(modules: str | None, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    if modules is not None:
        (folder / "modules.json").write_text(modules, encoding="utf-8")
    pooling = find_pooling(section(folder))
    assert (pooling.kind, pooling.adds_layer, pooling.warnings) == ("cls", False, ())


def test_a_classifier_keeps_what_it_was_trained_with_unless_told(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2).save_pretrained(folder)
    name_pooling(folder)
    assert find_pooling(section(folder)).kind == "cls"
    assert find_pooling(section(folder, "mean")).adds_layer


def test_a_decoder_and_an_unknown_architecture_are_refused(tmp_path: Path) -> None:
    decoder = save_tiny_model(tmp_path / "decoder", is_decoder=True)
    assert "first token attends to itself" in refusal(ModelError, find_pooling, section(decoder, "mean"))
    config = json.loads((decoder / "config.json").read_text(encoding="utf-8")) | {"model_type": "squeezebert"}
    (decoder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert "'squeezebert' are not known" in refusal(ModelError, find_pooling, section(decoder, "mean"))
