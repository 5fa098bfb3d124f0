"""What is told from a file's bytes and rows, what bad rows do, and the formats of `datasets`."""

import datetime
import decimal
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from finetune.data.sources import read_sources
from finetune.data.table import CHUNK, Column, RowNumbers, Table, pack, pick, readable_rows
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.conftest import write_jsonl
from tests.raising import refusal, refuses

Write = Callable[[str | bytes, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(content: str | bytes, name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def tables(source: Path | str, **settings: Any) -> dict[str, Table]:
    return read_sources(DataSection(source=str(source), **settings))


def only(source: Path | str, **settings: Any) -> Table:
    found = tables(source, **settings)
    assert list(found) == ["all"]
    return found["all"]


def columns(table: Table) -> dict[str, list[Any]]:
    return {name: list(column) for name, column in table.columns.items()}


def problem(source: Path | str, **settings: Any) -> str:
    text = refusal(DataError, tables, source, **settings)
    assert len(text.splitlines()) == 1
    return text


# --- packed columns --------------------------------------------------------------------------------------------


def test_a_column_is_a_sequence_over_its_chunks() -> None:
    values: list[Any] = ["a", None, "é", 5, "x", "", [1]]
    column = Column([pack(values[:3]), [], pack(values[3:4]), pack(values[4:6]), pack(values[6:])])
    assert list(column) == values
    assert len(column) == 7
    assert [column[index] for index in range(-7, 7)] == values + values
    assert column[1:6:2] == values[1:6:2]
    assert "é" in column
    with pytest.raises(IndexError):
        column[7]


@pytest.mark.parametrize(
    "values",
    [
        [f"text {i} é漢😀" for i in range(50)],
        ["a", "b"] * 30,
        ["a\0b", "c", "d"],
        ["", "", "x"],
        [""],
        ["a", None],
        [1, "a"],
        [True, 2.5],
        [],
    ],
    ids=ascii,
)
def test_what_is_packed_comes_back_as_it_was(values: list[Any]) -> None:
    column = Column([pack(values), pack(values[:1])] if values else [pack(values)])
    assert list(column) == [column[i] for i in range(len(column))] == values + values[:1]


def test_equal_texts_of_a_chunk_are_one_object() -> None:
    packed = pack(["".join(["la", "bel"]) for _ in range(50)])
    assert len({id(value) for value in packed}) == 1


def test_picked_values_are_those_at_the_positions() -> None:
    column = Column([pack([f"t{i}" for i in range(start, start + 20)]) for start in (0, 20)])
    assert column.holds_texts()
    assert not Column([["a", 1]]).holds_texts()
    picked = pick(pick(column, range(40)), [39, 3, 3, 20])
    assert list(picked) == [picked[i] for i in range(4)] == picked[:] == ["t39", "t3", "t3", "t20"]
    assert list(pick(picked, [1, 0])) == ["t3", "t39"]
    assert list(pick(RowNumbers(5), [4, 0])) == ["5", "1"]
    assert pick(["a", "b"], [1]) == ["b"]


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_no_row_is_lost_between_chunks(write: Write, extra: int) -> None:
    count = CHUNK + extra
    path = write("text,label\n" + "".join(f"t{i},l{i % 3}\n" for i in range(count)), "d.csv")
    assert columns(only(path)) == {
        "text": [f"t{i}" for i in range(count)],
        "label": [f"l{i % 3}" for i in range(count)],
    }


def test_a_key_that_comes_late_is_none_before(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", **({"label": i} if i > CHUNK else {})} for i in range(CHUNK + 3)]
    found = columns(only(write_jsonl(tmp_path / "d.jsonl", rows)))
    assert found == {key: [row.get(key) for row in rows] for key in ("text", "label")}


# --- encoding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize(("name", "content"), [("d.csv", "text,label\ncafé,ü\n"), ("d.json", '[{"text": "café"}]')])
def test_a_byte_order_mark_is_believed(write: Write, encoding: str, name: str, content: str) -> None:
    table = only(write(content.encode(encoding), name))
    assert list(table.columns["text"]) == ["café"]
    assert len(table.notes) == (encoding != "utf-8-sig")
    assert table.warnings == []


def test_an_encoding_that_is_guessed_is_told_with_an_example(write: Write) -> None:
    path = write("text,label\nfine,a\nEl niño comió piñas en España,b\nit’s,c\n".encode("cp1252"), "d.csv")
    table = only(path)
    assert list(table.columns["text"]) == ["fine", "El niño comió piñas en España", "it’s"]
    (warning,) = table.warnings
    assert warning.startswith(
        f"{path}: is not UTF-8. It is read as cp1252, which is a guess: line 3 holds 'El niño comió"
    )
    assert "--set data.encoding=" in warning


def test_a_guess_shows_what_the_text_would_be_otherwise(write: Write) -> None:
    path = write("text,label\nfine,a\nEl niño comió piñas en España,b\nit’s,c\n".encode("cp1252"), "d.csv")
    (warning,) = only(path).warnings
    assert "It would be 'El nińo comió pińas en Espańa,b' as cp1250" in warning


def test_a_file_that_is_mostly_utf8_points_to_its_bad_lines_and_to_no_other_encoding(write: Write) -> None:
    good = "".join(f"café número {i},a\n" for i in range(20)).encode()
    path = write(b"text,label\n" + good + b"caf\xe9,a\n" + good + b"\xfcber,b\n", "d.csv")
    said = problem(path)
    assert said.startswith(f"{path} line 22: byte 0xe9 is not utf-8. The file is UTF-8 otherwise (80 characters")
    assert "2 lines are not: 22, 43" in said
    assert "cp1252" not in said
    assert "--set data.skip_bad_rows=true" in said
    assert len(readable_rows(only(path, skip_bad_rows=True))) == 40
    table = readable_rows(only(path, encoding="utf-8", skip_bad_rows=True))
    assert table.dropped == {"row that cannot be read": 2}


def test_a_named_encoding_that_makes_nonsense_of_utf8_is_a_warning(write: Write) -> None:
    path = write("text,label\ncafé,a\n", "d.csv")
    (warning,) = only(path, encoding="cp1252").warnings
    assert "'café,a' becomes 'cafÃ©,a'. Try: --set data.encoding=utf-8" in warning
    path.write_bytes("text,label\ncafé,a\n".encode("cp1252"))
    assert only(path, encoding="cp1252").warnings == []


def test_a_named_encoding_that_does_not_fit_is_answered_by_others(write: Write) -> None:
    path = write("text,label\ncafé,a\nPřehled Łódź ŕ\x81,a\n".encode(), "d.csv")
    assert "every byte is UTF-8. Try: --set data.encoding=utf-8" in problem(path, encoding="cp1252").replace("E", "e")
    path.write_bytes("text,label\nEl niño comió piñas,b\n".encode("cp1252"))
    assert "--set data.encoding=cp1252 (reads 'El niño" in problem(path, encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (gzip.compress(b"text,label\n"), "is a .gz file by its first bytes, not text"),
        (b"PAR1" + bytes(20), "is a .parquet file by its first bytes"),
    ],
    ids=["gz", "parquet"],  # a packed file holds the time
)
def test_a_file_that_is_no_text_is_told_by_its_first_bytes(write: Write, content: bytes, expected: str) -> None:
    assert expected in problem(write(content, "d.csv"))


def test_a_cyrillic_file_is_guessed(write: Write) -> None:
    lines = ["Привет, как дела", "очень хороший фильм", "мне не понравилось это кино"]
    path = write(("text\tlabel\n" + "".join(f"{line}\ta\n" for line in lines)).encode("cp1251"), "d.tsv")
    assert list(only(path).columns["text"]) == lines


@pytest.mark.parametrize("encoding", ["koi8_r", "cp866", "iso8859_5"])
def test_cyrillic_of_other_encodings_is_guessed(write: Write, encoding: str) -> None:
    lines = ["Привет, как дела", "очень хороший фильм", "мне не понравилось это кино", "ужасная игра актёров"]
    path = write(("text\tlabel\n" + "".join(f"{line}\ta\n" for line in lines)).encode(encoding), "d.tsv")
    table = only(path)
    assert list(table.columns["text"]) == lines
    assert f"It is read as {encoding}, which is a guess" in table.warnings[0]


def test_a_file_of_an_old_mac_is_guessed(write: Write) -> None:
    lines = [
        "Größe passt, Qualität überzeugt",
        "Schrecklich, ich würde es nicht weiterempfehlen – leider",
        "Très déçu, écran cassé à l’arrivée",
        "Für den Preis völlig in Ordnung",
        "Niño feliz, señora contenta",
        "“Great” value, don’t hesitate…",
    ]
    path = write(("text\tlabel\n" + "".join(f"{line}\ta\n" for line in lines)).encode("mac_roman"), "d.tsv")
    assert list(only(path).columns["text"]) == lines


def test_a_guess_shows_the_line_that_likely_encodings_read_differently(write: Write) -> None:
    """Small letters of Windows and of old Macs are the same bytes, nearly all; capitals are not."""
    lines = ["привет, как дела", "очень хороший фильм", "Ужасная игра, Музыка тоже"]
    path = write(("text\tlabel\n" + "".join(f"{line}\ta\n" for line in lines)).encode("mac_cyrillic"), "d.tsv")
    (warning,) = only(path).warnings
    assert "line 4 holds" in warning
    assert "'Ужасная игра, Музыка тоже\\ta' as mac_cyrillic" in warning
    assert list(only(path, encoding="mac_cyrillic").columns["text"]) == lines


def test_damaged_utf8_is_not_taken_for_another_encoding(write: Write) -> None:
    path = write("text,label\ncafé,a\nÜber,b\n".encode() + b"caf\xe9,a\n", "d.csv")
    assert problem(path).startswith(f"{path} line 4: byte 0xe9 is not utf-8.")
    table = readable_rows(only(path, skip_bad_rows=True))
    assert list(table.columns["text"]) == ["café", "Über"]
    assert table.dropped == {"row that cannot be read": 1}
    assert f"{path} line 4" in table.warnings[0]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_recognised_by_its_nul_bytes(write: Write, encoding: str) -> None:
    path = write("text,label\ncafé,a\n".encode(encoding), "d.csv")
    (warning,) = only(path).warnings
    assert f"is read as {encoding}, which is a guess" in warning
    assert list(only(path).columns["text"]) == list(only(path, encoding=encoding).columns["text"]) == ["café"]


def test_what_only_looks_like_utf16_is_refused_with_what_to_name(write: Write) -> None:
    path = write("text,label\ncafé,a\n".encode("utf-16-le") + b"\0\xd8", "d.csv")
    assert "--set data.encoding=utf-16-le" in problem(path)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_of_bad_bytes_are_counted_as_an_editor_does(write: Write, end: str) -> None:
    path = write(end.join(["text,label", "é,a", "ü,b", ""]).encode() + b"\xff,a", "d.csv")
    assert problem(path).startswith(f"{path} line 4: byte 0xff")


# --- delimiter -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["d.csv", "d.tsv"])
def test_the_delimiter_is_told_from_the_rows(write: Write, name: str, delimiter: str) -> None:
    rows = [["text", "label"], ["one, two; three", "a"], ["it | that", "b"], ["four\tfive", "a"]]
    content = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    table = only(write(content, name))
    assert columns(table) == {"text": [row[0] for row in rows[1:]], "label": ["a", "b", "a"]}
    usual = "," if name == "d.csv" else "\t"
    assert [f"the delimiter is {delimiter!r} (detected in" in note for note in table.notes] == [True] * (
        delimiter != usual
    )


def test_the_usual_delimiter_wins_where_two_fit(write: Write) -> None:
    assert list(only(write("text;x,label;y\na;b,c;d\n", "d.csv")).columns) == ["text;x", "label;y"]


def test_one_column_needs_no_delimiter(write: Write) -> None:
    assert columns(only(write("text\none\ntwo\n", "d.csv"))) == {"text": ["one", "two"]}


# --- bad rows --------------------------------------------------------------------------------------------------


def test_bad_rows_of_a_csv_are_left_out_counted_and_named(write: Write) -> None:
    bad = ["short", '"hi" there,a', "one,two,three"] * 3
    path = write("text,label\n" + "".join(f"fine {i},a\n{row}\n" for i, row in enumerate(bad)), "d.csv")
    table = only(path, skip_bad_rows=True, quoting="minimal")
    assert columns(table) == {"text": [f"fine {i}" for i in range(9)], "label": ["a"] * 9}
    assert table.dropped == {"row that cannot be read": 9}
    assert all(f"{path} line {2 * i + 3}: " in warning for i, warning in enumerate(table.warnings[:5]))
    assert table.warnings[5:] == ["left out: 4 more rows that cannot be read"]


def test_bad_lines_of_jsonl_are_left_out_counted_and_named(write: Write) -> None:
    path = write('{"text": "a"}\n{bad}\n[1]\n{"text": "b"}\n{"text": "\\ud800"}\n', "d.jsonl")
    assert problem(path).startswith(f"{path} line 2: not JSON")
    assert "--set data.skip_bad_rows=true" in problem(path)
    table = only(path, skip_bad_rows=True)
    assert columns(table) == {"text": ["a", "b"]}
    assert table.dropped == {"row that cannot be read": 3}
    assert all(f"{path} line {line}: " in said for line, said in zip((2, 3, 5), table.warnings, strict=True))


def test_rows_with_nul_are_bad_rows(write: Write) -> None:
    path = write("text,label\nfine,a\no\0ne,b\nlast,b\n", "d.csv")
    assert list(readable_rows(only(path, skip_bad_rows=True)).columns["text"]) == ["fine", "last"]


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('text,label\none,a\n"two,b\nthree,a\nfour,b\n', 3),
        ('text,label\none,a\n"two\nlines","three,a\nfour,b\n', 4),
        ('text,label\none,a\n"two,b\nthree,a\n"four",b\n', 3),
    ],
    ids=["to the end", "second cell", "until another quote"],
)
def test_a_quote_left_open_is_named_by_the_line_where_it_opens(
    write: Write, content: str, line: int, skip: bool
) -> None:
    path = write(content, "d.csv")
    said = problem(path, skip_bad_rows=skip, quoting="minimal")
    assert said.startswith(f"{path} line {line}: malformed CSV: ")
    assert "--set data.quoting=none (if quotes enclose no cells)" in said


def test_a_row_of_a_hundred_lines_is_looked_at(write: Write) -> None:
    lines = "".join(f"text {i},a\n" for i in range(120))
    path = write(f'text,label\n"open,a\n{lines}a screen of 19",b\nlast,a\n', "d.csv")
    (warning,) = only(path, quoting="minimal").warnings
    assert "lines 2 to 123 are one row. Is a quote left open in line 2?" in warning


def test_when_no_row_can_be_read_the_last_reason_is_said(write: Write) -> None:
    path = write("text,label\nshort\n", "d.csv")
    assert "none of its 1 rows can be read" in problem(path, skip_bad_rows=True)


# --- JSON ------------------------------------------------------------------------------------------------------

OBJECTS = [{"text": "None", "label": "007"}, {"text": "n/a", "label": "TRUE"}]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_of_objects(write: Write, indent: int | None) -> None:
    table = only(write(json.dumps(OBJECTS, indent=indent), "d.json"))
    assert columns(table) == {"text": ["None", "n/a"], "label": ["007", "TRUE"]}
    assert table.notes == []


def test_the_one_list_in_an_object_is_read_and_said(write: Write) -> None:
    path = write(json.dumps({"version": "1", "tags": ["x"], "data": OBJECTS}), "d.json")
    assert len(only(path)) == 2
    assert only(path).notes == [f"{path}: the rows are the list under 'data'"]


@pytest.mark.parametrize("name", ["d.json", "d.jsonl", "d.ndjson"])
def test_json_lines_are_recognised_in_any_of_its_suffixes(write: Write, name: str) -> None:
    path = write("".join(json.dumps(row) + "\n" for row in OBJECTS), name)
    assert columns(only(path)) == {"text": ["None", "n/a"], "label": ["007", "TRUE"]}


def test_where_there_is_no_list_of_objects_there_are_no_splits_to_save(write: Write) -> None:
    assert problem(write('{"text": "a"}', "d.json")).endswith(
        'Expected a list of objects: [{"text": "…", "label": "…"}, …].'
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"text": ["a"], "label": ["b", "a"]}, "is one object with no list of objects"),
        ({"mine": OBJECTS, "yours": OBJECTS}, "is one object with 2 lists of objects (mine, yours)"),
        ({"mine": OBJECTS, "yours": OBJECTS}, "If they are splits, name them: --set 'data.split_names="),
        ({"text": "a"}, "is one object with no list of objects"),
        ("a", "holds a str. Expected a list of objects"),
        ([], "holds no objects with keys"),
        ([{"text": "a"}, 5], "entry 2: expected an object {…}, found a int"),
    ],
)
def test_json_of_another_shape_is_refused(write: Write, content: Any, expected: str) -> None:
    assert expected in problem(write(json.dumps(content), "d.json"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[\n{"text": "a"},\n{"text" "b"}]', "line 3: not JSON"),
        ('[{"text": "a", "text": "b"}]', "key 'text' is given twice"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_json_that_is_broken_is_refused(write: Write, content: str, expected: str) -> None:
    assert expected in problem(write(content, "d.json"))


# --- Parquet, saved sets ---------------------------------------------------------------------------------------


def test_every_value_of_parquet_arrives_as_what_it_is(tmp_path: Path) -> None:
    day = datetime.date(2020, 1, 2)
    values: dict[str, list[Any]] = {
        "text": ["None", None, "007"],
        "number": [2**62, None, -1],
        "share": [0.5, float("nan"), None],
        "flag": [True, None, False],
        "parts": [["a", "b"], [], None],
        "day": [day, None, day],
        "time": [datetime.datetime(2020, 1, 2, 3, 4, 5), None, None],
        "price": [decimal.Decimal("1.50"), None, None],
    }
    pyarrow.parquet.write_table(pyarrow.table(values), tmp_path / "d.parquet")
    found = columns(only(tmp_path / "d.parquet"))
    assert found == {
        **values,
        "share": [0.5, None, None],
        "day": ["2020-01-02", None, "2020-01-02"],
        "time": ["2020-01-02T03:04:05", None, None],
        "price": ["1.50", None, None],
    }
    assert [type(value) for value in found["flag"]] == [bool, type(None), bool]


def test_categories_of_pandas_are_texts(tmp_path: Path) -> None:
    table = pyarrow.table({"label": pyarrow.array(["b", "a", None, "b"]).dictionary_encode()})
    pyarrow.parquet.write_table(table, tmp_path / "d.parquet")
    assert columns(only(tmp_path / "d.parquet")) == {"label": ["b", "a", None, "b"]}


@pytest.mark.parametrize(
    "values", [[b"a", b"b"], [{"x": b"a"}] * 2, [datetime.timedelta(1)] * 2], ids=["bytes", "in objects", "durations"]
)
def test_a_column_that_holds_no_text_fails_only_where_it_is_used(tmp_path: Path, values: list[Any]) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"], "image": values}), tmp_path / "d.parquet")
    table = only(tmp_path / "d.parquet")
    assert list(table.columns["text"]) == ["a", "b"]
    with refuses(DataError, match=r"column 'image' holds .* which is not a text"):
        list(table.columns["image"])
    with refuses(DataError, match="column 'image'"):
        table.columns["image"][0]


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99], ids=["nothing", "half", "almost all"])
def test_a_parquet_file_that_is_not_whole_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "d.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"] * 1000}), path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert "cannot be read as Parquet" in problem(path)


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "d.parquet")
    assert "has columns but no rows" in problem(tmp_path / "d.parquet")


def test_columns_of_one_name_in_parquet_are_told_apart(tmp_path: Path) -> None:
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, names=["text", "x", "x"])
    pyarrow.parquet.write_table(table, tmp_path / "d.parquet")
    assert list(only(tmp_path / "d.parquet").columns) == ["text", "x (column 2)", "x (column 3)"]


CLASSES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["negative", "positive"]),
        "tags": datasets.List(datasets.ClassLabel(names=["z", "a"])),
    }
)


def classes(count: int = 3) -> datasets.Dataset:
    rows = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0], [1, 0], []]}
    return datasets.Dataset.from_dict({key: values[:count] for key, values in rows.items()}, features=CLASSES)


@pytest.fixture
def quiet_datasets() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.mark.usefixtures("quiet_datasets")
@pytest.mark.parametrize("form", ["saved", "parquet"])
def test_classes_have_their_names_and_hand_on_their_order(tmp_path: Path, form: str) -> None:
    if form == "saved":
        classes().save_to_disk(tmp_path / "set")
    else:
        classes().to_parquet(tmp_path / "set.parquet")
    table = only(tmp_path / "set" if form == "saved" else tmp_path / "set.parquet")
    assert columns(table) == {
        "text": ["a", "b", "c"],
        "label": ["positive", "negative", None],
        "tags": [["z"], ["a", "z"], []],
    }
    assert table.label_names == {"label": ["negative", "positive"], "tags": ["z", "a"]}


@pytest.fixture
def saved(tmp_path: Path, quiet_datasets: None) -> Path:
    splits = {"train": 3, "dev": 2, "test": 1, "extra": 1}
    datasets.DatasetDict({name: classes(count) for name, count in splits.items()}).save_to_disk(tmp_path / "sets")
    return tmp_path / "sets"


def test_splits_of_a_saved_set_are_recognised_and_the_others_said(saved: Path) -> None:
    found = tables(saved)
    assert {name: len(table) for name, table in found.items()} == {"train": 3, "validation": 2, "test": 1}
    assert found["train"].notes == [f"{saved}: splits that are not used: extra"]


def test_splits_are_taken_as_the_recipe_names_them(saved: Path) -> None:
    found = tables(saved, split_names={"train": "dev", "validation": "train", "test": None})
    assert {name: len(table) for name, table in found.items()} == {"train": 2, "validation": 3}


@pytest.mark.parametrize("name", ["csv", "excel", "json_lines"])
def test_a_format_of_files_is_not_that_of_a_saved_set(saved: Path, name: str) -> None:
    said = problem(saved, format=name)
    assert "holds no train file" in said
    assert "--set data.format=null (it is a saved set)" in said
    assert list(tables(saved, format="saved_set")) == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"train": "trian"}, "has no split 'trian'. Did you mean train"),
        ({"trian": "train"}, "'trian' is none of train, validation, test"),
        ({"train": None}, "no split is recognised as train. Its splits: train, dev, test, extra"),
        ({"validation": "dev", "test": "dev"}, "split 'dev' would be used twice"),
    ],
)
def test_split_names_that_do_not_fit_are_refused(saved: Path, names: dict[str, Any], expected: str) -> None:
    assert expected in problem(saved, split_names=names)


def test_a_saved_set_that_is_not_whole_is_refused(saved: Path) -> None:
    next((saved / "train").glob("*.arrow")).write_bytes(b"")
    assert "cannot be read as a folder of `save_to_disk`" in problem(saved)


# --- the hub ---------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Stands for `datasets.load_dataset`; holds what it was asked."""
    asked: list[Any] = []

    def load(*arguments: Any, **options: Any) -> datasets.DatasetDict:
        asked.append((arguments, options))
        return datasets.DatasetDict({"train": classes()})

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    return asked


@pytest.mark.parametrize("source", ["hub:owner/name", "owner/name"])
def test_a_hub_set_is_asked_for_with_config_and_revision(hub: list[Any], source: str) -> None:
    table = only(source, config="small", revision="abc")
    assert hub == [(("owner/name", "small"), {"revision": "abc"})]
    assert table.origin == "hub:owner/name split train"
    assert table.label_names["label"] == ["negative", "positive"]


def test_what_looks_like_a_path_is_none_of_the_hub(hub: list[Any], write: Write) -> None:
    write("", "owner/other.csv")
    assert "Try: --data hub:owner/name" in problem("owner/name")
    assert "no file or folder 'some/name.csv'" in problem("some/name.csv")
    assert "no file or folder 'name'" in problem("name")
    assert "is not of the form hub:NAME" in problem("hub:a/b/c")
    assert "would read instead" in problem("hub:owner")
    rows = write("text,label\na,b\n", "rows.csv")
    for split in ("validation", "test"):  # which are files
        found = problem(rows, **{split: "their/file"})
        assert found.startswith(f"data.{split}: no file or folder 'their/file' (looked in ")
        assert found.endswith(f"Try: --set data.{split}=PATH")
    assert hub == []


def test_a_hub_set_that_cannot_be_had_says_what_to_check() -> None:
    found = problem("hub:nobody/nothing")
    assert found.startswith("data.source: no data set 'nobody/nothing' from the hub: ")
    assert "HF_HUB_OFFLINE" in found


# --- folders and settings --------------------------------------------------------------------------------------


def test_parts_of_a_split_are_read_in_order(write: Write, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in (1, 0, 2):
        pyarrow.parquet.write_table(
            pyarrow.table({"text": [f"{number}a", f"{number}b"]}),
            tmp_path / f"data/train-0000{number}-of-00003.parquet",
        )
    write("text\nt\n", "data/test.csv")
    found = tables(tmp_path)
    assert list(found["train"].columns["text"]) == ["0a", "0b", "1a", "1b", "2a", "2b"]
    assert found["train"].columns["text"][3] == "1b"
    assert list(found["test"].columns["text"]) == ["t"]
    (tmp_path / "data/train-00001-of-00003.parquet").unlink()
    assert "part 00001 of 3 of 'train' is missing" in problem(tmp_path)


def test_parts_with_other_columns_are_refused(write: Write, tmp_path: Path) -> None:
    write("text\na\n", "train-00000-of-00002.csv")
    write("words\na\n", "train-00001-of-00002.csv")
    assert "Parts of one split need the same" in problem(tmp_path)


def test_a_folder_with_train_alone_must_be_split(write: Write, tmp_path: Path) -> None:
    write("text\na\n", "train.csv")
    assert list(tables(tmp_path)) == ["all"]
    write("text\na\n", "dev.csv")
    assert list(tables(tmp_path)) == ["train", "validation"]


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("d.csv", {"config": "x"}, "data.config: has no meaning for"),
        ("d.csv", {"revision": "x"}, "data.revision: has no meaning for"),
        ("d.csv", {"split_names": {"train": "x"}}, "data.split_names: has no meaning for"),
        ("d.jsonl", {"delimiter": ";"}, "data.delimiter: has no meaning for"),
        ("d.parquet", {"encoding": "utf-8"}, "data.encoding: has no meaning for"),
        ("d.csv", {"test": "."}, "data.test: expected a file"),
        ("d.csv", {"delimiter": '"'}, "data.delimiter: "),
    ],
)
def test_a_setting_that_cannot_act_is_refused(write: Write, name: str, settings: dict[str, Any], expected: str) -> None:
    assert problem(write("text,label\na,b\n", name), **settings).startswith(expected)
