"""Tables of numbers that programs append to while they train: CSV, semicolons or tabs, point or comma."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from finetune.errors import OutputError

DELIMITERS = (",", ";", "\t")
COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")  # a decimal comma
LONGEST = 1 << 16  # characters of a header


@dataclass(frozen=True)
class Table:
    """Cells as numbers; None for an empty cell or a text.

    Attributes:
        columns: Names, in their order.
        rows: One dict each.
        notes: What was left out.
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, float | None], ...]
    notes: tuple[str, ...]


def header_of(file: Path) -> tuple[str, ...]:
    """Names of the columns in the first line; empty if the file is not text."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            line = lines.readline(LONGEST).rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(cell.strip() for cell in next(csv.reader([line], delimiter=_delimiter(line)), []))


def tables_below(folder: Path, names: Iterable[str]) -> list[Path]:
    """Files of a folder with these names or patterns, in the order of their paths."""
    return sorted({file for name in names for file in folder.glob(name) if file.is_file()})


def read_table(file: Path) -> Table:
    """Read all rows; a last row that was cut while it was written is left out, with a note.

    Raises:
        OutputError: It cannot be read, or has no rows.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{file}: cannot be read as a table: {error}.") from error
    lines = [line for line in lines if line.strip()]
    delimiter = _delimiter(lines[0]) if lines else ","
    cells = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    columns, notes, rows = (tuple(cells[0]) if cells else ()), [], []
    for number, row in enumerate(cells[1:], 2):
        if tuple(row) == columns:
            continue  # a header that was written again
        if len(row) != len(columns):
            what = "the last row is cut" if number == len(cells) else f"row {number} has other columns than the header"
            notes.append(f"{what} ({len(row)} of {len(columns)} cells) and is left out")
            continue
        rows.append({name: _number(cell, delimiter) for name, cell in zip(columns, row, strict=True)})
    if not rows:
        raise OutputError(f"{file}: has a header and no rows: the training has logged nothing yet.")
    return Table(columns, tuple(rows), tuple(notes))


def _delimiter(line: str) -> str:
    return max(DELIMITERS, key=line.count)


def _number(cell: str, delimiter: str) -> float | None:
    text = cell.removesuffix("%").strip()
    if delimiter != "," and COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return None
