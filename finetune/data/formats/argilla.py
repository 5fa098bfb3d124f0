"""Argilla (checked with 2.8): nested records (`to_list`, `to_dict`), and flat ones (`flatten=True`, `to_datasets`).

A flat record has `QUESTION.responses`, `.responses.users` and `.responses.status`, aligned by position. The nested form
loses the status: a discarded answer looks like a submitted one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finetune.data.formats.annotations import NO_ANNOTATION, Item, annotated_table
from finetune.data.formats.base import (
    Export,
    choose_question,
    holds,
    lone,
    object_of,
    rows_of,
    text_columns,
    texts_of,
)
from finetune.data.label_cells import NO_COMMAS, CellError, is_blank, read_list
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection

ANSWERS = ".responses"
OF_ANSWERS = (".responses.users", ".responses.status", ".suggestion", ".suggestion.score", ".suggestion.agent")
ABOUT = ("_server_id", "status", "vectors", "metadata", "suggestions", "responses", "fields", "score")
LEFT_OUT = ("discarded", "draft")  # statuses of answers that do not count


def _recognises(table: Table, _: DataSection) -> bool:
    return _is_nested(table) or any(
        name.endswith(ANSWERS) and f"{name}.status" in table.columns for name in table.columns
    )


def _is_nested(table: Table) -> bool:
    return holds(table, "fields", dict) and "responses" in table.columns


def _read(table: Table, section: DataSection) -> Table:
    return _read_nested(table, section) if _is_nested(table) else _read_flat(table, section)


def _texts(table: Table) -> Table:
    """All records of the nested form, answered or not; the flat one is as it is."""
    if not _is_nested(table):
        return table
    return texts_of(table, "records of Argilla (nested)", [_cells(record, table) for record in rows_of(table)])


def _cells(record: dict[str, Any], table: Table) -> dict[str, Any]:
    return {"id": record.get("id"), **object_of(record, "metadata", table), **object_of(record, "fields", table)}


def _read_nested(table: Table, section: DataSection) -> Table:
    records = list(rows_of(table))
    answers = [_responses(record, table) for record in records]
    questions = dict.fromkeys(
        name for each in answers for name, given in each.items() if any(is_answer(one.get("value")) for one in given)
    )
    question = choose_question(section, list(questions), table, "question")
    items = []
    for record, each in zip(records, answers, strict=True):
        given = [(one.get("value"), one.get("status")) for one in each.get(question, [])]
        items.append(answers_item(_cells(record, table), given))
    fields = list(dict.fromkeys(name for record in records for name in object_of(record, "fields", table)))
    found = annotated_table(table, "records of Argilla (nested)", items, question, section, lone(fields))
    if any("status" in one for each in answers for given in each.values() for one in given):
        return found
    lost = (
        f"{table.origin}: this form of Argilla's records does not hold the status of answers, so discarded answers and "
        "drafts count as submitted. Export them with to_list(flatten=True) or to_datasets() to leave those out."
    )
    return replace(found, warnings=[*found.warnings, lost])


def _responses(record: Mapping[str, Any], table: Table) -> dict[str, list[dict[str, Any]]]:
    """Question -> answers. Argilla 1 has a list of answers, with `values` of all questions in each."""
    given = record.get("responses") or {}
    if isinstance(given, dict) and all(
        isinstance(each, list) and all(isinstance(one, dict) for one in each) for each in given.values()
    ):
        return given
    if isinstance(given, list) and all(isinstance(one, dict) and isinstance(one.get("values"), dict) for one in given):
        by_question: dict[str, list[dict[str, Any]]] = {}
        for one in given:
            for name, value in one["values"].items():
                by_question.setdefault(name, []).append({**value, "status": one.get("status")})
        return by_question
    raise DataError(f"{table.origin} record {record.get('id')}: its responses are no lists of answers by question.")


def _read_flat(table: Table, section: DataSection) -> Table:
    rows = list(rows_of(table))
    of_questions = [name.removesuffix(ANSWERS) for name in table.columns if name.endswith(ANSWERS)]
    read = {name: [_as_list(row[f"{name}{ANSWERS}"], table) for row in rows] for name in of_questions}
    labelling = [name for name in of_questions if any(is_answer(value) for given in read[name] for value in given)]
    question = choose_question(section, labelling, table, "question")
    about = {f"{name}{ending}" for name in of_questions for ending in (ANSWERS, *OF_ANSWERS)}
    about |= {name for name in table.columns if name.endswith(OF_ANSWERS)} | {*ABOUT}
    items = []
    for row, given in zip(rows, read[question], strict=True):
        statuses = _as_list(row.get(f"{question}{ANSWERS}.status"), table)
        paired = list(zip(given, [*statuses, *[None] * len(given)], strict=False))
        items.append(answers_item({name: cell for name, cell in row.items() if name not in about}, paired))
    texts = text_columns(table, {*about, "id"})
    return annotated_table(table, "records of Argilla", items, question, section, lone(texts))


def answers_item(cells: Mapping[str, Any], given: list[tuple[Any, Any]]) -> Item:
    """Answers that count are votes; a record without any is left out for what most of its answers are."""
    votes = [value for value, status in given if status not in LEFT_OUT and is_answer(value)]
    left = Counter(str(status) for _, status in given if status in LEFT_OUT)
    return Item(cells, votes, left.most_common(1)[0][0] if left else NO_ANNOTATION)


def is_answer(value: Any) -> bool:
    """A choice, several, or a rating; no text of its own, no spans, no ranking."""
    if isinstance(value, list):
        return all(isinstance(part, str) for part in value)
    return isinstance(value, str | int | float) and not is_blank(value)


def _as_list(cell: Any, table: Table) -> list[Any]:
    """A list, also one written as text (a set that was saved to CSV).

    Raises:
        DataError: It is an array as numpy prints it, or no list.
    """
    if is_blank(cell):
        return []
    if isinstance(cell, str) and NO_COMMAS.fullmatch(cell.strip()):
        raise DataError(f"{table.origin}: {cell!r} is how numpy prints an array. Save the records as JSON lines.")
    try:
        return read_list(cell)
    except CellError as error:
        raise DataError(f"{table.origin}: {str(cell)[:60]!r} is no list of answers.") from error


ARGILLA = Export(_recognises, _read, _texts)
