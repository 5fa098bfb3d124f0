"""Label cells -> labels: no cell changes its meaning silently, and what is predicted is said."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from finetune.checks.classes import check_classes
from finetune.data.label_cells import LabelFormat, parse_labels
from finetune.data.label_format import MANY_CLASSES, infer_format, separator_warnings
from finetune.data.load import load_data
from finetune.data.rows import Data, Rows
from finetune.data.table import BadRows
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv, write_jsonl
from tests.raising import refuses, typed


def section(**settings: Any) -> DataSection:
    return DataSection(source="data.csv", **settings)


def told(labels: list[Any], **settings: Any) -> tuple[str, list[str]]:
    """The task, and what was said about it."""
    notes: list[str] = []
    warnings: list[str] = []
    return infer_format(section(**settings), labels, notes, warnings).task, notes + warnings


def parsed(labels: list[Any], task: str, separator: str = "|") -> list[Any]:
    ids = [str(number + 1) for number in range(len(labels))]
    rows = Rows(["x"] * len(labels), None, labels, ids)
    return parse_labels(rows, LabelFormat(task, separator), "data.csv", BadRows(skip=False)).labels


def load_cells(folder: Path, cells: list[Any], rows: int = 60, **settings: Any) -> Data:
    """A CSV of `rows` different texts with the given label cells in turn."""
    content = [(f"some text {index}", cells[index % len(cells)]) for index in range(rows)]
    return load_data(DataSection(source=str(write_csv(folder / "data.csv", ["text", "label"], content)), **settings))


def labels_by_text(data: Data) -> dict[str, Any]:
    splits = [data.train, data.validation, *([] if data.test is None else [data.test])]
    return {text: label for split in splits for text, label in zip(split.texts, split.labels, strict=True)}


def warnings_or_error(folder: Path, cells: list[Any]) -> list[str]:
    try:
        return load_cells(folder, cells).warnings
    except DataError as error:
        return [str(error)]


def advised_override(message: str) -> str:
    """What a shell makes of the last --set that a message tells the user to type."""
    return shlex.split(message.rpartition("--set ")[2])[0]


# --- task ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b"],
        ["0", "1"],
        ["007", "7"],
        ["1.0", "2.0"],
        [0, 1, 2],
        [1.0, 2.0],
        [True, False],
        ["TRUE", "FALSE"],
        ["-1", "0", "1"],
        ["A1", "B2", "C1"],
        ["topic 1", "topic 12"],
        ["2024-05-31", "2024-06-01"],
        ["1.5", "many"],
        ["None", "NaN"],
    ],
)
def test_names_and_whole_numbers_are_classes(labels: list[Any]) -> None:
    assert told(labels) == ("single_label", [])


def test_many_different_whole_numbers_are_classes_and_it_is_said() -> None:
    few = [str(number) for number in range(MANY_CLASSES)]
    assert told(few) == ("single_label", [])
    task, notes = told([*few, str(MANY_CLASSES)])
    assert task == "single_label"
    assert len(notes) == 1
    assert "51 different whole numbers" in notes[0]
    assert "--set data.task=regression" in notes[0]


def test_whole_numbers_that_are_no_codes_and_have_few_rows_each_are_amounts() -> None:
    prices = [str(100 + 7 * number) for number in range(40)]
    assert told(prices) == (
        "regression",
        ["regression: labels are 40 different whole numbers in 40 rows (if they are classes: data.task=single_label)"],
    )
    assert told(prices * 5) == ("single_label", []), "as many rows as classes have"
    assert told(prices[:10]) == ("single_label", [])
    assert told([str(number + 1) for number in range(40)]) == ("single_label", []), "codes"
    assert told(prices, label_map={price: price for price in prices})[0] == "single_label"


@pytest.mark.parametrize("labels", [["1.5", "2"], ["0.5"], [1, 2.5], ["1e-3", "5"], ["-0.25", "0"]])
def test_numbers_with_a_fraction_are_regression_and_it_is_said(labels: list[Any]) -> None:
    task, notes = told(labels)
    assert task == "regression"
    assert notes == ["regression: labels are numbers with fractions (if they are classes: data.task=single_label)"]


def test_lists_are_multi_label_and_it_is_said() -> None:
    assert told([["a"], [], ["a", "b"]]) == ("multi_label", ["multi-label: labels are lists"])


def test_cells_with_the_separator_are_multi_label_and_it_is_said() -> None:
    task, notes = told(["a|b", "a", "b"])
    assert task == "multi_label"
    assert notes == ["multi-label: 1 label cells contain '|' (if they are single labels: data.task=single_label)"]


def test_another_separator_is_looked_for_when_it_is_named() -> None:
    assert told(["a;b", "a"])[0] == "single_label"
    assert told(["a;b", "a"], label_separator=";")[0] == "multi_label"
    assert told(["a|b", "a"], label_separator=";")[0] == "single_label"


def test_another_separator_is_pointed_out_where_several_labels_are_asked_for() -> None:
    cells = ["a", "b", "a;b", "b;c", "c"]
    _, notes = told(cells, task="multi_label")
    assert "--set 'data.label_separator=;'" in notes[0]
    assert resolve("your-data", overrides=[advised_override(notes[0])]).recipe.data.label_separator == ";"
    assert told(cells, task="multi_label", label_separator=";") == ("multi_label", [])


@pytest.mark.parametrize(
    ("cells", "separator", "warned"),
    [(["a", "b"], ";", True), ([["a;b"]], ";", True), (["a;b", "b"], ";", False), (["a", "b"], "|", False)],
)
def test_a_named_separator_that_no_cell_holds_is_a_warning(cells: list[Any], separator: str, warned: bool) -> None:
    warnings = separator_warnings(DataSection(source="x.csv", label_separator=separator), cells)
    assert bool(warnings) is warned
    assert all("no label cell contains ';'" in warning for warning in warnings)


@pytest.mark.parametrize("override", ["data.task=single_label", "data.task=regression", "data.label=[a, b]"])
def test_a_separator_that_cannot_act_is_refused_and_the_advice_works(override: str) -> None:
    with refuses(RecipeError, match=r"Try: --set 'data\.label_separator=\|'"):
        resolve("your-data", overrides=[override, "data.label_separator=;"])
    assert resolve("your-data", overrides=[override, "data.label_separator=|"]).recipe.data.label_separator == "|"


def test_a_separator_in_less_than_one_percent_of_the_cells_is_part_of_a_name() -> None:
    assert told(["a|b"] + ["a", "b"] * 100)[0] == "single_label"
    assert told(["a|b"] * 3 + ["a", "b"] * 100)[0] == "multi_label"


@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
@pytest.mark.parametrize("labels", [["a", "b"], ["1.5", "2"], ["a|b"], [["a"]]])
def test_a_named_task_is_not_guessed(task: str, labels: list[Any]) -> None:
    assert told(labels, task=task) == (task, [])


@pytest.mark.parametrize("odd", ["nan", "inf", "x"])
def test_numbers_that_are_taken_for_classes_because_of_a_few_cells_are_said(odd: str) -> None:
    """One typo must not silently turn a regression into hundreds of classes."""
    _, notes = told([*(str(number) for number in range(99)), odd])
    assert f"99 of 100 labels are numbers, but '{odd}' is not: used as classes" in notes[0]
    assert "--set data.task=regression" in notes[0]


@pytest.mark.parametrize("odd", ["nan", "inf", "x"])
def test_numbers_with_fractions_and_a_few_other_cells_are_not_guessed(odd: str) -> None:
    """As classes nearly all would be too rare, so that the run stops with a message that hides the typo."""
    cells = [*(f"{number}.5" for number in range(99)), odd]
    with refuses(
        DataError, match=rf"99 of 100 labels are numbers, some with fractions, but '{odd}' is not\."
    ) as caught:
        told(cells)
    assert "--set data.task=regression --set data.skip_bad_rows=true" in typed(caught.value)
    assert "--set data.task=single_label" in typed(caught.value)
    assert told(cells, task="single_label") == ("single_label", [])
    assert told(cells, task="regression") == ("regression", [])


# --- cells -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    ["None", "n/a", "NaN", "007", "7", "TRUE", "true", "1.0", "1e3", "no", "null", "-", "a|b", "a b", "é"],
)
def test_a_class_keeps_its_name(cell: str) -> None:
    assert parsed([cell], "single_label") == [cell]


@pytest.mark.parametrize(
    ("cell", "name"),
    [(" a ", "a"), (5, "5"), (-1, "-1"), (2.0, "2"), (2.5, "2.5"), (True, "True"), (2**70, str(2**70))],
)
def test_what_is_no_text_gets_the_name_that_it_would_have_in_a_csv(cell: Any, name: str) -> None:
    assert parsed([cell], "single_label") == [name]


@pytest.mark.parametrize("cell", [["a"], [], {"a": 1}])
def test_a_list_where_one_label_is_expected_names_the_row(cell: Any) -> None:
    with refuses(DataError, match=r"data\.csv row 2: label .* is not a single label.*--set data\.task=multi_label"):
        parsed(["a", cell], "single_label")


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (["a", "b"], ["a", "b"]),
        ([], []),
        ([" a ", "a", ""], ["a"]),
        ([1, 2], ["1", "2"]),
        ([1.0, 2.5], ["1", "2.5"]),
        ("a|b", ["a", "b"]),
        (" a | b |", ["a", "b"]),
        ("a", ["a"]),
        ("a|a", ["a"]),
        ("", []),
        ("|", []),
        (None, []),
        ("None|n/a|007", ["None", "n/a", "007"]),
    ],
)
def test_several_labels_are_read_from_lists_and_delimited_cells(cell: Any, names: list[str]) -> None:
    assert parsed([cell], "multi_label") == [names]


@pytest.mark.parametrize("cell", [[None], ["a", None], [["a"]], [{"a": 1}]])
def test_a_list_of_something_else_than_labels_names_the_row(cell: Any) -> None:
    with refuses(DataError, match=r"data\.csv row 2"):
        parsed([["a"], cell], "multi_label")


def test_a_longer_separator_is_used_whole() -> None:
    assert parsed(["a, b,c"], "multi_label", ", ") == [["a", "b,c"]]


@pytest.mark.parametrize(("cell", "number"), [("1.5", 1.5), (" 2 ", 2.0), ("1e-3", 0.001), (3, 3.0), (-0.5, -0.5)])
def test_numbers_are_read_for_regression(cell: Any, number: float) -> None:
    found = parsed([cell], "regression")
    assert found == [number]
    assert type(found[0]) is float


@pytest.mark.parametrize("cell", ["x", "1,5", "nan", "inf", "None", True, None, [1.0], "1.5 stars"])
def test_a_cell_that_is_no_number_names_the_row_for_regression(cell: Any) -> None:
    with refuses(DataError, match=r"data\.csv row 3: label .* is not a number, but data\.task is regression"):
        parsed(["1.5", "2", cell], "regression")


def test_the_row_that_is_no_number_is_counted_in_the_file_not_among_the_kept(tmp_path: Path) -> None:
    rows = [("one", "1.5"), ("", "2"), ("two", "x"), ("three", "2.5")]
    path = write_csv(tmp_path / "data.csv", ["text", "label"], rows)
    with refuses(DataError, match=r"data\.csv row 3: label 'x'"):
        load_data(DataSection(source=str(path), task="regression"))


# --- names and their order -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ["None", "n/a", "NaN"],
        ["007", "7"],
        ["1", "01", "+1"],
        ["TRUE", "true", "True"],
        ["null", "NULL", "na"],
        ["a", "A"],
        ["no", "yes"],
    ],
)
def test_labels_of_a_csv_reach_training_as_they_are(tmp_path: Path, cells: list[str]) -> None:
    data = load_cells(tmp_path, cells)
    assert data.task == "single_label"
    assert data.labels is not None
    assert sorted(data.labels) == sorted(cells)
    expected = {f"some text {index}": cells[index % len(cells)] for index in range(60)}
    assert labels_by_text(data) == expected


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["b", "a", "c"], ["a", "b", "c"]),
        (["10", "2", "1"], ["1", "2", "10"]),
        (["1", "0", "-1"], ["-1", "0", "1"]),
        (["x", "10", "9"], ["9", "10", "x"]),
    ],
)
def test_the_order_of_the_logits_is_by_number_then_by_name(tmp_path: Path, cells: list[str], names: list[str]) -> None:
    assert load_cells(tmp_path, cells).labels == names


def test_a_given_order_is_kept(tmp_path: Path) -> None:
    assert load_cells(tmp_path, ["a", "b", "c"], labels=["c", "a", "b"]).labels == ["c", "a", "b"]


def test_a_given_order_that_misses_a_label_suggests_the_closest(tmp_path: Path) -> None:
    with refuses(
        DataError, match=r"data\.labels: lacks 'neutral', a label of the training rows\. Did you mean netural\?"
    ):
        load_cells(tmp_path, ["bad", "neutral"], labels=["bad", "netural"])


def test_a_given_label_that_never_occurs_suggests_the_closest(tmp_path: Path) -> None:
    with refuses(DataError, match=r"data\.labels: 'goood' never occurs in training\. Did you mean good\?"):
        load_cells(tmp_path, ["bad", "good"], labels=["bad", "good", "goood"])


def test_regression_has_no_label_names(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["1.5", "2", "3"])
    assert (data.task, data.labels) == ("regression", None)
    assert labels_by_text(data)["some text 0"] == 1.5


def test_label_names_for_told_regression_are_refused(tmp_path: Path) -> None:
    with refuses(DataError, match=r"data\.labels"):
        load_cells(tmp_path, ["1.5", "2", "3"], labels=["low", "high"])


def test_several_labels_are_named_once_each(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["b|a", "c", "a"])
    assert (data.task, data.labels) == ("multi_label", ["a", "b", "c"])
    assert labels_by_text(data)["some text 0"] == ["b", "a"]


# --- what cannot be trained on ---------------------------------------------------------------------------------


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    with refuses(DataError, match=r"at least two classes are needed to train, and 36 rows have only 'a'"):
        load_cells(tmp_path, ["a"])


def test_no_label_at_all_is_refused(tmp_path: Path) -> None:
    with refuses(DataError, match=r"at least one label is needed to train, and 36 rows have none"):
        load_cells(tmp_path, [""], task="multi_label")


def test_one_label_is_enough_where_rows_may_have_none(tmp_path: Path) -> None:
    assert load_cells(tmp_path, ["a", ""], task="multi_label").labels == ["a"]


@pytest.mark.parametrize("rows", [1, 2])
def test_a_class_with_fewer_rows_than_splits_is_trained_on_only_and_named(tmp_path: Path, rows: int) -> None:
    content = [(f"some text {index}", "ab"[index % 2]) for index in range(40)]
    content += [(f"rare text {index}", "rare") for index in range(rows)]
    path = write_csv(tmp_path / "data.csv", ["text", "label"], content)
    data = load_data(DataSection(source=str(path)))
    assert data.labels == ["a", "b", "rare"]
    assert data.train.labels.count("rare") == rows
    assert f"classes with fewer than 3 rows stay in training, and are not measured: rare ({rows})" in data.notes
    (finding,) = (each for each in check_classes(data) if "'rare'" in each.text)  # one, and not one for each split
    assert finding.level == "warning"
    assert finding.text == "Class 'rare' has too few rows to be in every split: used for training, but not measured."
    assert "--set 'data.drop_labels=[\"rare\"]'" in finding.advice


def test_where_only_one_class_has_enough_rows_nothing_can_be_measured(tmp_path: Path) -> None:
    content = [(f"some text {index}", "a" if index > 1 else "b") for index in range(40)]
    path = write_csv(tmp_path / "data.csv", ["text", "label"], content)
    with refuses(DataError, match=r"too few others are left.*: b \(2\)\. Add rows\.") as caught:
        load_data(DataSection(source=str(path)))
    assert "--set data.validation=FILE --set data.test=FILE" in typed(caught.value)
    assert "drop_labels" not in typed(caught.value), "one class would be left"


def test_a_class_with_one_row_for_each_split_is_fine(tmp_path: Path) -> None:
    content = [(f"some text {index}", "ab"[index % 2]) for index in range(40)]
    content += [(f"rare text {index}", "rare") for index in range(3)]
    path = write_csv(tmp_path / "data.csv", ["text", "label"], content)
    assert load_data(DataSection(source=str(path))).labels == ["a", "b", "rare"]


@pytest.mark.parametrize("rare", ["rare", "2", "1.5", "true", "null", "c, d", "a: b", "[x", "no", "# x", "x'y"])
def test_the_advice_about_a_rare_class_can_be_followed(tmp_path: Path, rare: str) -> None:
    """What the message says to type must parse, and must drop this class and no other."""
    content = [(f"some text {index}", "ab"[index % 2]) for index in range(40)] + [("rare text", rare)]
    path = write_csv(tmp_path / "data.csv", ["text", "label"], content)
    found = check_classes(load_data(DataSection(source=str(path))))
    advice = next(finding.advice for finding in found if "data.drop_labels" in finding.advice)
    recipe = resolve("your-data", data=str(path), overrides=[advised_override(advice)]).recipe
    assert load_data(recipe.data).labels == ["a", "b"]


def test_labels_unseen_in_training_are_named_with_their_split(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "train.csv",
        ["text", "label"],
        [(f"train {index}", "ab"[index % 2]) for index in range(20)],
    )
    write_csv(
        tmp_path / "validation.csv",
        ["text", "label"],
        [(f"new {index}", "ab"[index % 2]) for index in range(20)],
    )
    write_csv(tmp_path / "test.csv", ["text", "label"], [("x", "a"), ("y", "c"), ("z", "d")])
    with refuses(DataError, match=r"data\.test: has labels that never occur in training: c, d\."):
        load_data(DataSection(source=str(tmp_path)))


@pytest.mark.parametrize("unseen", ["c", "2", "c, d"])
def test_the_advice_about_unseen_labels_can_be_followed(tmp_path: Path, unseen: str) -> None:
    write_csv(
        tmp_path / "train.csv",
        ["text", "label"],
        [(f"train {index}", "ab"[index % 2]) for index in range(20)],
    )
    write_csv(tmp_path / "dev.csv", ["text", "label"], [("x", "a"), ("y", "b"), ("z", unseen)])
    with refuses(DataError) as caught:
        load_data(DataSection(source=str(tmp_path)))
    recipe = resolve("your-data", data=str(tmp_path), overrides=[advised_override(typed(caught.value))]).recipe
    assert load_data(recipe.data).validation.texts == ["x", "y"]


def test_a_constant_target_is_refused(tmp_path: Path) -> None:
    with refuses(DataError, match=r"every training row has the value 1\.5; there is nothing to learn"):
        load_cells(tmp_path, ["1.5"])


@pytest.mark.parametrize("cells", [["1000.5", "3000"], ["0.001", "0.002"]])
def test_targets_of_any_spread_are_no_warning(tmp_path: Path, cells: list[str]) -> None:
    """Training scales them (`training/scale.py`)."""
    assert load_cells(tmp_path, cells).warnings == []


@pytest.mark.parametrize("cells", [["1.5", "2", "3", "4"], ["100.5", "101"], ["-0.5", "0.5"]])
def test_targets_of_ordinary_spread_need_no_warning(tmp_path: Path, cells: list[str]) -> None:
    assert load_cells(tmp_path, cells).warnings == []


@pytest.mark.parametrize("cells", [["1e200", "0.5", "-1e200"], ["1e308", "-1e308", "0.5"]])
def test_targets_too_large_to_square_are_no_crash(tmp_path: Path, cells: list[str]) -> None:
    said = warnings_or_error(tmp_path, cells)
    assert said
    assert not any("inf" in text or "nan" in text for text in said)


def test_numbers_of_jsonl_are_the_same_classes_as_those_of_a_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ["text", "label"], [(f"train {index}", index % 2) for index in range(20)])
    write_jsonl(tmp_path / "dev.jsonl", [{"text": "x", "label": 0}, {"text": "y", "label": 1.0}])
    data = load_data(DataSection(source=str(tmp_path)))
    assert data.labels == ["0", "1"]
    assert data.validation.labels == ["0", "1"]
