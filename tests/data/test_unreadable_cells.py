"""Bytes that are not text cost a row only where they are in a column that is used."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.data.sources import read_sources
from finetune.inference.predictions import Reading
from finetune.inference.tables import read_input, usable_columns
from finetune.recipe import DataSection
from tests.data.formats.making import write_lines

ROWS = [{"user": f"u{n} é", "text": f"the text number {n} é", "label": "ab"[n % 2]} for n in range(20)]
BAD = 5


def damaged_file(folder: Path, suffix: str, column: str) -> Path:
    """A file in which one character of one cell is lost."""
    if suffix == "jsonl":
        lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    else:
        lines = ["user,text,label", *(",".join(row.values()) for row in ROWS)]
    bad = BAD if suffix == "jsonl" else BAD + 1
    cell = ROWS[BAD][column]
    content = [line.encode() for line in lines]
    content[bad] = content[bad].replace(cell.encode(), cell.encode() + b"\xe9", 1)
    path = folder / f"d.{suffix}"
    path.write_bytes(b"\n".join(content))
    return path


def load(path: Path, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), encoding="utf-8", skip_bad_rows=True, **settings))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_damaged_cell_of_an_unused_column_costs_no_row(tmp_path: Path, suffix: str) -> None:
    data = load(damaged_file(tmp_path, suffix, "user"), text="text")
    assert sum(map(len, data.whole_splits().values())) == 20
    assert not data.dropped


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("column", "settings"),
    [
        ("text", {"text": "text"}),
        ("text", {"template": "{user}: {text}"}),
        ("label", {"text": "text"}),
        ("user", {"text": "text", "text_pair": "user"}),
        ("user", {"text": "text", "group": "user"}),
    ],
    ids=["text", "template", "label", "pair", "group"],
)
def test_a_damaged_cell_that_is_used_costs_its_row_alone(
    tmp_path: Path, suffix: str, column: str, settings: dict[str, str]
) -> None:
    data = load(damaged_file(tmp_path, suffix, column), label="label", **settings)
    rows = data.whole_splits().values()
    assert sum(map(len, rows)) == 19
    assert data.labels == ["a", "b"]
    assert data.dropped == {"row that cannot be read": 1}
    assert not any("\ufffd" in text for part in rows for text in part.texts)
    line = BAD + (1 if suffix == "jsonl" else 2)
    assert any(f"line {line}: holds bytes that are not utf-8 text" in warning for warning in data.warnings)


def test_damaged_names_of_json_cost_the_row(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in ROWS]
    lines[3] = lines[3].replace(b'"user"', b'"us\xe9r"')
    lines[7] = lines[7].replace(b'"user": "u7 ', b'"user": ["u7 \xe9"], "x": "')
    path.write_bytes(b"\n".join(lines))
    assert load(path, text="text").dropped == {"row that cannot be read": 2}


def test_a_damaged_row_of_an_export_is_left_out_whichever_cell_it_is_in(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": [row["label"]], "Comments": [], "by": "é"} for row in ROWS]
    path = write_lines(tmp_path / "d.jsonl", rows)
    path.write_bytes(path.read_bytes().replace(b'"by": "\\u00e9"', b'"by": "\xe9"', 1))
    table = read_sources(DataSection(source=str(path), encoding="utf-8", skip_bad_rows=True))["all"]
    assert len(table) == 19
    assert table.dropped == {"row that cannot be read": 1}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_new_texts_are_left_out_where_the_text_is_damaged_and_nowhere_else(tmp_path: Path, suffix: str) -> None:
    reading = Reading("single_label", ["a", "b"], text="text")
    section = {"encoding": "utf-8", "skip_bad_rows": True}
    found = read_input(DataSection(source=str(damaged_file(tmp_path, suffix, "text")), **section), reading)
    assert list(found.texts) == [row["text"] for number, row in enumerate(ROWS) if number != BAD]
    assert found.table.dropped == {"row that cannot be read": 1}
    line = BAD + (1 if suffix == "jsonl" else 2)
    assert f"line {line}: holds bytes that are not utf-8 text" in found.warnings[0]

    path = damaged_file(tmp_path, suffix, "user")
    found = read_input(DataSection(source=str(path), **section), reading)
    assert list(found.texts) == [row["text"] for row in ROWS]
    assert not found.table.dropped
    assert found.warnings == (
        f"{path}: bytes that are not text, in columns that are not read, are written as \ufffd: 'user' (1 rows)",
    )
    assert usable_columns(found.table)[1]["user"] == "text"


def test_unlabelled_texts_are_left_out_where_the_text_is_damaged_and_nowhere_else(tmp_path: Path) -> None:
    labelled = write_lines(tmp_path / "l.jsonl", [{"text": f"labelled {n}", "label": "ab"[n % 2]} for n in range(20)])
    for column, count in (("user", 20), ("text", 19)):
        data = load(labelled, unlabelled=str(damaged_file(tmp_path, "jsonl", column)))
        assert data.unlabelled is not None
        assert len(data.unlabelled) == count
        assert data.unlabelled.ids[-1] == "20"
