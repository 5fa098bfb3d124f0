"""Files that are no CSV, JSON or Parquet: fastText, Rasa, Excel, ARFF, folders of texts, DocBin."""

import base64
import datetime
import re
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pytest

from finetune.data.formats import excel_layout
from finetune.data.load import load_data
from finetune.data.sources import read_sources
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.conftest import write_csv
from tests.data.formats.making import account, labelled, loaded, names, only, rows_in_file, texts
from tests.raising import refuses

# --- fastText --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["d.txt", "d.ft", "cooking.train", "d"])
def test_fasttext_labels_stand_anywhere_in_a_line(tmp_path: Path, name: str) -> None:
    lines = ["__label__a one, two  three", "four __label__b five", "", "no label here", "__label__a __label__b six"]
    path = tmp_path / name
    path.write_text("\n".join(lines), encoding="utf-8")
    table = only(path)
    assert labelled(table) == {"one, two  three": ["a"], "four five": ["b"], "six": ["a", "b"]}
    assert table.dropped == {"line without a label": 1}
    assert account(table).endswith("read as fastText: 3 rows from 4; left out: 1 × line without a label")


def test_fasttext_lines_that_doccano_quoted(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_text('"__label__a say ""yes"", now"\n"__label__b two\nlines"\n__label__a plain\n', encoding="utf-8")
    assert labelled(only(path)) == {'say "yes", now': "a", "two\nlines": "b", "plain": "a"}


def test_a_carriage_return_ends_no_line_of_fasttext(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_bytes(b"__label__a one\rtwo\n__label__b three\n")
    assert labelled(only(path)) == {"one\rtwo": "a", "three": "b"}
    path.write_bytes(b"__label__a one\r__label__b two\r__label__b three\n")  # but where most lines end so, it does
    assert labelled(only(path)) == {"one": "a", "two": "b", "three": "b"}


def test_a_text_file_without_labels_says_how_to_read_a_table(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_text("text\tlabel\none\ta\ntwo\tb\n", encoding="utf-8")
    assert labelled(only(path)) == {"one": "a", "two": "b"}
    path.write_text("what\tkind\none\ta\ntwo\tb\n", encoding="utf-8")
    with refuses(DataError, "no line has a label of fastText.*--set data.format=tsv, or --set data.format=csv"):
        only(path)
    assert list(only(path, format="tsv").columns["kind"]) == ["a", "b"]


def test_without_need_of_labels_every_line_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_text("__label__a one\ntwo\n\n__label__a __label__b three\n", encoding="utf-8")
    (table,) = read_sources(DataSection(source=str(path)), labelled=False).values()
    assert list(table.columns["text"]) == ["one", "two", "three"]
    assert list(table.columns["label"]) == [["a"], None, ["a", "b"]]
    path.write_text("title, and more\ntwo\n", encoding="utf-8")
    (table,) = read_sources(DataSection(source=str(path)), labelled=False).values()
    assert {name: list(column) for name, column in table.columns.items()} == {"text": ["title, and more", "two"]}
    assert table.notes[-1].endswith("read as one text per line: 2 rows; none left out")


@pytest.mark.parametrize("content", ["Text,Label\none,a\n", "id;review\n1;one\n"])
def test_a_table_with_a_header_in_a_text_file_is_read_as_such(tmp_path: Path, content: str) -> None:
    path = tmp_path / "d.txt"
    path.write_text(content, encoding="utf-8")
    (table,) = read_sources(DataSection(source=str(path)), labelled=False).values()
    assert [[name, *column] for name, column in table.columns.items()] == [
        list(column) for column in zip(*(re.split("[,;]", line) for line in content.splitlines()), strict=True)
    ]


def test_a_table_in_a_text_file_is_not_read_as_texts(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_text("1\tone\n2\ttwo\n", encoding="utf-8")
    with refuses(DataError, "no line has a label of fastText.*--set data.format=tsv, or --set data.format=csv"):
        read_sources(DataSection(source=str(path)), labelled=False)


def test_fasttext_splits_of_a_folder(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("test", 2)):
        lines = [f"__label__{name} {text}" for name, text in zip(names(count), texts(count), strict=True)]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    tables = read_sources(DataSection(source=str(tmp_path)))
    assert {split: len(table) for split, table in tables.items()} == {"train": 6, "test": 2}


# --- Rasa ------------------------------------------------------------------------------------------------------

RASA = """
version: "3.1"
nlu:
- intent: no
  examples: |
    - no
    - I am in [New York]{"entity": "city", "value": "NYC"} now
    - a [blue](colour) one and [it](thing:that)
- intent: ask+thank
  examples:
    - text: |
        thanks, and where?
      metadata: {tone: kind}
- synonym: NYC
  examples: |
    - New York
- regex: zip
  examples: |
    - [0-9]{5}
"""


def test_rasa_intents_and_texts_without_markup(tmp_path: Path) -> None:
    path = tmp_path / "nlu.yml"
    path.write_text(RASA, encoding="utf-8")
    table = only(path)
    assert labelled(table) == {
        "no": "no",
        "I am in New York now": "no",
        "a blue one and it": "no",
        "thanks, and where?": "ask+thank",
    }
    assert "4 examples, none left out; 2 entries are synonyms" in account(table)
    assert "ask+thank is one label (as several: --set data.label_separator=+)" in account(table)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("stories:\n- story: a\n", "expected the NLU data of Rasa"),
        ("nlu: [", "is not YAML"),
        ("nlu:\n- synonym: a\n  examples: |\n    - b\n", "none of the 1 entries under `nlu` is an intent"),
        ("nlu:\n- intent: a\n  examples: |\n    b\n", "the example 'b' does not start with '- '"),
        ("nlu:\n- just text\n", "is 'just text', no intent"),
        ("nlu:\n- intent: a\n  examples: {b: c}\n", "its examples are no list"),
    ],
)
def test_other_yaml_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "nlu.yml"
    path.write_text(content, encoding="utf-8")
    with refuses(DataError, problem):
        only(path)


# --- folders of texts ------------------------------------------------------------------------------------------


def write_folder(folder: Path, classes: dict[str, list[str]], suffix: str = ".txt") -> None:
    for name, contents in classes.items():
        (folder / name).mkdir(parents=True)
        for number, content in enumerate(contents):
            (folder / name / f"{number}{suffix}").write_bytes(content.encode("latin-1"))


def test_a_folder_like_aclimdb(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"pos": ["good", "fine"], "neg": ["bad\r\nworse"], "unsup": ["so"]})
    write_folder(tmp_path / "test", {"pos": ["great"], "neg": ["awful"]})
    (tmp_path / "README").write_text("about", encoding="utf-8")
    (tmp_path / "train" / "urls_pos.txt").write_text("http", encoding="utf-8")
    tables = read_sources(DataSection(source=str(tmp_path)))
    assert labelled(tables["train"]) == {"good": "pos", "fine": "pos", "bad\nworse": "neg"}
    assert labelled(tables["test"]) == {"great": "pos", "awful": "neg"}
    assert rows_in_file(tables["train"]) == 4
    assert "3 rows from 4; left out: 1 × in unsup, which is no class" in account(tables["train"])


def test_texts_without_a_class_are_kept_where_labels_are_not_needed(tmp_path: Path) -> None:
    write_folder(tmp_path, {"pos": ["good"], "neg": ["bad"], "unsup": ["so", "what"]})
    (table,) = read_sources(DataSection(source=str(tmp_path)), labelled=False).values()
    labels = dict(zip(table.columns["text"], table.columns["label"], strict=True))
    assert labels == {"good": "pos", "bad": "neg", "so": None, "what": None}
    assert not table.dropped
    assert account(table).endswith("2 classes: 4 rows from 4; none left out")


def test_a_folder_like_20_newsgroups(tmp_path: Path) -> None:
    """Names of splits with something before, files without suffix, and bytes that are not UTF-8."""
    for split in ("train", "test"):
        write_folder(tmp_path / f"20news-bydate-{split}", {"alt.atheism": ["né", "a"], "sci.space": ["b"]}, "")
    tables = read_sources(DataSection(source=str(tmp_path)))
    assert labelled(tables["train"]) == {"né": "alt.atheism", "a": "alt.atheism", "b": "sci.space"}
    assert "1 of 3 files are not UTF-8 (such as 0). They are read as cp1252" in tables["train"].warnings[0]
    assert read_sources(DataSection(source=str(tmp_path), encoding="latin-1"))["train"].warnings == []
    with refuses(DataError, "0: byte 0xe9 is not ascii.*data.encoding=latin-1"):
        read_sources(DataSection(source=str(tmp_path), encoding="ascii"))


@pytest.mark.parametrize("name", ["no-such", "punycode", "base64"])
def test_a_folder_in_an_encoding_that_python_does_not_have(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, {"pos": ["né", "a"], "neg": ["b"]})
    with refuses(DataError, f"data.encoding: .*no text encoding '{name}'.*data.encoding=utf-8"):
        read_sources(DataSection(source=str(tmp_path), encoding=name))


def test_a_folder_of_classes_alone_is_split(tmp_path: Path) -> None:
    write_folder(tmp_path, {name: [f"{name} {text}" for text in texts(20)] for name in ("a", "b")})
    data = loaded(tmp_path)
    assert (data.labels, sum(map(len, data.whole_splits().values()))) == (["a", "b"], 40)


def test_other_folders_are_no_texts(tmp_path: Path) -> None:
    write_folder(tmp_path, {"pos": ["good"], "src": ["code"]})
    (tmp_path / "src" / "a.py").write_text("", encoding="utf-8")
    with refuses(DataError, "holds no train file"):
        read_sources(DataSection(source=str(tmp_path)))


# --- YAML ------------------------------------------------------------------------------------------------------


def test_rows_of_yaml_hold_the_texts_that_are_written(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text("- text: one\n  label: no\n- text: '2'\n  label: 1.0\n- {text: null, label: ~}\n", encoding="utf-8")
    table = only(path)
    assert {name: list(column) for name, column in table.columns.items()} == {
        "text": ["one", "2", None],
        "label": ["no", "1.0", None],
    }
    assert "every value is read as the text that is written" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [("a: [one, two]\nb: [three]\n", {"one": "a", "two": "a", "three": "b"}), ("- [one, a]\n- [two b, b]\n", None)],
    ids=["under labels", "pairs"],
)
def test_other_shapes_of_yaml_are_those_of_json(tmp_path: Path, content: str, expected: dict[str, str] | None) -> None:
    path = tmp_path / "d.yml"
    path.write_text(content, encoding="utf-8")
    assert labelled(only(path)) == (expected or {"one": "a", "two b": "b"})


def test_splits_of_yaml(tmp_path: Path) -> None:
    path = tmp_path / "d.yml"
    path.write_text("train: [{text: a, label: b}]\ntest: [{text: c, label: d}]\n", encoding="utf-8")
    assert {name: len(table) for name, table in read_sources(DataSection(source=str(path))).items()} == {
        "train": 1,
        "test": 1,
    }


# --- Excel -----------------------------------------------------------------------------------------------------


def write_book(path: Path, **sheets: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def sheet(count: int) -> list[list[Any]]:
    return [["text", "label"], *map(list, zip(texts(count), names(count), strict=True))]


def test_a_sheet_of_excel(tmp_path: Path) -> None:
    day = datetime.datetime(2024, 5, 31)
    rows = [[None, None], ["text", "label", "day", None], ["a", 1, day, None], [None] * 3, ["b", True, None, "more"]]
    table = only(write_book(tmp_path / "d.xlsx", Data=rows, Empty=[]))
    assert {name: list(column) for name, column in table.columns.items()} == {
        "text": ["a", "b"],
        "label": [1, True],
        "day": ["2024-05-31", None],
    }
    assert "column 4 has no name in the first row and is left out" in table.warnings[0]


def test_sheets_of_excel_are_splits(tmp_path: Path) -> None:
    path = write_book(tmp_path / "d.xlsx", Train=sheet(6), Test=sheet(2), About=[["what", "this is"], ["a", "b"]])
    tables = read_sources(DataSection(source=str(path)))
    assert {split: len(table) for split, table in tables.items()} == {"train": 6, "test": 2}
    assert "splits that are not used: About" in tables["train"].notes[-1]
    path = write_book(tmp_path / "e.xlsx", About=[["what"], ["a"]], Reviews=sheet(6))
    with refuses(DataError, "Its splits: Reviews, About.*to use .Reviews. alone"):  # the one with the most rows
        only(path)
    assert len(only(path, split_names={"train": "Reviews"})) == 6


@pytest.mark.parametrize(
    ("cell", "problem"), [("=1/0", "A2 is a formula whose result is not"), ("#N/A", "A2 holds the error #N/A")]
)
def test_cells_of_excel_without_a_value_matter_where_they_are_used(tmp_path: Path, cell: str, problem: str) -> None:
    rows = [[text, name, text, name] for text, name in zip(texts(20), names(20), strict=True)]
    rows[0][0] = cell
    path = write_book(tmp_path / "d.xlsx", Data=[["found", "label", "text", "tone"], *rows])
    data = load_data(DataSection(source=str(path), text="text", label="label"))
    assert sum(map(len, data.whole_splits().values())) == 20
    with refuses(DataError, f"{problem}.*Try: --set data.text=COLUMN"):
        load_data(DataSection(source=str(path), text="found", label="label"))


def test_titles_above_the_header_of_a_sheet_are_no_rows(tmp_path: Path) -> None:
    table = only(write_book(tmp_path / "d.xlsx", Data=[["Survey 2024"], [], *sheet(4)]))
    assert list(table.columns) == ["text", "label"]
    assert len(table) == 4
    assert "above the header, and not read as rows: Survey 2024" in table.notes[1]
    lone = only(write_book(tmp_path / "e.xlsx", Data=[["text"], *[[text, "a"] for text in texts(4)]]))
    assert list(lone.columns) == ["text", "column 2"]  # nothing below names the columns: the first row is the header


def test_a_merged_range_of_excel_gives_all_its_cells_its_value(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    rows = [["label", "text"], ["a", "one"], [None, "two"], [None, "three"], ["b", "four"], [None, "five"]]
    path = write_book(tmp_path / "d.xlsx", Data=rows)
    book = openpyxl.load_workbook(path)
    book["Data"].merge_cells("A2:A4")
    book.save(path)
    table = only(path)
    assert list(table.columns["label"]) == ["a", "a", "a", "b", None]
    assert "cells are merged: 2 cells have the value of the range that they are in" in table.notes[-1]


def test_hidden_rows_and_columns_of_excel_are_read_and_named(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = write_book(tmp_path / "d.xlsx", Data=[["Survey 2024"], *sheet(6)])
    assert only(path).warnings == []
    book = openpyxl.load_workbook(path)
    for number in (1, 4, 5, 30):  # the title, two rows, and one without anything in it
        book["Data"].row_dimensions[number].hidden = True
    book["Data"].column_dimensions.group("B", "D", hidden=True)
    book.save(path)
    table = only(path)
    assert list(table.columns["text"]) == texts(6)
    assert table.warnings == [
        f"{path}: in the sheet 'Data', 2 of 6 rows are hidden (rows 4, 5); they are read as the others are. To leave "
        "them out, delete them in the sheet",
        f"{path}: in the sheet 'Data', hidden columns are read as the others are: 'label'",
    ]
    book["Data"].auto_filter.ref = "A2:B8"
    book["Data"].auto_filter.add_filter_column(1, ["a"])
    book.save(path)
    assert "2 of 6 rows are hidden or filtered out (rows 4, 5)" in only(path).warnings[0]


def test_a_hidden_sheet_of_excel_is_named(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = write_book(tmp_path / "d.xlsx", Data=sheet(4), Front=[])
    book = openpyxl.load_workbook(path)
    book.active = 1
    book["Data"].sheet_state = "hidden"
    book.save(path)
    assert only(path).warnings == [f"{path}: the sheet 'Data' is hidden in Excel; it is read"]


def test_merged_and_hidden_cells_of_an_old_sheet_of_excel(tmp_path: Path) -> None:
    pytest.importorskip("xlrd")
    table = only(old_book(tmp_path / "d.xls", OLD_LAYOUT))
    assert labelled(table) == {"one": "a", "two": "a", "three": "b"}
    assert "cells are merged: 1 cells have the value of the range that they are in" in table.notes[-1]
    assert "in the sheet 'S', 1 of 3 rows are hidden (row 4)" in table.warnings[0]
    assert "hidden columns are read as the others are: 'label'" in table.warnings[1]


def test_merged_ranges_of_too_many_cells_are_refused_before_openpyxl_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = write_book(tmp_path / "d.xlsx", Data=[["label", "text"], ["a", "one"], [None, "two"], [None, "three"]])
    book = openpyxl.load_workbook(path)
    book["Data"].merge_cells("A2:A4")
    book.save(path)
    monkeypatch.setattr(excel_layout, "MOST_MERGED", 2)
    with refuses(DataError, "its merged ranges have 3 cells"):
        only(path)


def test_a_workbook_that_is_none_and_a_package_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.xlsx"
    path.write_text("text,label\na,b\n", encoding="utf-8")
    pytest.importorskip("openpyxl")
    with refuses(DataError, "is not a workbook that openpyxl can read"):
        only(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with refuses(DataError, "is not a workbook that openpyxl can read"):
        only(path)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with refuses(DataError, r"not installed. Try: pip install \"finetune\[excel\]\", or save it as CSV UTF-8"):
        only(path)


# Workbooks of Excel 97, written by xlwt 1.3: the texts and cells of `test_an_old_sheet_of_excel`, and one error.
OLD_BOOK = (
    "c-rk)O=uHA6#iy+lO`p<wG~>S#DG<6a*$rUw5yWZQ%d#X4}xym2-29An1k`4)taLqcv8F+>cLCZi$AEK7x5re^dJaAqNmc6px~j+`sQWVCbfkI"
    "YO%84GH+(y%)EI!@6DUpeK#8}O+D-=V;TCOqGEdCuHgwvUb_+kwVS3a+PR04>0ndA>mftBU3lhy+azr$?Old~2ihy5z!yp<F^<8pY&x=mILJB}"
    "Lh8^fH1a(KcPItW&U&>l9cH?P>3#0|oauh%TxZ%#eM{m5X7$1DeU={|Q=;4!AS&>f$9!VWUbNwj^yAAnM76IA2XbeP%qDB-)O?r*nRFnXP3L4i"
    "h`VS8juYa^WIT~5p_R-%jUQ$N_-^m(ml21*v3vpI|E%XXt-|+^5ts9CDjF~W^R$r8T!asCO}1!A7<r=zKelreccK5>c)qZJ9^U0{?t*;!Lf!>r"
    "j8r<K0wYF&Xd!)`0{yUYW-b<q8c}ksRI?2J94tb0!NSj5$VYSpK`w`RBZWxUg?r!LCsRZEDdtS@0Z~0hc1WFJ;))zWg9E5)Y}0NYv4`nZmb#70"
    "9ZXy4T`2DwYO@N5Cb`cwZtbFZdKe${oi*iMR4&dRe$rX|s_&-q%s}~K>&!=e3Q;=NMrgczCJ_@car>6UQ{B#m6>vT?ZT}<qc$AQ(yJ?-3K`hGc"
    "MhG*l*5vAl-!;Wrt7=W9nrg`sE65ToORmlf(nhc>H;2N&YlY;v6c6!Ko<Yh`d4_r!D$5{y<B}q4QpP+n`;-<ulB!VXT*CU<9IM)V37gI4yk=Nw"
    "%^Wyz;J|?c2M+#W2)-nOFNPX_Bvh|>P1b*%MM@RtH_3mCBN(G6PoI?i$Wop|p&|d-3YV~Di8YR~{})OerP*^BMT+$pZP<V5iY{v3XUzjc>$im("
    "oxjqEo_~4%UmaKj&H"
)
OLD_ERROR = (
    "c-rk)Jxmlq6#izp<$eOk9v&t@LM|jC9yG?r1{O_}N`hKI2#M~=7KY0~E?0n!C|+q|Vx_Smp|L@2{0SD?S(sq7ATcqy(~`<W6AHNH&D&XWpaquz"
    "K{MZGzIpfN&Ca`-H*a_L(@LVW@S?4ZUFb(0Dqa-zRXRZ>8vL+8?VcyappH=SH2x_>Bean9CYBpNhUFT{^)AD}^U!-@;5(IZOk-#&=cW!3=h+8G"
    "NFVx$1)h*5j#l=nnfV6uG3IA%`IdQrHTRkO$hIWLuwoCT&#EXMH9EO14td{K+~+H6PNM}MWE9_iAbeXB=khn5?9puK2sL04v~GiL&dod75|Xrl"
    "i}>xOfM3B*eV5Yu!_^CretoAt{1^R0BLvLByUqb#q~y9>=P&Tp4YWhbvXD{1ohg_=*2%b8iUB7kQ!#H{Ysc1Y<dAM4o<I}J2@Y(FlJmyXpPw&f"
    "hV5&tnd5ZrC-oE34|upEdr;>%w;0=;X6|9W%Xe*Oxs5qV;YfAYaElTy&a=%uZtbFR&M>~%C#&Rcl8bAXUw0IL*r!Nd8Z6&RF0I-N=%jg=p#Jij"
    "N3ZA=j~_|Av4dKu1n`Zy^^ar_F)Zb~r=DC**hGxQ1hfB3&W=#_Vwb&XL|B(VT1acLJ(vAPGhXuK3{*WFW6;ph(9qD((9qC0@(}73U!61P4c<RU"
    "gw=PQO)3@rndHC46-?1ppo8fJ<fzVLwx;+w4pRj85_{|ud@qz3q0#f0M27vCtT}$^ASkN;&z?J4`?rN^9luhGp9eht7U~zheE"
)

# One with a merged range, a hidden row and a hidden column.
OLD_LAYOUT = (
    "c-rk)O=uHA6#iy^njh0-Q&XW8N+?*h_9DG_sapl@$x`*8h@eTkpfn^B0{(zltvL#!C&f#l7cW&W{-B87JO~wg5CkD<@#INR@X%&`^D+x*?4bcID)"
    "WVT^Y+a*J8$>BnaR$(`DA70QFj$h*b5UiKZ3Rfo1hX2E*wz1?@KkP!&H2Ye+rQ>1+vY?^Y*tP8ABQGDhxcdUXuhCshq?)j27}<dIPbaeaHyu!w^Y"
    "<dt`~Di@oY#InHu3%LmMS!E%@_H&_l4w<1np-W~1Vqq6w8(aUXd$ooFwJ|Ee#8=ZI~v-rwQQRmv&S3H}^{hbXxRt&SCxQ%#uub9bIkfH$2;=7*)z"
    "6CS&Ra)CO)-FKyAFJ)5HSD(y3z&j`niITCi|c|}5Ae}t49dWAv4LDB>*a`C@-CDp2QpN$M5RedvUI*cl+u}^=SAfb%~RT0HKp4*)ng<lkYGK@3Gd"
    "LNy?p=c`$O3=_Y_;Eco~;I2yB!7!N*nEBX*hkOWfL&;H>~goUbjGvTr}jT`aHhC|g<YW|^V~p}KFZQz-|hnRA_6`)J%j#)7-OLEk}o`OD#_J>?~L"
    "C+Tw|)k~?l5AF<l>3vPGp90eu5Ch`w9f@adPz$wCd}7)4%c2oB9Ob*OcDMvq5M?#VvVJAsmQZ}L2467WP<+9BOYw~+{!4lWL)~Ap>#?vE+iYN`)!"
    "j{In~HBTU&i#a8q26}*hU8)vpU?cWk;c*p`oFnp`oFn(R8LG|23NGkG!ou7((h?XN5{lACvsIID!KGO7vlR0C}p5xY$zuY=JF;dx>@S3C;^8j?w5"
    "vOd`vEOtzfA^noWDpJ&}2o!>WwS{=XEil2XY{GVwh%!m"
)


def old_book(path: Path, packed: str) -> Path:
    path.write_bytes(zlib.decompress(base64.b85decode(packed)))
    return path


def test_an_old_sheet_of_excel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xlrd")
    path = old_book(tmp_path / "d.xls", OLD_BOOK)
    table = only(path)
    assert {name: list(column) for name, column in table.columns.items()} == {
        "text": ['café, "a"', "b"],
        "label": [1, 2.5],
        "day": ["2024-05-31", None],
        "yes": [True, None],
    }
    assert "read as a sheet of Excel: 2 rows, none left out" in table.notes[-1]
    path.rename(tmp_path / "new.xlsx")  # what it is and not what it is called
    assert len(only(tmp_path / "new.xlsx")) == 2
    (tmp_path / "new.xlsx").rename(tmp_path / "d.csv")
    with refuses(DataError, "d.csv: is an Excel workbook by its first bytes"):
        only(tmp_path / "d.csv")
    with refuses(DataError, "d.xls sheet S: cell A2 holds the error #N/A"):
        list(only(old_book(path, OLD_ERROR)).columns["text"])
    path.write_bytes(path.read_bytes()[:3000])
    with refuses(DataError, "is not a workbook that xlrd can read: .*Save it as .xlsx or as CSV UTF-8"):
        only(path)
    path.write_text("text\tlabel\na\tb\n", encoding="utf-8")
    with refuses(DataError, r"--set data.format=tsv \(if it is a text file, as websites export them\)"):
        only(path)
    assert labelled(only(path, format="tsv")) == {"a": "b"}
    monkeypatch.setitem(sys.modules, "xlrd", None)
    with refuses(DataError, r"read by xlrd, which is not installed. Try: pip install \"finetune\[excel\]\""):
        only(old_book(path, OLD_BOOK))


def test_a_sheet_of_excel_in_an_archive(tmp_path: Path) -> None:
    book = write_book(tmp_path / "d.xlsx", Data=sheet(6))
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(book, "export/d.xlsx")
    assert len(only(tmp_path / "d.zip")) == 6


# --- ARFF, DocBin ----------------------------------------------------------------------------------------------

ARFF = """% a comment
@relation reviews
@attribute Document string
@attribute stars numeric
@attribute class {pos, neg, odd}
@data
'it''s good, yes', 5, pos
"bad", ?, neg
'so so', 3, ?
"""


def test_arff_has_declared_classes_and_empty_cells(tmp_path: Path) -> None:
    pytest.importorskip("arff")
    path = tmp_path / "d.arff"
    path.write_text(ARFF.replace("it''s", "it\\'s"), encoding="utf-8")
    table = only(path)
    assert labelled(table) == {"it's good, yes": "pos", "bad": "neg", "so so": None}
    assert table.columns["stars"] == [5.0, None, 3.0]
    assert table.label_names == {"class": ["pos", "neg", "odd"]}
    path.write_text("@relation a\n@data\nno attributes\n", encoding="utf-8")
    with refuses(DataError, "d.arff: is not ARFF: "):
        only(path)


def test_packages_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, suffix in (("arff", ".arff"), ("spacy", ".spacy")):
        monkeypatch.setitem(sys.modules, name, None)
        path = tmp_path / f"d{suffix}"
        path.write_bytes(b"x")
        with refuses(DataError, rf"not installed. Try: pip install \"finetune\[{name}\]\""):
            only(path)


def test_a_docbin(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    tokens = pytest.importorskip("spacy.tokens")
    nlp = spacy.blank("en")
    docs = [nlp(text) for text in texts(4)]
    for doc, name in zip(docs, names(4), strict=True):
        doc.cats = {"pos": float(name == "pos"), "neg": float(name == "neg")}
    tokens.DocBin(docs=docs).to_disk(tmp_path / "d.spacy")
    assert labelled(only(tmp_path / "d.spacy")) == dict(zip(texts(4), names(4), strict=True))
    (tmp_path / "d.spacy").write_bytes(b"damaged")
    with refuses(DataError, "is not a DocBin that spaCy can read"):
        only(tmp_path / "d.spacy")
    tokens.DocBin(docs=[nlp("no labels")]).to_disk(tmp_path / "d.spacy")
    with refuses(DataError, "none of its 1 texts has cats"):
        only(tmp_path / "d.spacy")


def test_feather_and_arrow_files_and_streams(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"text": texts(4), "label": pandas.Categorical(names(4))})
    frame.to_feather(tmp_path / "d.feather")
    assert labelled(only(tmp_path / "d.feather")) == dict(zip(texts(4), names(4), strict=True))
    table = pyarrow.Table.from_pandas(frame)
    with pyarrow.ipc.new_stream(tmp_path / "d.arrow", table.schema) as stream:
        stream.write_table(table)
    assert labelled(only(tmp_path / "d.arrow")) == dict(zip(texts(4), names(4), strict=True))
    (tmp_path / "d.arrow").write_bytes(b"no arrow")
    with refuses(DataError, "cannot be read as Feather or Arrow: .*Is the file whole"):
        only(tmp_path / "d.arrow")


def test_files_of_a_folder_that_are_not_used_are_noted(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ["text", "label"], zip(texts(8), names(8), strict=True))
    write_csv(tmp_path / "sample_submission.csv", ["id", "label"], [(1, "pos")])
    (tmp_path / "README.txt").write_text("about", encoding="utf-8")
    notes = only(tmp_path).notes
    assert notes == [f"{tmp_path}: files that are not used: sample_submission.csv"]


def test_a_first_row_of_a_sheet_that_is_data_and_rows_apart(tmp_path: Path) -> None:
    rows = sheet(20)
    with refuses(DataError, "the first row looks like data.*its 'pos' is also in 9 rows below it"):
        load_data(DataSection(source=str(write_book(tmp_path / "d.xlsx", Data=rows[1:]))))
    apart = [*rows, [], ["label", "count"], ["pos", 10]]
    [warning] = only(write_book(tmp_path / "e.xlsx", Data=apart)).warnings
    assert "rows 23 to 24 of the sheet are below an empty row" in warning
    nameless = [["text", None], *rows[1:]]
    data = load_data(DataSection(source=str(write_book(tmp_path / "f.xlsx", Data=nameless))))
    assert data.columns == {"text": "text", "label": "column 2"}
