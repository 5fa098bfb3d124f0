"""Headers that lack a name, that stand in a file twice, and rows that describe the columns."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from finetune.data.load import load_data
from finetune.data.sources import read_sources
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.raising import refuses

ROWS = [[f"the text, number {n}", "ab"[n % 2]] for n in range(20)]


def written(rows: Sequence[Sequence[str]], delimiter: str = ",") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return file.getvalue()


def read(path: Path, content: str) -> Table:
    path.write_text(content, encoding="utf-8")
    table = read_sources(DataSection(source=str(path)))["all"]
    assert sum(table.lines.values()) == len(content.splitlines())
    return table


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_numbers_of_rows_without_a_name_for_their_column_as_r_writes_them(
    tmp_path: Path, suffix: str, delimiter: str
) -> None:
    rows = [[str(n), *row] for n, row in enumerate(ROWS, start=1)]
    table = read(tmp_path / f"d.{suffix}", written([["text", "label"], *rows], delimiter))
    assert list(table.columns) == ["text", "label"]
    assert list(table.columns["label"]) == [label for _, label in ROWS]
    assert any("line 1: names one column less than rows have cells; the first cell" in note for note in table.notes)


@pytest.mark.parametrize("head", [["text", "label"], ["", "text", "label"]], ids=["no cell", "empty cell"])
@pytest.mark.parametrize(
    ("name", "delimiter", "quoting"),
    [("Mazda RX{}", ",", csv.QUOTE_ALL), ("Mazda RX{}", "\t", csv.QUOTE_MINIMAL), ("doc_{}", ";", csv.QUOTE_MINIMAL)],
)
def test_texts_that_name_rows_as_r_writes_them(
    tmp_path: Path, head: list[str], name: str, delimiter: str, quoting: Literal[0, 1]
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=quoting)
    writer.writerows([head, *([name.format(n), *row] for n, row in enumerate(ROWS))])
    table = read(tmp_path / "d.csv", file.getvalue())
    assert list(table.columns) == ["column 1", "text", "label"]
    assert list(table.columns["text"]) == [text for text, _ in ROWS]
    assert list(table.columns["label"]) == [label for _, label in ROWS]
    assert table.warnings == []
    assert any(
        f"column 1 has no name and another text in each row, such as '{name.format(0)}': names of rows" in note
        and "--set 'data.id=column 1'" in note
        for note in table.notes
    )
    data = load_data(DataSection(source=str(tmp_path / "d.csv"), id="column 1"))
    assert data.train.name(0) is not None


def test_a_word_before_the_comma_of_each_text_is_no_name_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    words = ["good", "bad", "nice", "awful", "fine", "great", "poor", "dull"]
    path.write_text("text,label\n" + "".join(f"{word},it is,a\n" for word in words), encoding="utf-8")
    with refuses(DataError, "line 2: 3 cells where the header has 2"):
        load_data(DataSection(source=str(path)))


def test_a_space_between_cells_in_quotes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    rows = [f'"{n}" "{text}" "{label}"\n' for n, (text, label) in enumerate(ROWS)]
    path.write_text('"text" "label"\n' + "".join(rows), encoding="utf-8")
    with refuses(DataError, "--set 'data.delimiter=\" \"' .if a space separates cells, as R writes tables"):
        load_data(DataSection(source=str(path)))
    data = load_data(DataSection(source=str(path), delimiter=" "))
    assert data.columns == {"text": "text", "label": "label"}


@pytest.mark.parametrize("end", [["text", "label"], ["text", "label", ""]], ids=["rows alone", "all lines"])
def test_a_delimiter_at_the_end_of_rows(tmp_path: Path, end: list[str]) -> None:
    table = read(tmp_path / "d.csv", written([end, *([*row, ""] for row in ROWS)], ";"))
    assert {name: list(column) for name, column in table.columns.items()} == {
        "text": [text for text, _ in ROWS],
        "label": [label for _, label in ROWS],
    }


def test_a_delimiter_in_every_text_is_still_an_error(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS), encoding="utf-8")
    with refuses(DataError, "line 2: 3 cells where the header has 2"):
        load_data(DataSection(source=str(path)))


def test_a_space_before_a_quote_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("label, text\n" + "".join(f'{label}, "{text}"\n' for text, label in ROWS), encoding="utf-8")
    with refuses(DataError, "line 2: 3 cells.*A quote encloses a cell only at its start; here a space is before it"):
        load_data(DataSection(source=str(path)))


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "marked"])
@pytest.mark.parametrize("lines", [1, 2], ids=["a line each", "several lines"])
def test_the_header_of_a_second_file_in_one_is_no_row(tmp_path: Path, mark: str, lines: int) -> None:
    rows = [["\n".join([text] * lines), label] for text, label in ROWS]
    parts = [written([["text", "label"], *rows[:8]]), written([["text", "label"], *rows[8:]])]
    table = read(tmp_path / "d.csv", mark + mark.join(parts))
    assert list(table.columns["text"]) == [text for text, _ in rows]
    assert table.lines["header"] == 2
    again = 2 + 8 * lines
    assert table.notes == [
        f"{tmp_path}/d.csv: no rows, as they repeat the header or describe the columns: line {again}"
    ]


def test_what_qualtrics_writes_below_the_header_is_no_data(tmp_path: Path) -> None:
    ids = ['{"ImportId":"QID1_TEXT"}', '{"ImportId":"QID2"}']
    head = [["Q1", "Q2"], ["How was your visit,\nin your words?", "And overall?"], ids]
    table = read(tmp_path / "d.csv", written([*head, *ROWS]))
    assert list(table.columns["Q2"]) == [label for _, label in ROWS]
    assert (table.lines["header"], table.lines["row"]) == (4, 20)


def test_what_surveymonkey_writes_below_the_header_is_no_data(tmp_path: Path) -> None:
    rows = [[str(118000 + n), *row] for n, row in enumerate(ROWS)]
    head = [["Respondent ID", "What did you like?", "Overall?"], ["", "Open-Ended Response", "Response"]]
    table = read(tmp_path / "d.csv", written([*head, *rows]))
    assert list(table.columns["Overall?"]) == [label for _, label in ROWS]
    assert (table.lines["header"], table.lines["row"]) == (2, 20)


def test_curly_quotes_around_cells_are_named(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label\n" + "".join(f"\u201c{text}\u201d,{label}\n" for text, label in ROWS), encoding="utf-8")
    with refuses(DataError, "line 2: 3 cells.*Cells are enclosed in curly quotes.*Try: perl -CSD"):
        load_data(DataSection(source=str(path)))


def test_a_title_above_the_header_is_named_with_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(
        "Survey 2024\n\ntext,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS), encoding="utf-8"
    )
    with refuses(DataError, "Does the table start below line 2\\?.*Try: tail -n \\+3 .*d.csv > d-mended.csv"):
        load_data(DataSection(source=str(path)))
