"""What a tune searches: the learning rate first, then what the techniques of a preset declare."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from finetune.data.loader import Loader
from finetune.errors import RecipeError
from finetune.experiments.search_space import search_space
from finetune.recipe import resolve
from finetune.recipe.library import preset_names
from finetune.records.tune import Dimension
from finetune.techniques import TECHNIQUES
from finetune.techniques.contract import contract_problems
from finetune.techniques.search import SearchRange
from finetune.training.prepare import fitted_recipe
from tests.conftest import labelled_texts, write_csv
from tests.raising import refusal

LOADER = Loader()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_csv(tmp_path_factory.mktemp("space") / "rows.csv", ["text", "label"], labelled_texts(400)))


def space(data: str, preset: Any, ranges: Any = None, **overrides: Any) -> list[Dimension]:
    recipe = resolve(preset=preset, data=data, overrides=overrides).recipe
    loaded = LOADER.load(recipe.data)
    return search_space(fitted_recipe(recipe, loaded).model_copy(update={"rules": {}}), loaded, ranges)


def test_the_learning_rate_comes_first_and_then_every_strength_that_is_set(data: str) -> None:
    found = space(data, "medium")
    assert [(each.key, each.is_rate) for each in found] == [
        ("training.learning_rate", True),
        ("techniques.weight_decay.total_shrink", False),
        ("techniques.dropout.classifier", False),
        ("techniques.label_smoothing.smoothing", False),
        ("techniques.llrd.decay", False),
        ("techniques.ema.horizon", False),
    ]
    rate = found[0]
    assert (rate.low, rate.default, rate.high) == pytest.approx((1e-5, 5e-5, 2.5e-4))
    assert all(each.low <= each.default <= each.high for each in found)


def test_without_techniques_the_learning_rate_alone_is_searched(data: str) -> None:
    assert [each.key for each in space(data, "none")] == ["training.learning_rate"]


def test_where_a_technique_sets_the_rate_of_all_that_trains_its_own_is_searched(data: str) -> None:
    found = space(data, "peft")
    assert [each.key for each in found if each.is_rate] == ["techniques.lora.learning_rate"]
    assert "training.learning_rate" not in [each.key for each in found]
    told = refusal(RecipeError, space, data, "peft", ["training.learning_rate=1e-5,1e-4"])
    assert "cannot act: the learning rate is set by lora. Search techniques.lora.learning_rate instead." in told


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_has_something_to_tune(data: str, preset: str) -> None:
    assert space(data, preset if preset != "auto" else "none")[0].is_rate


def test_a_range_is_widened_to_hold_what_is_set(data: str) -> None:
    found = {each.key: each for each in space(data, {"mine": {"l1": {"strength": 40.0}}})}["techniques.l1.strength"]
    assert (found.low, found.high, found.default) == (0.05, 40.0, 40.0)


def test_asked_ranges_are_searched_alone(data: str) -> None:
    found = space(data, "medium", ["techniques.llrd.decay=0.7,1", "training.learning_rate"])
    assert [(each.key, each.low, each.high, each.is_log) for each in found] == [
        ("training.learning_rate", pytest.approx(1e-5), pytest.approx(2.5e-4), True),
        ("techniques.llrd.decay", 0.7, 1.0, False),
    ]
    same = space(data, "medium", {"techniques.llrd.decay": (0.7, 1)})
    assert same == [found[1]]


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        (["techniques.l1.strength=1,2"], "is not a number of this recipe and preset that can be searched."),
        (["techniques.dropout.classifier=0.1,1.5"], "the end 1.5 is out of bounds: input should be less than 1"),
        (["techniques.llrd.decay=-1,0.9"], "the end -1 is out of bounds: input should be greater than 0"),
        (["techniques.weight_decay.total_shrink=-0.1,0.5"], "the end -0.1 is out of bounds"),
        (["training.learning_rate=-1e-5,1e-4"], "the end -1e-05 is out of bounds"),
        (["training.learning_rates=1,2"], "Did you mean training.learning_rate?"),
        (["training.warmup"], "has no declared range. Give one."),
        (["training.learning_rate=1e-4"], "expected LOW,HIGH."),
        (["training.learning_rate=low,high"], "expected LOW,HIGH."),
        (["training.learning_rate=1e-4,1e-5"], "0.0001 to 1e-05 is not a range"),
        (["techniques.llrd.decay=0.8,0.9", "techniques.llrd.decay=0.8,0.9"], "gives a key twice."),
    ],
)
def test_what_cannot_be_searched_is_refused(data: str, ranges: list[str], told: str) -> None:
    assert told in refusal(RecipeError, space, data, "medium", ranges)


def test_a_preset_without_anything_to_tune_is_refused(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TECHNIQUES["train_only"], "search", {})
    told = refusal(RecipeError, space, data, {"mine": {"train_only": {}}})
    assert "has nothing to tune: the learning rate is set by train_only" in told


@pytest.mark.parametrize("name", [name for name, technique in TECHNIQUES.items() if technique.search])
def test_a_technique_takes_every_value_of_the_ranges_that_it_declares(name: str) -> None:
    technique = TECHNIQUES[name]
    for key, found in technique.search.items():
        others = {field: None for field in ("strength", "total_shrink", "total_pull") if field in technique.search}
        others = others if key in others else {}
        for value in (found.low, found.high):
            try:
                assert getattr(technique.model_validate({**others, key: float(value)}), key) == value
            except ValidationError as error:
                pytest.fail(f"{name}.{key} = {value}: {error}")


def test_a_declared_range_that_is_none_breaks_the_contract() -> None:
    class Wrong(TECHNIQUES["l1"]):  # type: ignore[misc, name-defined]
        """Is declared wrongly."""

        search = {"strenght": SearchRange(0.1, 1), "strength": SearchRange(0, 1)}  # noqa: RUF012

    found = contract_problems(Wrong)
    assert "Wrong.search: 'strenght' is not a setting. Did you mean strength?" in found
    assert "Wrong.search: strength: 0 to 1 is logarithmic, so it must begin above 0." in found
