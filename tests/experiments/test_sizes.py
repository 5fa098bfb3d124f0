"""Sizes of a curve, and how long each is trained."""

from __future__ import annotations

from typing import Any

import pytest

from finetune.cli.experiment_options import parse_sizes
from finetune.data.rows import Data, Rows
from finetune.errors import RecipeError
from finetune.experiments.sizes import (
    MIN_STEPS,
    MOST_LONGER,
    choose_sizes,
    sized_variants,
    with_enough_steps,
)
from finetune.experiments.variants import Variant
from finetune.recipe import Recipe
from finetune.techniques.early_stopping import EarlyStopping
from finetune.techniques.head_first import HeadFirst
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


def variants(sizes: list[int], epochs: int = 10, **techniques: Any) -> list[Variant]:
    recipe = Recipe.model_validate(
        {"name": "r", "model": {"id": "m"}, "data": {"source": "d.csv"}, "training": {"epochs": epochs}},
    ).model_copy(update={"techniques": techniques})
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


def test_small_sizes_are_trained_for_the_fewest_steps_and_not_more_than_ten_times_the_epochs() -> None:
    made, notes = with_enough_steps(variants([10, 100, 1000]))
    # 10 rows are one step of 16 an epoch, capped; 100 rows are seven: 29 epochs are 203 steps; 1000 rows have 630.
    assert [variant.recipe.training.epochs for variant in made[::2]] == [10 * MOST_LONGER, 29, 10]
    assert MIN_STEPS == 200
    assert notes == [
        "10 rows: 100 epochs instead of 10, 100 steps instead of 10: a curve trains each size for 200 steps at least, "
        "as 10 times the epochs is the most",
        "100 rows: 29 epochs instead of 10, 203 steps instead of 70: a curve trains each size for 200 steps at least",
    ]


def test_what_counts_epochs_is_stretched_with_them() -> None:
    made, _ = with_enough_steps(
        variants([100], early_stopping=EarlyStopping(patience=3, min_epochs=4), head_first=HeadFirst(epochs_alone=2))
    )
    stopping, head = made[0].recipe.techniques["early_stopping"], made[0].recipe.techniques["head_first"]
    assert isinstance(stopping, EarlyStopping)
    assert isinstance(head, HeadFirst)
    assert (stopping.patience, stopping.min_epochs, head.epochs_alone) == (9, 12, 6)  # × 2.9


@pytest.mark.parametrize("epochs", [2, 3, 7])
def test_stretched_early_stopping_can_still_stop(epochs: int) -> None:
    made, _ = with_enough_steps(variants([30], epochs, early_stopping=EarlyStopping(patience=epochs - 1)))
    stopping = made[0].recipe.techniques["early_stopping"]
    assert isinstance(stopping, EarlyStopping)
    assert stopping.patience < made[0].recipe.training.epochs
