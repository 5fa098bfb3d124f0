"""doccano (checked with 1.8.4): JSON lines with a list of labels, CSV with labels joined by `#`; always `Comments`.

A text that nobody annotated has an empty list or cell, just as one without any label: such rows are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetune.data.formats.annotations import Item, annotated_table
from finetune.data.formats.base import Export, cells_of, holds, may_be_label, rows_of
from finetune.data.label_cells import is_blank
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection

JOINT = "#"
LABELS = ("label", "cats")  # cats: of intent detection


def _recognises(table: Table, section: DataSection) -> bool:
    labels = [name for name in LABELS if name in table.columns]
    return {"Comments", "text"} <= {*table.columns} and bool(labels) and may_be_label(section, *labels)


def _read(table: Table, section: DataSection) -> Table:
    label = next((name for name in LABELS if name in table.columns), None)
    if label is None or "text" not in table.columns:
        raise DataError(f"{table.origin}: an export of doccano has the columns text and label.")
    read = _joint_reader(cells_of(table, label)) if holds(table, label, str) else _as_names
    items = []
    for number, row in enumerate(rows_of(table), start=1):
        names = read(row[label])
        if any(isinstance(name, list | dict) for name in names):
            raise DataError(
                f"{table.origin} row {number}: '{label}' holds {names[0]!r}: labels of words, where a label of the "
                "text is expected (a doccano project for text classification)."
            )
        cells = {name: cell for name, cell in row.items() if name != label}
        items.append(Item(cells, [names] if names else []))
    return annotated_table(table, "an export of doccano", items, label, section, "text")


def _as_names(cell: Any) -> list[Any]:
    if isinstance(cell, list):
        return cell
    return [] if is_blank(cell) else [cell]


def _joint_reader(cells: Sequence[Any]) -> Any:
    """doccano sorts the labels that it joins; a `#` in cells that are not sorted so is part of a name, as in C#."""
    parted = [cell.split(JOINT) for cell in cells if isinstance(cell, str) and JOINT in cell]
    if all(all(parts) and parts == sorted(parts) for parts in parted):
        return lambda cell: [part.strip() for part in cell.split(JOINT)] if not is_blank(cell) else []
    return lambda cell: [cell.strip()] if not is_blank(cell) else []


DOCCANO = Export(_recognises, _read)
