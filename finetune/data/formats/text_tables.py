"""Tables in `.txt` files, recognised by their lines: text and label, or label and text, with a tab between them."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from pathlib import Path

from finetune.data.columns import LABEL_NAMES, TEXT_NAMES
from finetune.data.compressed import data_suffix, open_bytes
from finetune.data.delimited import read_delimited
from finetune.data.drawn_tables import is_drawn
from finetune.data.encoding import open_text
from finetune.data.formats.fasttext import PREFIX
from finetune.data.readings import shown_mark
from finetune.data.table import Table
from finetune.errors import Change, FinetuneError
from finetune.recipe import DataSection

SUFFIX = ".txt"
LOOKED_AT = 1 << 16  # bytes of a file from which it is recognised
MARKS = "\t;@"  # between text and label; a comma is more often one of the text
LABEL = re.compile(r"\w[\w/+-]*")  # behind one of the other marks, which texts may hold too
HEADS = ",;|\t"  # between the names of columns
ENOUGH = 3  # lines, from which a table is told from texts
WIDE_CODES = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def is_text_table(path: Path) -> bool:
    """Whether the lines of a `.txt` file are rows of a table, and neither texts nor lines of fastText."""
    if data_suffix(path) != SUFFIX or path.is_dir():
        return False
    lines = _first_lines(path)
    if any(PREFIX in line for line in lines):
        return False
    return _names_columns(lines) or _mark(lines) is not None or is_drawn(lines)


def read_text_table(path: Path, section: DataSection) -> Table:
    """The rows, by the reader of CSV; two columns without a header are text and label.

    Raises:
        DataError: As for a CSV.
    """
    lines = _first_lines(path)
    mark = _mark(lines) if section.delimiter is None else section.delimiter
    found: dict[str, object] = {}
    said = "a table"
    if mark is not None and not _names_columns(lines):
        found["delimiter"] = mark
        said = f"a table in which {shown_mark(mark)} stands between cells"
        if section.header == "auto" and section.columns is None and (names := _two_columns(lines, mark)):
            found |= {"header": False, "columns": names}
            has_header = Change(settings={"data.header": True}).for_command_line()
            said += f", without a header (if it has one: {has_header})"
    table = read_delimited(open_text(path, section), section.model_copy(update=found), "\t")
    table.notes.insert(0, f"{path}: read as {said}")
    return table


def _first_lines(path: Path) -> list[str]:
    """The first whole lines that are not blank."""
    try:
        with open_bytes(path) as file:
            head = file.read(LOOKED_AT)
    except (OSError, FinetuneError):
        return []
    encoding = next((name for mark, name in WIDE_CODES if head.startswith(mark)), "latin-1")  # as every byte fits
    text = head.removeprefix(codecs.BOM_UTF8).decode(encoding, errors="replace")
    lines = re.split("\r\n|\r|\n", text)  # as latin-1, bytes of other encodings are further ends of lines
    return [line for line in (lines[:-1] if len(head) == LOOKED_AT else lines) if line.strip()]


def _names_columns(lines: Sequence[str]) -> bool:
    """Whether the first line is a header: single words, of which one is a usual name."""
    usual = {*TEXT_NAMES, *LABEL_NAMES}
    heads = [[cell.strip(' "').lower() for cell in line.split(mark)] for line in lines[:1] for mark in HEADS]
    return any(len(cells) > 1 and not any(" " in cell for cell in cells) and usual & {*cells} for cells in heads)


def _mark(lines: Sequence[str]) -> str | None:
    """What separates the cells: it occurs equally often in all lines, and one column has values that repeat."""
    for mark in MARKS if len(lines) >= ENOUGH else "":
        counts = {line.count(mark) for line in lines}
        if len(counts) == 1 and 0 not in counts:
            columns = _columns(lines, mark)
            place = _label_place(columns)
            at_end = place == len(columns) - 1 == 1 and all(map(LABEL.fullmatch, columns[-1]))
            if place is not None and (mark == "\t" or at_end):
                return mark
    return None


def _columns(lines: Sequence[str], mark: str) -> list[tuple[str, ...]]:
    return list(zip(*csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_NONE), strict=True))


def _label_place(columns: Sequence[Sequence[str]]) -> int | None:
    """The column in which at most half of the cells differ, and that of the first line is in others, too; the texts are
    longer."""
    longest = max(sum(map(len, column)) for column in columns)
    return next(
        (
            place
            for place, cells in enumerate(columns)
            if 1 < len(set(cells)) <= len(cells) / 2 and cells.count(cells[0]) > 1 and sum(map(len, cells)) < longest
        ),
        None,
    )


def _two_columns(lines: Sequence[str], mark: str) -> list[str] | None:
    if not lines or any(line.count(mark) != 1 for line in lines):
        return None
    columns = _columns(lines, mark)
    place = _label_place(columns)
    return None if len(columns) != 2 or place is None else ["label", "text"] if place == 0 else ["text", "label"]
