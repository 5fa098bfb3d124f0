"""Lists that hold one label each, as written by tools that allow several: they are single labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from finetune.data.columns import LABEL_NAMES
from finetune.data.formats.base import first_cells
from finetune.data.label_cells import NO_COMMAS, CellError, read_list
from finetune.data.table import Column, Table
from finetune.data.text_parts import why_no_label
from finetune.errors import Change
from finetune.recipe import DataSection


def unwrap_single(tables: dict[str, Table], section: DataSection) -> dict[str, Table]:
    """The tables with single cells instead of lists of one, in label columns where all lists in all tables have one
    part; notes say so.

    With `data.task=single_label` an empty list is an empty cell; else it may be a text without any label, so the column
    keeps its lists, with a note.
    """
    first = next(iter(tables.values()))
    single = {}
    for name in first.columns if section.task != "multi_label" else ():
        read = _list_reader(first, name) if _may_be_label(first, name, section) else None
        if read is None or not all(name in table.columns for table in tables.values()):
            continue
        lengths = _lengths([table.columns[name] for table in tables.values()], read)
        if 1 in lengths and lengths <= ({0, 1} if section.task == "single_label" else {1}):
            single[name] = read
        elif lengths == {0, 1}:
            as_single = Change(settings={"data.task": "single_label"}, note="leaves those rows out").for_command_line()
            first.notes.append(
                f"{first.origin}: lists in column '{name}' hold one label or none. As single labels: {as_single}"
            )
    if not single:
        return tables
    shown = ", ".join(f"'{name}'" for name in single)
    first.notes.append(
        f"{first.origin}: every list in column {shown} has one part, which is read as a single value (as lists: "
        f"{Change(settings={'data.task': 'multi_label'}).for_command_line()})"
    )
    return {split: _unwrapped(table, single) for split, table in tables.items()}


def _may_be_label(table: Table, name: str, section: DataSection) -> bool:
    """The column that is named, that the format tells, or that is recognised by its name or the end of its path."""
    if section.label is not None or "label" in table.roles:
        return name in (section.label, table.roles.get("label"))
    return name.lower().strip().rpartition(".")[2] in LABEL_NAMES and not why_no_label(name, table.columns)


def _list_reader(table: Table, name: str) -> Callable[[Any], Any] | None:
    """What makes a list of a cell, where the cells are lists, or lists written as text."""
    cells = first_cells(table, name)
    if cells and all(isinstance(cell, list) for cell in cells):
        alike = all(cell is None or isinstance(cell, list) for cell in table.columns[name])
        return (lambda cell: cell) if alike else None
    if cells and all(isinstance(cell, str) and cell[:1] == "[" and cell.rstrip()[-1:] == "]" for cell in cells):
        return _written
    return None


def _written(cell: Any) -> Any:
    """The list of names that a text spells; the text itself where it spells none, and of an array of numpy."""
    if isinstance(cell, str) and NO_COMMAS.fullmatch(cell.strip()):
        return cell
    try:
        parts = read_list(cell) if isinstance(cell, str) and cell.strip() else cell
    except CellError:
        return cell
    return parts if isinstance(parts, list) and all(isinstance(part, str) for part in parts) else cell


def _lengths(columns: Sequence[Sequence[Any]], read: Callable[[Any], Any]) -> set[int]:
    """Lengths of the lists in columns; {2} where a cell is no list of plain cells. Ends with the first longer list."""
    lengths: set[int] = set()
    for cell in _filled(columns):
        parts = read(cell)
        if not isinstance(parts, list) or len(parts) > 1 or any(isinstance(part, list | dict) for part in parts):
            return {2}
        lengths.add(len(parts))
    return lengths


def _filled(columns: Sequence[Sequence[Any]]) -> Iterator[Any]:
    return (cell for column in columns for cell in column if cell is not None and cell != "")


def _unwrapped(table: Table, single: dict[str, Callable[[Any], Any]]) -> Table:
    columns = dict(table.columns)
    for name, read in single.items():
        cells = [read(cell) for cell in columns[name]]
        columns[name] = Column([[cell[0] if cell else None for cell in cells]])
    return replace(table, columns=columns)
