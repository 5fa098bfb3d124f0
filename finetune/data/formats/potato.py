"""Potato (checked with 2.12): a row for each annotator and text, with one column per label (`schema.label`), or
`labels`.

Its files name texts by `instance_id`; the texts come from `data.texts`, the file that was annotated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune.data.columns import TEXT_NAMES
from finetune.data.formats.annotations import Item, annotated_table
from finetune.data.formats.base import Export, choose_question, holds, lone, object_of, rows_of, text_columns
from finetune.data.label_cells import is_blank
from finetune.data.table import Table
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

ITEM = "instance_id"
WHO = ("user_id", "user")
MARKS = (":::", ".")  # between schema and label: before version 2, and from then on
UNSET = ("", "false", "0", "none", "null")
NESTED = ("labels", "label_annotations")


def _recognises(table: Table, _: DataSection) -> bool:
    annotated = _label_columns(table) or any(holds(table, name, dict) for name in NESTED)
    return ITEM in table.columns and any(name in table.columns for name in WHO) and bool(annotated)


def _label_columns(table: Table) -> dict[str, tuple[str, str]]:
    """Column -> (schema, label)."""
    parted = {name: next((mark for mark in MARKS if mark in name), None) for name in table.columns}
    return {
        name: (name.partition(mark)[0], name.partition(mark)[2]) for name, mark in parted.items() if mark is not None
    }


def _read(table: Table, section: DataSection) -> Table:
    if not _recognises(table, section):
        raise DataError(f"{table.origin}: an export of Potato has instance_id, user_id, and columns schema.label.")
    rows = list(rows_of(table))
    columns = _label_columns(table)
    answers = [_answers(row, columns, table) for row in rows]
    schema = choose_question(section, list(dict.fromkeys(name for each in answers for name in each)), table, "schema")
    used = {*columns, *NESTED, *WHO, "spans", "links", "span_annotations"}
    texts = text_columns(table, {*used, ITEM})
    text = lone(texts) or next((name for name in texts if name in (*TEXT_NAMES, "displayed_text")), None)
    if text is None and not texts:
        raise DataError(
            f"{table.origin}: Potato's file names texts by {ITEM} and does not hold them. Name the file that was "
            "annotated, with the columns id and text.",
            Change(settings={"data.texts": "FILE"}),
            key="data.texts",
        )
    by_text: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        by_text.setdefault(str(row[ITEM]), []).append(index)
    items = []
    for group in by_text.values():
        cells = {name: cell for name, cell in rows[group[0]].items() if name not in used}
        votes = [answers[index][schema] for index in group if answers[index].get(schema)]
        items.append(Item(cells, votes, rows=len(group)))
    return annotated_table(table, "annotations of Potato", items, schema, section, text)


def _answers(row: dict[str, Any], columns: Mapping[str, tuple[str, str]], table: Table) -> dict[str, list[str]]:
    """Schema -> the labels that an annotator set."""
    said: dict[str, list[str]] = {}
    for name, (schema, label) in columns.items():
        _add(said, schema, label, row[name])
    for nested in NESTED:
        for schema, labels in object_of(row, nested, table).items():
            for label, value in labels.items() if isinstance(labels, dict) else ():
                _add(said, schema, label, value)
    return said


def _add(said: dict[str, list[str]], schema: str, label: str, value: Any) -> None:
    if not is_blank(value) and str(value).strip().lower() not in UNSET:
        said.setdefault(schema, []).append(label)


POTATO = Export(_recognises, _read)
