"""Sizes of a curve, and how long each is trained."""

from __future__ import annotations

from typing import Any

import pytest

from finetune.cli.experiment_options import parse_sizes
from finetune.data.rows import Data, Rows
from finetune.errors import RecipeError
from finetune.experiments.sizes import (
    MIN_STEPS,
    choose_sizes,
    sized_variants,
)
from finetune.experiments.variants import Variant
from finetune.recipe import Recipe
from tests.raising import refuses


def data_of(rows: int, classes: int = 2) -> Data:
    names = [str(index % classes) for index in range(rows)]
    train = Rows(["text"] * rows, None, names, [str(index + 1) for index in range(rows)])
    labels = [str(index) for index in range(classes)] or None
    return Data("single_label" if classes else "regression", labels, train, [0], train, None, {}, "f")


@pytest.mark.parametrize(
    ("rows", "classes", "sizes"),
    [
        (1000, 3, [100, 200, 500, 1000]),
        (640, 2, [50, 100, 200, 500, 640]),
        (10_000, 77, [1000, 2000, 5000, 10_000]),
        (500, 77, [200, 500]),  # two rows a class
        (64, 2, [5, 10, 20, 50, 64]),
        (8, 2, [5, 8]),
        (3, 2, [3]),
    ],
)
def test_the_default_sizes_go_in_steps_from_a_tenth_to_all(rows: int, classes: int, sizes: list[int]) -> None:
    assert choose_sizes(None, data_of(rows, classes)) == sizes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected numbers of training rows"),
        ("a,b", "expected numbers of training rows"),
        ("0.5,1", "expected numbers of training rows"),
        ("-3,5", "expected numbers of training rows"),
        ("300,100", "--sizes 300,100: expected ascending numbers of training rows, each once. Try: --sizes 100,300"),
        ("100,100", "Try: --sizes 100"),
    ],
)
def test_what_is_no_list_of_sizes_is_refused(text: str, message: str) -> None:
    with refuses(RecipeError, message):
        choose_sizes(parse_sizes(text), data_of(640))


def test_sizes_are_read() -> None:
    assert parse_sizes(" 100, 300,1000 ") == [100, 300, 1000]


def test_a_size_above_the_rows_names_how_many_there_are() -> None:
    with refuses(RecipeError, r"there are 640 training rows\. Try: --sizes 100,300,640"):
        choose_sizes([100, 300, 1000], data_of(640))


def test_a_size_below_two_rows_a_class_is_refused() -> None:
    with refuses(RecipeError, "a size is at least 6 rows, two for each of 3 classes"):
        choose_sizes([5, 100], data_of(640, 3))


def variants(sizes: list[int], **training: Any) -> list[Variant]:
    recipe = Recipe.model_validate(
        {"name": "r", "model": {"id": "m"}, "data": {"source": "d.csv"}, "training": training},
    )
    return sized_variants([Variant("none", None, recipe), Variant("strong", "none", recipe)], sizes, "accuracy")


def test_every_preset_is_compared_at_its_own_size() -> None:
    made = variants([100, 300])
    assert [variant.name for variant in made] == [
        "none, 100 rows",
        "strong, 100 rows",
        "none, 300 rows",
        "strong, 300 rows",
    ]
    assert [variant.baseline for variant in made] == [None, "none, 100 rows", None, "none, 300 rows"]
    assert [variant.recipe.data.subset for variant in made] == [100, 100, 300, 300]
    assert {variant.recipe.training.score for variant in made} == {"accuracy"}  # not chosen anew at each size


def test_every_size_is_trained_for_the_fewest_steps_that_a_curve_wants_or_the_recipe() -> None:
    assert [variant.recipe.training.min_steps for variant in variants([10, 100])] == [MIN_STEPS] * 4
    assert [variant.recipe.training.min_steps for variant in variants([10], min_steps=700)] == [700] * 2
