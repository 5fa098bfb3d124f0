"""What every technique of the registry must keep, whatever it does. A new one is covered by being registered.

A technique that its defaults do not make runnable says what to test it with in `SETTINGS`.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from finetune.data.load import load_data
from finetune.errors import RecipeError
from finetune.models.layers import constant_names
from finetune.models.load import load_config, load_model
from finetune.recipe import ModelSection, TrainingSection, resolve
from finetune.recipe.yaml_file import parse_yaml
from finetune.records.schema import RunRecord
from finetune.tasks import Task
from finetune.techniques import (
    TECHNIQUES,
    Budget,
    KeptWeights,
    ModelChanges,
    SelectionRule,
    Technique,
    conflicts,
    hook_of,
)
from finetune.techniques.conflicts import owned
from finetune.techniques.contract import FAMILIES
from tests.conftest import add_unlabelled, labelled_texts, write_csv
from tests.interrupting import interrupted_and_resumed
from tests.raising import refuses, typed
from tests.running import assert_same_weights, train, weights
from tests.techniques.models import loaded
from tests.techniques.settings import make, make_helpers, settings_of

Write = Callable[..., Path]
Trained = Callable[..., tuple[Path, RunRecord]]

# Techniques for which one pass over a batch and two over its halves are not the same thing.
DEPENDS_ON_PASSES = {
    "dropout": "it draws new masks for each forward pass, so that passes are what it acts on",
    "layer_drop": "it draws new layers for each forward pass",
    "mixout": "it draws new weights to put back for each forward pass",
    "neftune": "it draws new noise for each forward pass",
    "hidden_noise": "it draws new noise for each forward pass",
    "multi_sample_dropout": "it draws new masks for each forward pass, and refuses a head without dropout",
    "r_drop": "it draws new masks for each forward pass, and refuses a model without dropout",
    "mixup": "it mixes the rows of a pass with each other",
}
STARTS_ELSEWHERE = {
    "reinit": "starting elsewhere is what it does",
    "lora": "it adds adapters under keys of their own, which answer 0 at first (its own tests)",
}
ACTS_ON_OUTPUTS = {"confidence_penalty"}  # a penalty that has no weights of its own to count
CARD = ("Range:", "Cost:", "Raises:", "Relations:", "Evidence:", "Source:")  # what a method card must say, in order
NUMBER_BOUNDS = {"minimum", "exclusiveMinimum"}

every_technique = pytest.mark.parametrize("name", TECHNIQUES)


@pytest.fixture(scope="module", autouse=True)
def helpers() -> None:
    make_helpers()


def explanation(name: str) -> str:
    return " ".join((TECHNIQUES[name].__doc__ or "").split())


# --- what it says of itself ---------------------------------------------------------------------------------


@every_technique
def test_it_has_a_file_and_a_test_file_of_its_name(name: str) -> None:
    assert TECHNIQUES[name].__module__ == f"finetune.techniques.{name}"
    assert Path(__file__).with_name(f"test_{name}.py").is_file()


@every_technique
def test_it_names_family_source_and_cost(name: str) -> None:
    technique = TECHNIQUES[name]
    assert technique.family
    assert re.search(r"\b(19|20)\d\d\b", technique.source), "a source has a year"
    assert technique.cost > 0
    assert technique.family in FAMILIES
    assert all(thing and thing.strip() == thing for thing in technique.owns)


@every_technique
def test_its_docstring_starts_with_a_sentence_and_cites_its_source(name: str) -> None:
    first = (TECHNIQUES[name].__doc__ or "").split("\n", 1)[0]
    places = [explanation(name).find(marker) for marker in CARD]
    assert -1 not in places, f"lacks {CARD[places.index(-1)]}"
    assert places == sorted(places), "not in the order of the template"
    assert first[:1].isupper()
    assert first.endswith((".", ","))
    cited = explanation(name).partition("Source: ")[2]
    assert cited
    assert "Departs from" in cited
    who_and_when = TECHNIQUES[name].source.split(",", 1)[0]
    assert cited.startswith(who_and_when)


@every_technique
def test_every_setting_has_a_description_and_every_number_a_lower_bound(name: str) -> None:
    properties = TECHNIQUES[name].model_json_schema()["properties"]
    assert properties
    for key, field in TECHNIQUES[name].model_fields.items():
        assert field.description, key
        assert field.description.endswith("."), key
        alternatives = properties[key].get("anyOf", [properties[key]])
        for alternative in alternatives:
            if alternative.get("type") in ("number", "integer"):
                assert NUMBER_BOUNDS & set(alternative), key


def test_the_registry_is_read_without_torch() -> None:
    """`finetune ls` and `validate` answer at once."""
    program = "import sys, finetune.techniques as t; print(len(t.TECHNIQUES), 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(len(TECHNIQUES)), "False"]


# --- its settings -------------------------------------------------------------------------------------------


@every_technique
def test_settings_survive_yaml(name: str) -> None:
    technique = make(name)
    read = parse_yaml(json.dumps({name: technique.model_dump()}), "test")
    assert TECHNIQUES[name].model_validate(read[name]) == technique


@every_technique
def test_settings_written_into_a_recipe_are_the_ones_that_run(name: str, write_recipe: Write) -> None:
    """A resolved recipe, written down as YAML and read again, holds the same technique."""
    built = resolve(str(write_recipe(techniques={name: settings_of(name)}))).recipe
    assert built.techniques == {name: make(name)}
    path = write_recipe(name="again")
    sections = {key: value for key, value in built.to_dict().items() if key not in ("name", "preset")}
    path.write_text(json.dumps(sections), encoding="utf-8")
    assert resolve(str(path)).recipe.techniques == built.techniques


@every_technique
def test_an_unknown_key_is_refused_by_name(name: str, write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={name: settings_of(name)}))
    with refuses(RecipeError, rf"techniques\.{name}\.nonsense: unknown key"):
        resolve(recipe, overrides=[f"techniques.{name}.nonsense=1"])
    with pytest.raises(ValidationError, match="nonsense"):
        TECHNIQUES[name](**settings_of(name), nonsense=1)


@every_technique
def test_a_value_of_the_wrong_kind_is_refused_and_never_converted(name: str) -> None:
    for key in TECHNIQUES[name].model_fields:
        for wrong in ({"a": 1}, object()):
            with pytest.raises(ValidationError, match=key):
                TECHNIQUES[name](**{**settings_of(name), key: wrong})
        if TECHNIQUES[name].model_json_schema()["properties"][key].get("type") in ("number", "integer"):
            with pytest.raises(ValidationError, match=key):
                TECHNIQUES[name](**{**settings_of(name), key: "0.5"})


@every_technique
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_may_be_undefined_or_infinite(name: str, value: float) -> None:
    for key, schema in TECHNIQUES[name].model_json_schema()["properties"].items():
        kinds = {alternative.get("type") for alternative in schema.get("anyOf", [schema])}
        if kinds & {"number", "integer"}:
            others = {other: setting for other, setting in settings_of(name).items() if other != key}
            with pytest.raises(ValidationError, match=key):
                TECHNIQUES[name](**others, **{key: value})


@every_technique
def test_off_takes_it_out(name: str, write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={name: settings_of(name)}))
    assert resolve(recipe, overrides=[f"techniques.{name}=off"]).recipe.techniques == {}


@every_technique
def test_it_is_frozen(name: str) -> None:
    technique = make(name)
    for key in TECHNIQUES[name].model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(technique, key, getattr(technique, key))


@every_technique
def test_a_problem_blames_a_key_of_its_own_and_is_a_sentence(name: str) -> None:
    own = {"", *(f".{key}" for key in TECHNIQUES[name].model_fields)}
    changed = own | {f"training.{key}" for key in TrainingSection.model_fields}
    for task, epochs, rate, steps in itertools.product(
        (None, *get_args(Task)), (1, 2, 50), (5e-5, 0.99), (None, 1, 100)
    ):
        budget = Budget(task, epochs, rate, steps, 0.1)
        for problem in make(name).problems(budget) + make(name).warnings(budget):
            assert problem.key in own
            assert {key for change in problem.changes for key in change.settings} <= changed
            assert problem.why.endswith(".")


# --- pairs --------------------------------------------------------------------------------------------------


@every_technique
def test_a_pair_is_accepted_unless_both_own_one_thing(name: str, write_recipe: Write) -> None:
    """With each technique that comes after it in the registry."""
    names = list(TECHNIQUES)
    for other in names[names.index(name) + 1 :]:
        is_accepted_or_refused(name, other, write_recipe)


def is_accepted_or_refused(first: str, second: str, write_recipe: Write) -> None:
    both = {first: settings_of(first), second: settings_of(second)}
    recipe = str(write_recipe(techniques=both))
    shared = owned(make(first)) & owned(make(second))
    reason = TECHNIQUES[first].excludes.get(second) or TECHNIQUES[second].excludes.get(first)
    if not shared and not reason:
        assert list(resolve(recipe).recipe.techniques) == [first, second]
        return
    with pytest.raises(RecipeError) as caught:
        resolve(recipe)
    problem = typed(caught.value)
    expected = (
        f"conflicts with {first}: both control {min(shared)}" if shared else f"cannot be used with {first}: {reason}"
    )
    assert problem.startswith(f"tiny.yaml: techniques.{second}: {expected}")
    advised = problem.partition("--set ")[2].split()[0]
    assert list(resolve(recipe, overrides=[advised]).recipe.techniques) == [second]


def test_l1_and_elastic_net_fight_over_the_proximal_step(write_recipe: Write) -> None:
    """The pair that is known to: without it the test above might never meet a conflict."""
    with pytest.raises(RecipeError, match="elastic_net: conflicts with l1: both control the proximal step"):
        resolve(str(write_recipe(techniques={"l1": {}, "elastic_net": {}})))


def test_everything_that_may_be_on_together_is_accepted_together(write_recipe: Write) -> None:
    """Of techniques that own the same thing, the first of the registry."""
    names: list[str] = []
    for name in TECHNIQUES:
        if not conflicts({other: make(other) for other in [*names, name]}):
            names.append(name)
    assert len(names) >= 8
    recipe = write_recipe(techniques={name: settings_of(name) for name in names})
    assert list(resolve(str(recipe)).recipe.techniques) == names


# --- before training ----------------------------------------------------------------------------------------


@every_technique
def test_the_clean_model_is_untouched_when_training_starts(name: str, tiny_model: Path) -> None:
    """Same weights, same head, and in eval mode the same logits bit for bit."""
    if name in STARTS_ELSEWHERE:
        pytest.skip(STARTS_ELSEWHERE[name])
    section = ModelSection(id=str(tiny_model))
    batch = {
        "input_ids": torch.tensor([[2, 11, 12, 13, 3], [2, 17, 18, 3, 0]]),
        "attention_mask": torch.ones(2, 5),
    }
    batch["attention_mask"][1, 4] = 0

    def build(technique: Technique | None) -> Any:
        config = load_config(section, "single_label", ["bad", "good"])
        if technique:
            hook_of(technique, ModelChanges.configure_model)(config)
        model = load_model(section, config, seed=0)
        if technique:
            hook_of(technique, ModelChanges.prepare_model)(model)
        return model.eval()

    plain, ours = build(None), build(make(name))
    with torch.no_grad():
        torch.testing.assert_close(ours(**batch).logits, plain(**batch).logits, rtol=0, atol=0)
    for (key, value), (other, same) in zip(plain.state_dict().items(), ours.state_dict().items(), strict=True):
        assert key == other
        assert torch.equal(value, same)


# --- real runs ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pooled_model: Path, still_model: Path) -> Trained:
    """Runs of two epochs over 35 rows, each done once: `trained(name)` -> run folder and record. The recipe lies beside
    the folder: `recipe_beside`.

    Batches of 13 leave a last step of 9, and halves of unequal size. Unless it is `still`, the model pools.
    """
    root = tmp_path_factory.mktemp("contract")
    source = write_csv(root / "reviews.csv", ["text", "label"], labelled_texts(80))
    sizes = {"train_size": 35, "validation_size": 16, "test_size": 16}

    @cache
    def run(name: str | None, still: bool = False, accumulation: int = 1) -> tuple[Path, RunRecord]:
        folder = root / f"{name}-{'still' if still else 'dropout'}-{accumulation}"
        recipe = {
            "model": {"id": str(still_model if still else pooled_model)},
            "data": {"source": str(source), "max_length": 32, **sizes},
            "training": {
                "epochs": 2,
                "batch_size": 13,
                "learning_rate": 0.005,
                "precision": "fp32",
                "accumulation": accumulation,
            },
            "techniques": {} if name is None else {name: settings_of(name)},
        }
        add_unlabelled(recipe, root)
        recipe_beside(folder).write_text(json.dumps(recipe), encoding="utf-8")
        return folder, train(recipe_beside(folder), folder)

    return run


def recipe_beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.yaml")


@every_technique
def test_it_acts(name: str, trained: Trained) -> None:
    """A technique that changes nothing would be taken for one that does not help."""
    (plain, _), (ours, record) = trained(None), trained(name)
    assert list(record.techniques) == [name]
    rule = hook_of(make(name), KeptWeights.selection_rule)()
    if rule is not None:  # it changes what ships, not how it is trained: see its own tests
        assert isinstance(rule, SelectionRule)
        return
    one, two = weights(plain), weights(ours)
    assert one.keys() == two.keys()
    assert any(not torch.equal(one[key], two[key]) for key in one)
    assert all(bool(torch.isfinite(value).all()) for value in two.values())


@every_technique
def test_it_says_what_it_did(name: str, trained: Trained) -> None:
    """In a few words with a number. What acts on weights by itself must; elsewhere there may be nothing to measure."""
    technique = TECHNIQUES[name]
    says = technique.outcome is not Technique.outcome
    assert says or technique.family not in ("penalty", "constraint") or name in ACTS_ON_OUTPUTS
    if says:
        said = trained(name)[1].techniques[name].outcome
        assert said is not None
        assert re.fullmatch(r"[^\n]{10,160}[^.\n]", said)
        assert re.search(r"\d", said)


@every_technique
def test_constants_of_the_layer_that_pools_stay_as_they_are(name: str, trained: Trained, pooled_model: Path) -> None:
    """No penalty, average, perturbation or change of the model reaches them."""
    start = loaded(pooled_model)
    constants, after = constant_names(start), weights(trained(name)[0])
    assert len(constants) == 16
    assert all(torch.equal(after[constant], start.get_parameter(constant)) for constant in constants)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skip(reason=DEPENDS_ON_PASSES[name]) if name in DEPENDS_ON_PASSES else ())
        for name in TECHNIQUES
    ],
)
def test_accumulation_changes_nothing(name: str, trained: Trained) -> None:
    """Two passes over 7 and 6 rows take the step of one over 13."""
    (one, whole), (two, halves) = trained(name, still=True), trained(name, still=True, accumulation=2)
    assert [evaluation.step for evaluation in whole.history] == [evaluation.step for evaluation in halves.history]
    assert_same_weights(one, two, tolerance=1e-5)


@every_technique
def test_a_run_leaves_the_settings_as_they_were(name: str, trained: Trained) -> None:
    _, record = trained(name)
    assert record.status == "finished"
    assert record.techniques[name].settings == make(name).model_dump()
    assert record.recipe["techniques"] == {name: make(name).model_dump()}
    assert record.techniques[name].cost == record.budget.cost > 0


@every_technique
def test_a_killed_run_resumes_bit_for_bit(name: str, trained: Trained, tmp_path: Path) -> None:
    """So the same seed gives the same weights: two trainings are compared."""
    folder, before = trained(name)
    resumed = interrupted_and_resumed(recipe_beside(folder), tmp_path / "cut", 5)  # in the middle of the second epoch
    assert resumed.time.resumed == 1
    assert resumed.history == before.history
    assert (resumed.selected, resumed.last, resumed.weights) == (before.selected, before.last, before.weights)
    assert_same_weights(tmp_path / "cut", folder)


@every_technique
def test_what_was_measured_is_what_ships_and_plain_transformers_loads_it(name: str, trained: Trained) -> None:
    """On clean texts, in eval mode: training-only effects leave no trace in evaluation or in the saved model."""
    folder, _ = trained(name)
    data = load_data(resolve(str(recipe_beside(folder))).recipe.data)
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    predicted = np.load(folder / "predictions.npz")
    for split, rows in data.measured_splits().items():
        with torch.no_grad():
            inputs = tokenizer(rows.texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
            logits = model(**inputs).logits.numpy()
        np.testing.assert_allclose(logits, predicted[f"selected_{split}_logits"], atol=2e-5)
