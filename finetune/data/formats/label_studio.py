"""Label Studio: raw JSON (tasks with annotations), and the flat JSON-MIN, CSV and TSV.

Checked against the converter of label-studio-sdk 2.1.2. In the flat forms a control with one choice is a bare text, and
with several `{"choices": […]}`; each annotator has a row, the newest first; cancelled annotations have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune.data.columns import LABEL_NAMES, TEXT_NAMES
from finetune.data.formats.annotations import NO_ANNOTATION, Item, annotated_table
from finetune.data.formats.base import (
    Export,
    as_json,
    choose_question,
    first_cells,
    holds,
    lone,
    object_of,
    rows_of,
    text_columns,
    texts_of,
)
from finetune.data.table import Column, Table
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

OF_REGION = {"start", "end", "x", "y", "item_index"}  # where a region, or a part of a dialogue, is
CANCELLED = "cancelled"
CHOICES = '{"choices":'  # how such a cell begins as text
ANNOTATIONS = ("annotations", "completions")  # completions: before version 1.0
ABOUT = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
VALUES = ("choices", "taxonomy", "rating", "number")  # of a control that says something of the whole text


def _recognises(table: Table, _: DataSection) -> bool:
    return _is_raw(table) or _is_flat(table)


def _read(table: Table, section: DataSection) -> Table:
    if _is_raw(table):
        return _read_tasks(table, section)
    return _read_flat(table, section)


def _is_raw(table: Table) -> bool:
    return holds(table, "data", dict) and any(holds(table, name, list) for name in ANNOTATIONS)


def _is_flat(table: Table) -> bool:
    return ("annotation_id" in table.columns and "lead_time" in table.columns) or bool(_with_choices(table))


def _with_choices(table: Table) -> list[str]:
    """Columns in which a cell is `{"choices": […]}`, as an object or as text."""
    return [name for name in table.columns if _may_hold_choices(table, name) and _holds_choices(table.columns[name])]


def _may_hold_choices(table: Table, name: str) -> bool:
    return any(isinstance(cell, str | dict) for cell in first_cells(table, name))


def _holds_choices(cells: Sequence[Any]) -> bool:
    if isinstance(cells, Column) and not cells.may_contain(CHOICES):
        return False
    return any(
        (isinstance(cell, dict) and set(cell) == {"choices"})
        or (isinstance(cell, str) and cell.startswith(CHOICES) and isinstance(as_json(cell), dict))
        for cell in cells
    )


def _read_tasks(table: Table, section: DataSection) -> Table:
    """Raw JSON: text in `data`, answers in `annotations[].result[].value`."""
    tasks = list(rows_of(table))
    given = [_annotations(task, table) for task in tasks]
    controls = dict.fromkeys(name for task in given for answer in task for name in _values(answer))
    if not controls and any(task.get("predictions") for task in tasks):
        raise DataError(
            f"{table.origin}: no task has an annotation with a label of the whole text; the predictions of a model are "
            "no labels. Annotate the tasks, or accept their predictions, and export them again.",
            key="data.label",
        )
    control = choose_question(section, list(controls), table, "control")
    items = []
    for task, answers in zip(tasks, given, strict=True):
        counted = [answer for answer in answers if not _is_cancelled(answer)]
        verified = [answer for answer in counted if answer.get("ground_truth")]
        values = (_values(answer).get(control) for answer in verified or counted)
        cancelled = (answers and not counted) or (not answers and task.get("cancelled_annotations"))
        cells = _cells(task, table)
        votes = [value for value in values if value is not None]
        items.append(Item(cells, votes, CANCELLED if cancelled else NO_ANNOTATION))
    texts = dict.fromkeys(name for item in items for name, cell in item.cells.items() if isinstance(cell, str))
    text = lone([name for name in texts if name != "id"])
    return annotated_table(table, "an export of Label Studio (JSON)", items, control, section, text)


def _texts(table: Table) -> Table:
    """All tasks of raw JSON, annotated or not; the flat forms are as they are."""
    if not _is_raw(table):
        return table
    return texts_of(table, "tasks of Label Studio (JSON)", [_cells(task, table) for task in rows_of(table)])


def _cells(task: dict[str, Any], table: Table) -> dict[str, Any]:
    return {"id": task.get("id"), **object_of(task, "data", table)}


def _annotations(task: Mapping[str, Any], table: Table) -> list[dict[str, Any]]:
    """What was answered, the oldest first."""
    answers: Any = next((task[name] for name in ANNOTATIONS if task.get(name)), [])
    if not isinstance(answers, list) or not all(_is_answer(answer) for answer in answers):
        raise DataError(f"{table.origin} task {task.get('id')}: its annotations are no list of objects with results.")
    return sorted(answers, key=lambda answer: str(answer.get("created_at") or ""))


def _is_answer(answer: Any) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("result") or [], list)


def _is_cancelled(answer: Mapping[str, Any]) -> bool:
    return bool(answer.get("was_cancelled") or answer.get("skipped"))


def _values(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Control -> what it says of the text. Regions and transcriptions say nothing of the whole text."""
    found: dict[str, Any] = {}
    for result in answer.get("result") or ():
        value = result.get("value") if isinstance(result, dict) else None
        kind = next((kind for kind in VALUES if isinstance(value, dict) and kind in value), None)
        if kind is None or not isinstance(value, dict) or OF_REGION & {*value}:
            continue
        name, said = str(result.get("from_name", "label")), _said(value, kind)
        earlier = found.get(name)
        found[name] = [*earlier, *said] if isinstance(earlier, list) and isinstance(said, list) else said
    return found


def _said(value: Mapping[str, Any], kind: str) -> Any:
    """Names, or a number. A path of a taxonomy is one name."""
    said = value[kind]
    if kind not in ("choices", "taxonomy"):
        return said
    parts = said if isinstance(said, list) else [said]
    return [" / ".join(map(str, path)) if isinstance(path, list) and kind == "taxonomy" else path for path in parts]


def _read_flat(table: Table, section: DataSection) -> Table:
    """JSON-MIN, CSV, TSV: rows of one id are annotations of one text."""
    control = _control(table, section)
    rows = sorted(rows_of(table), key=lambda row: str(row.get("created_at") or ""))
    if "annotation_id" not in table.columns or "id" not in table.columns:
        groups = [[row] for row in rows]
    else:
        by_id: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_id.setdefault(str(row["id"]), []).append(row)
        groups = sorted(by_id.values(), key=lambda group: _place(group[0]["id"]))
    items = []
    for group in groups:
        cells = {name: cell for name, cell in group[0].items() if name not in (control, *ABOUT)}
        votes = [vote for row in group if (vote := _vote(row.get(control), table, control)) is not None]
        items.append(Item(cells, votes, rows=len(group)))
    texts = text_columns(table, (control, "id", *ABOUT))
    return annotated_table(table, "an export of Label Studio", items, control, section, lone(texts))


def _place(number: Any) -> tuple[bool, float, str]:
    """Ids in order: numbers by value."""
    text = str(number)
    return (not text.isdecimal(), float(text) if text.isdecimal() else 0.0, text)


def _control(table: Table, section: DataSection) -> str:
    """The column with the answers: named, with choices in it, after the id, with a usual name, or the only other.

    Raises:
        DataError: It cannot be told.
    """
    names = [name for name in table.columns if name not in ("id", *ABOUT)]
    if isinstance(section.label, str):
        return choose_question(section, names, table, "column")
    listed = list(table.columns)
    after_id = listed[listed.index("id") + 1 : listed.index("annotator")] if {"id", "annotator"} <= {*listed} else []
    usual = [name for name in names if name.lower() in LABEL_NAMES]
    no_texts = [name for name in names if name.lower() not in TEXT_NAMES]
    for candidates in (_with_choices(table), after_id, usual, no_texts):
        if len(candidates) == 1:
            return candidates[0]
    raise DataError(
        f"{table.origin}: a flat export of Label Studio does not say which column is the answer. Columns: "
        f"{', '.join(names)}.",
        Change(settings={"data.label": "COLUMN"}),
        key="data.label",
    )


def _vote(cell: Any, table: Table, control: str) -> Any | None:
    """A bare choice, `{"choices": […]}`, `[{"rating": 4}]`, or nothing.

    Raises:
        DataError: It is of a control that marks regions.
    """
    value = as_json(cell)
    if value is None or value == "" or value == []:
        return None
    parts = value if isinstance(value, list) else [value]
    whole = [part for part in parts if isinstance(part, dict) and not OF_REGION & {*part}]
    said = [_said(part, kind) for part in whole for kind in VALUES if kind in part]
    if not said and not any(isinstance(part, dict | list) for part in parts):
        return [str(part) for part in parts] if isinstance(value, list) else value
    if len(said) < len(parts):
        raise DataError(
            f"{table.origin}: column '{control}' holds {str(cell)[:60]!r}, which says nothing about the whole text.",
            Change(settings={"data.label": "COLUMN"}),
            key="data.label",
        )
    names = [name for each in said if isinstance(each, list) for name in each]
    return names or said[0]


LABEL_STUDIO = Export(_recognises, _read, _texts)
