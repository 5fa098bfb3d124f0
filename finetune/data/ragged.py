"""A row with another number of cells than the header, or cells that are not what they seem: what is probably wrong."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from finetune.data.compressed import is_compressed
from finetune.data.dialect import Dialect
from finetune.data.preface import MARKS, ROLE_NAMES, names_both
from finetune.data.readings import DELIMITERS, described, shown_mark
from finetune.errors import Change, DataError, Problem

UNUSUAL = "^~¦§¬"  # characters between cells that are in no name
SAMPLED = 50  # rows that show how the cells of a column are enclosed
FIXED_WIDTH = (  # columns start where their names do
    'import re, sys, pandas; head = open(sys.argv[1], encoding="utf-8-sig").readline(); '
    'at = [name.start() for name in re.finditer(r"\\S+", head)] + [None]; '
    "pandas.read_fwf(sys.argv[1], colspecs=list(zip(at, at[1:])), dtype=str).to_csv(sys.argv[2], index=False)"
)
CURLY = ("\u201c", "\u201d", "\u201e")  # quotes as word processors write them


def ragged(path: Path, dialect: Dialect, names: list[str], line: int, cells: list[str], is_usual: bool) -> Problem:
    """The problem, with the command or setting that solves it.

    Args:
        path: The file.
        dialect: How its rows are read.
        names: Names of its columns.
        line: Line of the row.
        cells: Its cells.
        is_usual: Most rows from here on have as many cells.
    """
    delimiter, quote = dialect.delimiter, dialect.quote
    why = f"{path} line {line}: {len(cells)} cells where the header has {len(names)} ({', '.join(names)})."
    if len(cells) > len(names) and any(quote and cell.startswith((f" {quote}", f"\t{quote}")) for cell in cells):
        return _spaced(path, dialect, why)
    if len(cells) > len(names) and any(cell.startswith(CURLY) for cell in cells):
        straight = mend(
            path, 's/[\\x{201c}-\\x{201e}]/"/g', "makes them straight; the encoding must be UTF-8", "-CSD -pe"
        )
        why += " Cells are enclosed in curly quotes, which are characters of a text."
        return Problem(why, changes=(straight,))
    may_be_title = is_usual and not ROLE_NAMES & {name.lower().strip() for name in names}
    if len(cells) > len(names) and line > 2 and (may_be_title or len(names) == 1):
        below = start_at(path, line)
        quoted = "" if quote is None else f" Else put texts that contain {shown_mark(delimiter)} in quotes."
        return Problem(f"{why} Does the table start below line {line - 1}?{quoted}", changes=(below,))
    if len(cells) == len(names) + 1 and not cells[-1].strip() and line > 1:
        code = f"s/\\Q{delimiter}\\E(\\r?)$/$1/ if tr/{delimiter}// == {len(names)}"
        why += f" A {shown_mark(delimiter)} stands at its end, with nothing behind it."
        return Problem(why, changes=(mend(path, code, "removes it", "-lpe"),))
    if len(cells) == 1 < len(names):
        other = next((mark for mark in DELIMITERS if cells[0].count(mark) == len(names) - 1), None)
        if other is not None and is_usual:
            alike = mend(path, f"tr/{delimiter}/{other}/ if $. == 1", "makes the first line like the others")
            return Problem(f"{why} In the rows {shown_mark(other)} stands between cells.", changes=(alike,))
    if len(cells) > len(names) and quote is not None:
        return Problem(f'{why} Put texts that contain {shown_mark(delimiter)} in quotes: "like{delimiter} this".')
    mark = next((mark for mark in MARKS if cells[0].startswith(mark)), None)
    if mark is not None and len(cells) < len(names):
        return Problem(why, changes=(Change(settings={"data.comment": mark}, note="if such lines are comments"),))
    if len(cells) > len(names):
        return Problem(f"{why} {described(dialect).capitalize()}.")
    return Problem(why)


def refuse_one_column(path: Path, delimiter: str, header: str) -> None:
    """Raises:
    DataError: A header that is one cell would be several by another delimiter.
    """
    other = max((mark for mark in DELIMITERS if mark != delimiter), key=header.count)
    if other in header:
        raise DataError(
            f"{path}: the header is one column, {header!r}. The delimiter looks like {shown_mark(other)}, but then not "
            "all rows have as many cells as the header.",
            Change(settings={"data.delimiter": other}),
        )
    if "  " in header and names_both(header.split()):
        made = shlex.quote(f"{path.stem}-mended.csv")
        command = f"python -c {shlex.quote(FIXED_WIDTH)} {shlex.quote(str(path))} {made}"
        raise DataError(f"{path}: spaces fill up the columns {', '.join(header.split())}.", Change(command=command))
    unusual = next((mark for mark in header if _is_unusual(mark) and names_both(header.split(mark))), None)
    if unusual is None:
        return
    raise DataError(
        f"{path}: the header is one column, {header!r}. The delimiter looks like {unusual!r}.",
        Change(settings={"data.delimiter": unusual}),
    )


def _is_unusual(mark: str) -> bool:
    """Whether a character separates cells in files of some programs, and is in no name of a column."""
    return mark in UNUSUAL or ("\x01" <= mark <= "\x1f" and not mark.isspace())


def refuse_spaced_quotes(path: Path, dialect: Dialect, columns: Mapping[str, Sequence[str]]) -> None:
    """Raises:
    DataError: Every cell of a column with a usual name of texts or labels is a space and something in quotes, which
        then are characters of the cell.
    """
    if dialect.quote is None or dialect.delimiter == " ":
        return
    quote = re.escape(dialect.quote)
    spaced = re.compile(rf"[ \t]+{quote}[^{quote}]*{quote}")
    for name, cells in columns.items():
        filled = [cell for cell in islice(cells, SAMPLED) if cell.strip()]
        if name.lower().strip() in ROLE_NAMES and len(filled) > 1 and all(map(spaced.fullmatch, filled)):
            raise DataError(_spaced(path, dialect, f"{path}: column '{name}' holds cells such as {filled[0][:40]!r}."))


def start_at(path: Path, line: int) -> Change:
    """What leaves out the lines above the table: a command, where the file is not packed."""
    if is_compressed(path):
        return Change(text=f"If the table starts in line {line}, unpack the file and delete the lines above.")
    return Change(
        command=f"tail -n +{line} {shlex.quote(str(path))} > {_mended(path)}",
        note=f"if the table starts in line {line}",
    )


def _spaced(path: Path, dialect: Dialect, why: str) -> Problem:
    quote, delimiter = dialect.quote or '"', dialect.delimiter
    code = f"s/\\Q{delimiter}\\E +{quote}/{delimiter}{quote}/g"
    return Problem(
        f"{why} A quote encloses a cell only at its start; here a space is before it.",
        changes=(mend(path, code, "removes such spaces"),),
    )


def mend(path: Path, code: str, note: str, options: str = "-pe") -> Change:
    """The command that writes a corrected copy of the file, line by line, by Perl."""
    return Change(command=f"perl {options} {shlex.quote(code)} {shlex.quote(str(path))} > {_mended(path)}", note=note)


def _mended(path: Path) -> str:
    return shlex.quote(f"{path.stem}-mended{path.suffix}")
