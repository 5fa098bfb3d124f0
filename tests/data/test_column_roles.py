"""Columns that say what to do: pairs, texts in lists, splits, verdicts, test files without labels."""

import json
import shlex
from pathlib import Path
from typing import Any

import datasets
import pandas
import pytest

from finetune.data.load import load_data
from finetune.data.memory import store
from finetune.data.rows import Data
from finetune.data.sources import read_sources
from finetune.data.split_file import write_split
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv, write_jsonl
from tests.raising import refusal, refuses, typed


def make(path: Path, rows: int = 60, **columns: list[Any]) -> Path:
    """JSON lines of different texts and two classes, with further cells in turn."""
    made = {"text": ["this is some text number {}"], "label": ["a", "b"], **columns}
    content = [
        {name: _numbered(cells[row % len(cells)], row) for name, cells in made.items() if cells} for row in range(rows)
    ]
    return write_jsonl(path, content)


def _numbered(cell: Any, row: int) -> Any:
    if isinstance(cell, list):
        return [_numbered(part, row) for part in cell]
    return cell.replace("{}", str(row)) if isinstance(cell, str) else cell


def load(path: Path, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), **settings))


def advised(path: Path, warning: str, index: int = -1) -> Data:
    """The data as read with one of the settings that a warning names."""
    override = shlex.split(warning.split("--set ")[index])[0].rstrip(",")
    return load_data(resolve("your-data", data=str(path), overrides=[override]).recipe.data)


# --- texts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("question", "sentence"), ("question", "answer"), ("query", "passage")])
def test_a_question_and_what_it_is_about_are_a_pair(tmp_path: Path, first: str, second: str) -> None:
    columns = {"text": [], first: ["what is it {}?"], second: ["it is a thing {}"]}
    data = load(make(tmp_path / "data.jsonl", **columns))
    assert data.columns == {"text": first, "label": "label", "text_pair": second}
    assert f"column '{second}' is used as the second text of a pair (recognised by its name)" in data.notes
    assert data.train.pairs is not None


def test_an_answer_that_is_a_word_is_no_second_text(tmp_path: Path) -> None:
    data = load(make(tmp_path / "data.jsonl", text=[], question=["what is it {}?"], answer=["yes", "no"]))
    assert data.columns == {"text": "question", "label": "label"}


def test_a_second_text_column_is_a_warning_with_three_ways(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", remark=["and this is a second text {}"], author=["Ann Lee", "Bob Ray"])
    [warning] = [text for text in load(path).warnings if "texts too" in text]
    assert warning.startswith("column 'remark' holds texts too, which are not used")
    pair, joined, alone = (advised(path, warning, index) for index in (1, 2, 3))
    assert (pair.columns["text_pair"], joined.columns["text"]) == ("remark", "{text} {remark}")
    assert not any("texts too" in text for data in (pair, joined, alone) for text in data.warnings)


def test_a_third_text_leaves_the_pair_a_pair(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", text_pair=["a second text {}"], remark=["and this is a third text {}"])
    [warning] = [text for text in load(path).warnings if "texts too" in text]
    assert "--set data.text=text --set data.text_pair=text_pair (these two)" in warning


@pytest.mark.parametrize(
    "cells",
    [
        ["Mon Apr 06 22:19:45 PDT 2009"],
        ["https://example.org/{}"],
        ["{}"],
        ["the same words in each row"],
        ["a b c {}"],
    ],
)
def test_dates_names_and_constants_are_no_second_text(tmp_path: Path, cells: list[str]) -> None:
    assert not any("texts too" in text for text in load(make(tmp_path / "data.jsonl", other=cells)).warnings)


def test_lists_of_two_texts_are_pairs_and_it_is_said(tmp_path: Path) -> None:
    data = load(make(tmp_path / "data.jsonl", text=[["first text {}", "second {}"]]))
    assert data.train.pairs is not None
    assert {
        (text.split()[0], pair.split()[0]) for text, pair in zip(data.train.texts, data.train.pairs, strict=True)
    } == {("first", "second")}
    assert "column 'text': each cell is a list of two texts, which are a pair" in data.notes


@pytest.mark.parametrize("cell", [["only {}"], ["a", "b", "c"], [1, 2], "a text"])
def test_a_cell_that_is_no_pair_among_pairs_names_the_row(tmp_path: Path, cell: Any) -> None:
    path = make(tmp_path / "data.jsonl", rows=300, text=[["first text {}", "second {}"]] * 250 + [cell] * 50)
    with refuses(DataError, match=r"(row|line) 251"):
        load(path)


def test_lists_of_words_are_joined_and_it_is_said(tmp_path: Path) -> None:
    data = load(make(tmp_path / "data.jsonl", text=[["two", "words{}"], ["and", "three", "words{}"]]))
    assert all(text.split()[0] in ("two", "and") for text in data.train.texts)
    assert "column 'text': each cell is a list of texts, which are joined by spaces" in data.notes
    assert data.train.pairs is None


def test_lists_written_as_text_are_a_warning(tmp_path: Path) -> None:
    data = load(make(tmp_path / "data.jsonl", text=["['two', 'words{}']"]))
    assert any("texts are lists written as text" in text for text in data.warnings)


def test_the_only_other_column_has_the_other_role(tmp_path: Path) -> None:
    rows = [(row, f"ein Text {row}", "gut" if row % 2 else "nicht") for row in range(60)]
    for header in (("id", "text", "Urteil"), ("id", "Satz", "label")):
        data = load(write_csv(tmp_path / "data.csv", header, rows))
        assert (data.columns["text"], data.columns["label"]) == header[1:]
        assert any("(the only other column)" in note for note in data.notes)
    assert "no column that is recognised" in refusal(
        DataError, load, write_csv(tmp_path / "d.csv", ("a", "b", "c"), rows)
    )
    assert "recognised as the label" in refusal(
        DataError, load, write_csv(tmp_path / "e.csv", ("id", "text"), [row[:2] for row in rows])
    )


def test_columns_of_zero_and_one_are_advised_as_labels(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", label=[], rude=[0, 1], late=["1", "0", "1"], same=[0])
    with refuses(DataError, match="recognised as the label") as caught:
        load(path)
    data = advised(path, typed(caught.value), 1)
    assert (data.task, data.labels) == ("multi_label", ["rude", "late"])


# --- splits ----------------------------------------------------------------------------------------------------

SPLIT = ["train", "train", "train", "dev", "test"]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("split", SPLIT),
        ("Usage", ["Training", "Training", "PublicTest", "PrivateTest"]),
        ("is_test", [0, 0, 1]),
        ("is_valid", [False, "True"]),
        ("train", ["1", "1", "0"]),
        ("data_type", ["TRAIN", "TRAIN", "VALIDATE", "TEST"]),
    ],
)
def test_a_column_of_splits_is_a_warning(tmp_path: Path, name: str, cells: list[Any]) -> None:
    warnings = load(make(tmp_path / "data.jsonl", **{name: cells})).warnings
    [warning] = [text for text in warnings if "official splits" in text]
    assert warning.endswith(f"--set data.split_column={name}")


@pytest.mark.parametrize(
    ("name", "cells"), [("split", ["train"]), ("group", ["a", "b", "train"]), ("vote", [0, 1]), ("latest", [0, 1])]
)
def test_other_columns_are_no_splits(tmp_path: Path, name: str, cells: list[Any]) -> None:
    assert not any("splits" in text for text in load(make(tmp_path / "data.jsonl", **{name: cells})).warnings)


@pytest.mark.parametrize(
    ("name", "cells", "splits"),
    [
        ("split", [0, 0, 0, 1, 2], ["train", "validation", "test"]),
        ("splitset_label", ["1", "1", "1", "3", "2"], ["train", "validation", "test"]),
        ("partition", [1.0, 1.0, 2.0], ["train", "test"]),
    ],
)
def test_numbers_for_splits_are_a_warning_that_can_be_pasted(
    tmp_path: Path, name: str, cells: list[Any], splits: list[str]
) -> None:
    path = make(tmp_path / "data.jsonl", **{name: cells})
    [warning] = [text for text in load(path).warnings if "official splits" in text]
    overrides = [part for part in shlex.split(warning[warning.index("--set") :]) if part != "--set"]
    data = load_data(resolve("your-data", data=str(path), overrides=overrides).recipe.data)
    values = [str(cells[row % len(cells)]).removesuffix(".0") for row in range(60)]
    named = json.loads(overrides[1].partition("=")[2])
    assert list(named) == splits
    assert len(data.whole_splits()["test"]) == values.count(named["test"])


def test_folds_are_a_warning_that_keeps_them_whole(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", fold=[1, 2, 3, 4, 5])
    [warning] = [text for text in load(path).warnings if "official folds" in text]
    assert warning.endswith("--set data.group=fold")
    parts = load(path, group="fold").whole_splits().values()
    folds = [{(int(number) - 1) % 5 for number in part.ids} for part in parts]
    assert sum(map(len, folds)) == 5


@pytest.mark.parametrize(("name", "cells"), [("split", [0, 1, 2, 3]), ("splitting", [0, 1, 2]), ("split", ["a", "b"])])
def test_other_numbers_are_no_splits(tmp_path: Path, name: str, cells: list[Any]) -> None:
    assert not any("official" in text for text in load(make(tmp_path / "data.jsonl", **{name: cells})).warnings)


def test_values_that_are_no_usual_names_of_splits_are_a_warning(tmp_path: Path) -> None:
    data = load(make(tmp_path / "data.jsonl", split=["train", "train", "holdout"]), split_column="split")
    assert data.dropped == {"in no split of data.split_column": 20}
    [warning] = [text for text in data.warnings if "no usual name of a split" in text]
    assert 'are left out: holdout (20). To use them: --set \'data.split_names={"train": "train"' in warning


def test_rows_are_in_the_splits_that_the_column_names(tmp_path: Path) -> None:
    data = load(make(tmp_path / "data.jsonl", split=SPLIT), split_column="split")
    rows = {name: [int(number) for number in part.ids] for name, part in data.whole_splits().items()}
    assert rows == {
        "train": [row + 1 for row in range(60) if row % 5 < 3],
        "validation": [row + 1 for row in range(60) if row % 5 == 3],
        "test": [row + 1 for row in range(60) if row % 5 == 4],
    }
    numbered = [pair for part in data.whole_splits().values() for pair in zip(part.texts, part.ids, strict=True)]
    assert all(text.endswith(f" {int(number) - 1}") for text, number in numbered)
    assert data.tables == dict.fromkeys(("train", "validation", "test"), "all")
    assert "splits are those of column 'split': train 36, validation 12, test 12 rows" in data.notes
    assert not any("official" in text for text in data.warnings)


def test_the_split_of_a_column_can_be_written_and_read_again(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", split=SPLIT)
    data = load(path, split_column="split")
    write_split(data, tmp_path / "split.json")
    again = load(path, split_file=str(tmp_path / "split.json"))
    assert again.fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("name", "cells", "sizes"),
    [
        ("is_test", [0, 0, 1], {"train": 32, "validation": 8, "test": 20}),
        ("is_valid", [False, False, True], {"train": 40, "validation": 20}),
        ("is_train", ["1", "1", "0"], {"train": 32, "validation": 8, "test": 20}),
        ("split", ["train", "test", None], {"train": 15, "validation": 5, "test": 20}),
    ],
)
def test_flags_and_splits_that_are_not_all_there(
    tmp_path: Path, name: str, cells: list[Any], sizes: dict[str, int]
) -> None:
    data = load(make(tmp_path / "data.jsonl", **{name: cells}), split_column=name, validation_size=sizes["validation"])
    assert {split: len(rows) for split, rows in data.whole_splits().items()} == sizes
    assert data.dropped == ({"in no split of data.split_column": 20} if None in cells else {})


def test_split_names_say_what_other_values_mean(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", part=[1.0, 1.0, 2.0, 3.0])
    problem = refusal(DataError, load, path, split_column="part")
    assert problem.startswith("data.split_column: column 'part': no split is recognised as train. Its values: 1 (30)")
    data = load(path, split_column="part", split_names={"train": "1", "test": "3"}, validation_size=5)
    assert {split: len(rows) for split, rows in data.whole_splits().items()} == {
        "train": 25,
        "validation": 5,
        "test": 15,
    }


@pytest.mark.parametrize("kind", ["csv", "json", "xlsx", "saved", "memory"])
def test_split_names_are_those_of_the_source_whatever_its_format(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the values of its split column; and of its splits, beside a further file that is one table."""
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    frame = pandas.DataFrame(
        {"text": [f"text {row}" for row in range(40)], "label": ["a", "b"] * 20, "part": ["x"] * 30 + ["y"] * 10}
    )
    path = _saved_as(frame, kind, tmp_path / f"d.{kind}")
    names = {"train": "x", "test": "y"}
    data = load(path, split_column="part", split_names=names, validation_size=5)
    assert {split: len(rows) for split, rows in data.whole_splits().items()} == {
        "train": 25,
        "validation": 5,
        "test": 10,
    }
    document = tmp_path / "splits.json"
    document.write_text(json.dumps({"x": frame.to_dict("records"), "y": frame[:3].to_dict("records")}))
    if kind != "memory":
        found = read_sources(DataSection(source=str(document), test=str(path), split_names={"train": "x"}))
        assert {split: len(table) for split, table in found.items()} == {"train": 40, "test": 40}


def _saved_as(frame: Any, kind: str, path: Path) -> str:
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "json":
        frame.to_json(path, orient="records")
    elif kind == "xlsx":
        frame.to_excel(path, index=False)
    elif kind == "saved":
        datasets.Dataset.from_pandas(frame).save_to_disk(path)
    else:
        return store(frame)
    return str(path)


def test_split_names_of_a_folder_of_files_act_on_nothing(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('[{"text": "a", "label": "b"}]')
    with refuses(DataError, "data.split_names: .*train.json is one set without splits"):
        read_sources(DataSection(source=str(tmp_path), split_names={"train": "x"}))


def test_a_column_of_splits_beside_other_splits_is_refused(tmp_path: Path) -> None:
    with refuses(RecipeError, match=r"data\.split_column: says which row"):
        resolve("your-data", overrides=["data.split_column=a", "data.test=b.csv"])
    with refuses(RecipeError, match=r"data\.split_file: .* data\.split_column cannot act"):
        resolve("your-data", overrides=["data.split_column=a", "data.split_file=b.json"])
    make(tmp_path / "train.jsonl", split=SPLIT)
    make(tmp_path / "test.jsonl")
    assert "the data has splits of its own" in refusal(DataError, load, tmp_path, split_column="split")
    assert "has no column 'splt'. Did you mean split?" in refusal(
        DataError, load, make(tmp_path / "data.jsonl", split=SPLIT), split_column="splt"
    )


def test_copies_across_the_splits_of_a_column_are_dropped_as_across_files(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", text=["text {}"], split=["train", "dev", "test"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["text"] = rows[2]["text"]  # train and test
    rows[0]["label"] = rows[2]["label"]
    data = load(write_jsonl(path, rows), split_column="split", deduplicate=True)
    assert (len(data.train), len(data.test or [])) == (19, 20)


# --- rows that are kept ----------------------------------------------------------------------------------------


def test_a_column_of_verdicts_is_a_warning_and_the_advice_works(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", verdict=["accept", "accept", "accept", "reject", "ignore"])
    [warning] = [text for text in load(path).warnings if "all of these rows are used" in text]
    assert warning.startswith("column 'verdict' holds accept (36), reject (12), ignore (12): ")
    data = advised(path, warning)
    assert data.dropped == {"not in data.keep": 24}
    assert sum(map(len, data.whole_splits().values())) == 36
    assert not any("not used" in text or "are used" in text for text in [*data.warnings, *data.notes])


@pytest.mark.parametrize("cells", [[False, False, True], ["0", "0", "1"], [0, 0, 1]])
def test_a_flag_of_rows_that_were_skipped_is_a_warning(tmp_path: Path, cells: list[Any]) -> None:
    path = make(tmp_path / "data.jsonl", was_cancelled=cells)
    [warning] = [text for text in load(path).warnings if "all of these rows are used" in text]
    assert advised(path, warning).dropped == {"not in data.keep": 20}


@pytest.mark.parametrize("cells", [["accept"], ["accept", "maybe", "reject"], ["yes", "no"]])
def test_other_columns_are_no_verdicts(tmp_path: Path, cells: list[str]) -> None:
    assert load(make(tmp_path / "data.jsonl", verdict=cells)).warnings == load(make(tmp_path / "d.jsonl")).warnings


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        (["Yes ", "no"], "yes"),
        ([1, 0], 1),
        ([1.0, 0.0], "1"),
        ([True, False], True),
        (["true", "false"], True),
        (["x", "y", "x", None], ["x"]),
    ],
)
def test_values_are_compared_as_they_are_written(tmp_path: Path, cells: list[Any], kept: Any) -> None:
    path = make(tmp_path / "data.jsonl", verdict=cells, label=["a", "a", "b", "b"])
    data = load(path, keep={"verdict": kept})
    assert data.dropped == {"not in data.keep": 30}


def test_a_value_or_column_that_is_not_there_lists_what_is(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", verdict=["accept", "reject", None])
    problem = refusal(DataError, load, path, keep={"verdict": "accepted"})
    assert problem.startswith("data.keep: no row of ")
    assert "has accepted in column 'verdict', which holds: accept (20), reject (20), empty (20)." in problem
    assert "Did you mean verdict?" in refusal(DataError, load, path, keep={"verdikt": "accept"})


def test_what_is_kept_is_read_from_yaml() -> None:
    recipe = resolve("your-data", overrides=["data.keep={answer: accept, round: [1, 2], gold: true}"]).recipe
    assert recipe.data.keep == {"answer": "accept", "round": [1, 2], "gold": True}


# --- a test file without labels --------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [[], [None], [""], ["?"], ["NULL"], [-1], ["-1"]])
def test_a_test_file_without_labels_is_left_out_and_it_is_said(tmp_path: Path, label: list[Any]) -> None:
    make(tmp_path / "train.jsonl")
    make(tmp_path / "test.jsonl", rows=20, label=label)
    data = load(tmp_path)
    assert sum(map(len, data.whole_splits().values())) == 60
    assert data.test is not None
    assert data.dropped == {"test without labels": 20}
    [warning] = [text for text in data.warnings if "no labels" in text]
    assert warning.endswith(
        "test.jsonl: its 20 rows have no labels and are not measured; a test split is drawn from the training rows"
    )


def test_beside_a_validation_file_no_test_split_is_made_up(tmp_path: Path) -> None:
    make(tmp_path / "train.jsonl")
    make(tmp_path / "dev.jsonl", text=["another text {}"], rows=20)
    make(tmp_path / "test.jsonl", rows=20, label=[])
    data = load(tmp_path)
    assert (len(data.train), len(data.validation), data.test) == (60, 20, None)
    assert any("not measured; no test split is measured" in text for text in data.warnings)


def test_rows_of_test_without_labels_in_a_column_of_splits_are_left_out(tmp_path: Path) -> None:
    path = make(tmp_path / "data.jsonl", split=["train", "train", "test"], label=["a", "b", None])
    data = load(path, split_column="split")
    assert sum(map(len, data.whole_splits().values())) == 40
    assert any("its 20 rows have no labels" in text for text in data.warnings)


def test_columns_of_labels_that_test_lacks_are_no_labels(tmp_path: Path) -> None:
    make(tmp_path / "train.jsonl", label=[], rude=[0, 1, 1], late=[1, 0, 1])
    make(tmp_path / "test.jsonl", rows=20, label=[])
    assert load(tmp_path, label=["rude", "late"]).dropped == {"test without labels": 20}


@pytest.mark.parametrize("name", ["labels", "Label", "lable", "sentiment"])
def test_labels_under_another_name_are_not_taken_for_none(tmp_path: Path, name: str) -> None:
    make(tmp_path / "train.jsonl")
    make(tmp_path / "test.jsonl", rows=20, label=[], **{name: ["a", "b"]})
    assert "has no column 'label'" in refusal(DataError, load, tmp_path)


def test_a_class_minus_one_of_training_is_a_class_of_test(tmp_path: Path) -> None:
    make(tmp_path / "train.jsonl", label=[-1, 0, 1])
    make(tmp_path / "test.jsonl", rows=20, label=[-1])
    assert load(tmp_path).dropped == {}


# --- columns that nobody uses ----------------------------------------------------------------------------------


def test_what_is_odd_in_an_unused_column_stops_nothing_and_costs_no_row(tmp_path: Path) -> None:
    odd = [None, 1, "x", [1, "a"], {"k": [1]}, True, float("inf"), float("nan")]
    path = tmp_path / "data.jsonl"
    rows = [{"text": f"some text {row}", "label": "ab"[row % 2], "other": odd[row % 8]} for row in range(80)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for skip in (False, True):
        data = load(path, skip_bad_rows=skip)
        assert (sum(map(len, data.whole_splits().values())), data.dropped) == (80, {})
    (tmp_path / "data.json").write_text(json.dumps(rows), encoding="utf-8")
    assert load(tmp_path / "data.json").fingerprint == data.fingerprint
