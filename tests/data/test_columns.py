"""Tables -> rows: which column is what, what is said about it, and which rows cannot be used."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from finetune.data.arrow_files import arrow_table, features_of
from finetune.data.columns import LABEL_NAMES, PAIR_NAMES, TEXT_NAMES, choose_columns
from finetune.data.extract import extract_rows
from finetune.data.load import load_data
from finetune.data.rows import Data, Rows
from finetune.data.table import BadRows, Table
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import labelled_texts, write_csv, write_jsonl
from tests.raising import refusal, refuses, typed


def section(**settings: Any) -> DataSection:
    return DataSection(source="data.csv", **settings)


def table(**columns: list[Any]) -> Table:
    return Table("data.csv", columns)


def rows_of(columns: Table, **settings: Any) -> tuple[Rows, dict[str, int]]:
    """Rows that are kept, and how many were left out for what."""
    dropped: Counter[str] = Counter()
    asked = section(**settings)
    bad = BadRows(asked.skip_bad_rows)
    rows = extract_rows(asked, columns, choose_columns(asked, columns), asked.task, bad, dropped)
    return rows, dict(dropped + bad.dropped())


def refused(columns: Table, **settings: Any) -> str:
    return refusal(DataError, rows_of, columns, **settings)


# --- which column is what --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXT_NAMES)
def test_text_columns_are_recognised_by_name_and_said(name: str) -> None:
    columns = choose_columns(section(), table(id=["0"], **{name: ["one"]}, label=["a"]))
    assert (columns.text, columns.label) == (name, "label")
    assert columns.notes == (
        [] if name == "text" else [f"column '{name}' is used as the text (recognised by its name)"]
    )


@pytest.mark.parametrize("name", LABEL_NAMES)
def test_label_columns_are_recognised_by_name_and_said(name: str) -> None:
    columns = choose_columns(section(), table(id=["0"], text=["one"], **{name: ["a"]}))
    assert (columns.text, columns.label) == ("text", name)
    assert columns.notes == (
        [] if name == "label" else [f"column '{name}' is used as the label (recognised by its name)"]
    )


@pytest.mark.parametrize("name", PAIR_NAMES)
def test_second_texts_are_recognised_by_name_and_said(name: str) -> None:
    columns = choose_columns(section(), table(**{"text": ["one"], name: ["two"], "label": ["a"]}))
    assert columns.text_pair == name
    assert columns.notes == [f"column '{name}' is used as the second text of a pair (recognised by its name)"]


def test_names_are_recognised_whatever_their_case_and_spaces() -> None:
    columns = choose_columns(section(), Table("data.csv", {" Review ": ["one"], "SENTIMENT": ["a"]}))
    assert (columns.text, columns.label) == (" Review ", "SENTIMENT")
    assert len(columns.notes) == 2


def test_second_texts_are_recognised_whatever_their_case() -> None:
    columns = choose_columns(section(), table(Text=["one"], Sentence2=["two"], label=["a"]))
    assert columns.text_pair == "Sentence2"


@pytest.mark.parametrize("names", [("text", "Text"), ("Text", "text")])
def test_the_exact_name_wins_over_one_in_another_case(names: tuple[str, str]) -> None:
    columns = choose_columns(section(), table(**{names[0]: ["one"], names[1]: ["two"], "label": ["a"]}))
    assert columns.text == "text"


def test_the_more_telling_name_wins_over_the_order_of_columns() -> None:
    columns = choose_columns(section(), table(body=["one"], text=["two"], score=["1"], label=["a"]))
    assert (columns.text, columns.label) == ("text", "label")


def test_named_columns_win_over_recognised_ones_and_need_no_note() -> None:
    columns = choose_columns(section(text="a", label="b"), table(text=["x"], label=["y"], a=["one"], b=["1"]))
    assert (columns.text, columns.label, columns.notes) == ("a", "b", [])


def test_a_second_text_is_not_assumed_when_the_text_was_named() -> None:
    columns = choose_columns(section(text="text"), table(text=["one"], text_pair=["two"], label=["a"]))
    assert columns.text_pair is None
    assert columns.as_dict() == {"text": "text", "label": "label"}


def test_a_named_second_text_is_taken() -> None:
    columns = choose_columns(section(text_pair="b"), table(text=["one"], b=["two"], label=["a"]))
    assert columns.as_dict() == {"text": "text", "label": "label", "text_pair": "b"}


def test_a_file_without_a_text_column_lists_its_columns() -> None:
    problem = refused(table(foo=["one"], bar=["x"], label=["a"]))
    assert problem.startswith("data.text: data.csv has no column that is recognised as the text.")
    assert problem.endswith("Columns: foo, bar, label. Try: --set data.text=COLUMN")


def test_a_file_without_a_label_column_lists_its_columns() -> None:
    problem = refused(table(text=["one"], foo=["a"], bar=["x"]))
    assert problem.startswith("data.label: data.csv has no column that is recognised as the label.")
    assert problem.endswith("Columns: text, foo, bar. Try: --set data.label=COLUMN")


@pytest.mark.parametrize(("role", "name", "close"), [("text", "txt", "text"), ("label", "lable", "label")])
def test_a_named_column_that_is_missing_suggests_the_closest(role: str, name: str, close: str) -> None:
    problem = refused(table(text=["one"], label=["a"]), **{role: name})
    assert problem.startswith(f"data.{role}: data.csv has no column '{name}'. Did you mean {close}?")
    assert problem.endswith(f"Columns: text, label. Try: --set data.{role}=COLUMN")


def test_a_named_second_text_that_is_missing_is_refused() -> None:
    problem = refused(table(text=["one"], label=["a"]), text_pair="nope")
    assert problem.startswith("data.text_pair: data.csv has no column 'nope'.")
    assert problem.endswith("Try: --set data.text_pair=COLUMN")


def test_a_column_that_only_one_split_lacks_is_named_with_its_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ["text", "label"], labelled_texts(20))
    write_csv(tmp_path / "test.csv", ["sentence", "label"], labelled_texts(10, start=20))
    with refuses(DataError, match=r"^data\.text: .*test\.csv has no column 'text'"):
        load_data(DataSection(source=str(tmp_path)))


def test_notes_about_columns_reach_the_loaded_data(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", ["Review", "Sentiment"], labelled_texts(40))
    data = load_data(DataSection(source=str(path)))
    assert data.notes[:2] == [
        "column 'Review' is used as the text (recognised by its name)",
        "column 'Sentiment' is used as the label (recognised by its name)",
    ]
    assert data.columns == {"text": "Review", "label": "Sentiment"}


@pytest.mark.parametrize("settings", [{"label": "text"}, {"text_pair": "label"}, {"text": "label"}])
def test_one_column_in_two_roles_is_refused(settings: dict[str, str]) -> None:
    """Whether named or recognised: the model must not read the answer."""
    columns = table(text=["one x", "two y"], label=["a", "b"])
    assert "column" in refused(columns, **settings)


# --- texts -----------------------------------------------------------------------------------------------------


def test_texts_are_kept_as_they_are() -> None:
    texts = [
        "None",
        "n/a",
        "NaN",
        "007",
        "TRUE",
        "null",
        " lead",
        "trail ",
        "two  spaces",
        "é",
        "x\ny",
        "a" * 5000,
    ]
    rows, dropped = rows_of(table(text=texts, label=["a"] * len(texts)))
    assert rows.texts == texts
    assert dropped == {}


@pytest.mark.parametrize(
    "texts",
    [["1", "2", "3"], ["1.5", "-2", "1e5"], [1, 2, 3], ["5"] * 19 + ["five"], ["1", "", "2"]],
    ids=["whole", "fractions", "json", "95 %", "empty"],
)
def test_a_column_of_numbers_is_refused_as_text(texts: list[Any]) -> None:
    problem = refused(table(text=texts, label=["a"] * len(texts)))
    assert problem.startswith(f"data.csv: column 'text' holds numbers, not texts (first: {str(texts[0])!r}).")
    assert problem.endswith("Columns: text, label. Try: --set data.text=COLUMN")


@pytest.mark.parametrize("texts", [["5"] * 18 + ["five"] * 2, ["nan", "inf", "1 2"], ["", "x"]])
def test_a_few_numbers_among_texts_are_texts(texts: list[str]) -> None:
    rows, _ = rows_of(table(text=texts, label=["a"] * len(texts)))
    assert rows.texts == [text for text in texts if text]


@pytest.mark.parametrize("value", [["a", 1], {"a": "b"}, True], ids=["list", "object", "flag"])
def test_texts_of_another_kind_are_refused_not_spelt_out(value: Any) -> None:
    assert "text" in refused(table(text=[value, value], label=["a", "b"]))


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"text": "image"}, "data.text=COLUMN"),
        ({"text_pair": "image"}, "data.text_pair=COLUMN"),
        ({"text_pair": "flag"}, "data.text_pair=COLUMN"),
        ({"template": "{text} {image}"}, "'data.template={COLUMN} {COLUMN}'"),
        ({"template": "{text} {flag}"}, "'data.template={COLUMN} {COLUMN}'"),
        ({"label": "image"}, "data.label=COLUMN"),
        ({"group": "image"}, "data.group=COLUMN"),
        ({"order_by": "image"}, "data.order_by=COLUMN"),
    ],
)
def test_another_column_is_advised_for_the_key_that_named_it(settings: dict[str, str], advice: str) -> None:
    cells = {"text": ["one", "two"], "label": ["a", "b"], "image": [b"a", b"b"], "flag": [True, False]}
    content = pyarrow.table(cells)
    columns = arrow_table("d.parquet", content, features_of(content.schema))
    assert refused(columns, **settings).endswith(f"Try: --set {advice}")


@pytest.mark.parametrize("empty", ["", "   ", "\n\t", "\u00a0", None])
def test_rows_without_a_text_are_left_out_and_counted(empty: str | None) -> None:
    rows, dropped = rows_of(table(text=["one", empty, "two"], label=["a", "b", "c"]))
    assert (rows.texts, rows.labels, rows.ids) == (["one", "two"], ["a", "c"], ["1", "3"])
    assert dropped == {"empty text": 1}


@pytest.mark.parametrize("empty", ["", "  ", None])
def test_rows_without_a_second_text_are_left_out_and_counted(empty: str | None) -> None:
    rows, dropped = rows_of(table(text=["one", "two"], text_pair=["x", empty], label=["a", "b"]))
    assert (rows.texts, rows.pairs) == (["one"], ["x"])
    assert dropped == {"empty text": 1}


@pytest.mark.parametrize("empty", ["", "  ", None])
def test_rows_without_a_label_are_left_out_and_counted(empty: str | None) -> None:
    rows, dropped = rows_of(table(text=["one", "two"], label=["a", empty]))
    assert rows.texts == ["one"]
    assert dropped == {"empty label": 1}


@pytest.mark.parametrize("label", ["None", "n/a", "NaN", "null", "0", "-", "FALSE", 0, False, 0.0])
def test_labels_that_only_look_empty_are_labels(label: Any) -> None:
    rows, dropped = rows_of(table(text=["one", "two"], label=[label, label]))
    assert rows.labels == [label, label]
    assert dropped == {}


def test_an_empty_cell_is_the_empty_set_of_labels_where_multi_label_was_named() -> None:
    rows, dropped = rows_of(table(text=["one", "two"], label=["a|b", ""]), task="multi_label")
    assert rows.labels == ["a|b", ""]
    assert dropped == {}


def _load(path: Path, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), **settings))


def test_left_out_rows_are_said_and_recorded(tmp_path: Path) -> None:
    rows = [*labelled_texts(40), ("", "good"), (" ", "bad"), ("no label", "")]
    data = _load(write_csv(tmp_path / "data.csv", ["text", "label"], rows))
    assert data.dropped == {"empty text": 2, "empty label": 1}
    assert "2 rows left out: empty text" in data.warnings
    assert "1 rows left out: empty label" in data.warnings
    assert sum(len(split) for split in (data.train, data.validation, data.test or [])) == 40


def test_when_no_row_is_left_the_reasons_are_counted() -> None:
    columns = table(text=["", "one", "two"], label=["a", "", "c"], confidence=["1", "1", "0"])
    problem = refused(columns, minimum={"confidence": 0.5})
    assert "no rows are left of 3 after cleaning" in problem
    for reason in ("1 × empty text", "1 × empty label", "1 × below data.minimum"):
        assert reason in problem


# --- template --------------------------------------------------------------------------------------------------


def test_columns_are_joined_as_the_template_says() -> None:
    columns = table(**{"the title": ["One", ""], "body": ["two", "three"], "label": ["a", "b"]})
    rows, dropped = rows_of(columns, template="{the title}: {body} {{x}}!")
    assert rows.texts == ["One: two {x}!", ": three {x}!"]
    assert dropped == {}


def test_rows_whose_columns_are_all_empty_are_empty_texts() -> None:
    rows, dropped = rows_of(table(title=["One", " "], body=["", None], label=["a", "b"]), template="{title}: {body}")
    assert rows.texts == ["One: "]
    assert dropped == {"empty text": 1}


def test_a_template_says_what_it_used_and_assumes_no_second_text() -> None:
    columns = choose_columns(section(template="{a}/{b}"), table(a=["x"], b=["y"], text_pair=["z"], label=["l"]))
    assert columns.as_dict() == {"text": "{a}/{b}", "label": "label"}
    assert columns.notes == []


def test_a_template_of_an_unknown_column_suggests_the_closest() -> None:
    problem = refused(table(title=["One"], label=["a"]), template="{titel}")
    assert problem.startswith("data.template: data.csv has no column 'titel'. Did you mean title?")


def test_a_template_with_the_label_is_refused() -> None:
    assert "column 'label' would be used twice" in refused(table(t=["x"], label=["a"]), template="{t} {label}")


@pytest.mark.parametrize("template", ["{", "}", "a", "{}", "{ }", "{a:>5}", "{a!r}", "{a} {"])
def test_a_template_that_is_none_is_refused_with_the_recipe(template: str) -> None:
    with refuses(RecipeError) as caught:
        resolve("your-data", overrides=[f"data.template={json.dumps(template)}"])
    assert f"data.template: {template!r}: " in typed(caught.value)


def test_text_beside_a_template_is_refused_with_the_recipe() -> None:
    with refuses(RecipeError, match=r"data\.template: makes the text"):
        resolve("your-data", overrides=["data.template='{a}'", "data.text=b"])


# --- drop_labels -----------------------------------------------------------------------------------------------


def _write_labels(folder: Path, labels: list[Any]) -> Path:
    """60 different texts with the given labels in turn."""
    rows = [{"text": f"some text {index}", "label": labels[index % len(labels)]} for index in range(60)]
    return write_jsonl(folder / "data.jsonl", rows)


def test_rows_with_a_dropped_label_are_left_out_and_counted(tmp_path: Path) -> None:
    data = _load(_write_labels(tmp_path, ["a", "b", "c", "d"]), drop_labels=["c", "b"])
    assert data.labels == ["a", "d"]
    assert data.dropped == {"data.drop_labels": 30}


def test_labels_are_dropped_by_their_whole_name_only(tmp_path: Path) -> None:
    assert _load(_write_labels(tmp_path, ["a", "aa", "A"]), drop_labels=["a"]).labels == ["A", "aa"]


def test_dropping_every_label_is_refused(tmp_path: Path) -> None:
    with refuses(DataError, match="no rows are left"):
        _load(_write_labels(tmp_path, ["a", "b"]), drop_labels=["a", "b"])


@pytest.mark.parametrize(
    ("labels", "dropped"),
    [(["a", "b", "c "], "c"), ([0, 1, 2], "2"), ([0.0, 1.0, 2.0], "2")],
    ids=["spaces", "json numbers", "json fractions"],
)
def test_labels_are_dropped_by_the_name_they_have_as_classes(tmp_path: Path, labels: list[Any], dropped: str) -> None:
    path = _write_labels(tmp_path, labels)
    everything = _load(path).labels
    assert everything is not None
    assert dropped in everything
    data = _load(path, drop_labels=[dropped])
    assert data.labels == [name for name in everything if name != dropped]
    assert data.dropped == {"data.drop_labels": 20}


@pytest.mark.parametrize("cells", [["a", "b", "a|c"], [["a"], ["b"], ["a", "c"]]], ids=["delimited", "lists"])
def test_rows_with_a_dropped_label_among_several_are_left_out(tmp_path: Path, cells: list[Any]) -> None:
    data = _load(_write_labels(tmp_path, cells), drop_labels=["c"], task="multi_label")
    assert data.labels == ["a", "b"]


def test_a_dropped_label_that_never_occurs_is_said(tmp_path: Path) -> None:
    data = _load(_write_labels(tmp_path, ["a", "neutral"]), drop_labels=["netural"])
    assert any("netural" in warning for warning in data.warnings)


# --- minimum ---------------------------------------------------------------------------------------------------


def test_rows_below_a_minimum_are_left_out_and_counted() -> None:
    columns = table(text=["one", "two", "three"], label=["a", "b", "c"], confidence=["0.49", "0.5", "1"])
    rows, dropped = rows_of(columns, minimum={"confidence": 0.5})
    assert rows.labels == ["b", "c"]
    assert dropped == {"below data.minimum": 1}


@pytest.mark.parametrize("cell", ["", "high", "nan", None])
def test_a_cell_that_is_no_number_is_below_every_minimum(cell: str | None) -> None:
    columns = table(text=["one", "two"], label=["a", "b"], confidence=["0", cell])
    rows, dropped = rows_of(columns, minimum={"confidence": -1000.0})
    assert rows.labels == ["a"]
    assert dropped == {"below data.minimum": 1}


def test_several_minima_must_all_be_met() -> None:
    columns = table(text=["one", "two", "three"], label=["a", "b", "c"], x=["1", "5", "5"], y=["9", "1", "9"])
    assert rows_of(columns, minimum={"x": 2.0, "y": 2.0})[0].labels == ["c"]


def test_numbers_of_jsonl_meet_a_minimum() -> None:
    columns = table(text=["one", "two"], label=["a", "b"], confidence=[0.2, 1])
    assert rows_of(columns, minimum={"confidence": 0.5})[0].labels == ["b"]


def test_a_minimum_of_a_missing_column_suggests_the_closest() -> None:
    columns = table(text=["one"], label=["a"], confidence=["1"])
    problem = refused(columns, minimum={"confidense": 0.5})
    assert problem == "data.minimum: data.csv has no column 'confidense'. Did you mean confidence?"


def test_text_and_label_that_are_missing_are_named_at_once_with_the_likeliest_and_what_to_type() -> None:
    made = table(
        nr=[str(row) for row in range(20)],
        Bewertung=[f"das ist ein Text Nummer {row}, gar nicht schlecht" for row in range(20)],
        Titel=[f"so kurz wie {row} es geht" for row in range(20)],
        geprueft=["ja", "nein"] * 10,
        Datum=[f"2024-01-0{1 + row % 5}" for row in range(20)],
        Klasse=["gut", "schlecht", "mittel", "egal"] * 5,
    )
    with pytest.raises(DataError) as caught:
        choose_columns(section(), made)
    [problem] = caught.value.problems
    assert "recognised as the text or as the label" in problem.why
    assert "Likeliest text: 'Bewertung' (" in problem.why
    assert "Likeliest label: 'Klasse' (4 values), 'geprueft' (2 values)" in problem.why
    change = caught.value.completed()
    assert change is not None
    assert change.for_command_line() == "--set data.text=Bewertung --set data.label=Klasse"
    with pytest.raises(DataError) as caught:
        choose_columns(section(text="nope"), made)
    assert [problem.key for problem in caught.value.problems] == ["data.text", "data.label"]
    assert caught.value.completed() == change


def test_the_confidence_in_a_label_is_not_the_likeliest_label() -> None:
    made = table(
        text=[f"this is text number {row}" for row in range(20)],
        airline_sentiment=["good", "bad"] * 10,
        airline_sentiment_confidence=["0.61", "0.7", "1.0", "0.99"] * 5,
    )
    with pytest.raises(DataError) as caught:
        choose_columns(section(), made)
    change = caught.value.completed()
    assert change is not None
    assert change.for_command_line() == "--set data.label=airline_sentiment"
