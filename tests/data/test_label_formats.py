"""Labels as columns, as lists written as text, under other names, and those that cannot be read."""

from pathlib import Path
from typing import Any

import pytest

from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.data.table import Table
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv, write_jsonl
from tests.raising import refusal, refuses, typed


def load_cells(folder: Path, cells: list[Any], **settings: Any) -> Data:
    """A JSONL of 60 different texts with the given label cells in turn."""
    rows = [{"text": f"some text {row}", "label": cells[row % len(cells)]} for row in range(60)]
    return load_data(DataSection(source=str(write_jsonl(folder / "data.jsonl", rows)), **settings))


def load_flags(folder: Path, cells: list[tuple[Any, ...]], **settings: Any) -> Data:
    rows = [
        {"text": f"some text {row}", **dict(zip(("rude", "fair"), cells[row % len(cells)], strict=True))}
        for row in range(60)
    ]
    path = write_jsonl(folder / "data.jsonl", rows)
    return load_data(DataSection(source=str(path), label=["rude", "fair"], **settings))


def labels_of(data: Data) -> list[Any]:
    """Of the first three texts."""
    splits = [data.train, data.validation, *([] if data.test is None else [data.test])]
    found = {text: label for split in splits for text, label in zip(split.texts, split.labels, strict=True)}
    return [found[f"some text {row}"] for row in range(3)]


# --- one column a label ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        [(1, 0), (0, 0), (1, 1)],
        [("1", "0"), ("0", "0"), ("1", "1")],
        [(True, False), (False, False), (True, True)],
        [("TRUE", "false"), (" False", "0"), ("true", "True ")],
        [(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)],
    ],
    ids=["numbers", "digits", "flags", "words", "fractions"],
)
def test_columns_of_zero_and_one_are_labels_in_their_order(tmp_path: Path, cells: list[tuple[Any, ...]]) -> None:
    data = load_flags(tmp_path, cells)
    assert (data.task, data.labels) == ("multi_label", ["rude", "fair"])
    assert labels_of(data) == [["rude"], [], ["rude", "fair"]]
    assert data.columns["label"] == "rude, fair"


@pytest.mark.parametrize("cell", ["2", "yes", "", None, 0.5])
def test_any_other_cell_names_row_column_and_value(tmp_path: Path, cell: Any) -> None:
    cells = [("1", "0")] * 29 + [("0", cell)] + [("1", "1"), ("0", "1")] * 15
    rows = [{"text": f"some text {row}", "rude": a, "fair": b} for row, (a, b) in enumerate(cells)]
    path = write_csv(tmp_path / "data.csv", ["text", "rude", "fair"], [tuple(row.values()) for row in rows])
    section = DataSection(source=str(path), label=["rude", "fair"])
    told = refusal(DataError, load_data, section)
    assert f"data.csv row 30: label {'' if cell is None else str(cell)!r} in column 'fair' is neither 0 nor 1" in told
    data = load_data(section.model_copy(update={"skip_bad_rows": True}))
    assert data.dropped == {"row that cannot be read": 1}
    assert any("row 30" in warning for warning in data.warnings)


@pytest.mark.parametrize(
    "cells",
    [[("yes", "NO"), ("no", "no"), ("Yes", "yes")], [("x", ""), ("", ""), ("X", "x")], [("✓", 0), ("", 0), ("✓", 1)]],
)
def test_words_and_marks_say_which_labels_a_text_has(tmp_path: Path, cells: list[tuple[Any, ...]]) -> None:
    data = load_flags(tmp_path, cells)
    assert (data.task, data.labels) == ("multi_label", ["rude", "fair"])
    assert labels_of(data) == [["rude"], [], ["rude", "fair"]]
    assert any("an empty cell means no, a mark yes: 'rude'" in note for note in data.notes) == ("" in cells[1])


def test_a_word_among_marks_names_the_row(tmp_path: Path) -> None:
    rows = [(f"some text {row}", "yes" if row % 2 else "no", "0") for row in range(20)]
    rows[7] = ("some text", "maybe", "0")
    path = write_csv(tmp_path / "data.csv", ["text", "rude", "fair"], rows)
    told = refusal(DataError, load_data, DataSection(source=str(path), label=["rude", "fair"]))
    assert "row 8: label 'maybe' in column 'rude' is neither 'no' nor 'yes', unlike the other cells" in told


def test_columns_of_marks_are_suggested_as_labels(tmp_path: Path) -> None:
    rows = [
        (f"some text {row}", "x" if row % 2 else "", "" if row % 3 else "x", "note" if row % 5 else "")
        for row in range(30)
    ]
    path = write_csv(tmp_path / "data.csv", ["text", "rude", "fair", "remark"], rows)
    told = refusal(DataError, load_data, DataSection(source=str(path)))
    assert '--set \'data.label=["rude", "fair"]\'' in told


def test_tags_with_spaces_between_them_are_said(tmp_path: Path) -> None:
    tags = ["billing refund", "billing", "refund app", "app", "app billing", "refund"]
    path = write_csv(tmp_path / "a.csv", ["text", "tags"], [(f"text {n}", tags[n % 6]) for n in range(60)])
    warnings = load_data(DataSection(source=str(path))).warnings
    assert any(
        "label cells contain ' '" in warning and "--set 'data.label_separator=" in warning for warning in warnings
    )
    assert load_data(DataSection(source=str(path), label_separator=" ")).labels == ["app", "billing", "refund"]
    names = ["very good", "good", "not good", "very bad", "bad", "not bad"]  # of several words
    path = write_csv(tmp_path / "b.csv", ["text", "label"], [(f"text {n}", names[n % 6]) for n in range(60)])
    warnings = load_data(DataSection(source=str(path))).warnings
    assert not any("label_separator" in warning for warning in warnings)


def test_a_missing_label_column_suggests_the_closest(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", ["text", "rude", "fair"], [("x", "1", "0")])
    told = refusal(DataError, load_data, DataSection(source=str(path), label=["rude", "fare"]))
    assert told.startswith("data.label: ")
    assert "data.csv has no column 'fare'. Did you mean fair?" in told


# --- lists written as text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ['["a"]', "[]", '["a", "b"]'],
        ["['a']", "[]", "['a', 'b']"],
        ['["a"]', "[]", "['a', \"b\"]"],
        ["('a',)", "()", "('a', 'b')"],
        ["{'a'}", "[]", "{'b', 'a'}"],
    ],
    ids=["json", "python", "mixed", "tuples", "sets"],
)
def test_lists_written_as_text_are_lists_and_it_is_said(tmp_path: Path, cells: list[str]) -> None:
    data = load_cells(tmp_path, cells)
    assert (data.task, data.labels) == ("multi_label", ["a", "b"])
    assert labels_of(data) == [["a"], [], ["a", "b"]]
    assert f"multi-label: labels are lists written as text, such as {cells[0]}" in data.notes


@pytest.mark.parametrize("cells", [["[1]", "[]", "[1, 2]"], ["[1.0]", "[ ]", "[1.0, 2]"]])
def test_numbers_in_written_lists_are_names(tmp_path: Path, cells: list[str]) -> None:
    assert labels_of(load_cells(tmp_path, cells)) == [["1"], [], ["1", "2"]]


def test_names_in_brackets_are_names(tmp_path: Path) -> None:
    assert load_cells(tmp_path, ["[POS]", "[NEG]"]).labels == ["[NEG]", "[POS]"]
    assert load_cells(tmp_path, ["(a)", "(b, c)"]).labels == ["(a)", "(b, c)"]
    assert load_cells(tmp_path, ["[1]", "x", "y"]).labels == ["[1]", "x", "y"]


def test_lists_without_quotes_are_lists_and_it_is_said(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["[a, b c]", "[]", "[a]"])
    assert (data.task, data.labels) == ("multi_label", ["a", "b c"])
    assert labels_of(data) == [["a", "b c"], [], ["a"]]
    assert "multi-label: labels are lists without quotes, such as [a, b c]; each comma ends a label" in data.notes


def test_one_cell_without_brackets_among_lists_without_quotes_is_named(tmp_path: Path) -> None:
    rows = [{"text": f"some text {row}", "label": ["[a, b]", "[b]"][row % 2]} for row in range(60)]
    rows[7]["label"] = "b"
    path = write_jsonl(tmp_path / "data.jsonl", rows)
    told = refusal(DataError, load_data, DataSection(source=str(path)))
    assert "data.jsonl row 8: label 'b' is not a list of labels, although the other cells are" in told


def test_one_broken_list_is_an_error_and_can_be_skipped(tmp_path: Path) -> None:
    rows = [{"text": f"some text {row}", "label": ["['a']", "['b']"][row % 2]} for row in range(60)]
    rows[7]["label"] = "['a', b]"
    path = write_jsonl(tmp_path / "data.jsonl", rows)
    told = refusal(DataError, load_data, DataSection(source=str(path)))
    assert "data.jsonl row 8: label \"['a', b]\" is not a list of labels, although the other cells are" in told
    assert load_data(DataSection(source=str(path), skip_bad_rows=True)).dropped == {"row that cannot be read": 1}


@pytest.mark.parametrize("cells", [["['a' 'b']", "['a']"], ["[1 0 1]", "[0 1 1]"]])
def test_printed_arrays_are_refused_for_what_they_lost(tmp_path: Path, cells: list[str]) -> None:
    """Python reads ['a' 'b'] as the one label ab."""
    assert "is how numpy prints an array" in refusal(DataError, load_cells, tmp_path, cells)


# --- kinds of cells ---


def test_numbers_and_texts_are_the_same_classes_as_in_a_csv(tmp_path: Path) -> None:
    data = load_cells(tmp_path, [1, "1", 0, "0", 1.0])
    assert (data.labels, data.warnings) == (["0", "1"], [])


def test_lists_beside_single_labels_are_several_labels(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["a", ["a", "b"], ["b"]])
    assert (data.task, data.labels) == ("multi_label", ["a", "b"])


def test_other_kinds_in_one_column_are_a_warning(tmp_path: Path) -> None:
    data = load_cells(tmp_path, [True, "no", "no"])
    assert data.labels == ["True", "no"]
    assert any("cells are of several kinds (40 × a text, 20 × true/false)" in text for text in data.warnings)


# --- separators ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [";", ",", "/"])
def test_another_separator_is_suggested_and_can_be_typed(tmp_path: Path, separator: str) -> None:
    cells = [f"a{separator} b", "a", f"b{separator}c", "c"]
    data = load_cells(tmp_path, cells)
    assert data.task == "single_label"
    warning = next(text for text in data.warnings if "other cells contain the same parts" in text)
    override = warning.rpartition("--set ")[2].strip("'")
    recipe = resolve("your-data", data=str(tmp_path / "data.jsonl"), overrides=[override]).recipe
    again = load_data(recipe.data)
    assert (again.task, again.labels) == ("multi_label", ["a", "b", "c"])


def test_names_with_commas_are_no_lists(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["food, drinks", "arts, crafts", "sports"])
    assert not any("parts" in warning for warning in data.warnings)


# --- label_map -------------------------------------------------------------------------------------------------


def test_labels_get_their_names(tmp_path: Path) -> None:
    data = load_cells(tmp_path, [0, 1, 2], label_map={"0": "bad", "1": "good", "2": "good"}, labels=["good", "bad"])
    assert data.labels == ["good", "bad"]
    assert labels_of(data) == ["bad", "good", "good"]


def test_labels_of_a_set_get_their_names_once(tmp_path: Path) -> None:
    data = load_cells(tmp_path, [["0", "1"], [], ["2"]], label_map={"0": "x", "1": "x", "2": "y"})
    assert labels_of(data) == [["x"], [], ["y"]]


def test_numbers_with_fractions_that_have_names_are_classes(tmp_path: Path) -> None:
    assert load_cells(tmp_path, ["0.5", "1.5"], label_map={"0.5": "low", "1.5": "high"}).labels == ["high", "low"]


def test_a_label_without_a_name_is_refused(tmp_path: Path) -> None:
    told = refusal(DataError, load_cells, tmp_path, ["neg", "pos", "neu"], label_map={"neg": "bad", "pos": "good"})
    assert told.startswith("data.label_map: lacks 'neu', the label of row 3. Did you mean neg?")


def test_a_name_without_a_label_is_a_warning(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["0", "1"], label_map={"0": "bad", "1": "good", "2": "fine"})
    assert "data.label_map: no row has the label '2'" in data.warnings


def test_names_are_read_from_yaml_numbers(tmp_path: Path) -> None:
    recipe = resolve("your-data", overrides=["data.label_map={0: bad, 1: good}"]).recipe
    assert recipe.data.label_map == {"0": "bad", "1": "good"}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.label=[a, b]", "data.task=regression"], "data.label: a list of 0/1 columns"),
        (["data.label=[a, a]"], "column 'a' is used twice"),
        (["data.label=[a, b]", "data.label_map={x: y}"], "data.label_map: has no meaning where columns are the labels"),
        (["data.task=regression", "data.label_map={x: y}"], "data.label_map: has no meaning for regression"),
        (["data.labels=[y, z]", "data.label_map={x: y}"], "data.labels: 'z' is not among the names of data.label_map"),
    ],
)
def test_label_keys_that_cannot_act_are_refused_with_the_recipe(overrides: list[str], expected: str) -> None:
    with refuses(RecipeError) as caught:
        resolve("your-data", overrides=overrides)
    assert expected in typed(caught.value)


# --- declared classes ------------------------------------------------------------------------------------------


def test_declared_classes_are_the_order_of_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"some text {row}" for row in range(60)]
    table = Table("set", {"text": texts, "label": ["good", "bad"] * 30}, {"label": ["good", "fine", "bad"]})
    monkeypatch.setattr("finetune.data.load.read_sources", lambda section: {"all": table})
    data = load_data(DataSection(source="set"))
    assert data.labels == ["good", "bad"]
    assert "1 of 3 declared labels never occur in training and are left out: fine" in data.notes
    assert load_data(DataSection(source="set", labels=["bad", "good"])).labels == ["bad", "good"]


def test_what_is_said_of_tables_reaches_the_loaded_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def table(name: str, rows: int) -> Table:
        columns = {"text": [f"{name} {row}" for row in range(rows)], "label": ["a", "b"] * (rows // 2)}
        return Table(name, columns, notes=["a note"], warnings=[f"{name} line 3: left out"])

    tables = {"train": table("train.csv", 40), "validation": table("dev.csv", 10)}
    monkeypatch.setattr("finetune.data.load.read_sources", lambda section: dict(tables))
    data = load_data(DataSection(source="folder"))
    assert data.notes[:2] == ["train.csv: a note", "dev.csv: a note"]
    assert data.warnings[:2] == ["train.csv line 3: left out", "dev.csv line 3: left out"]
