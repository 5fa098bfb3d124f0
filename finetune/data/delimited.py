"""CSV and TSV -> table, by Python's own csv, a block of rows at a time.

The readers of `datasets` and pandas change values: they fill up rows that are too short without a word, read `None` and
`n/a` as missing, `007` as 7 and `TRUE` as true, turn dates into timestamps and long numbers into floats, and expand
names with wildcards.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from finetune.data.dialect import OPEN, Block, Dialect
from finetune.data.drawn_tables import refuse_drawn
from finetune.data.encoding import TextFile
from finetune.data.header import (
    NAMELESS,
    Header,
    completed,
    described_below,
    find_header,
    name_nameless,
    refuse_late_header,
)
from finetune.data.preface import Preface, find_preface
from finetune.data.ragged import mend, ragged, refuse_one_column, refuse_spaced_quotes
from finetune.data.readings import (
    SAMPLED,
    Fit,
    are_apart,
    are_rows,
    best_reading,
    fit,
    is_disputed,
    is_usual_width,
    line_of_quote,
    lines_from,
    reading_note,
    sample_reading,
    settings_of,
    shown_mark,
    ways,
)
from finetune.data.table import CHUNK, UNREADABLE, BadRows, Column, Table, Unreadable, pack
from finetune.errors import Change, DataError, Problem, shorten
from finetune.recipe import DataSection

MANY_LINES = 100  # lines of one row, from which a quote was probably left open
OF_ROWS = ("row", "header", "further line of a row", "left out")  # kinds of lines
SPACED = re.compile(r'"[^"]*"(?: "[^"]*")+\s*')  # cells in quotes with a space between them
NAMED = 5  # rows of many lines that are named


class _Doubt(Exception):
    """A row that does not fit, so that other ways to read the file are worth a look."""


@dataclass
class _Reading:
    """What is known of a file while its rows are read.

    Attributes:
        file, section, preface, dialect: What is read, and how.
        settled: No other way to read it is left to compare with.
        lines: Kind of line -> how many; all lines of the file in the end.
        long: First and last lines of rows of many lines.
        disputed: The same of rows whose lines would mostly be rows by themselves.
        header_line: Last line of the header.
        header_rows: Cells of rows that are no data but name or describe the columns.
        repeated: Lines of such rows below the first.
    """

    file: TextFile
    section: DataSection
    preface: Preface
    dialect: Dialect
    settled: bool
    bad: BadRows
    header: Header | None = None
    lines: Counter[str] = field(default_factory=Counter)
    long: list[tuple[int, int]] = field(default_factory=list)
    disputed: list[tuple[int, int]] = field(default_factory=list)
    header_line: int = 0
    header_rows: list[list[str]] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)

    @property
    def width(self) -> int:
        return 0 if self.header is None else len(self.header.names)


def read_delimited(file: TextFile, section: DataSection, usual: str) -> Table:
    """All rows of a file; blank lines are ignored. `usual` is the usual delimiter for its suffix.

    Raises:
        DataError: There is no header, or a row is malformed or has another number of cells (with its line number).
    """
    if section.delimiter is None:
        refuse_drawn(file.path, lines_from(file, 0))
    preface = find_preface(file, section)
    first_way = ways(section)[0]
    _check_delimiter(section, first_way)
    dialect = sample_reading(file, preface.lines, section, usual, preface.sep)
    notes = list(file.notes)
    tried: dict[Dialect, Fit] = {}
    try:
        reading, packed = _read(file, section, preface, dialect, settled=len(ways(section)) == 1)
    except _Doubt:
        dialect, tried = best_reading(file, preface.lines, section, dialect)
        reading, packed = _read(file, section, preface, dialect, settled=True)
    if preface.sep is not None:
        notes.append(f"{file.path} line 1: names the delimiter, {shown_mark(preface.sep)}, and is not a row")
    elif section.delimiter is None and dialect.delimiter != usual:
        mark = shown_mark(dialect.delimiter)
        notes.append(f"{file.path}: the delimiter is {mark} (detected in the first {SAMPLED} rows)")
    if preface.comments and section.comment is None:
        notes.append(f"{file.path}: {preface.comments} lines above the header are comments and are left out")
    plain = replace(first_way, delimiter=dialect.delimiter)
    if dialect != plain:
        found = tried.get(dialect) or _fit_of(reading)
        against = tried.get(plain) if tried else fit(file, preface.lines, plain, SAMPLED + 1)
        notes.append(reading_note(file, dialect, plain, found, against))
    return _table(reading, packed, notes)


def _fit_of(reading: _Reading) -> Fit:
    """How the file looks in the way in which it was read."""
    lines = {kind: count for kind, count in reading.lines.items() if kind in OF_ROWS}
    return Fit(sum(lines.values()), reading.width, lines.get("left out", 0))


def _read(
    file: TextFile, section: DataSection, preface: Preface, dialect: Dialect, settled: bool
) -> tuple[_Reading, list[list[Any]]]:
    """Read all rows in one way.

    Raises:
        _Doubt: A row does not fit, and other ways to read the file are left.
        DataError: A row does not fit.
    """
    reading = _Reading(file, section, preface, dialect, settled, BadRows(section.skip_bad_rows))
    reading.lines["blank"] = preface.blank
    reading.lines["comment"] = preface.comments
    reading.lines["delimiter line"] = preface.lines - preface.blank - preface.comments
    packed: list[list[Any]] = []
    waiting: list[list[str]] = []
    for block in dialect.blocks(lines_from(file, preface.lines), preface.lines + 1):
        rows = _fitting_rows(reading, block)
        reading.lines["row"] += len(rows)
        waiting = waiting + rows if waiting else rows
        if len(waiting) >= CHUNK:
            _pack_rows(waiting, packed)
            waiting = []
    _pack_rows(waiting, packed)
    if reading.header is None:
        raise DataError(f"{file.path}: is empty.")
    return reading, packed or [[] for _ in range(reading.width)]


def _pack_rows(rows: list[list[str]], packed: list[list[Any]]) -> None:
    for start in range(0, len(rows), CHUNK):
        columns = list(zip(*rows[start : start + CHUNK], strict=True))
        packed += [[] for _ in range(len(columns) - len(packed))]
        for parts, cells in zip(packed, columns, strict=True):
            parts.append(pack(cells))


def _fitting_rows(reading: _Reading, block: Block) -> list[list[str]]:
    """The rows of a block that can be used; the header is taken from the first. Others are counted or an error."""
    rows = [row for row in block.rows or () if row]
    if block.rows is None or not rows or reading.file.damaged:
        return list(_fitting_records(reading, block))
    if reading.header is None:
        line = block.first + block.rows.index(rows[0])
        widths = set(map(len, rows))
        if len(widths) > 1:
            return list(_fitting_records(reading, block))
        if _start(reading, line, line, rows[0], rows[1 : SAMPLED + 1]):
            rows = rows[1:]
    if set(map(len, rows)) <= {reading.width}:
        reading.lines["blank"] += block.rows.count([])
        return _without_header_rows(reading, block, rows) if any(row in rows for row in reading.header_rows) else rows
    return list(_fitting_records(reading, block))


def _without_header_rows(reading: _Reading, block: Block, rows: list[list[str]]) -> list[list[str]]:
    """The rows that are data; the others are counted as lines of the header."""
    lines = [block.first + number for number, row in enumerate(block.rows or ()) if row in reading.header_rows]
    below = [line for line in lines if line > reading.header_line]
    reading.lines["header"] += len(below)
    reading.repeated += below
    return [row for row in rows if row not in reading.header_rows]


def _fitting_records(reading: _Reading, block: Block) -> Iterator[list[str]]:
    for first, last, cells in block.records():
        if cells is None or cells == []:
            reading.lines["comment" if cells is None else "blank"] += last + 1 - first
            continue
        if reading.header is None:
            if isinstance(cells, csv.Error):
                _doubt(reading)
                raise DataError(_malformed(reading, first, last, cells))
            if _start(reading, first, last, cells, _sample(reading, last, len(cells))):
                continue
        if cells in reading.header_rows:
            reading.lines["header"] += last + 1 - first
            reading.repeated.append(first)
            continue
        problem = _problem(reading, first, last, cells)
        if problem is not None or isinstance(cells, csv.Error):
            _doubt(reading)
            _refuse_stray_return(reading, first, last)
            reading.bad.add(problem or "")
            reading.lines["left out"] += last + 1 - first
            continue
        if last > first:
            disputed = is_disputed(block.lines_of(first, last), reading.dialect, reading.width)
            if disputed:
                _doubt(reading)
            if disputed or last - first >= MANY_LINES:
                (reading.long if last - first >= MANY_LINES else reading.disputed).append((first, last))
            reading.lines["further line of a row"] += last - first
        yield _marked(reading.file, first, cells) if reading.file.damaged else cells


def _doubt(reading: _Reading) -> None:
    if not reading.settled:
        raise _Doubt


def _start(reading: _Reading, line: int, last: int, first: list[str], below: list[list[str]]) -> bool:
    """Find the header; whether the first row is it."""
    file, section = reading.file, reading.section
    if len(first) == 1 and section.delimiter is None and section.header is not False and section.columns is None:
        refuse_one_column(file.path, reading.dialect.delimiter, first[0])
    named, note = completed(first, below, are_apart(file, last, reading.dialect))
    as_wide = [row for row in below if len(row) == len(named)]
    reading.header = find_header(file.path, section, reading.preface, line, named, as_wide)
    reading.lines["header"] = last + 1 - line if reading.header.is_line else 0
    if note:
        reading.header.notes.append(f"{file.path} line {line}: {note}")
    refuse_late_header(file, section, last, named, below)
    if reading.header.is_line:
        reading.header_line = last
        marked = "\ufeff"  # where files were joined
        reading.header_rows = [first, [marked + first[0], *first[1:]], *described_below(named, as_wide)]
    return reading.header.is_line


def _sample(reading: _Reading, last: int, width: int) -> list[list[str]]:
    """Rows below the first that are as wide; if all have one cell more, those."""
    lines = lines_from(reading.file, last)
    records = islice(reading.dialect.records(lines, last + 1), SAMPLED)
    rows = [cells for _, _, cells in records if isinstance(cells, list) and cells]
    wider = [row for row in rows if len(row) == width + 1]
    return wider if wider and len(wider) == len(rows) else [row for row in rows if len(row) == width]


def _table(reading: _Reading, packed: list[list[Any]], notes: list[str]) -> Table:
    header, file = reading.header, reading.file
    assert header is not None, "found with the first row"
    names = [name or f"column {number}" for number, name in enumerate(header.names, start=1)]
    columns: dict[str, Any] = {name: Column(parts) for name, parts in zip(names, packed, strict=True)}
    refuse_spaced_quotes(file.path, reading.dialect, columns)
    nameless = {name: i + 1 for i, name in enumerate(names) if NAMELESS.fullmatch(header.names[i])}
    index_notes, index_warnings = name_nameless(str(file.path), columns, nameless)
    return Table(
        str(file.path),
        columns,
        notes=[*notes, *header.notes, *_repeated_header(reading), *index_notes],
        warnings=[*file.warnings, *header.warnings, *index_warnings, *_long_rows(reading), *reading.bad.warnings()],
        dropped=reading.bad.dropped(),
        lines=+reading.lines,
    )


def _repeated_header(reading: _Reading) -> list[str]:
    """Rows below the header that repeat it, as in files that were joined, or describe the columns."""
    if not reading.repeated:
        return []
    lines = shorten([f"line {line}" for line in reading.repeated], NAMED)
    return [f"{reading.file.path}: no rows, as they repeat the header or describe the columns: {lines}"]


def _long_rows(reading: _Reading) -> list[str]:
    """Rows of so many lines, or of such lines, that a quote may be left open."""
    path, plain = reading.file.path, Change(settings={"data.quoting": "none"}).for_command_line()
    rows = reading.long
    without_quotes = replace(reading.dialect, quote=None, every=False)
    if reading.disputed and are_rows(reading.file, reading.preface.lines, reading.disputed, without_quotes):
        rows = sorted([*rows, *reading.disputed])
    said = [
        f"{path}: lines {first} to {last} are one row. Is a quote left open in line {first}? If quotes enclose no "
        f"cells: {plain}"
        for first, last in rows[:NAMED]
    ]
    more = len(rows) - NAMED
    return said + ([f"{path}: {more} more rows of many lines"] if more > 0 else [])


def _check_delimiter(section: DataSection, way: Dialect) -> None:
    if section.delimiter is not None and section.delimiter in f"{way.quote or ''}\r\n":
        raise DataError(
            f"{section.delimiter!r} has another meaning in CSV.",
            Change(settings={"data.delimiter": "X"}),
            key="data.delimiter",
            found=section.delimiter,
        )


def _problem(reading: _Reading, first: int, last: int, cells: list[str] | csv.Error) -> Problem | None:
    """What is wrong with a row; None when nothing is.

    Raises:
        DataError: It spans lines and its quotes are wrong, so that nobody can say where it ends.
    """
    dialect = reading.dialect
    if isinstance(cells, csv.Error):
        problem = _malformed(reading, first, last, cells)
        if (last > first or OPEN in str(cells)) and not dialect.every:
            _doubt(reading)
            raise DataError(problem)
        return problem
    if len(cells) != reading.width:
        assert reading.header is not None, "found with the first row"
        counted = reading.section.skip_bad_rows and reading.bad.count > 0  # the first has been explained
        usual = not counted and is_usual_width(reading.file, dialect, first, len(cells))
        return ragged(reading.file.path, dialect, reading.header.names, first, cells, usual)
    return None


def _marked(file: TextFile, line: int, cells: list[str]) -> list[str]:
    """The cells, of which those that hold bytes that are not text are Unreadable."""
    if not any(map(UNREADABLE.search, cells)):
        return cells
    why = f"{file.path} line {line}: holds bytes that are not {file.encoding} text."
    return [Unreadable.of(cell, why) if UNREADABLE.search(cell) else cell for cell in cells]


def _refuse_stray_return(reading: _Reading, first: int, last: int) -> None:
    """Raises:
    DataError: The row, or the one above it, ends with CR where others end with LF: both may be halves of one row.
    """
    path, strays = reading.file.path, reading.file.stray_returns
    line = next((number for number in range(first - 1, last + 1) if number in strays), None)
    if line is not None:
        raise DataError(
            f"{path} line {line}: ends with a carriage return alone (CR), where other lines of the file end with LF. "
            "Inside a text it must be in quotes, or a space.",
            mend(path, r"s/\r(?!\n)/ /g", "makes it a space"),
        )


def _malformed(reading: _Reading, first: int, last: int, error: csv.Error) -> Problem:
    dialect, path = reading.dialect, reading.file.path
    line = line_of_quote(reading.file, first, last, dialect.delimiter) if dialect.quote == '"' else first
    if OPEN in str(error) or "field limit" in str(error):
        what = f"a quote opens here and is not closed until line {last}"
    elif dialect.every:
        what = str(error)
    else:
        what = f"the quote that opens here closes before other characters ({error}; line {last})"
    others = [way for way in ways(reading.section.model_copy(update={"quoting": "auto"})) if way.quote is None]
    as_text = [Change(settings=settings_of(way), note="if quotes enclose no cells") for way in others]
    if dialect.quote is None or reading.section.quoting == "all":
        as_text = []
    if SPACED.fullmatch(next(lines_from(reading.file, first - 1), "")):
        as_text = [Change(settings={"data.delimiter": " "}, note="if a space separates cells, as R writes tables")]
    doubled = f"A quote inside a quoted cell is written twice: {dialect.quote}{dialect.quote}."
    return Problem(f"{path} line {line}: malformed CSV: {what}. {doubled}", changes=tuple(as_text))
