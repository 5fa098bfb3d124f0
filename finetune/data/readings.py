"""Which of several ways to read a delimited file fits its lines: the evidence decides, and is reported."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from finetune.data.dialect import Dialect, keep_lines
from finetune.data.encoding import LINE_END, TextFile
from finetune.data.numbers import as_number
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

DELIMITERS = ",;\t|"
SAMPLED = 200  # rows in which the delimiter is detected
FITTING = 0.5  # fraction of them that must fit where bad rows are to be left out
CLEARLY = 2  # times as many lines in doubt as in another way of reading
SAME = 0.8  # fraction of the cells of disputed lines that other rows must have too
USUALLY = 0.8  # fraction of the rows that have the usual number of cells
MOST_LINES = 500  # of a row, on average, in the first rows
MOST_VALUES = 10_000  # different cells of a column that are counted
QUOTED = re.compile('"[^"]*+(?:""[^"]*+)*+"')
ENOUGH = 5  # rows, so that a column in which all cells are enclosed is no chance


@dataclass
class Fit:
    """How well a file fits one way of reading it.

    Attributes:
        lines: Lines of rows, including the header; blank lines and comments do not count.
        width: Cells of the first row.
        misfits: Lines of rows that are malformed or have another number of cells.
        doubtful: Lines of disputed rows that fit.
        disputed: First and last lines of the rows whose lines would mostly be rows by themselves, or that are
            malformed.
        wider: Lines of rows with one cell more than the first, counted among the misfits.
    """

    lines: int = 0
    width: int = 0
    misfits: int = 0
    doubtful: int = 0
    disputed: list[tuple[int, int]] = field(default_factory=list)
    wider: int = 0

    @property
    def in_doubt(self) -> int:
        """Lines that do not fit, or may be rows by themselves."""
        return self.misfits + self.doubtful

    @property
    def fraction(self) -> float:
        """Fraction of the lines that fit; 0 below two cells."""
        return 1 - self.misfits / self.lines if self.width >= 2 else 0.0

    @property
    def lacks_name(self) -> bool:
        """Whether all rows below the first have one cell more."""
        return self.width >= 2 and self.wider == self.misfits == self.lines - 1 > 0


def fit(file: TextFile, skip: int, dialect: Dialect, rows: int | None = None, strict: bool = False) -> Fit:
    """Read the file in one way; `skip` lines are above its header. The first `rows`, or all; until the first row that
    does not fit, if `strict`."""
    result = Fit()
    kept: list[str] = []
    most = None if rows is None else skip + rows * MOST_LINES
    lines_read = islice(file.lines(newline=""), skip, most)
    records = dialect.records(keep_lines(lines_read, kept), skip + 1)
    taken = 0
    for first, last, cells in records:
        lines = kept[-(last + 1 - first) :]
        kept.clear()
        if cells is None or cells == []:
            continue
        count = last + 1 - first
        result.lines += count
        if isinstance(cells, csv.Error):
            result.misfits += count
            if last > first:
                result.disputed.append((first, last))
        elif result.width not in (0, len(cells)):
            result.misfits += count
            result.wider += count if len(cells) == result.width + 1 else 0
        else:
            result.width = len(cells)
            if last > first and is_disputed(lines, dialect, result.width):
                result.doubtful += count
                result.disputed.append((first, last))
        taken += 1
        if taken == rows or (strict and result.misfits > result.wider):
            break
    return result


def is_disputed(lines: list[str], dialect: Dialect, width: int) -> bool:
    """Whether most lines of one row have as many delimiters as a row."""
    filled = [line for line in lines if line.strip()]
    alone = sum(line.count(dialect.delimiter) == width - 1 for line in filled)
    return width > 1 and 2 * alone > len(filled) and alone > 1


def lines_from(file: TextFile, skip: int) -> Iterator[str]:
    """The lines below the first `skip`."""
    return islice(file.lines(newline=""), skip, None)


def ways(section: DataSection) -> list[Dialect]:
    """Possible meanings of quotes, the usual one first; only one if the recipe sets it. The delimiter is open.

    Raises:
        DataError: Settings contradict each other.
    """
    if section.quoting == "none" and section.quote_char is not None:
        raise DataError(
            "has no meaning where quoting is none.",
            Change(settings={"data.quote_char": None}),
            Change(settings={"data.quoting": "minimal"}),
            key="data.quote_char",
            found=section.quote_char,
        )
    plain = Dialect("", section.quote_char or '"', section.escape, comment=section.comment)
    if section.quoting == "none":
        return [replace(plain, quote=None)]
    if section.quoting == "all":
        return [replace(plain, every=True)]
    if section.quoting == "minimal":
        return [plain]
    escapes = [section.escape] if section.escape is not None else [None, "\\"]
    quotes = [section.quote_char] if section.quote_char is not None else ['"', "'"]
    in_quotes = [[replace(plain, quote=quote, escape=escape) for escape in escapes] for quote in quotes]
    enclosed = replace(plain, quote=quotes[0], every=True)
    return [*in_quotes[0], enclosed, replace(plain, quote=None), *(way for more in in_quotes[1:] for way in more)]


def sample_reading(file: TextFile, skip: int, section: DataSection, usual: str, sep: str | None) -> Dialect:
    """The delimiter and the quotes with which the first rows fit: the usual ones if they fit, else the delimiter that
    gives the most cells; else those with which all rows have one cell more than the first, which then lacks a name;
    else the usual ones, so that the error names the first row that does not fit."""
    needed = FITTING if section.skip_bad_rows else 1.0
    delimiter = section.delimiter or sep
    delimiters = DELIMITERS if delimiter is None else delimiter
    kinds = ways(section)
    held = _marks_in(islice(lines_from(file, skip), SAMPLED + 1), delimiters)
    nearly = None
    for way in kinds:
        if way is not kinds[0] and not _can_differ(way, held):
            continue
        ways_of_mark = {mark: replace(way, delimiter=mark) for mark in delimiters}
        fits = {mark: fit(file, skip, each, SAMPLED + 1, needed == 1) for mark, each in ways_of_mark.items()}
        fitting = [mark for mark in delimiters if fits[mark].fraction >= needed]
        if not fitting:
            short = [mark for mark in delimiters if fits[mark].lacks_name]
            nearly = nearly or next((replace(way, delimiter=mark) for mark in short), None)
            continue
        mark = usual if usual in fitting else max(fitting, key=lambda each: (fits[each].fraction, fits[each].width))
        chosen = replace(way, delimiter=mark)
        if way is kinds[0] and len(kinds) > 1 and _all_in_single_quotes(file, skip, chosen):
            return replace(chosen, quote="'")
        quoted = replace(kinds[0], delimiter=mark)
        if (
            way.quote is None
            and way is not kinds[0]
            and not are_rows(file, skip, fit(file, skip, quoted).disputed, chosen)
        ):
            continue
        return chosen
    return nearly or replace(kinds[0], delimiter=delimiter or usual)


def best_reading(
    file: TextFile, skip: int, section: DataSection, dialect: Dialect
) -> tuple[Dialect, dict[Dialect, Fit]]:
    """The way to read the whole file that leaves clearly the fewest lines in doubt, else that of the first rows; and
    the result of each way that was tried."""
    held = _marks_in(lines_from(file, skip), dialect.delimiter)
    tried = {dialect: fit(file, skip, dialect)}
    for way in ways(section):
        other = replace(way, delimiter=dialect.delimiter)
        if other not in tried and _can_differ(other, held):
            tried[other] = fit(file, skip, other)
    best = dialect
    for other, found in tried.items():
        if found.width < 2 or CLEARLY * found.in_doubt >= tried[best].in_doubt or not tried[best].in_doubt:
            continue
        if other.quote is None and not are_rows(file, skip, tried[best].disputed, other):
            continue
        if other.escape is not None and best.escape is None and not tried[best].misfits:
            continue  # escaped quotes make lines malformed, and not only doubtful
        best = other
    return best, tried


def _marks_in(lines: Iterable[str], delimiters: str) -> set[str]:
    """What the lines hold of that by which ways to read them differ."""
    held: set[str] = set()
    for line in lines:
        if '"' in line:
            held.add('"')
            if '\\"' in line:
                held.add('\\"')
        if "'" in line and (line.startswith("'") or any(f"{mark}'" in line for mark in delimiters)):
            held.add("'")
            if "\\'" in line:
                held.add("\\'")
        if line.startswith('"'):
            held.add("enclosed")
    return held


def _can_differ(dialect: Dialect, held: set[str]) -> bool:
    """Whether such marks make a difference to the usual reading."""
    if dialect.every:
        return "enclosed" in held
    if dialect.quote is None:
        return '"' in held
    mark = dialect.quote if dialect.escape is None else f"{dialect.escape}{dialect.quote}"
    return mark in held


def _all_in_single_quotes(file: TextFile, skip: int, dialect: Dialect) -> bool:
    """Whether every cell of some column, below the header, is in single quotes."""
    rows = [cells for _, _, cells in islice(dialect.records(lines_from(file, skip), skip + 1), SAMPLED + 1)]
    table = [cells for cells in rows if isinstance(cells, list) and cells][1:]
    if len(table) < ENOUGH or len({len(cells) for cells in table}) > 1:
        return False
    if fit(file, skip, replace(dialect, quote="'"), SAMPLED + 1, strict=True).fraction < 1:
        return False
    columns = zip(*table, strict=True)
    return any(all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in column) for column in columns)


def are_rows(file: TextFile, skip: int, disputed: Sequence[tuple[int, int]], plain: Dialect) -> bool:
    """Whether the lines from the first to the last of each of `disputed`, which another reading joins, are rows: in
    some column (the label's, or one of numbers) they have cells as the other rows do."""
    inside = {number for first, last in disputed for number in range(first, last + 1)}
    if not inside:
        return True
    counts: list[Counter[str] | None] = []
    held: list[list[str]] = []
    for first, _, cells in plain.records(lines_from(file, skip), skip + 1):
        if not isinstance(cells, list) or not cells:
            continue
        if not counts:
            counts, held = [Counter() for _ in cells], [[] for _ in cells]
            continue
        for column, cell in enumerate(cells[: len(counts)]):
            counter = counts[column]
            if counter is not None:
                counter[cell] += 1
                counts[column] = counter if len(counter) <= MOST_VALUES else None
            if first in inside:
                held[column].append(cell)
    for counter, values in zip(counts, held, strict=True):
        numbers = sum(as_number(value) is not None for value in values)
        repeated = 0 if counter is None else sum(counter[value] > 1 for value in values)
        if values and max(numbers, repeated) >= SAME * len(values):
            return True
    return False


def are_apart(file: TextFile, last: int, dialect: Dialect) -> bool:
    """Whether no delimiter can be in a text by mistake: it is a tab, or the first row, below line `last`, begins with a
    quote."""
    row = next(lines_from(file, last), "")
    return dialect.delimiter == "\t" or (dialect.quote is not None and row.startswith(dialect.quote))


def line_of_quote(file: TextFile, first: int, last: int, delimiter: str) -> int:
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


def reading_note(file: TextFile, dialect: Dialect, usual: Dialect, found: Fit, against: Fit | None) -> str:
    """The note on which way was chosen and why, and what to type for the other.

    Args:
        file: The file.
        dialect, usual: The chosen dialect, and the usual one.
        found: Fit of the whole file in the chosen one.
        against: Fit of the file, or of its first rows, in the usual one; None if that was not tried.
    """
    how = f"{file.path}: {described(dialect)}"
    all_but = f"all but {found.misfits} of" if found.misfits else "all"
    fits = f"{all_but} {found.lines} lines fit"
    whole = against is not None and against.lines >= found.lines
    why = ""
    if against is not None and against.disputed:
        first, last = against.disputed[0]
        several = whole and len(against.disputed) > 1
        more = f" (and others into {len(against.disputed) - 1} more)" if several else ""
        why = f", where {described(usual, as_reading=True)} would join lines {first} to {last} into one row{more}"
    elif against is not None and against.misfits:
        others = "1 line does" if against.misfits == 1 else f"{against.misfits} lines do"
        of_first = "" if whole else f"of the first {against.lines} "
        why = f", where {of_first}{others} not with {described(usual, as_reading=True)}"
    return f"{how}: {fits}{why}. If that is wrong: {Change(settings=settings_of(usual)).for_command_line()}"


def settings_of(dialect: Dialect) -> dict[str, str]:
    """The settings with which a recipe reads in this way."""
    if dialect.quote is None:
        return {"data.quoting": "none", **({"data.escape": dialect.escape} if dialect.escape else {})}
    settings = {"data.quoting": "all" if dialect.every else "minimal"}
    if dialect.quote != '"':
        settings["data.quote_char"] = dialect.quote
    return {**settings, **({"data.escape": dialect.escape} if dialect.escape else {})}


def is_usual_width(file: TextFile, dialect: Dialect, first: int, width: int) -> bool:
    """Whether most rows from a line on have so many cells."""
    rows = islice(dialect.records(lines_from(file, first - 1), first), SAMPLED)
    widths = [len(cells) for _, _, cells in rows if isinstance(cells, list) and cells]
    return len(widths) > 1 and widths.count(width) >= USUALLY * len(widths)


def shown_mark(delimiter: str) -> str:
    """A delimiter in messages."""
    return "'\\t'" if delimiter == "\t" else f"'{delimiter}'"


def described(dialect: Dialect, as_reading: bool = False) -> str:
    """The meaning of quotes: as a sentence, or as a participle (`reading …`)."""
    if dialect.quote is None:
        return (
            "reading quotes as characters" if as_reading else "quotes are characters of the texts and enclose no cells"
        )
    if dialect.every:
        return "reading every cell as enclosed" if as_reading else f"every cell is enclosed in {dialect.quote}"
    name = "single quotes" if dialect.quote == "'" else f"{dialect.quote}"
    if dialect.escape is not None:
        return (
            f"reading {dialect.escape}{dialect.quote} as a quote"
            if as_reading
            else f"quotes inside cells are written {dialect.escape}{dialect.quote}"
        )
    return f"cells in {name}" if as_reading else f"cells are enclosed in {name}"
