"""Cells that are objects -> a column for each path in them: {"data": {"text": …}} has the column `data.text`.

A path goes through lists, too: for {"labels": [{"name": "a"}, {"name": "b"}]} the column `labels.name` holds both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any

from finetune.data.formats.base import first_cells
from finetune.data.table import Column, Table

MOST_PATHS = 64  # of one column: more are no names of fields but keys such as ids
DEEPEST = 8


def flatten(table: Table) -> Table:
    """The table with one column per path instead of columns of objects. Columns with too many paths stay as they
    are."""
    columns: dict[str, Any] = {}
    nested = []
    for name, column in table.columns.items():
        objects = any(_has_object(cell) for cell in first_cells(table, name))
        paths = _paths(column) if objects else []
        if not paths or len(paths) > MOST_PATHS:
            columns.setdefault(name, column)
            continue
        nested.append(name)
        for path in paths:
            whole = ".".join((name, *path))
            columns.setdefault(whole, Column([[_follow(cell, path) for cell in column]]))
    if not nested:
        return table
    shown = ", ".join(f"'{name}'" for name in nested[:5])
    said = (
        f"{table.origin}: {shown} {'hold' if len(nested) > 1 else 'holds'} objects: their parts are columns with dots"
    )
    return replace(table, columns=columns, notes=[*table.notes, said])


def _has_object(cell: Any) -> bool:
    return isinstance(cell, dict) or (isinstance(cell, list) and any(isinstance(part, dict) for part in cell))


def _paths(column: Iterable[Any]) -> list[tuple[str, ...]]:
    found: dict[tuple[str, ...], None] = {}
    for cell in column:
        for path in _leaves(cell, DEEPEST):
            found.setdefault(path)
        if len(found) > MOST_PATHS:
            break
    # A path that goes on from another is nothing there, such as an empty list.
    return [path for path in found if path and not any(other[: len(path)] == path and other != path for other in found)]


def _leaves(cell: Any, deepest: int) -> Iterable[tuple[str, ...]]:
    if isinstance(cell, dict) and deepest and cell:
        return ((str(key), *rest) for key, value in cell.items() for rest in _leaves(value, deepest - 1))
    if isinstance(cell, list) and any(isinstance(part, dict) for part in cell):
        return chain.from_iterable(_leaves(part, deepest) for part in cell)
    return ((),) if cell is not None else ()


def _follow(cell: Any, path: tuple[str, ...]) -> Any:
    """What is at the end of the path; a list of what is there in each part of a list."""
    if not path:
        return cell
    if isinstance(cell, dict):
        return _follow(cell.get(path[0]), path[1:])
    if isinstance(cell, list):
        parts = [_follow(part, path) for part in cell]
        return list(
            chain.from_iterable(part if isinstance(part, list) else [part] for part in parts if part is not None)
        )
    return None
