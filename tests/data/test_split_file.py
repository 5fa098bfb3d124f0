"""split.json: who was in which split is written down, and read again only onto the same texts."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.data.split_file import write_split
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv
from tests.raising import refuses, typed

ROWS = [(f"some text {index}", "aab"[index % 3]) for index in range(60)]


def write(folder: Path, rows: list[tuple[str, str]] = ROWS, name: str = "data.csv") -> Path:
    return write_csv(folder / name, ["text", "label"], rows)


def load(path: Path, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), **settings))


def written(folder: Path, data: Data) -> Path:
    write_split(data, folder / "split.json")
    return folder / "split.json"


def by_hand(folder: Path, content: Any) -> str:
    path = folder / "hand.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("settings", [{}, {"split_seed": 3, "train_size": 20}, {"subset": 12}, {"folds": 3, "fold": 1}])
def test_the_same_rows_are_in_the_same_splits_again(tmp_path: Path, settings: dict[str, int]) -> None:
    path = write(tmp_path)
    first = load(path, **settings)
    again = load(path, split_file=str(written(tmp_path, first)))
    assert again.fingerprint == first.fingerprint
    assert any(note.startswith("splits are read from ") for note in again.notes)


def test_rows_that_a_split_file_leaves_out_are_counted(tmp_path: Path) -> None:
    reference = by_hand(tmp_path, {"train": [1, 2, 3, 6], "validation": [4, 5]})
    data = load(write(tmp_path), split_file=reference)
    assert f"54 of 60 rows are in no split of {reference}" in data.notes


def test_given_splits_are_written_with_the_table_that_they_came_from(tmp_path: Path) -> None:
    write(tmp_path, name="train.csv")
    write(tmp_path, [(f"new {text}", label) for text, label in ROWS], name="test.csv")
    first = load(tmp_path)
    path = written(tmp_path, first)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert {name: entry["table"] for name, entry in content.items()} == {
        "train": "train",
        "validation": "train",
        "test": "test",
    }
    assert content["test"]["rows"] == list(range(1, 61))
    assert load(tmp_path, split_file=str(path)).fingerprint == first.fingerprint


def test_numbers_count_rows_of_the_file_not_of_what_is_left_of_it(tmp_path: Path) -> None:
    path = write(tmp_path, [("", "a"), *ROWS])
    split = by_hand(tmp_path, {"train": [2, 3, 4], "validation": [5, 7], "test": [6]})
    data = load(path, split_file=split)
    assert data.train.texts == ["some text 0", "some text 1", "some text 2"]
    assert data.validation.texts == ["some text 3", "some text 5"]
    assert data.test is not None
    assert data.test.texts == ["some text 4"]


def test_a_mended_label_keeps_its_split(tmp_path: Path) -> None:
    path = write(tmp_path)
    split = written(tmp_path, load(path))
    write(tmp_path, [(ROWS[0][0], "b"), *ROWS[1:]])
    assert load(path, split_file=str(split)).tables == {"train": "all", "validation": "all", "test": "all"}


def test_a_changed_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    split = written(tmp_path, load(path))
    write(tmp_path, [("another text", "a"), *ROWS[1:]])
    with refuses(DataError, match=r"split\.json: \w+: the data has changed: the rows with these"):
        load(path, split_file=str(split))


def test_a_split_without_a_test_has_none(tmp_path: Path) -> None:
    data = load(write(tmp_path), split_file=by_hand(tmp_path, {"train": [1, 2, 3, 6], "validation": [4, 5]}))
    assert data.test is None
    assert any(warning.startswith("there is no test split") for warning in data.warnings)


GOOD = {"train": [1, 2, 3], "validation": [4, 6]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "hand.json: is not a split file: not JSON in UTF-8"),
        ("[1, 2]", 'hand.json: is not a split file: expected {"train"'),
        ({"train": [1, 2, 3]}, "hand.json: lacks validation"),
        ({**GOOD, "tets": [5]}, "hand.json: 'tets' is not a split. Did you mean test?"),
        ({**GOOD, "test": [5, 3]}, "hand.json: row 3 of 'all' is in train and in test"),
        ({**GOOD, "test": [5, 5]}, "hand.json: test: a row is given twice"),
        ({**GOOD, "test": [61]}, "hand.json: test: row 61 of 'all' is not there, or was left out in cleaning; 60 rows"),
        ({**GOOD, "test": [0]}, "hand.json: test: row 0 of 'all' is not there"),
        ({**GOOD, "test": ["5"]}, "hand.json: test: '5' is not a row number"),
        ({**GOOD, "test": [True]}, "hand.json: test: True is not a row number"),
        ({**GOOD, "test": []}, "hand.json: test: names no rows"),
        ({**GOOD, "test": 5}, "hand.json: test: expected a list of row numbers"),
        ({**GOOD, "test": {"rows": [5], "row": 1}}, "hand.json: test: 'row' is not a key. Did you mean rows?"),
        ({**GOOD, "test": {"rows": [5], "table": "test"}}, "hand.json: test: the data has no table 'test', but: all"),
        (
            {**GOOD, "test": {"rows": [5], "digest": "0"}},
            "hand.json: test: the data has changed: the rows",
        ),
    ],
)
def test_a_bad_split_file_is_refused_by_its_name(tmp_path: Path, content: Any, expected: str) -> None:
    path = write(tmp_path)
    with refuses(DataError) as caught:
        load(path, split_file=by_hand(tmp_path, content))
    assert expected in typed(caught.value)


def test_a_split_file_that_is_not_there_is_refused_and_a_folder_is_helped(tmp_path: Path) -> None:
    path = write(tmp_path)
    with refuses(DataError, match=r"data\.split_file: .*nope\.json: cannot be read"):
        load(path, split_file=str(tmp_path / "nope.json"))
    with refuses(DataError, match=r"--set data\.split_file=.*split\.json"):
        load(path, split_file=str(tmp_path))


@pytest.mark.parametrize("other", ["train_size=10", "test_size=0.2", "group=a", "order_by=a"])
def test_nothing_else_splits_beside_a_split_file(other: str) -> None:
    with refuses(RecipeError) as caught:
        resolve("your-data", overrides=["data.split_file=split.json", f"data.{other}"])
    key = other.split("=")[0]
    assert f"data.split_file: decides which row is in which split, so data.{key} cannot act" in typed(caught.value)
