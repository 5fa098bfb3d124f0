"""Dropout: what is asked for is what the modules of every architecture apply, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from finetune.errors import ModelError
from finetune.models import dropout as dropout_map
from finetune.models.dropout import dropout_sites, known_architectures
from finetune.models.load import build_without_weights, load_config, load_model
from finetune.recipe import ModelSection, resolve
from finetune.techniques.dropout import Dropout
from finetune.techniques.outcome import Outcome
from finetune.training.prepare import prepare
from tests.conftest import ARCHITECTURES, save_tiny_model
from tests.raising import refuses
from tests.running import train
from tests.techniques.watching import watch

Write = Callable[..., Path]

# Every dropout of a two-layer classifier, read off the modules of transformers by hand. {} is the layer.
_BERT = {
    "hidden": [
        "embeddings.dropout",
        "encoder.layer.{}.attention.output.dropout",
        "encoder.layer.{}.output.dropout",
    ],
    "attention": ["encoder.layer.{}.attention.self.dropout"],
}
SITES: dict[str, dict[str, list[str]]] = {
    "bert": {
        "hidden": [f"bert.{path}" for path in _BERT["hidden"]],
        "attention": [f"bert.{path}" for path in _BERT["attention"]],
        "classifier": ["dropout"],
    },
    **{
        architecture: {
            "hidden": [f"{prefix}.{path}" for path in _BERT["hidden"]],
            "attention": [f"{prefix}.{path}" for path in _BERT["attention"]],
            "classifier": ["classifier.dropout"],
        }
        for architecture, prefix in (
            ("roberta", "roberta"),
            ("xlm-roberta", "roberta"),
            ("electra", "electra"),
        )
    },
    "distilbert": {
        "hidden": ["distilbert.embeddings.dropout", "distilbert.transformer.layer.{}.ffn.dropout"],
        "attention": ["distilbert.transformer.layer.{}.attention.dropout"],
        "classifier": ["dropout"],
    },
    "deberta-v2": {
        "hidden": [
            *(f"deberta.{path}" for path in _BERT["hidden"]),
            "deberta.encoder.layer.{}.attention.self.pos_dropout",
            "deberta.encoder.conv.dropout",
        ],
        "attention": [f"deberta.{path}" for path in _BERT["attention"]],
        "classifier": ["dropout"],
        "left alone": ["pooler.dropout"],
    },
    "modernbert": {
        "hidden": ["model.embeddings.drop", "model.layers.{}.mlp.drop"],
        # The first is a number and no module; the second is the identity while it is 0.
        "attention": ["model.layers.{}.attn.attention_dropout", "model.layers.{}.attn.out_drop"],
        "classifier": ["drop"],
    },
    "mpnet": {
        "hidden": [
            "mpnet.embeddings.dropout",
            "mpnet.encoder.layer.{}.attention.dropout",  # after the output projection, whatever its name says
            "mpnet.encoder.layer.{}.output.dropout",
        ],
        "attention": ["mpnet.encoder.layer.{}.attention.attn.dropout"],
        "classifier": ["classifier.dropout"],
    },
    "albert": {  # its layers share one set of modules
        "hidden": [
            "albert.embeddings.dropout",
            "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.output_dropout",
            "albert.encoder.albert_layer_groups.0.albert_layers.0.dropout",
        ],
        "attention": ["albert.encoder.albert_layer_groups.0.albert_layers.0.attention.attention_dropout"],
        "classifier": ["dropout"],
    },
}
# DeBERTa as its checkpoints are: relative positions and a convolution bring dropouts of their own.
# ModernBERT's checkpoints have no dropout at all; here it has some, so that keeping it can be seen.
_CHANGES: dict[str, dict[str, Any]] = {
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "conv_kernel_size": 3},
    "modernbert": {
        "attention_dropout": 0.05,
        "embedding_dropout": 0.06,
        "mlp_dropout": 0.07,
        "classifier_dropout": 0.08,
    },
}
KINDS = ("hidden", "attention", "classifier")
DISTINCT = {"hidden": 0.31, "attention": 0.17, "classifier": 0.43}
BATCH = {"input_ids": torch.tensor([[2, 11, 12, 13, 14, 15, 16, 3], [2, 17, 18, 19, 20, 21, 22, 3]])}


def expected_sites(architecture: str) -> dict[str, str]:
    """Path -> kind."""
    return {
        path.format(layer): kind
        for kind, paths in SITES[architecture].items()
        for path in paths
        for layer in range(2 if "{}" in path else 1)
    }


def walk(model: nn.Module) -> dict[str, float]:
    """Path -> probability of everything that drops: modules by their class, numbers by their name."""
    found = {}
    for path, module in model.named_modules():
        if type(module).__name__.endswith("Dropout"):
            found[path] = module.p
        for name, value in vars(module).items():
            if isinstance(value, int | float) and "drop" in name:
                found[f"{path}.{name}"] = value
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("architectures")
    return {name: save_tiny_model(root / name, name, **_CHANGES.get(name, {})) for name in ARCHITECTURES}


def load(folder: Path, **settings: float) -> Any:
    """As a run loads it."""
    section = ModelSection(id=str(folder))
    config = load_config(section, "single_label", ["bad", "good"])
    technique = Dropout(**settings) if settings else None
    if technique:
        technique.configure_model(config)
    model = load_model(section, config, seed=0)
    if technique:
        technique.prepare_model(model)
    return model


def passes_differ(model: nn.Module) -> bool:
    """Whether two training passes over one batch give different logits."""
    model.train()
    torch.manual_seed(1)
    with torch.no_grad():
        first, second = (model(**BATCH).logits for _ in range(2))
    return not torch.equal(first, second)


def test_the_tables_cover_every_architecture_and_the_map_knows_them() -> None:
    assert set(SITES) == set(ARCHITECTURES)
    assert set(ARCHITECTURES) <= set(known_architectures())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_module_applies_exactly_what_was_asked_for(architecture: str, folders: dict[str, Path]) -> None:
    model = load(folders[architecture], **DISTINCT)
    expected = {path: DISTINCT.get(kind, 0.0) for path, kind in expected_sites(architecture).items()}
    assert walk(model) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_sites_that_are_shown_are_the_ones_that_exist(architecture: str, folders: dict[str, Path]) -> None:
    model = load(folders[architecture], **DISTINCT)
    shown = {site.path: (site.kind, site.probability) for site in dropout_sites(model)}
    kinds = expected_sites(architecture)
    assert shown == {
        path: ("pooler" if kinds[path] == "left alone" else kinds[path], probability)
        for path, probability in walk(model).items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_left_out_keeps_the_checkpoints_value(architecture: str, kind: str, folders: dict[str, Path]) -> None:
    """Raising `hidden` must not raise a head that takes its value from there."""
    before = walk(load(folders[architecture]))
    after = walk(load(folders[architecture], **{kind: DISTINCT[kind]}))
    kinds = expected_sites(architecture)
    assert after == {path: DISTINCT[kind] if kinds[path] == kind else before[path] for path in before}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_kind_drops_something_in_training(architecture: str, folders: dict[str, Path]) -> None:
    """With all at 0 training is deterministic, so what differs with one kind on is that kind at work."""
    assert not passes_differ(load(folders[architecture], hidden=0.0, attention=0.0, classifier=0.0))
    for kind in KINDS:
        model = load(folders[architecture], **{**dict.fromkeys(KINDS, 0.0), kind: 0.5})
        assert passes_differ(model), kind


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_evaluation_and_weights_stay_as_they_were(architecture: str, folders: dict[str, Path]) -> None:
    plain, changed = load(folders[architecture]).eval(), load(folders[architecture], **DISTINCT).eval()
    with torch.no_grad():
        torch.testing.assert_close(changed(**BATCH).logits, plain(**BATCH).logits, rtol=0, atol=0)
    for (name, value), (other, same) in zip(plain.named_parameters(), changed.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(value, same)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_check_before_training_builds_the_same_dropouts(architecture: str, folders: dict[str, Path]) -> None:
    """`prepare` looks at modules without weights; they must tell the same as the loaded model."""
    technique = Dropout(**DISTINCT)
    config = load_config(ModelSection(id=str(folders[architecture])), "single_label", ["bad", "good"])
    technique.configure_model(config)
    model = build_without_weights(config)
    technique.prepare_model(model)
    assert walk(model) == walk(load(folders[architecture], **DISTINCT))


def test_modernbert_attention_without_dropout_of_integer_zero_is_still_shown(tmp_path: Path) -> None:
    """A configuration may say 0 where it means 0.0."""
    folder = save_tiny_model(tmp_path / "model", "modernbert", attention_dropout=0)
    shown = [site.path for site in dropout_sites(load(folder))]
    assert "model.layers.0.attn.attention_dropout" in shown


def test_the_shipped_model_keeps_the_dropout_it_was_trained_with(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(training={"epochs": 1}, techniques={"dropout": DISTINCT})
    run = watch(recipe, tmp_path / "run")
    shipped = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    expected = {path: DISTINCT[kind] for path, kind in expected_sites("bert").items()}
    assert walk(shipped) == expected
    assert run.record.model.dropout == expected


# --- refusals ---------------------------------------------------------------------------------------------


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with refuses(ModelError, match=r"architecture 'xlnet' are not known.*albert.*bert.*techniques\.dropout=off"):
        Dropout(hidden=0.1).configure_model(AutoConfig.for_model("xlnet"))


def test_a_kind_that_an_architecture_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dropout_map._KEYS, "bert", {"hidden": ("hidden_dropout_prob",)})
    config = AutoConfig.for_model("bert")
    with refuses(ModelError, match=r"dropout\.attention: architecture 'bert' has no such.*it has hidden"):
        Dropout(hidden=0.2, attention=0.3).configure_model(config)
    assert config.hidden_dropout_prob == 0.1  # nothing was written before the refusal


def test_a_model_that_does_not_obey_is_refused_with_the_module_that_does_not(
    folders: dict[str, Path],
) -> None:
    model = load(folders["bert"], **DISTINCT)
    model.bert.encoder.layer[1].output.dropout.p = 0.05
    with refuses(ModelError, match=r"0\.31 was set, .* bert\.encoder\.layer\.1\.output\.dropout = 0\.05\."):
        Dropout(**DISTINCT).prepare_model(model)


def test_a_model_without_a_module_of_the_kind_is_refused(folders: dict[str, Path]) -> None:
    model = load(folders["bert"])
    model.dropout = nn.Identity()
    with refuses(ModelError, match=r"dropout\.classifier: 0\.43 was set, .* no such module"):
        Dropout(classifier=0.43).prepare_model(model)


def test_a_model_that_cannot_obey_is_refused_before_training(
    write_recipe: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map that points at a key which the architecture ignores: transformers would say nothing."""
    keys = {"attention": ("attention_dropout",)}
    monkeypatch.setitem(dropout_map._KEYS, "bert", {**dropout_map._KEYS["bert"], **keys})
    recipe = resolve(str(write_recipe(techniques={"dropout": {"attention": 0.4}}))).recipe
    with refuses(ModelError, match=r"techniques\.dropout\.attention: 0\.4 was set"):
        prepare(recipe)


def test_the_outcome_has_an_arrow_only_where_something_changed() -> None:
    seen = SimpleNamespace(dropout={"hidden": (0.1, 0.2), "attention": (0.1, 0.1)})
    found = Dropout(hidden=0.2, attention=0.1, classifier=0.3).outcome(cast(Outcome, seen))
    assert found == "hidden 0.1 → 0.2, attention 0.1 as before, classifier 0.3"


def test_dropout_that_sets_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="set at least one of hidden, attention, classifier"):
        Dropout()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_a_probability_outside_its_range_is_refused(kind: str, probability: float) -> None:
    with pytest.raises(ValidationError, match=kind):
        Dropout(**{kind: probability})


def test_zero_turns_every_dropout_off(write_recipe: Write, tmp_path: Path) -> None:
    """0 is a value: it does not mean "leave it"."""
    recipe = write_recipe(training={"epochs": 1}, techniques={"dropout": dict.fromkeys(KINDS, 0)})
    record = train(recipe, tmp_path / "run")
    assert set(record.model.dropout.values()) == {0.0}
