"""How a delimited file is written (delimiter, quotes, escapes), and its lines as rows of cells."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

LONGEST_CELL = 1 << 24  # characters: a quote that is never closed does not fill the memory
BLOCK = 8192  # rows that are read together
MOST_LINES = 10_000  # of a row whose quote is never closed, where every cell has one
OPEN = "unexpected end of data"  # what csv says of a quote that is never closed

# First line, last line, and the cells; what is wrong with them; or None for a comment. A blank line has no cells.
Record = tuple[int, int, list[str] | csv.Error | None]


@dataclass(frozen=True)
class Dialect:
    """How cells are written.

    Attributes:
        delimiter: Separates cells.
        quote: Character that may enclose a cell; None: quotes are ordinary characters.
        escape: Character that makes a following quote or delimiter an ordinary character.
        every: Every cell is enclosed, so that a quote ends a cell only before a delimiter and another quote. Quotes in
            a cell need not be doubled.
        comment: Start of a line that is not a row.
    """

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    every: bool = False
    comment: str | None = None

    def records(self, lines: Iterable[str], first: int = 1) -> Iterator[Record]:
        """Rows with their lines, including rows without cells and malformed rows.

        Strict: a quote may only close before a delimiter or at the end of a line.
        """
        feed = _Feed(lines, first, self.comment)
        yield from _enclosed_records(feed, self) if self.every else self._csv_records(feed)

    def _csv_records(self, feed: _Feed) -> Iterator[Record]:
        reader = self._reader(feed)
        while True:
            feed.start_row()
            try:
                cells: list[str] | csv.Error = next(reader)
            except StopIteration:
                yield from feed.comments()
                return
            except csv.Error as error:
                cells = error
            yield from feed.comments()
            yield feed.first, feed.number, cells

    def _reader(self, lines: Iterator[str]) -> Any:
        csv.field_size_limit(LONGEST_CELL)
        return csv.reader(
            lines if self.escape is None else map(self._protector(), lines),
            delimiter=self.delimiter,
            quotechar=self.quote or '"',
            quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
            escapechar=self.escape,
            strict=True,
        )

    def _protector(self) -> Any:
        """Doubles the escapes that stand before no quote (or, without quotes, delimiter): csv would drop them."""
        assert self.escape is not None, "asked for only with an escape"
        mark = re.escape(self.escape)
        meant = re.compile(f"{mark}([{mark}{re.escape(self.quote or self.delimiter)}])|{mark}")
        doubled = self.escape * 2
        return lambda line: meant.sub(lambda found: found[0] if found[1] else doubled, line)

    def blocks(self, lines: Iterator[str], first: int) -> Iterator[Block]:
        """All rows in blocks, each with its lines."""
        pending: list[str] = []
        while True:
            taken = pending + list(islice(lines, BLOCK - len(pending)))
            if not taken:
                return
            if self.every or self.comment is not None:
                yield from self._slow_blocks(chain(taken, lines), first)
                return
            rows: list[list[str]] = []
            reader = self._reader(chain(taken[:], keep_lines(lines, taken)))
            try:
                rows.extend(islice(reader, len(taken)))
                whole = True
            except csv.Error:
                whole = False
            used = reader.line_num
            pending = taken[used:]
            yield Block(first, taken[:used], rows if whole and len(rows) == used else None, self)
            first += used

    def _slow_blocks(self, lines: Iterator[str], first: int) -> Iterator[Block]:
        """One block for each row: where a comment may stand between any two."""
        kept: list[str] = []
        for start, last, cells in self.records(keep_lines(lines, kept), first):
            yield Block(start, kept[:], None, self, [(start, last, cells)])
            kept.clear()


@dataclass
class Block:
    """Rows that were read together.

    Attributes:
        first: Number of the first line.
        lines: The lines as they are in the file.
        rows: A row for each line; None where rows and lines differ, or a row is malformed: see `records`.
        dialect: How they are written.
        known: The records, where they are known already.
    """

    first: int
    lines: list[str]
    rows: list[list[str]] | None
    dialect: Dialect
    known: list[Record] = field(default_factory=list)

    def records(self) -> Iterator[Record]:
        """The rows with their line numbers."""
        return iter(self.known) if self.known else self.dialect.records(self.lines, self.first)

    def lines_of(self, first: int, last: int) -> list[str]:
        """The lines with these numbers."""
        return self.lines[first - self.first : last + 1 - self.first]


def keep_lines(lines: Iterable[str], into: list[str]) -> Iterator[str]:
    """The lines, each of which is added to a list when it is read."""
    for line in lines:
        into.append(line)
        yield line


class _Feed:
    """Hands out lines, counts them, and leaves out comments where a row may start."""

    def __init__(self, lines: Iterable[str], first: int, comment: str | None) -> None:
        self._lines = iter(lines)
        self._comment = comment
        self._left_out: list[int] = []
        self._fresh = True
        self.number = first - 1
        self.first = first

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        while self._fresh and self._comment is not None and line.startswith(self._comment):
            self._left_out.append(self.number)
            line = next(self._lines)
            self.number += 1
        if self._fresh:
            self.first, self._fresh = self.number, False
        return line

    def start_row(self) -> None:
        self._fresh = True

    def comments(self) -> Iterator[Record]:
        """The comments before the row that was read last."""
        for number in self._left_out:
            yield number, number, None
        self._left_out = []


def _enclosed_records(feed: _Feed, dialect: Dialect) -> Iterator[Record]:
    """Rows of a file in which every cell is in quotes: a row ends with a quote at the end of a line, as soon as it has
    as many cells as the first one."""
    quote = dialect.quote or '"'
    width = 0
    parts: list[str] = []
    feed.start_row()
    first = feed.first
    for line in feed:
        alone = _enclosed_cells(line, dialect)
        if parts and width and alone is not None and len(alone) >= width and _opens(line, quote):  # one before is open
            yield first, feed.number - 1, csv.Error(OPEN)
            parts = []
        if not parts:
            yield from feed.comments()
            first = feed.number
        parts.append(line)
        record: list[str] | csv.Error | None = alone
        if len(parts) > 1 and line.rstrip("\r\n").endswith(quote):  # else the row goes on, however long it is
            record = _enclosed_cells("".join(parts), dialect)
        if len(parts) == 1 and not line.startswith(quote):
            record = csv.Error("a cell is not in quotes") if line.strip("\r\n") else []
        elif len(parts) > MOST_LINES:
            record = csv.Error(OPEN)
        elif (
            not isinstance(record, list)
            or len(record) < width
            or (not width and len(record) == 1 and "".join(parts).count(quote) % 2)
        ):
            continue
        else:
            width = width or len(record)
        yield first, feed.number, record
        parts = []
        feed.start_row()
    yield from feed.comments()
    if parts:
        yield first, feed.number, _enclosed_cells("".join(parts), dialect) or csv.Error(OPEN)


def _opens(line: str, quote: str) -> bool:
    """Whether a line starts with the quote of a cell, and not only with such as stand for one each."""
    return (len(line) - len(line.lstrip(quote))) % 2 == 1


def _enclosed_cells(text: str, dialect: Dialect) -> list[str] | None:
    """The cells of `"a","b"`; None where it does not start and end with a quote. Where all quotes inside are doubled,
    none of them ends a cell, whatever stands beside it."""
    quote = dialect.quote or '"'
    body = text.rstrip("\r\n")
    if len(body) < 2 or not body.startswith(quote) or not body.endswith(quote):
        return None
    if dialect.escape is None and quote * 2 in body and _all_doubled(quote, dialect.delimiter).fullmatch(body):
        return next(csv.reader([body], delimiter=dialect.delimiter, quotechar=quote, strict=True))
    cells = body[1:-1].split(f"{quote}{dialect.delimiter}{quote}")
    if quote in body[1:-1]:
        if dialect.escape is not None:
            cells = [cell.replace(dialect.escape + quote, quote) for cell in cells]
        cells = [cell.replace(quote * 2, quote) for cell in cells]
    return cells


@functools.cache
def _all_doubled(quote: str, delimiter: str) -> re.Pattern[str]:
    q = re.escape(quote)
    cell = f"{q}(?:[^{q}]++|{q}{q})*+{q}"
    return re.compile(f"{cell}(?:{re.escape(delimiter)}{cell})*+")
