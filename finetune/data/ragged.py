"""A row with another number of cells than the header: what is probably wrong with it."""

from __future__ import annotations

from pathlib import Path

from finetune.data.dialect import Dialect
from finetune.data.preface import MARKS
from finetune.data.readings import described, shown_mark
from finetune.errors import Change, Problem

CURLY = ("\u201c", "\u201d", "\u201e")  # quotes as word processors write them


def ragged(path: Path, dialect: Dialect, names: list[str], line: int, cells: list[str]) -> Problem:
    """The problem, with the command or setting that solves it.

    Args:
        path: The file.
        dialect: How its rows are read.
        names: Names of its columns.
        line: Line of the row.
        cells: Its cells.
    """
    delimiter, quote = dialect.delimiter, dialect.quote
    why = f"{path} line {line}: {len(cells)} cells where the header has {len(names)} ({', '.join(names)})."
    tidied = f"{path.stem}-mended{path.suffix}"
    if len(cells) > len(names) and any(quote and cell.startswith((f" {quote}", f"\t{quote}")) for cell in cells):
        command = f"perl -pe 's/\\Q{delimiter}\\E +\"/{delimiter}\"/g' {path} > {tidied}"
        return Problem(
            f"{why} A quote encloses a cell only at its start; here a space is before it.",
            changes=(Change(command=command, note="removes such spaces"),),
        )
    if len(cells) > len(names) and any(cell.startswith(CURLY) for cell in cells):
        command = f"perl -CSD -pe 's/[\\x{{201c}}-\\x{{201e}}]/\"/g' {path} > {tidied}"
        return Problem(
            f"{why} Cells are enclosed in curly quotes, which are characters of a text.",
            changes=(Change(command=command, note="makes them straight; the encoding must be UTF-8"),),
        )
    if len(names) == 1 and len(cells) > 1 and line > 1:
        below = Change(command=f"tail -n +{line} {path} > {tidied}", note=f"if the table starts in line {line}")
        quoted = "" if quote is None else f" Else put texts that contain {shown_mark(delimiter)} in quotes."
        return Problem(f"{why} Does the table start below line {line - 1}?{quoted}", changes=(below,))
    if len(cells) > len(names) and quote is not None:
        return Problem(f'{why} Put texts that contain {shown_mark(delimiter)} in quotes: "like{delimiter} this".')
    mark = next((mark for mark in MARKS if cells[0].startswith(mark)), None)
    if mark is not None and len(cells) < len(names):
        return Problem(why, changes=(Change(settings={"data.comment": mark}, note="if such lines are comments"),))
    if len(cells) > len(names):
        return Problem(f"{why} {described(dialect).capitalize()}.")
    return Problem(why)
