"""Shared by the formats of annotation tools: recognising and reading them, and choosing the question that is the
label."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.data.table import Table, UnusableColumn
from finetune.errors import Change, DataError, suggest
from finetune.recipe import DataSection

LOOKED_AT = 50  # rows from which the content of a column is told


@dataclass(frozen=True)
class Export:
    """How the export of one annotation tool is recognised and read, in any file format.

    Attributes:
        recognises: (table, section) -> whether it is such an export; looks at names and a few cells.
        read: (table, section) -> one row per labelled text. Raises DataError if the content does not fit the format.
        texts: Table -> every row with the text columns that `read` produces, without reading labels; None if the rows
            have them already.
    """

    recognises: Callable[[Table, DataSection], bool]
    read: Callable[[Table, DataSection], Table]
    texts: Callable[[Table], Table] | None = None


def cells_of(table: Table, name: str) -> list[Any]:
    """All cells of a column, of any kind; None for every row if the table has no such column."""
    if name not in table.columns:
        return [None] * len(table)
    return list(table.columns[name])


def first_cells(table: Table, name: str) -> list[Any]:
    """Filled cells among the first of a column; none if the table lacks it or its cells cannot be used."""
    column = table.columns.get(name, ())
    try:
        cells = [column[row] for row in range(min(len(column), LOOKED_AT))]
    except UnusableColumn:
        return []
    return [cell for cell in cells if cell is not None and cell != ""]


def holds(table: Table, name: str, *kinds: type) -> bool:
    """Whether the first cells of a column include filled ones, all of these kinds."""
    cells = first_cells(table, name)
    return bool(cells) and all(isinstance(cell, kinds) for cell in cells)


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """Column -> cell of each row; columns that cannot be used are left out."""
    columns: dict[str, Sequence[Any]] = {}
    for name in table.columns:
        try:
            columns[name] = cells_of(table, name)
        except UnusableColumn:
            continue
    for cells in zip(*columns.values(), strict=True):
        yield dict(zip(columns, cells, strict=True))


def object_of(row: dict[str, Any], name: str, table: Table) -> dict[str, Any]:
    """The object in a cell, also if it is written as text; an empty object for an empty cell.

    Raises:
        DataError: The cell holds anything else.
    """
    cell = as_json(row.get(name))
    if cell is None or cell == "":
        return {}
    if not isinstance(cell, dict):
        raise DataError(f"{table.origin}: '{name}' is an object in other rows, and {str(cell)[:60]!r} in one.")
    return cell


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """The columns of all rows, in the order in which they come; None where a row lacks one."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def texts_of(table: Table, what: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Every row of an export with the columns of its text, labels unread, and a note that says so.

    Args:
        table: As the file was read.
        what: Description of the rows, such as "tasks of Label Studio (JSON)".
        rows: Column -> cell.
    """
    note = f"{table.origin}: read as {what}: {len(rows)} rows, none left out"
    return replace(table, columns=columns_of(rows), notes=[*table.notes, note])


def choose_question(section: DataSection, found: Sequence[str], table: Table, what: str) -> str:
    """The question (control, schema) that is the label: the one that the recipe names, or the only one.

    Raises:
        DataError: None or several are there; names them.
    """
    named = section.label
    if isinstance(named, str):
        if named in found:
            return named
        raise DataError(
            f"{table.origin} has no {what} '{named}' with labels.{suggest(named, found)}", key="data.label", found=named
        )
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(f"{table.origin}: no {what} has a label of a text (a choice, a rating or a number).")
    raise DataError(
        f"{table.origin} has {len(found)} {what}s with labels: {', '.join(found)}. Say which is learned.",
        *(Change(settings={"data.label": name}) for name in found[:2]),
        key="data.label",
    )


def may_be_label(section: DataSection, *names: str) -> bool:
    """Whether the recipe leaves the label open, or names one of these columns."""
    return section.label is None or section.label in names


def as_json(cell: Any) -> Any:
    """The object or list if a text is JSON; any other cell unchanged."""
    if not isinstance(cell, str) or cell.lstrip()[:1] not in ("{", "["):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def text_columns(table: Table, apart: Collection[str]) -> list[str]:
    """The columns that hold texts, except those whose meaning is known."""
    return [name for name in table.columns if name not in apart and holds(table, name, str)]


def lone(names: Sequence[str]) -> str | None:
    """The name, if there is only one."""
    return names[0] if len(names) == 1 else None
