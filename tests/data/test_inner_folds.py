"""Folds of the training rows (`data.folds_of=train`): test and validation of the data are left alone."""

from __future__ import annotations

import random
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

from finetune.data.load import load_data
from finetune.data.loader import Loader
from finetune.data.rows import Data
from finetune.data.split_file import write_split
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv
from tests.data.test_folds import classes, marks, numbers
from tests.raising import refusal

SIZES = {"validation_size": 12, "test_size": 20}


def inner(path: Path, fold: int, folds: int = 3, **settings: Any) -> Data:
    section = DataSection(source=str(path), folds=folds, fold=fold, folds_of="train", **{**SIZES, **settings})
    return load_data(section)


@pytest.mark.parametrize("rows", [classes(), numbers(), marks()], ids=["classes", "numbers", "marks"])
def test_each_training_row_is_left_out_once_and_test_is_never_there(tmp_path: Path, rows: Any) -> None:
    path = write_csv(tmp_path / "data.csv", ["text", "label"], rows)
    whole = load_data(DataSection(source=str(path), **SIZES))
    assert whole.test is not None
    loader = Loader()
    sections = [DataSection(source=str(path), folds=3, fold=fold, folds_of="train", **SIZES) for fold in range(3)]
    parts = [loader.load(section) for section in sections]
    assert sorted(text for part in parts for text in part.validation.texts) == sorted(whole.train.texts)
    for part in parts:
        assert part.test is None
        assert sorted([*part.train.texts, *part.validation.texts]) == sorted(whole.train.texts)
        assert not any("no test split" in text for text in part.warnings)
        assert part.labels == whole.labels
    assert len({part.fingerprint for part in parts}) == 3


def test_its_split_file_gives_the_same_rows_again(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", ["text", "label"], classes())
    made = inner(path, 1)
    write_split(made, tmp_path / "split.json")
    again = load_data(DataSection(source=str(path), split_file=str(tmp_path / "split.json")))
    assert (again.train.texts, again.validation.texts, again.test) == (made.train.texts, made.validation.texts, None)


def test_files_of_their_own_for_validation_and_test_are_left_out_as_well(tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        write_csv(tmp_path / f"{name}.csv", ["text", "label"], [(f"{name} {text}", label) for text, label in classes()])
    files = {name: str(tmp_path / f"{name}.csv") for name in ("validation", "test")}
    section = DataSection(source=str(tmp_path / "train.csv"), folds=2, fold=0, folds_of="train", **files)
    assert all(text.startswith("train ") for text in load_data(section).validation.texts)


def test_a_subset_is_taken_before_it_is_cut_and_groups_stay_whole(tmp_path: Path) -> None:
    rows = [(f"text {index}", "ab"[index % 2], f"author {index // 5}") for index in range(100)]
    path = write_csv(tmp_path / "data.csv", ["text", "label", "author"], rows)
    parts = [inner(path, fold, group="author") for fold in range(3)]
    for part in parts:
        assert not set(part.train.groups or ()) & set(part.validation.groups or ())
    few = inner(write_csv(tmp_path / "plain.csv", ["text", "label"], [row[:2] for row in rows]), 0, subset=30)
    assert (len(few.train), len(few.validation)) == (20, 10)


def test_near_copies_across_folds_are_dropped_where_that_is_asked_for(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = [" ".join("".join(rng.choices(ascii_lowercase, k=6)) for _ in range(12)) for _ in range(40)]
    rows = [(text, "ab"[index % 2]) for index, text in enumerate(texts)] + [
        (f"{texts[0]}!", "a"),
        (f"{texts[1]}!", "b"),
    ]
    path = write_csv(tmp_path / "data.csv", ["text", "label"], rows)
    kept = [inner(path, fold, validation_size=4, test_size=4, drop_leaks=True) for fold in range(3)]
    for part in kept:
        held_out = {text.rstrip("!") for text in part.validation.texts}
        assert not held_out & {text.rstrip("!") for text in part.train.texts}


def test_more_folds_than_rows_or_groups_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", ["text", "label"], classes(40))
    assert "8 training rows cannot fill 9 folds. Try: --folds 8" in refusal(DataError, inner, path, 0, 9)
    rows = [(f"text {index}", "ab"[index % 2], f"author {index // 20}") for index in range(100)]
    path = write_csv(tmp_path / "groups.csv", ["text", "label", "author"], rows)
    told = refusal(DataError, inner, path, 0, 4, group="author", validation_size=20, test_size=20)
    assert "groups of 'author' in the training rows cannot fill 4 folds." in told


def test_it_has_no_meaning_without_folds() -> None:
    told = refusal(RecipeError, resolve, overrides={"data.folds_of": "train"})
    assert "data.folds_of: has no meaning without data.folds." in told
