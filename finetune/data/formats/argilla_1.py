"""Argilla 1 (released source of 1.29): text classification records, and feedback records of `format_as("datasets")`.

A text classification record has `annotation` beside `prediction`, and a `status`: Validated, Edited, Discarded, or
Default where nobody has looked at it. A feedback record has the answers (user_id, value, status) to each question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune.data.formats.annotations import NO_ANNOTATION, Item, annotated_table
from finetune.data.formats.argilla import answers_item, is_answer
from finetune.data.formats.base import (
    Export,
    as_json,
    choose_question,
    first_cells,
    lone,
    may_be_label,
    object_of,
    rows_of,
    text_columns,
    texts_of,
)
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection

RECORD = ("annotation", "annotation_agent", "prediction", "prediction_agent")
STATUSES = ("Default", "Validated", "Edited", "Discarded")
ANSWERED = ("Validated", "Edited", None)
ABOUT = (*RECORD, "status", "inputs", "multi_label", "explanation", "event_timestamp", "metrics", "vectors", "metadata")
OF_ANSWER = {"value", "status"}
SUGGESTION = "-suggestion"


def _recognises(table: Table, section: DataSection) -> bool:
    if _are_records(table):
        return may_be_label(section, "annotation")
    return any(may_be_label(section, name) for name in _questions(table))


def _are_records(table: Table) -> bool:
    states = first_cells(table, "status")
    return {*RECORD} <= {*table.columns} and all(state in STATUSES for state in states)


def _questions(table: Table) -> list[str]:
    """Columns of answers, as a list of objects or, as `datasets` holds them, an object of lists."""
    return [
        name
        for name in table.columns
        if f"{name}{SUGGESTION}" in table.columns
        and (cells := [as_json(cell) for cell in first_cells(table, name)])
        and all({*answer} >= OF_ANSWER for cell in cells for answer in (cell if isinstance(cell, list) else [cell]))
    ]


def _read(table: Table, section: DataSection) -> Table:
    if _are_records(table):
        items = [_record(row, table) for row in rows_of(table)]
        fields = list(dict.fromkeys(name for item in items for name in item.cells if name != "id"))
        return annotated_table(table, "records of Argilla 1", items, "annotation", section, lone(fields))
    return _read_feedback(table, section)


def _record(row: dict[str, Any], table: Table) -> Item:
    """Guesses of a model are no annotation, and neither is what nobody has validated."""
    status, given = row.get("status"), as_json(row["annotation"])
    votes = [given] if status in ANSWERED and is_answer(given) else []
    return Item(_texts_of_record(row, table), votes, "discarded" if status == "Discarded" else NO_ANNOTATION)


def _texts_of_record(row: dict[str, Any], table: Table) -> dict[str, Any]:
    inputs = object_of(row, "inputs", table)
    text = {} if row.get("text") is None or row["text"] in inputs.values() else {"text": row["text"]}
    others = {name: cell for name, cell in row.items() if name not in (*ABOUT, "text")}
    return {**others, **inputs, **text}


def _read_feedback(table: Table, section: DataSection) -> Table:
    rows, questions = list(rows_of(table)), _questions(table)
    read = {name: [_answers(row[name], table) for row in rows] for name in questions}
    labelling = [name for name in questions if any(is_answer(value) for given in read[name] for value, _ in given)]
    question = choose_question(section, labelling, table, "question")
    about = {name for name in table.columns if name in questions or SUGGESTION in name} | {*ABOUT}
    items = [
        answers_item({name: cell for name, cell in row.items() if name not in about}, given)
        for row, given in zip(rows, read[question], strict=True)
    ]
    texts = text_columns(table, {*about, "id", "external_id"})
    return annotated_table(table, "feedback records of Argilla 1", items, question, section, lone(texts))


def _answers(cell: Any, table: Table) -> list[tuple[Any, Any]]:
    """(value, status) of each answer.

    Raises:
        DataError: The cell holds no answers.
    """
    given = as_json(cell) or []
    if isinstance(given, Mapping) and all(isinstance(given.get(key), list) for key in OF_ANSWER):
        return list(zip(given["value"], given["status"], strict=False))
    if isinstance(given, list) and all(isinstance(answer, dict) for answer in given):
        return [(answer.get("value"), answer.get("status")) for answer in given]
    raise DataError(f"{table.origin}: {str(cell)[:60]!r} is no list of answers, unlike others of its question.")


def _texts(table: Table) -> Table:
    """All records, answered or not; those of feedback have their texts in columns."""
    if not _are_records(table):
        return table
    return texts_of(table, "records of Argilla 1", [_texts_of_record(row, table) for row in rows_of(table)])


ARGILLA_1 = Export(_recognises, _read, _texts)
