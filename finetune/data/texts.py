"""Text cells -> texts: one text, or a list of words that are joined, or of two texts that are a pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

from finetune.data.label_cells import as_written_list, is_blank
from finetune.data.numbers import as_number
from finetune.data.table import Column, Table, Unreadable, UnusableColumn
from finetune.data.text_traces import traces
from finetune.errors import Change, DataError
from finetune.recipe.template import template_parts

SAMPLED = 200  # filled cells that show what the cells of a column are
MOSTLY = 0.95  # fraction of texts that are numbers, from which a column is taken for a wrong choice
TextShape = Literal["text", "words", "pair"]


def other_column(key: str) -> Change:
    """The change that names another column for a key of the recipe."""
    return Change(settings={f"data.{key}": "{COLUMN} {COLUMN}" if key == "template" else "COLUMN"})


def cells_of(table: Table, column: str, key: str) -> Iterator[Any]:
    """The cells of a column that a key of the recipe names.

    Raises:
        DataError: It holds unusable values; says how to name another column.
    """
    try:
        yield from table.columns[column]
    except UnusableColumn as error:
        raise DataError(replace(error.problems[0], changes=(other_column(key),))) from error


def text_shape(table: Table, column: str, paired: bool, notes: list[str], warnings: list[str]) -> TextShape:
    """The shape of the cells in the text column.

    Lists of two texts of which one has several words are pairs, any other lists of texts are words.

    Args:
        table: The table with the column.
        column: Its name.
        paired: Whether another column is the second text, so that no list can be a pair.
        notes, warnings: Extended with messages.
    """
    if column not in table.columns:
        return "text"
    filled = (cell for cell in cells_of(table, column, "text") if not is_blank(cell))
    cells = list(islice(filled, SAMPLED))
    if cells and all(isinstance(cell, str) and as_written_list(cell) for cell in cells):
        warnings.append(
            f"column '{column}': texts are lists written as text, such as {cells[0][:60]!r}: brackets and quotes are "
            "read as part of the text. Save the words joined by spaces, or as lists in JSON lines"
        )
    found = traces(column, [cell for cell in cells if isinstance(cell, str)])
    notes += found[0]
    warnings += found[1]
    if not cells or not all(isinstance(cell, list) and all(isinstance(part, str) for part in cell) for cell in cells):
        return "text"
    if (
        not paired
        and all(len(cell) == 2 for cell in cells)
        and any(" " in part.strip() for cell in cells for part in cell)
    ):
        notes.append(f"column '{column}': each cell is a list of two texts, which are a pair")
        return "pair"
    notes.append(f"column '{column}': each cell is a list of texts, which are joined by spaces")
    return "words"


def read_texts(table: Table, column: str, key: str, shape: TextShape = "text") -> Sequence[str]:
    """The texts of a column, "" where a cell is empty; packed as they are, if all cells are texts. For pairs, both
    texts separately: see `read_pairs`.

    Raises:
        DataError: A cell is not a text, or not a list of texts where others are; names its row.
    """
    values = table.columns[column]
    if isinstance(values, Column) and values.holds_texts():
        return values
    parts = (
        _as_text(cell, column, table, key, number, shape) for number, cell in enumerate(cells_of(table, column, key))
    )
    return list(parts)


def read_pairs(table: Table, column: str) -> tuple[list[str], list[str]]:
    """First and second texts of a column of lists of two; both "" where a cell is empty.

    Raises:
        DataError: A cell is anything else; names its row.
    """
    firsts, seconds = [], []
    for number, cell in enumerate(cells_of(table, column, "text")):
        if is_blank(cell):
            cell = ["", ""]
        if not isinstance(cell, list) or len(cell) != 2 or not all(isinstance(part, str) for part in cell):
            raise _no_text(cell, column, table, "text", number, "which is not a list of two texts, unlike the others")
        firsts.append(cell[0])
        seconds.append(cell[1])
    return firsts, seconds


def joined_texts(table: Table, template: str) -> list[str]:
    """Texts of the template; empty if all of its columns are empty."""
    parts = template_parts(template)
    tail = "".join(literal for literal, name in parts if name is None)
    fields = [(literal, name) for literal, name in parts if name is not None]
    texts = []
    for cells in zip(*(read_texts(table, name, "template") for _, name in fields), strict=True):
        filled = any(cell.strip() for cell in cells)
        joined = "".join(literal + cell for (literal, _), cell in zip(fields, cells, strict=True))
        damaged = next((cell for cell in cells if isinstance(cell, Unreadable)), None)
        text = joined + tail if filled else ""
        texts.append(text if damaged is None else Unreadable.of(text, damaged.why))
    return texts


def refuse_numbers(texts: Sequence[str], column: str, table: Table, key: str) -> None:
    """Raises:
    DataError: Nearly all texts are numbers.
    """
    others = numbers = 0
    first = ""
    for text in texts:
        if text.strip():
            is_number = as_number(text) is not None
            first = first or text
            numbers, others = numbers + is_number, others + (not is_number)
            if others > (1 - MOSTLY) * len(texts):
                return  # more than there may be beside numbers
    if numbers and numbers >= MOSTLY * (numbers + others):
        raise DataError(
            f"{table.origin}: column '{column}' holds numbers, not texts (first: {first!r}). "
            f"Columns: {', '.join(table.columns)}.",
            other_column(key),
        )


def _as_text(cell: Any, column: str, table: Table, key: str, number: int, shape: TextShape) -> str:
    if shape == "words" and isinstance(cell, list) and all(isinstance(part, str) for part in cell):
        return " ".join(cell)
    if isinstance(cell, list | dict | bool):
        raise _no_text(cell, column, table, key, number, "which is not a text")
    return "" if cell is None else cell if isinstance(cell, str) else str(cell)


def _no_text(cell: Any, column: str, table: Table, key: str, number: int, why: str) -> DataError:
    return DataError(
        f"{table.origin}: column '{column}' holds {cell!r}, {why} (row {table.number(number)}).", other_column(key)
    )
