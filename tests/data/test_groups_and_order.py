"""Splits by group and by time: no group on both sides, nothing measured before it was trained on."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from finetune.checks.classes import check_classes
from finetune.data import groups as group_splits
from finetune.data.load import load_data
from finetune.data.rows import Data, Rows
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv, write_jsonl
from tests.raising import refusal, refuses, typed

HEAD = ["text", "label", "author", "date"]


def write(folder: Path, rows: int = 240, authors: int = 24) -> Path:
    """Every author has both classes; a day has four rows, and days count backwards down the file."""
    content = [
        (f"some text {row}", "ab"[row // authors % 2], f"author {row % authors}", f"2024-{12 - row // 40:02}-01")
        for row in range(rows)
    ]
    return write_csv(folder / "data.csv", HEAD, content)


def load(path: Path, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), **settings))


def splits_of(data: Data) -> dict[str, Rows]:
    assert data.test is not None
    return {"train": data.train, "validation": data.validation, "test": data.test}


def refused(path: Path, **settings: Any) -> str:
    return refusal(DataError, load, path, **settings)


# --- groups ----------------------------------------------------------------------------------------------------


def test_no_group_is_in_two_splits_and_none_is_lost(tmp_path: Path) -> None:
    splits = splits_of(load(write(tmp_path), group="author"))
    held = [set(rows.groups or []) for rows in splits.values()]
    assert sum(map(len, held)) == len(set.union(*held)) == 24
    assert sum(map(len, splits.values())) == 240
    for rows in splits.values():
        assert rows.groups == [f"author {int(text.split()[-1]) % 24}" for text in rows.texts]


def test_groups_keep_size_and_classes_as_far_as_they_can_and_it_is_said(tmp_path: Path) -> None:
    data = load(write(tmp_path), group="author", test_size=40, validation_size=30)
    assert data.test is not None
    assert (len(data.test), len(data.validation)) == (40, 30)
    assert Counter(data.test.labels) == {"a": 20, "b": 20}
    assert (
        "test: 40 rows held out (4 whole groups of 'author', asked for 40 rows; stratified by class as far as groups "
        "allow, split seed 0)" in data.notes
    )


def test_group_splits_are_those_of_the_split_seed(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert load(path, group="author").fingerprint == load(path, group="author").fingerprint
    assert load(path, group="author").fingerprint != load(path, group="author", split_seed=1).fingerprint


def test_folds_of_groups_cover_every_row_once(tmp_path: Path) -> None:
    path = write(tmp_path)
    folds = [load(path, group="author", folds=4, fold=fold) for fold in range(4)]
    tested = [text for data in folds for text in splits_of(data)["test"].texts]
    assert len(tested) == len(set(tested)) == 240
    for data in folds:
        held = [set(rows.groups or []) for rows in splits_of(data).values()]
        assert sum(map(len, held)) == len(set.union(*held))


def test_many_groups_are_drawn_without_balancing_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_splits, "MOST_TRIALS", 0)
    data = load(write(tmp_path), group="author", test_size=40, validation_size=30)
    assert [len(rows) for rows in splits_of(data).values()] == [170, 30, 40]
    assert any("asked for 40 rows; not stratified: many groups, split seed 0)" in note for note in data.notes)


def test_groups_of_few_numbers_are_not_said_to_be_stratified(tmp_path: Path) -> None:
    rows = [(f"some text {row}", row + 0.5, f"author {row % 12}", "") for row in range(60)]
    path = write_csv(tmp_path / "data.csv", HEAD, rows)
    held, fold = load(path, group="author"), load(path, group="author", folds=3, fold=0)
    assert "; not stratified: few rows, split seed 0" in next(note for note in held.notes if note.startswith("test: "))
    assert "(whole groups of 'author'; not stratified: few rows, split seed 0)" in next(
        note for note in fold.notes if note.startswith("test: ")
    )


def test_groups_of_numbers_and_of_label_sets_stay_whole(tmp_path: Path) -> None:
    for name, label in (("numbers", lambda row: row + 0.5), ("sets", lambda row: ["a", "b"][: row % 3])):
        rows = [{"text": f"some text {row}", "label": label(row), "author": row % 12} for row in range(120)]
        splits = splits_of(load(write_jsonl(tmp_path / f"{name}.jsonl", rows), group="author"))
        held = [set(rows.groups or []) for rows in splits.values()]
        assert sum(map(len, held)) == len(set.union(*held)) == 12


def test_a_class_of_too_few_groups_is_trained_on_and_named(tmp_path: Path) -> None:
    rows = [(f"some text {row}", "ab"[row // 24 % 2], f"author {row % 24}", "") for row in range(240)]
    rows += [(f"rare text {row}", "rare", "author 3", "") for row in range(9)]
    data = load(write_csv(tmp_path / "data.csv", HEAD, rows), group="author")
    assert data.train.labels.count("rare") == 9
    assert any("fewer than 3 groups" in note and "rare (1)" in note for note in data.notes)
    assert next(each.text for each in check_classes(data)).startswith("Class 'rare' has too few rows to be in every")


def test_groups_that_cannot_fill_the_splits_are_refused_with_what_to_do(tmp_path: Path) -> None:
    assert "data.group: 2 groups of 'author' cannot fill 3 splits" in refused(
        write(tmp_path, authors=2), group="author"
    )
    told = refused(write(tmp_path, authors=3), group="author", test_size=10)
    assert told.startswith("data.test_size: 10 rows cannot be drawn from 3 groups (data.group), the largest with 80")
    assert "--set data.test_size=80" in told


def test_a_row_without_a_group_is_named_or_left_out(tmp_path: Path) -> None:
    rows = [(f"some text {row}", "ab"[row % 2], f"author {row % 7}" if row != 4 else " ", "") for row in range(70)]
    path = write_csv(tmp_path / "data.csv", HEAD, rows)
    assert "row 5: column 'author' (data.group) is empty" in refused(path, group="author")
    data = load(path, group="author", skip_bad_rows=True)
    assert data.dropped == {"row that cannot be read": 1}
    assert any("row 5: column 'author' (data.group)" in warning for warning in data.warnings)


# --- order -----------------------------------------------------------------------------------------------------


def test_train_comes_before_validation_before_test(tmp_path: Path) -> None:
    data = load(write(tmp_path), order_by="date", test_size=40, validation_size=40)
    order = {name: rows.order or [] for name, rows in splits_of(data).items()}
    assert max(order["train"]) < min(order["validation"])
    assert max(order["validation"]) < min(order["test"])
    assert sorted(splits_of(data)["test"].texts) == sorted(f"some text {row}" for row in range(40))
    assert (
        "test: 40 rows held out (the last by 'date', asked for 40; rows with the same value stay together)"
        in data.notes
    )


def test_rows_of_one_moment_stay_together_on_the_later_side(tmp_path: Path) -> None:
    data = load(write(tmp_path), order_by="date", test_size=41, validation_size=39)
    assert [len(rows) for rows in splits_of(data).values()] == [120, 40, 80]


def test_the_split_seed_has_no_part_in_time(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert load(path, order_by="date").fingerprint == load(path, order_by="date", split_seed=1).fingerprint


@pytest.mark.parametrize(
    "cells",
    [
        [str(number) for number in (9, 10, 11, 100)],
        ["2023-12-31", "2024-01-01", "2024-01-01T08:00", "2024-01-01T08:00+00:01"[:16] + ":30"],
        ["2024-01-01T09:00+02:00", "2024-01-01T08:00", "2024-01-01 08:00:01", "2024-01-01T07:30-01:00"],
    ],
    ids=["numbers", "dates", "zones"],
)
def test_numbers_and_dates_are_ordered_by_value(tmp_path: Path, cells: list[str]) -> None:
    rows = [(f"{label} {place}", label, "", cells[place]) for place in (2, 0, 3, 1) for label in "ab"]
    data = load(write_csv(tmp_path / "data.csv", HEAD, rows), order_by="date", test_size=2, validation_size=2)
    assert sorted(splits_of(data)["test"].texts) == ["a 3", "b 3"]
    assert sorted(data.validation.texts) == ["a 2", "b 2"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (
            "31.12.2024",
            "row 5: column 'date' (data.order_by) holds '31.12.2024', which is neither a number nor a date such as",
        ),
        ("", "row 5: column 'date' (data.order_by) is empty"),
    ],
)
def test_a_row_without_a_date_is_named_or_left_out(tmp_path: Path, cell: str, expected: str) -> None:
    rows = [(f"some text {row}", "ab"[row % 2], "", f"2024-01-{row % 28 + 1:02}") for row in range(70)]
    rows[4] = (*rows[4][:3], cell)
    path = write_csv(tmp_path / "data.csv", HEAD, rows)
    assert expected in refused(path, order_by="date")
    assert load(path, order_by="date", skip_bad_rows=True).dropped == {"row that cannot be read": 1}


def test_one_moment_for_all_rows_is_no_order(tmp_path: Path) -> None:
    rows = [(f"some text {row}", "ab"[row % 2], "", "2024") for row in range(70)]
    assert "so none is earlier or later" in refused(write_csv(tmp_path / "data.csv", HEAD, rows), order_by="date")


def test_rows_of_the_first_moment_cannot_be_cut_and_how_many_can_is_said(tmp_path: Path) -> None:
    rows = [(f"some text {row}", "ab"[row % 2], "", "2023" if row < 60 else "2024") for row in range(70)]
    path = write_csv(tmp_path / "data.csv", HEAD, rows)
    problem = refused(path, order_by="date", test_size=20)
    assert "only 10 of 70 rows come after its first value" in problem
    assert "--set data.test_size=10" in problem


def test_a_label_that_only_the_last_rows_have_is_named(tmp_path: Path) -> None:
    rows = [(f"some text {row}", "ab"[row % 2] if row < 65 else "new", "", str(row)) for row in range(70)]
    path = write_csv(tmp_path / "data.csv", HEAD, rows)
    assert "data.test: has labels that never occur in training: new" in refused(path, order_by="date")


# --- what cannot act -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["group", "order_by"])
def test_given_splits_are_not_split_again_and_it_is_said(tmp_path: Path, key: str) -> None:
    for name in ("train", "dev", "test"):
        write_csv(
            tmp_path / f"{name}.csv", HEAD, [(f"{name} {row}", "ab"[row % 2], "x", str(row)) for row in range(20)]
        )
    data = load(tmp_path, **{key: "date"})
    assert (
        f"data.{key}: has no effect, as validation and test came with the data ('date' splits nothing)" in data.warnings
    )


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.group=a", "data.order_by=b"], "data.order_by: a split by time cuts through groups"),
        (
            ["data.order_by=b", "data.folds=3", "data.fold=0"],
            "data.order_by: folds would train on rows that come",
        ),
    ],
)
def test_keys_that_fight_are_refused_with_the_recipe(overrides: list[str], expected: str) -> None:
    with refuses(RecipeError) as caught:
        resolve("your-data", overrides=overrides)
    assert expected in typed(caught.value)
