"""JSON that is no list of objects, objects in cells, and lists of one."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.data.columns import choose_columns
from finetune.data.sources import read_sources
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.conftest import write_csv
from tests.data.formats.making import labelled, loaded, names, only, rows_in_file, texts, write_json, write_lines
from tests.raising import refuses

ROWS = [{"text": text, "label": name} for text, name in zip(texts(4), names(4), strict=True)]
PAIRS = [[row["text"], row["label"]] for row in ROWS]
EXPECTED = {row["text"]: row["label"] for row in ROWS}


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PAIRS, "the rows are pairs [text, label]"),
        ([pair[::-1] for pair in PAIRS], "the rows are pairs [label, text]"),
        ([["id", "text", "label"], *([1, *pair] for pair in PAIRS)], "the rows are lists; the first names their parts"),
        ({str(n): row for n, row in enumerate(ROWS)}, "the rows are under their ids (0, 1, 2, …)"),
        ({"text": texts(4), "label": names(4)}, "is stored column by column: text, label"),
        (
            {key: {str(n): row[key] for n, row in enumerate(ROWS)} for key in ("text", "label")},
            "is stored column by column: text, label",
        ),
        (
            {"columns": ["text", "label"], "index": [0, 1, 2, 3], "data": PAIRS},
            "the rows are under 'data', their names under 'columns' (pandas, orient='split')",
        ),
        (dict(PAIRS), "the texts are keys, with their labels as values"),
        (
            {name: [text for text, other in PAIRS if other == name] for name in ("pos", "neg")},
            "the labels are keys (pos, neg, …), with lists of their texts",
        ),
        ({text: [name] for text, name in PAIRS}, "the texts are keys, with their labels as values"),
        ({str(n): pair for n, pair in enumerate(PAIRS)}, "the rows are pairs [text, label]"),
        (
            {name: [{"text": text} for text, other in PAIRS if other == name] for name in ("pos", "neg")},
            "the labels are keys (pos, neg, …), with lists of objects",
        ),
        ({"features": [{"name": "text"}], "rows": ROWS}, "the rows are the list under 'rows'"),
        ({"version": 2, "body": {"examples": ROWS}}, "the rows are the list under 'examples'"),
    ],
)
def test_shapes_of_json_are_read_and_said(tmp_path: Path, content: Any, note: str) -> None:
    path = write_json(tmp_path / "d.json", content)
    table = only(path)
    assert labelled(table) == EXPECTED
    assert f"{path}: {note}" in table.notes


def test_columns_of_pandas_are_joined_by_index_and_not_by_order(tmp_path: Path) -> None:
    columns = {"text": {"0": "a b", "1": "c d"}, "label": {"1": "y", "0": "x"}}
    assert labelled(only(write_json(tmp_path / "d.json", columns))) == {"a b": "x", "c d": "y"}


def test_what_is_no_object_in_a_list_of_a_label_is_refused_or_counted(tmp_path: Path) -> None:
    by_label = {"pos": [{"text": "a b"}, "c d", {"text": "e f"}], "neg": [{"text": "g h"}, None]}
    path = write_json(tmp_path / "d.json", by_label)
    with refuses(DataError, "entry 2: expected an object {…}, found a str"):
        only(path)
    table = only(path, skip_bad_rows=True)
    assert labelled(table) == {"a b": "pos", "e f": "pos", "g h": "neg"}
    assert (table.dropped, rows_in_file(table)) == ({"row that cannot be read": 2}, 5)


@pytest.mark.parametrize("rows", [ROWS, PAIRS, {str(n): row for n, row in enumerate(ROWS)}])
def test_splits_in_one_document(tmp_path: Path, rows: Any) -> None:
    path = write_json(
        tmp_path / "d.json", {"train": rows, "val": rows[:2] if isinstance(rows, list) else rows, "oos": rows}
    )
    tables = read_sources(DataSection(source=str(path)))
    assert list(tables) == ["train", "validation"]
    assert labelled(tables["train"]) == EXPECTED
    assert any("splits that are not used: oos" in note for note in tables["train"].notes)
    assert len(only(path, split_names={"train": "oos", "validation": None})) == 4


def test_named_splits_of_a_document_without_any_are_refused(tmp_path: Path) -> None:
    with refuses(DataError, "data.split_names: .* is one set without splits"):
        only(write_json(tmp_path / "d.json", ROWS), split_names={"train": "a"})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([["a b", "c", "d"]], r"its entries are lists of 3, such as \['a b', 'c', 'd'\]. The parts of pairs"),
        ([["a b", "c"], ["d e"]], r"entry 2: \['d e'\] is not a list of 2, as entry 1 is"),
        ([["a b", "c"], "d"], "entry 2: d is not a list of 2"),
        ([[1, 2], [3, 4]], "pairs without a text"),
        ({"columns": ["text", "label"], "data": [["a"]]}, "row 1: has 1 cells for 2 columns"),
        ({"text": "a", "label": "b"}, "is one object with no list of objects"),
        ({"first": ["a", "b"], "second": ["x", "x"]}, "is one object with no list of objects"),
        ({}, "is one object with no list of objects"),
        ({"train": []}, "split train: holds no objects with keys"),
    ],
)
def test_json_that_is_no_rows_is_refused(tmp_path: Path, content: Any, problem: str) -> None:
    path = write_json(tmp_path / "d.json", content)
    with refuses(DataError, problem):
        only(path)


def test_a_number_called_train_is_no_split(tmp_path: Path) -> None:
    path = write_json(tmp_path / "d.json", {"train": 5, "test": ROWS})
    table = only(path)
    assert (labelled(table), table.notes) == (EXPECTED, [f"{path}: the rows are the list under 'test'"])


# --- objects in cells ------------------------------------------------------------------------------------------


def test_parts_of_objects_are_columns_with_dots(tmp_path: Path) -> None:
    rows = [
        {"data": {"text": row["text"], "by": {"name": "x"}}, "marks": [{"label": row["label"]}], "n": 1} for row in ROWS
    ]
    path = write_lines(tmp_path / "d.jsonl", rows)
    table = only(path)
    assert list(table.columns) == ["data.text", "data.by.name", "marks.label", "n"]
    assert f"{path}: 'data', 'marks' hold objects: their parts are columns with dots" in table.notes
    assert list(table.columns["marks.label"]) == names(4)  # lists of one
    data = loaded(write_lines(path, rows * 10), deduplicate=False)
    assert data.columns == {"text": "data.text", "label": "marks.label"}
    assert loaded(path, text="data.text", label="marks.label").labels == ["neg", "pos"]


def test_a_path_through_a_list_holds_what_is_in_each_part(tmp_path: Path) -> None:
    rows = [{"text": "a", "labels": [{"name": "x"}, {"name": "y"}]}, {"text": "b", "labels": []}, {"text": "c"}]
    table = only(write_json(tmp_path / "d.json", rows))
    assert list(table.columns["labels.name"]) == [["x", "y"], [], None]


def test_a_score_inside_an_object_is_no_label(tmp_path: Path) -> None:
    rows = [{"text": "a text", "labels": [{"name": "x", "score": 0.5}]}]
    table = only(write_json(tmp_path / "d.json", rows))
    with refuses(DataError, "no column that is recognised as the label. Columns: text, labels.name, labels.score"):
        choose_columns(DataSection(source="d.json"), table)


def test_keys_that_are_no_names_make_no_columns(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": "a", "by_id": {f"k{n}": 1}} for n in range(80)]
    assert list(only(write_lines(tmp_path / "d.jsonl", rows)).columns) == ["text", "label", "by_id"]


def test_parts_of_two_kinds_matter_only_where_they_are_used(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x", "meta": {"n": 1}}, {"text": "b", "label": "y", "meta": {"n": "one"}}]
    table = only(write_json(tmp_path / "d.json", rows))
    assert labelled(table) == {"a": "x", "b": "y"}
    assert list(table.columns["meta.n"]) == [1, "one"]


# --- lists of one ----------------------------------------------------------------------------------------------


def test_lists_of_one_label_are_single_labels(tmp_path: Path) -> None:
    rows = [{"text": text, "labels": [name]} for text, name in zip(texts(40), names(40), strict=True)]
    path = write_lines(tmp_path / "d.jsonl", rows)
    data = loaded(path)
    assert (data.task, data.labels) == ("single_label", ["neg", "pos"])
    assert any("every list in column 'labels' has one part" in note for note in data.notes)
    assert loaded(path, task="multi_label").task == "multi_label"
    written = write_csv(
        tmp_path / "d.csv",
        ["text", "label"],
        [(text, f'["{name}"]') for text, name in zip(texts(40), names(40), strict=True)],
    )
    assert (loaded(written).task, loaded(written).labels) == ("single_label", ["neg", "pos"])


def test_an_empty_list_may_be_a_text_without_labels(tmp_path: Path) -> None:
    lists = [[name] for name in names(40)] + [[], []]
    rows = [{"text": text, "label": label} for text, label in zip(texts(42), lists, strict=True)]
    path = write_lines(tmp_path / "d.jsonl", rows)
    data = loaded(path)
    assert (data.task, data.dropped) == ("multi_label", {})
    assert any("hold one label or none. As single labels: --set data.task=single_label" in n for n in data.notes)
    data = loaded(path, task="single_label")
    assert (data.task, data.dropped) == ("single_label", {"empty label": 2})


def test_lists_of_one_in_one_file_and_of_two_in_another_stay_lists(tmp_path: Path) -> None:
    train = write_lines(tmp_path / "train.jsonl", [{"text": "a", "label": ["x"]}])
    test = write_lines(tmp_path / "test.jsonl", [{"text": "b", "label": ["x", "y"]}])
    tables = read_sources(DataSection(source=str(train), test=str(test)))
    assert [list(table.columns["label"]) for table in tables.values()] == [[["x"]], [["x", "y"]]]


@pytest.mark.parametrize("between", ["\n", "", ",\n", "\n\n"])
def test_documents_one_after_another_are_rows(tmp_path: Path, between: str) -> None:
    path = tmp_path / "d.json"
    rows = [{"text": text, "label": label} for text, label in zip(texts(4), names(4), strict=True)]
    path.write_text(between.join(json.dumps(row, indent=2) for row in rows), encoding="utf-8")
    table = only(path)
    assert labelled(table) == dict(zip(texts(4), names(4), strict=True))
    assert "the rows are 4 documents one after another" in table.notes[0]


@pytest.mark.parametrize("rest", ["{", "x", '{"text": "a", "text": "b"}'])
def test_a_document_and_something_else_is_refused(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "d.json"
    path.write_text('{\n"text": "a"}\n' + rest, encoding="utf-8")
    with refuses(DataError, "line 3: not JSON: Extra data"):
        only(path)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_what_python_prints_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d.{suffix}"
    path.write_text("{'text': 'a', 'label': 'b'}\n", encoding="utf-8")
    with refuses(DataError, "line 1: not JSON: .*It is written as Python prints it; json.dumps writes JSON"):
        only(path)


def test_a_document_called_jsonl_is_answered_by_its_format(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps([{"text": "a", "label": "b"}], indent=1), encoding="utf-8")
    with refuses(DataError, r"line 1: not JSON: .*--set data.format=json \(the file is one JSON document\)"):
        only(path)
    assert labelled(only(path, format="json")) == {"a": "b"}


def test_texts_under_an_intent_are_a_row_each(tmp_path: Path) -> None:
    """As chatbots keep them: a tag, its patterns, and answers that are no texts."""
    intents = [{"tag": name, "patterns": [f"{name} {n}" for n in range(3)], "responses": ["hi"]} for name in ("a", "b")]
    documents = [json.dumps(content) for content in ({"intents": intents}, intents)]
    for document in (*documents, "\n".join(map(json.dumps, intents))):  # and JSON lines
        path = tmp_path / ("d.json" if document in documents else "d.jsonl")
        path.write_text(document, encoding="utf-8")
        (table,) = read_sources(DataSection(source=str(path))).values()
        assert list(table.columns["text"]) == ["a 0", "a 1", "a 2", "b 0", "b 1", "b 2"]
        assert list(table.columns["tag"]) == ["a", "a", "a", "b", "b", "b"]
        assert "one row a text; not used: responses" in table.notes[-1]


def test_texts_under_an_intent_keep_what_is_said_of_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(json.dumps({"tag": name, "split": "train", "patterns": ["x", "y"]}) for name in "ab"))
    (table,) = read_sources(DataSection(source=str(path))).values()
    assert list(table.columns["split"]) == ["train"] * 4


@pytest.mark.parametrize(
    ("objects", "settings"),
    [
        ([{"complaint": "a text", "label": "a", "phrases": ["one"]}] * 3, {"text": "complaint"}),
        ([{"label": "a", "phrases": ["one"]}, {"text": "a text", "label": "b", "phrases": ["two"]}], {}),
        ([{"data": {"text": "a text"}, "label": "a", "examples": ["z"]}] * 2, {}),
        ([{"tag": "a", "patterns": ["one"]}, {"label": "b", "patterns": ["two"]}], {}),
        ([{"complaint": "a text", "label": "a", "phrases": phrases} for phrases in (["one"], [], [])], {}),
    ],
    ids=["a text is named", "a later text", "a text in an object", "no label", "mostly empty"],
)
def test_lists_beside_a_text_are_no_texts(tmp_path: Path, objects: list[Any], settings: dict[str, str]) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(map(json.dumps, objects)), encoding="utf-8")
    (table,) = read_sources(DataSection(source=str(path), **settings)).values()
    assert len(table) == len(objects)


def test_of_two_lists_of_objects_the_usual_one_holds_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    content = {
        "intents": [{"name": "a"}],
        "utterances": [{"text": "one", "intent": "a"}, {"text": "two", "intent": "b"}],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    (table,) = read_sources(DataSection(source=str(path))).values()
    assert list(table.columns["text"]) == ["one", "two"]


def test_a_comma_before_the_closing_bracket_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('[{"text": "a", "label": "b"},\n]', encoding="utf-8")
    with refuses(DataError, "Delete the comma before the closing bracket"):
        read_sources(DataSection(source=str(path)))
