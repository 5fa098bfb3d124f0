"""Conversations as language models are tuned with: a list of messages, of which the assistant's answer is the label.

`messages` of `role` and `content` (OpenAI, TRL), or `conversations` of `from` and `value` (ShareGPT).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune.data.formats.annotations import Item, annotated_table
from finetune.data.formats.base import Export, first_cells, may_be_label, rows_of, texts_of
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection

COLUMNS = ("messages", "conversations", "conversation")
KEYS = (("role", "content"), ("from", "value"))  # who speaks, and what is said
ASSISTANT = ("assistant", "gpt", "model", "chatgpt", "bot")
SYSTEM = ("system", "developer")  # their instructions are no text of the user
TEXT, LABEL = "text", "label"
# What such files say of a conversation; any other column may be the label, or the text, of a classification.
DETAILS = ("id", "source", "dataset", "system", "tools", "functions", "parallel_tool_calls")


def _recognises(table: Table, section: DataSection) -> bool:
    column = _column(table)
    is_all = column is not None and table.columns.keys() <= {column, *DETAILS}
    return is_all and section.text in (None, TEXT) and may_be_label(section, LABEL)


def _column(table: Table) -> str | None:
    for name in COLUMNS:
        cells = first_cells(table, name)
        if cells and all(isinstance(cell, list) and cell and all(map(_keys_of, cell)) for cell in cells):
            return name
    return None


def _keys_of(message: Any) -> tuple[str, str] | None:
    """The keys of a message, of which both hold texts."""
    if not isinstance(message, dict):
        return None
    return next((keys for keys in KEYS if all(isinstance(message.get(key), str) for key in keys)), None)


def _read(table: Table, section: DataSection) -> Table:
    column = _column(table)
    if column is None:
        raise DataError(f"{table.origin}: no column holds conversations (messages with role and content).")
    items = []
    for number, row in enumerate(rows_of(table), start=1):
        text, answer = _parts(row[column], f"{table.origin} row {number}")
        items.append(Item(_cells(row, column, text), [] if answer is None else [answer]))
    return annotated_table(table, "conversations, labelled by the last answer", items, LABEL, section, TEXT)


def _texts(table: Table) -> Table:
    column = _column(table) or COLUMNS[0]
    rows = [
        _cells(row, column, _parts(row[column], f"{table.origin} row {number}")[0])
        for number, row in enumerate(rows_of(table), start=1)
    ]
    return texts_of(table, "conversations", rows)


def _cells(row: Mapping[str, Any], column: str, text: str) -> dict[str, Any]:
    return {TEXT: text, **{name: cell for name, cell in row.items() if name not in (column, TEXT)}}


def _parts(messages: Any, where: str) -> tuple[str, str | None]:
    """What was said before the last answer, a message a line; and that answer, or None.

    Raises:
        DataError: It is no list of messages.
    """
    said = []
    for message in messages if isinstance(messages, list) else [messages]:
        keys = _keys_of(message)
        if keys is None:
            raise DataError(f"{where}: {str(message)[:60]} is not a message with role and content.")
        who, what = (message[key] for key in keys)
        if who.lower() not in SYSTEM:
            said.append((who.lower() in ASSISTANT, what))
    answer = said.pop()[1].strip() if said and said[-1][0] else None
    return "\n".join(what for _, what in said), answer or None


CHAT = Export(_recognises, _read, _texts)
