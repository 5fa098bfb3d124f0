"""Rows along a learning curve: the smaller subset lies in the larger, classes are in proportion, none is missing."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from finetune.data.load import load_data
from finetune.data.subset import nested_order
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv
from tests.raising import refuses, typed

SIZES = some.lists(some.integers(1, 40), min_size=2, max_size=8)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(SIZES, some.integers(0, 2**32 - 1))
def test_classes_come_once_and_then_in_proportion(sizes: list[int], seed: int) -> None:
    labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
    order = nested_order(labels, "single_label", seed, len(labels))
    assert sorted(order) == list(range(len(labels)))
    assert len({labels[row] for row in order[: len(sizes)]}) == len(sizes)
    counts: Counter[str] = Counter()
    for taken, row in enumerate(order, start=1):
        counts[labels[row]] += 1
        if taken * min(sizes) >= len(labels):  # from here on the rarest class is due its row
            for number, size in enumerate(sizes):
                assert abs(counts[f"class {number}"] - taken * size / len(labels)) <= 1


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(SIZES, some.data())
def test_smaller_subsets_lie_in_larger_ones(sizes: list[int], data: Any) -> None:
    labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
    larger = data.draw(some.integers(len(sizes), len(labels)))
    smaller = data.draw(some.integers(len(sizes), larger))
    assert nested_order(labels, "single_label", 3, larger)[:smaller] == nested_order(labels, "single_label", 3, smaller)


def test_a_subset_seed_makes_the_order() -> None:
    labels = list("ab" * 50)
    assert nested_order(labels, "single_label", 0, 20) == nested_order(labels, "single_label", 0, 20)
    assert nested_order(labels, "single_label", 0, 20) != nested_order(labels, "single_label", 1, 20)


def test_numbers_come_from_their_whole_range() -> None:
    values = [float((37 * row) % 200) for row in range(200)]
    chosen = nested_order(values, "regression", 0, 20)
    assert Counter(int(values[row]) // 20 for row in chosen) == dict.fromkeys(range(10), 2)


def test_label_sets_come_with_every_label_first() -> None:
    """c stands only beside a and b: one row has all three."""
    labels = [["a"], ["b"], ["a", "b"], []] * 20 + [["a", "b", "c"]]
    assert nested_order(labels, "multi_label", 0, 1) == [80]
    counts = Counter(name for row in nested_order(labels, "multi_label", 0, 41) for name in labels[row])
    assert 18 <= counts["a"] <= 23
    assert 18 <= counts["b"] <= 23


def load(folder: Path, **changes: Any) -> Any:
    rows = [(f"some text {index}", "aaaaaabbbc"[index % 10]) for index in range(200)]
    path = write_csv(folder / "data.csv", ["text", "label"], rows)
    return load_data(DataSection(source=str(path), **changes))


def test_only_training_is_made_smaller(tmp_path: Path) -> None:
    whole, few, more = load(tmp_path), load(tmp_path, subset=20), load(tmp_path, subset=60)
    assert whole.test.texts == few.test.texts == more.test.texts
    assert whole.validation.texts == few.validation.texts
    assert set(few.train.texts) < set(more.train.texts) < set(whole.train.texts)
    assert Counter(few.train.labels) == {"a": 12, "b": 6, "c": 2}
    assert whole.labels == few.labels
    assert few.probe == list(range(20))
    assert "train: 20 of 120 rows (data.subset, subset seed 0)" in few.notes
    assert whole.fingerprint != few.fingerprint


def test_the_size_of_training_itself_is_all_of_it(tmp_path: Path) -> None:
    assert load(tmp_path, subset=120).train.texts == load(tmp_path).train.texts
    assert load(tmp_path, subset=120).fingerprint == load(tmp_path).fingerprint


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subset": 121}, "data.subset: asks for 121 of 120 training rows. Try: --set data.subset=120"),
        ({"subset": 2}, "data.subset: 2 rows cannot hold every label; 3 of 120 rows can. Try: --set data.subset=3"),
        ({"subset": 50, "train_size": 0.25}, "data.subset: asks for 50 of 30 training rows. Try: --set data.subset=30"),
    ],
)
def test_a_subset_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with refuses(DataError) as caught:
        load(tmp_path, **changes)
    assert typed(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.subset_seed=1"], "data.subset_seed: has no meaning without data.subset"),
        (["data.subset=200", "data.train_size=100"], "data.subset: 200 rows of data.train_size=100"),
        (["data.subset=0"], "data.subset"),
    ],
)
def test_subset_keys_that_cannot_act_are_refused_with_the_recipe(overrides: list[str], expected: str) -> None:
    with refuses(RecipeError) as caught:
        resolve("tweets", overrides=overrides)
    assert expected in typed(caught.value)
