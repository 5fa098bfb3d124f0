"""CSV and TSV -> table, by Python's own csv, one row at a time.

The readers of `datasets` and pandas change values: they fill up rows that are too short without a word, read `None` and
`n/a` as missing, `007` as 7 and `TRUE` as true, turn dates into timestamps and long numbers into floats, and expand
names with wildcards.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import islice

from finetune.data.encoding import LINE_END, UNREADABLE, TextFile
from finetune.data.table import CHUNK, BadRows, Column, Table, pack, refuse_repeated
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

DELIMITERS = ",;\t|"
SAMPLED = 200  # rows in which the delimiter is detected
FITTING = 0.5  # fraction of them that must fit where bad rows are to be left out
MANY_LINES = 100  # lines of one row, from which a quote was probably left open
LONGEST_CELL = 1 << 24  # characters: a quote that is never closed does not fill the memory
QUOTED = re.compile('"[^"]*+(?:""[^"]*+)*+"')
# First line, last line, and the cells; or what is wrong with them.
Record = tuple[int, int, list[str] | csv.Error]


def read_delimited(file: TextFile, section: DataSection, usual: str) -> Table:
    """All rows of a file; blank lines are none. `usual` is the delimiter that its suffix stands for.

    Raises:
        DataError: No header, a row that is malformed or has another number of cells (named by its line).
    """
    csv.field_size_limit(LONGEST_CELL)
    delimiter = section.delimiter or _detect_delimiter(file, usual, FITTING if section.skip_bad_rows else 1.0)
    notes = list(file.notes)
    if section.delimiter is None and delimiter != usual:
        notes.append(f"{file.path}: the delimiter is {_shown(delimiter)} (detected in the first {SAMPLED} rows)")
    records = _records(file, delimiter)
    header = _header(file, next(records, None), delimiter, section.delimiter is not None)
    if "" in header:
        notes.append(
            f"{file.path}: column {header.index('') + 1} has no name and is left out (an index, as pandas saves it?)"
        )
    bad = BadRows(section.skip_bad_rows)
    warnings = list(file.warnings)
    chunks: list[list[list[str]]] = [[]]
    packed: list[list[object]] = [[] for _ in header]
    for first, last, cells in records:
        if last - first >= MANY_LINES and not isinstance(cells, csv.Error):
            warnings.append(f"{file.path}: lines {first} to {last} are one row. Is a quote left open in line {first}?")
        problem = _problem(file, first, last, cells, header, delimiter)
        if problem or isinstance(cells, csv.Error):
            bad.add(problem)
            continue
        chunks[-1].append(cells)
        if len(chunks[-1]) == CHUNK:
            _pack_rows(chunks.pop(), packed)
            chunks.append([])
    _pack_rows(chunks.pop(), packed)
    return Table(
        str(file.path),
        {name: Column(parts) for name, parts in zip(header, packed, strict=True) if name},
        notes=notes,
        warnings=warnings + bad.warnings(),
        dropped=bad.dropped(),
    )


def _pack_rows(rows: list[list[str]], packed: list[list[object]]) -> None:
    for parts, cells in zip(packed, zip(*rows, strict=True), strict=False):  # no rows, no cells
        parts.append(pack(list(cells)))


def _records(file: TextFile, delimiter: str) -> Iterator[Record]:
    """Rows with cells, blank lines left out. Strict: a quote may only close before a delimiter or at a line's end."""
    if delimiter in '"\r\n':
        raise DataError(
            f"{delimiter!r} has another meaning in CSV.",
            Change(settings={"data.delimiter": "X"}),
            key="data.delimiter",
            found=delimiter,
        )
    reader = csv.reader(file.lines(newline=""), delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield first, reader.line_num, error
        else:
            if cells:
                yield first, reader.line_num, cells


def _detect_delimiter(file: TextFile, usual: str, needed: float) -> str:
    """The usual one where it fits the first rows, else the one that makes most cells; the usual one if none fits."""
    fits = {mark: _fit(file, mark) for mark in DELIMITERS}
    fitting = [mark for mark in DELIMITERS if fits[mark][0] >= needed]
    if usual in fitting or not fitting:
        return usual
    return max(fitting, key=lambda mark: fits[mark])


def _fit(file: TextFile, delimiter: str) -> tuple[float, int]:
    """(Fraction of the first rows with as many cells as the header, that number); (0, 0) below two cells."""
    rows = [cells for _, _, cells in islice(_records(file, delimiter), SAMPLED + 1)]
    width = 0 if not rows or isinstance(rows[0], csv.Error) else len(rows[0])
    if width < 2:
        return 0.0, 0
    same = sum(not isinstance(cells, csv.Error) and len(cells) == width for cells in rows)
    return same / len(rows), width


def _shown(delimiter: str) -> str:
    return "'\\t'" if delimiter == "\t" else f"'{delimiter}'"


def _header(file: TextFile, record: Record | None, delimiter: str, chosen: bool) -> list[str]:
    path = file.path
    if record is None:
        raise DataError(f"{path}: is empty.")
    first, last, header = record
    if isinstance(header, csv.Error):
        raise DataError(_malformed(file, first, last, header, delimiter))
    if any(UNREADABLE.search(name) for name in header):
        raise DataError(f"{path} line {first}: the header holds characters that cannot be read.")
    refuse_repeated([name for name in header if name], str(path))
    if "" in header and len(set(header)) < 3:  # not an index beside text and label
        number = header.index("") + 1
        raise DataError(f"{path}: column {number} has no name. Text and label need one in the first line.")
    other = next((mark for mark in ";\t|," if mark != delimiter and mark in header[0]), None)
    if len(header) == 1 and other is not None and not chosen:
        raise DataError(
            f"{path}: the header is one column, {header[0]!r}. The delimiter looks like {_shown(other)}, but then not "
            "all rows have as many cells as the header.",
            Change(settings={"data.delimiter": other}),
        )
    return header


def _problem(
    file: TextFile, first: int, last: int, cells: list[str] | csv.Error, header: list[str], delimiter: str
) -> str:
    """What is wrong with a row; empty when nothing is.

    Raises:
        DataError: It spans lines and its quotes are wrong, so that nobody can say where it ends.
    """
    if isinstance(cells, csv.Error):
        problem = _malformed(file, first, last, cells, delimiter)
        if last > first or "end of data" in str(cells):
            raise DataError(problem)
        return problem
    if len(cells) != len(header):
        return (
            f"{file.path} line {first}: {len(cells)} cells where the header has {len(header)} ({', '.join(header)}). "
            f'Put texts that contain {_shown(delimiter)} in quotes: "like{delimiter} this".'
        )
    if file.damaged and any(UNREADABLE.search(cell) for cell in cells):
        return f"{file.path} line {first}: holds bytes that are not {file.encoding} text."
    return ""


def _malformed(file: TextFile, first: int, last: int, error: csv.Error, delimiter: str) -> str:
    line = _line_of_quote(file, first, last, delimiter)
    if "end of data" in str(error) or "field limit" in str(error):
        what = f"a quote opens here and is not closed until line {last}"
    else:
        what = f"the quote that opens here closes before other characters ({error}; line {last})"
    return f'{file.path} line {line}: malformed CSV: {what}. A quote inside a quoted cell is written twice: "".'


def _line_of_quote(file: TextFile, first: int, last: int, delimiter: str) -> int:
    """Line of the quote in lines `first` to `last` that is not closed before a delimiter; `first` when all are."""
    text = "".join(islice(file.lines(newline=""), first - 1, last))
    start = 0
    while 0 <= start < len(text):
        if text[start] == '"':
            quoted = QUOTED.match(text, start)
            if quoted is None or text[quoted.end() : quoted.end() + 1] not in (delimiter, "\r", "\n", ""):
                return first + sum(1 for _ in LINE_END.finditer(text, 0, start))
            start = quoted.end()
        start = text.find(delimiter, start) + 1 or -1
    return first
