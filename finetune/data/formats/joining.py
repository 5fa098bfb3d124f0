"""Texts in another file than their annotations, joined by id."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from finetune.data.formats.base import cells_of
from finetune.data.table import Table
from finetune.errors import Change, DataError

IDS = ("instance_id", "id", "task_id", "item_id", "text_id", "doc_id")


def join_texts(table: Table, texts: Table) -> Table:
    """The table with the columns of `texts` that it lacks, joined by the id of each row.

    Raises:
        DataError: One of them has no ids, an id occurs twice or in no row of `texts`, or `texts` has no further
            columns.
    """
    own, theirs = _id_column(table), _id_column(texts)
    if own in texts.columns:
        theirs = own
    places: dict[str, int] = {}
    for row, cell in enumerate(cells_of(texts, theirs)):
        if places.setdefault(str(cell), row) != row:
            raise DataError(f"{texts.origin}: '{theirs}' is {cell!r} in two rows.", key="data.texts")
    ids = [str(cell) for cell in cells_of(table, own)]
    unknown = Counter(each for each in ids if each not in places)
    if unknown:
        raise DataError(
            f"{texts.origin}: '{theirs}' lacks {len(unknown)} of the ids of {table.origin}, such as "
            f"{next(iter(unknown))!r}.",
            key="data.texts",
        )
    new = [name for name in texts.columns if name not in table.columns and name != theirs]
    if not new:
        raise DataError(
            f"{texts.origin}: all of its columns ({', '.join(texts.columns)}) are in {table.origin} already, whose "
            "cells are used. Leave it out, or rename the column that is meant.",
            Change(settings={"data.texts": None}),
            key="data.texts",
        )
    added: dict[str, list[Any]] = {}
    for name in new:
        cells = cells_of(texts, name)
        added[name] = [cells[places[each]] for each in ids]
    note = f"{table.origin}: {', '.join(new)} of {texts.origin} is joined to each row by the same '{own}'"
    return replace(table, columns={**table.columns, **added}, notes=[*table.notes, note])


def _id_column(table: Table) -> str:
    found = next((name for name in IDS if name in table.columns), None)
    if found is None:
        raise DataError(
            f"{table.origin}: has no column with ids ({', '.join(IDS)}), by which texts are joined.", key="data.texts"
        )
    return found
