"""What is taken from numbers that somebody tells, and from the record of a run."""

from __future__ import annotations

import itertools
import shlex
from typing import Any

import pytest

from finetune.diagnosis.observations import Numbers, Observed
from finetune.diagnosis.typed_data import has_own_test, typed_data
from finetune.recipe import Recipe, load_recipe
from tests.analysis.making import Run, record_of


@pytest.mark.parametrize(("rows", "classes", "per_class"), [(40, 4, 10), (40, None, 20), (None, 2, None)])
def test_rows_of_a_class_are_at_most_half_where_classes_are_not_known(
    rows: int | None, classes: int | None, per_class: float | None
) -> None:
    assert Observed(source="numbers", train_rows=rows, classes=classes).per_class == per_class


@pytest.mark.parametrize(("majority", "classes"), [(0.33, 3), (0.333, 3), (0.14, 7), (0.17, 6)])
def test_a_majority_that_was_rounded_is_taken(majority: float, classes: int) -> None:
    assert Numbers(0.98, 0.75, 1000, 200, classes, majority).observed().chance == majority


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        ({"recipe": "tweets"}, "tweets"),
        ({"recipe": "tweets", "overrides": {"data.train_size": 150}}, "tweets --set data.train_size=150"),
        ({"recipe": "tweets", "data": "mine.csv"}, "--data mine.csv"),
        (
            {"data": "my data/reviews.csv", "model": "me/bert", "overrides": {"data.text": "The text"}},
            "--data 'my data/reviews.csv' --model me/bert --set 'data.text=The text'",
        ),
        (
            {"recipe": "tweets", "overrides": {"model.pooling": "cls", "data.subset": 100}},
            "tweets --set model.pooling=cls --set data.subset=100",
        ),
        ({"data": "memory:0a1b2c3d4e5f"}, "--data DATA"),
    ],
)
def test_commands_for_a_run_name_its_rows_and_encoder(arguments: dict[str, Any], typed: str) -> None:
    """Other settings are those of the preset and the budget, which the commands change."""
    recipe = load_recipe(**arguments)
    content = recipe.model_dump(mode="json")
    record = record_of(Run(name=recipe.name, recipe={"data": content["data"], "model": content["model"]}))
    assert typed_data(record) == typed
    again = shlex.split(typed)
    assert "DATA" in again or resolve_words(again).data == recipe.data


@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        ({"recipe": "tweets"}, False),  # draws it
        ({"data": "moved.csv"}, False),
        ({"data": "reviews.csv", "overrides": {"data.test": "test.csv"}}, True),
        ({"data": "reviews.csv", "overrides": {"data.split_column": "part"}}, True),
        ({"data": "hub:me/reviews"}, True),
        ({"data": "."}, True),
    ],
)
def test_a_test_split_of_its_own_is_recognised_by_the_recipe(arguments: dict[str, Any], own: bool) -> None:
    content = load_recipe(**arguments).model_dump(mode="json")
    record = record_of(Run(recipe={"data": content["data"]}))
    assert has_own_test(record) is own


def test_a_trainer_of_the_users_own_has_no_name_to_type() -> None:
    record = record_of(Run(name="own-trainer", recipe={"data": {"source": "datasets 0a1b2c3d4e5f"}}))
    assert typed_data(record) == "--data DATA"


def resolve_words(words: list[str]) -> Recipe:
    """The recipe of `tweets --data mine.csv --set data.train_size=150`."""
    pairs = list(itertools.pairwise(words))
    return load_recipe(
        words[0] if not words[0].startswith("-") else None,
        data=next((value for option, value in pairs if option == "--data"), None),
        overrides=[value for option, value in pairs if option == "--set"],
    )
