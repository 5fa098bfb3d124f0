"""The points of a sweep: what each value sets, and what stands for the absence of a technique."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.errors import RecipeError
from finetune.experiments.asked import ask
from finetune.experiments.grid import grid_variants, point_name, read_vary
from finetune.experiments.options import Options

Write = Callable[..., Path]


def techniques(recipe: Path, vary: dict[str, list[Any]], preset: str = "none", *overrides: str) -> list[dict[str, Any]]:
    variants = grid_variants(read_vary(vary), preset, Options(recipe=str(recipe), overrides=overrides))
    return [variant.recipe.to_dict()["techniques"] for variant in variants]


def test_0_is_without_the_technique_only_where_the_technique_refuses_it(write_recipe: Write) -> None:
    recipe = write_recipe()
    assert techniques(recipe, {"techniques.l1.strength": [2, 0]})[0] == {}
    assert techniques(recipe, {"techniques.dropout.hidden": [0.5, 0]})[0]["dropout"]["hidden"] == 0
    assert techniques(recipe, {"techniques.freeze.embeddings": [True, False]})[1]["freeze"]["embeddings"] is False
    assert techniques(recipe, {"techniques.dropout.hidden": [0.5, "off"]})[0] == {}


def test_points_start_from_a_preset_and_shared_settings(write_recipe: Write) -> None:
    off, on = techniques(
        write_recipe(), {"techniques.label_smoothing.smoothing": [0, 0.3]}, "strong", "techniques.dropout.hidden=0.25"
    )
    assert "label_smoothing" not in off
    assert on["label_smoothing"]["smoothing"] == 0.3
    assert off["dropout"]["hidden"] == on["dropout"]["hidden"] == 0.25
    assert len(off) > 2


@pytest.mark.parametrize(
    ("text", "values"),
    [("a.b=1e-5,2e-6", [2e-6, 1e-5]), ("a.b=none,balanced", ["none", "balanced"]), ("a.b=3,off,1", ["off", 1, 3])],
)
def test_values_are_read_as_yaml_and_numbers_ascend(text: str, values: list[Any]) -> None:
    assert read_vary([text]) == {"a.b": values}


def test_a_point_is_called_by_its_values() -> None:
    assert point_name({"techniques.l1.strength": 0.10, "training.epochs": 5}) == "l1.strength=0.1, epochs=5"
    assert point_name({"model.id": "package:a/b"}) == "id=package:a-b"


def test_0_is_without_a_technique_that_the_data_may_choose(write_recipe: Write) -> None:
    vary = {"techniques.head_start.scale": [0, 0.5]}
    without, _ = grid_variants(read_vary(vary), "auto", Options(recipe=str(write_recipe()), overrides=()))
    assert without.recipe.choices is not None
    assert without.recipe.choices.overrides == {"techniques.head_start": "off"}


def test_one_text_is_one_key() -> None:
    assert read_vary("techniques.l1.strength=1,0") == {"techniques.l1.strength": [0, 1]}
    assert read_vary(["training.epochs=2,1", {"model.pooling": ["cls", "mean"]}]) == {
        "training.epochs": [1, 2],
        "model.pooling": ["cls", "mean"],
    }


@pytest.mark.parametrize("vary", [[5], {1: [1, 2]}, "training.epochs"])
def test_what_names_no_key_is_refused(vary: Any) -> None:
    with pytest.raises(RecipeError, match="expected KEY=VALUE,VALUE"):
        read_vary(vary)


@pytest.mark.parametrize("settings", [None, 5, {1: 2}, [{"training.epochs": 2}, 3]])
def test_a_variant_of_anything_but_settings_is_refused(settings: Any) -> None:
    with pytest.raises(RecipeError, match="expected its settings, found"):
        ask(["none"], {"mine": settings}, {})


def test_texts_and_mappings_of_a_variant_may_stand_together() -> None:
    mine = ask(["none"], {"mine": ["strong:training.epochs=2", {"techniques.l1.strength": 1}]}, {})[1]
    assert (mine.preset, mine.keys) == ("strong", ("training.epochs", "techniques.l1.strength"))
