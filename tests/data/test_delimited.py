"""CSV and TSV as people keep them: which way of reading is taken, what is said of it, and every line is counted."""

import csv
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune.data import dialect
from finetune.data.encoding import TextFile
from finetune.data.load import load_data
from finetune.data.sources import read_sources
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection, resolve
from tests.raising import refusal

Write = Callable[..., Path]
ROWS = [(f"some text number {row}", "pos" if row % 3 else "neg") for row in range(40)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(lines: list[str], name: str = "d.csv", end: str = "\n") -> Path:
        path = tmp_path / name
        path.write_bytes((end.join(lines) + end).encode())
        return path

    return write_file


def only(path: Path, **settings: Any) -> Table:
    (table,) = read_sources(DataSection(source=str(path), **settings)).values()
    physical = len(path.read_text(encoding="utf-8").splitlines()) if path.suffix in (".csv", ".tsv") else 0
    assert sum(table.lines.values()) == physical
    return table


def texts(table: Table) -> list[str]:
    return list(table.columns["text"])


def labels(table: Table) -> list[str]:
    return list(table.columns["label"])


def problem(path: Path, **settings: Any) -> str:
    return refusal(DataError, read_sources, DataSection(source=str(path), **settings))


def said(table: Table, text: str) -> str:
    (note,) = [note for note in (*table.notes, *table.warnings) if text in note]
    return note


# --- ends of lines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["one\rtwo,pos", "pos,one\rtwo"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_carriage_return_inside_a_text_is_named_and_makes_no_rows_of_halves(write: Write, row: str, end: str) -> None:
    path = write(["text,label", *(",".join(cells) for cells in ROWS), row], end=end)
    for settings in ({}, {"skip_bad_rows": True}, {"quoting": "none"}):
        said = problem(path, **settings)
        assert said.startswith(f"{path} line 42: ends with a carriage return alone (CR)")
    mended = subprocess.run(shlex.split(said.split("Try: ")[1].split(" > ")[0]), capture_output=True, check=True).stdout
    path.write_bytes(mended)
    assert len(only(path)) == 41


def test_quoted_carriage_returns_and_files_that_end_lines_so_are_read(write: Write) -> None:
    quoted = write(["text,label", '"one\rtwo",pos', "three,neg"])
    (table,) = read_sources(DataSection(source=str(quoted))).values()
    assert texts(table) == ["one\rtwo", "three"]
    assert len(only(write(["text,label", *(",".join(row) for row in ROWS)], "old.csv", end="\r"))) == 40
    mostly = write(["text,label", *(",".join(row) for row in ROWS), "one cell"], "mostly.csv", end="\r")
    mostly.write_bytes(mostly.read_bytes() + b"last,pos\n")
    assert "line 42: 1 cells where the header has 2" in problem(mostly)


# --- quotes that enclose no cells ------------------------------------------------------------------------------


def stray_quotes() -> list[tuple[str, str]]:
    rows = list(ROWS)
    rows[5] = ('"Best phone I ever had, said she', "pos")
    rows[20] = ('the screen is only 5"', "neg")
    rows[30] = ('"quoted" at the start', "neg")
    return rows


@pytest.mark.parametrize("delimiter", ["\t", "|"])
@pytest.mark.parametrize("label_first", [True, False])
def test_quotes_of_a_file_without_quoting_join_no_rows(write: Write, delimiter: str, label_first: bool) -> None:
    rows = stray_quotes()
    lines = [("text", "label"), *rows]
    path = write([delimiter.join(row[::-1] if label_first else row) for row in lines], "d.tsv")
    table = only(path)
    reference = list(csv.reader(path.open(encoding="utf-8"), delimiter=delimiter, quoting=csv.QUOTE_NONE))[1:]
    assert sorted(zip(texts(table), labels(table), strict=True)) == sorted(
        (row[label_first], row[not label_first]) for row in reference
    )
    note = said(table, "enclose no cells")
    assert "all 41 lines fit" in note
    assert "--set data.quoting=minimal" in note


def test_the_note_names_the_lines_that_would_be_joined(write: Write) -> None:
    rows = [("text", "label"), *stray_quotes()[:30]]
    path = write(["\t".join(row[::-1]) for row in rows], "d.tsv")
    assert "would join lines 7 to 22 into one row" in said(only(path), "enclose no cells")
    joined = only(path, quoting="minimal")
    assert len(joined) == 15
    assert "lines 7 to 22 are one row. Is a quote left open in line 7?" in joined.warnings[0]
    assert "--set data.quoting=none" in joined.warnings[0]
    assert only(path, quoting="none").notes == []


def test_a_quote_far_from_the_first_rows_joins_no_rows_either(write: Write) -> None:
    rows = [(f"text {row}", "ab"[row % 2]) for row in range(700)]
    rows[600], rows[650] = ('"open', "a"), ('closed by chance"', "b")
    table = only(write(["label\ttext", *(f"{label}\t{text}" for text, label in rows)], "d.tsv"))
    assert texts(table) == [text for text, _ in rows]


def test_lines_of_a_text_are_no_rows_where_their_cells_are_of_no_other_row(write: Write) -> None:
    """Every line has the delimiter of a row, but `a second` is no label."""
    rows = [("text", "label"), *ROWS, ("one line, a comma\nand one more, a second", "pos")]
    path = write([f'"{text}",{label}' if "\n" in text else f"{text},{label}" for text, label in rows])
    table = only(path)
    assert labels(table) == [label for _, label in rows[1:]]
    assert texts(table)[-1] == rows[-1][0]
    assert table.warnings == []


def test_a_quote_left_open_among_quoted_cells_is_a_warning_with_its_lines(write: Write) -> None:
    lines = [f'"{text}, and more",{label}' for text, label in ROWS]
    lines[10], lines[20:] = '"open,pos', [f"{text},{label}" for text, label in ROWS[20:]]
    lines[11:20] = [f"{text},{label}" for text, label in ROWS[11:20]]
    lines[20] = 'a screen of 19",neg'
    table = only(write(["text,label", *lines]))
    assert len(table) == 30
    assert "lines 12 to 22 are one row" in said(table, "Is a quote left open")


def test_a_row_of_many_lines_is_joined_once_and_no_file_is_read_again_for_a_note(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[int] = []
    really_cells, really_lines = dialect._enclosed_cells, TextFile.lines
    monkeypatch.setattr(
        dialect, "_enclosed_cells", lambda text, way: (joined.append(len(text)), really_cells(text, way))[1]
    )
    lines = ['"text","label"\n', '"first\n', *("some more of this text\n" for _ in range(500)), 'last","pos"\n']
    records = [cells for _, _, cells in dialect.Dialect(",", every=True).records(lines)]
    assert records[1] == ["".join(lines[1:])[1:-8], "pos"]
    assert sum(joined) <= 2 * sum(map(len, lines))
    passed: list[str] = []

    def counted(file: TextFile, newline: str | None) -> Iterator[str]:
        for line in really_lines(file, newline):
            passed.append(line)
            yield line

    monkeypatch.setattr(TextFile, "lines", counted)
    rows = [*stray_quotes(), *((f"a further text {row}", "pos" if row % 3 else "neg") for row in range(5000))]
    table = only(write(["text\tlabel", *("\t".join(row) for row in rows)], "d.tsv"))
    said(table, "enclose no cells")
    assert len(passed) < 4 * len(rows)  # to read them, and to see that the lines are rows


def test_texts_of_many_lines_stay_rows_and_are_counted(write: Write) -> None:
    rows = [(f"{text}\n\nsecond\nthird", label) for text, label in ROWS]
    table = only(write(["text,label", *(f'"{text}",{label}' for text, label in rows)]))
    assert texts(table) == [text for text, _ in rows]
    assert table.lines == {"row": 40, "header": 1, "further line of a row": 120}
    assert table.warnings == []


def test_a_bad_row_is_a_bad_row_in_every_way_of_reading(write: Write) -> None:
    lines = [f"{label}\t{text}" for text, label in stray_quotes()]
    lines[33] += "\tsurplus"
    path = write(["label\ttext", *lines], "d.tsv")
    assert problem(path).startswith(f"{path} line 35: 3 cells where the header has 2 (label, text).")
    table = only(path, skip_bad_rows=True)
    assert len(table) == 39
    assert table.lines == {"row": 39, "left out": 1, "header": 1}


# --- other ways of quoting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "cell"),
    [
        ({"data.escape": "\\"}, r'"he said \"{}\", and left C:\new"'),
        ({"data.quote_char": "'"}, "'{}, and it''s \"so\" on'"),
        ({"data.quoting": "all"}, '"a "{}" of 5" or so"'),
    ],
    ids=["escape", "single", "sloppy"],
)
def test_other_ways_of_quoting_are_detected_and_can_be_named(write: Write, settings: dict[str, str], cell: str) -> None:
    enclosed = "data.quoting" in settings
    lines = [f"{cell.format(text)},{f'{chr(34)}{label}{chr(34)}' if enclosed else label}" for text, label in ROWS]
    header = '"text","label"' if enclosed else "text,label"
    path = write([header, *lines])
    table = only(path)
    plain = cell[1:-1].replace('\\"', '"').replace("''", "'")
    assert texts(table) == [plain.format(text) for text, _ in ROWS]
    assert labels(table) == [label for _, label in ROWS]
    assert "all 41 lines fit" in said(table, "--set data.quoting=minimal")
    typed = resolve("your-data", data=str(path), overrides=[f"{key}={value}" for key, value in settings.items()])
    (named,) = read_sources(typed.recipe.data).values()
    assert (texts(named), named.notes) == (texts(table), [])


def test_single_quotes_around_every_cell_of_a_column_are_quotes_even_without_a_delimiter_inside(write: Write) -> None:
    table = only(write(["text,label", *(f"'{text}','{label}'" for text, label in ROWS)]))
    assert labels(table) == [label for _, label in ROWS]
    assert said(table, "single quotes")


@pytest.mark.parametrize("text", ["'tis the season", "'quoted'", "rock 'n' roll", "C:\\", 'a \\" b', '5" nail', "#tag"])
def test_a_text_with_odd_marks_among_others_stays_as_it_is(write: Write, text: str) -> None:
    rows = [*ROWS, (text, "pos")]
    table = only(write(["text,label", *(f"{text},{label}" for text, label in rows)]))
    assert texts(table) == [text for text, _ in rows]
    assert table.notes == []


def test_a_cell_without_quotes_is_a_bad_row_where_all_have_them(write: Write) -> None:
    path = write(['"text","label"', '"one","a"', "two,b", '"three","b"'])
    assert f"{path} line 3: malformed CSV: a cell is not in quotes" in problem(path, quoting="all")
    assert texts(only(path, quoting="all", skip_bad_rows=True)) == ["one", "three"]


def test_settings_that_contradict_each_other_are_refused(write: Write) -> None:
    path = write(["text,label", "one,a"])
    assert "data.quote_char: has no meaning where quoting is none" in problem(path, quoting="none", quote_char="'")


@pytest.mark.parametrize("key", ["quoting", "quote_char", "escape", "comment", "header", "columns"])
def test_settings_of_csv_are_refused_for_other_formats(tmp_path: Path, key: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "a", "label": "b"}\n', encoding="utf-8")
    value = {"quoting": "none", "header": False, "columns": ["a"]}.get(key, "'")
    assert f"data.{key}: has no meaning for {path}: it acts on CSV, TSV, text table only" in problem(
        path, **{key: value}
    )


# --- what stands above and between the rows --------------------------------------------------------------------


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_the_line_in_which_excel_names_the_delimiter_is_no_row(write: Write, line: str) -> None:
    table = only(write([line, "text;label", "one, two;a", "three;b"], end="\r\n"))
    assert texts(table) == ["one, two", "three"]
    assert table.lines == {"delimiter line": 1, "header": 1, "row": 2}
    assert said(table, "line 1: names the delimiter, ';'")


@pytest.mark.parametrize("mark", ["#", "//", "%"])
def test_comments_above_the_header_are_left_out(write: Write, mark: str) -> None:
    table = only(write([f"{mark} exported, by a tool", "", f"{mark} rows: 40", "text,label", "#one,a", "two,b"]))
    assert texts(table) == ["#one", "two"]
    assert table.lines == {"comment": 2, "blank": 1, "header": 1, "row": 2}
    assert said(table, "2 lines above the header are comments")


def test_a_header_may_start_as_comments_do(write: Write) -> None:
    table = only(write(["# about this", "# text,label", "one,a", "two,b"]))
    assert (texts(table), labels(table)) == (["one", "two"], ["a", "b"])
    assert said(table, "line 2: is the header, although")


def test_texts_that_start_with_a_hashtag_are_no_comments(write: Write) -> None:
    lines = [f"#tag{row} is here,{'ab'[row % 2]}" for row in range(20)]
    assert len(only(write(lines), columns=["text", "label"], header=False)) == 20


def test_a_comment_between_rows_is_named_with_the_setting_that_leaves_it_out(write: Write) -> None:
    path = write(["text,label", "one,a", "# second part", '"two\n#not one",b', "#", "three,b"])
    assert problem(path).startswith(f"{path} line 3: 1 cells where the header has 2 (text, label).")
    assert "--set 'data.comment=#' (if such lines are comments)" in problem(path)
    table = only(path, comment="#")
    assert texts(table) == ["one", "two\n#not one", "three"]
    assert table.lines == {"header": 1, "row": 3, "comment": 2, "further line of a row": 1}


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_separators_of_lines_that_are_none_in_csv_end_no_row(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(f"text,label\none{separator}two,a\nthree,b\n".encode())
    (table,) = read_sources(DataSection(source=str(path))).values()
    assert texts(table) == [f"one{separator}two", "three"]
    assert table.lines == {"row": 2, "header": 1}


def test_blank_and_total_rows_are_counted_and_all_adds_up(write: Write) -> None:
    path = write(["text,label", *(f"{text},{label}" for text, label in ROWS), ",", "", "Total: 40 rows,", ","])
    data = load_data(DataSection(source=str(path)))
    assert f"{path}: 45 lines = 43 rows read + 0 left out + 1 header + 1 blank" in data.notes
    assert data.notes[-1] == (
        "43 rows in all = 24 train + 8 test + 8 validation + 2 left out (empty text) + 1 left out (empty label)"
    )


def test_rows_that_no_split_asks_for_are_counted_too(write: Write) -> None:
    path = write(["text,label", *(f"{text},{label}" for text, label in ROWS)])
    data = load_data(DataSection(source=str(path), train_size=10))
    assert data.notes[-1].endswith(" + 8 validation + 14 in no split (sizes of splits, data.split_file)")


# --- the header ------------------------------------------------------------------------------------------------


def test_a_first_line_that_looks_like_data_is_said_with_what_to_type(write: Write) -> None:
    path = write([f"{label}\t{text}" for text, label in ROWS], "d.tsv")
    told = problem(path)
    assert told.startswith(f"data.header: {path} line 1: the first line looks like data")
    assert "its 'neg' is also in 13 of the next 39 rows" in told
    assert """--set data.header=false --set 'data.columns=["label", "text"]'""" in told
    settings = ["data.header=false", 'data.columns=["label", "text"]']
    section = resolve("your-data", data=str(path), overrides=settings).recipe.data
    (table,) = read_sources(section).values()
    assert (texts(table), labels(table)) == tuple(map(list, zip(*ROWS, strict=True)))
    assert table.lines == {"row": 40}


def test_named_columns_are_enough_where_the_first_line_looks_like_data(write: Write) -> None:
    table = only(write([f"{text},{label}" for text, label in ROWS]), columns=["text", "label"])
    assert len(table) == 40
    assert said(table, "line 1: is the first row")


def test_numbers_in_the_first_line_are_data_too(write: Write) -> None:
    path = write([f"{text},{row / 7:.2f}" for row, (text, _) in enumerate(ROWS)])
    assert "its '0.00' is a number, as in the next 39 rows" in problem(path)


@pytest.mark.parametrize("header", ["v1,v2", "message,pos", "0,1"])
def test_a_header_that_may_be_one_is_one(write: Write, header: str) -> None:
    path = write([header, *(f"{text},{label}" for text, label in ROWS)])
    assert len(only(path)) == 40
    renamed = only(path, columns=["text", "label"], header=True)
    assert list(renamed.columns) == ["text", "label"]
    assert said(renamed, f"is the header ({header.replace(',', ', ')}), which data.columns replaces")


def test_a_header_against_the_evidence_is_a_warning(write: Write) -> None:
    path = write([f"{text},{label}" for text, label in ROWS])
    assert len(only(path, header=True)) == 39
    (warning,) = only(path, header=True).warnings
    assert "line 1: is used as the header (data.header), but its 'neg' is also in" in warning
    named = write(["text,label", *(f"{text},{label}" for text, label in ROWS)])
    table = only(named, header=False)
    assert list(table.columns) == ["column 1", "column 2"]
    assert "is used as a row (data.header), but holds typical names of columns: text, label" in table.warnings[0]


def test_another_number_of_names_than_cells_is_refused(write: Write) -> None:
    path = write(["text,label", "one,a"])
    assert "has 2 cells (text, label), and data.columns names 1 columns" in problem(path, columns=["text"])
    assert '--set \'data.columns=["text", "column 2"]\'' in problem(path, columns=["text"])


# --- columns without a name ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [",,,", ",Unnamed: 2,Unnamed: 3,Unnamed: 4"])
def test_text_that_runs_on_into_columns_without_a_name_is_a_warning_and_can_be_used(write: Write, names: str) -> None:
    lines = [f"{label},{text},,," for text, label in ROWS]
    lines[6], lines[9] = "pos,it starts, goes on, and on,", "neg,it starts, and ends,,"
    path = write([f"v1,v2{names}", *lines])
    warning = said(only(path), "columns without a name hold text in 2 of 40 rows (rows 7, 10)")
    typed = [part for part in shlex.split(warning[warning.index("--set ") :]) if part != "--set"]  # as a shell does
    data = load_data(resolve("your-data", data=str(path), overrides=[*typed, "data.label=v1"]).recipe.data)
    found = {text.strip() for part in (data.train, data.validation, data.test) if part for text in part.texts}
    assert {"it starts  goes on  and on", "it starts  and ends"} <= found


def test_an_index_and_empty_columns_without_a_name_are_left_out(write: Write) -> None:
    table = only(write([",text,label,", *(f"{row},{text},{label}," for row, (text, label) in enumerate(ROWS))]))
    assert list(table.columns) == ["text", "label"]
    assert said(table, "column 1 has no name and is left out (an index")
    assert said(table, "column 4 has no name and is left out (it is empty)")
    assert table.warnings == []


# --- what the fuzzer found ---------------------------------------------------------------------------------------


def test_doubled_quotes_beside_a_delimiter_end_no_cell(write: Write) -> None:
    rows = [('say "a"|"b" twice', "pos"), ("plain", "neg"), ('"|"', "pos")]
    lines = ['"' + '"|"'.join(cell.replace('"', '""') for cell in row) + '"' for row in rows]
    table = only(write(lines), quoting="all", delimiter="|", columns=["text", "label"], header=False)
    assert list(zip(texts(table), labels(table), strict=True)) == rows


def test_rows_that_start_as_comments_do_are_rows_in_a_file_without_a_header(write: Write) -> None:
    lines = ["%one,pos", "%two,neg", "three,pos", "four,neg"]
    table = only(write(lines), columns=["text", "label"], header=False, delimiter=",", quoting="none")
    assert texts(table) == ["%one", "%two", "three", "four"]


@pytest.mark.parametrize("said", [{"header": False, "delimiter": "|"}, {}])
def test_such_a_row_is_a_row_whatever_the_one_below_it_holds(write: Write, said: dict[str, Any]) -> None:
    lines = [
        "//one|pos",
        '"two | and more"|neg',
        *(f"{number} more|{'pos' if number % 2 else 'neg'}" for number in range(6)),
    ]
    table = only(write(lines), columns=["text", "label"], **said)
    assert texts(table)[:2] == ["//one", "two | and more"]
    assert len(texts(table)) == 8


def test_a_reading_that_loses_a_line_is_not_preferred_to_one_that_joins_two(write: Write) -> None:
    """The backslash is of the text, the quotes after it are doubled, and the row goes on after a carriage return."""
    odd = ',\\""] and\rmore'
    lines = ['"text","label"', '"' + odd.replace('"', '""') + '","neg"', *(f'"row {n}","pos"' for n in range(8))]
    assert texts(only(write(lines)))[0] == odd


def test_a_backslash_at_the_end_of_a_cell_is_no_escape_where_all_lines_fit(write: Write) -> None:
    rows = ['"a;path\\";pos', '";of\nmany";pos', *(f"text {n};{'neg' if n % 2 else 'pos'}" for n in range(10))]
    table = only(write(["text;label", *rows]), delimiter=";")
    assert texts(table)[:2] == ["a;path\\", ";of\nmany"]
    assert len(table) == 12
