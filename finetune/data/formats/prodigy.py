"""Prodigy: JSON lines with an `answer`. `label` is what was shown, not what was said; a choice has `accept`.

Rows are accepted, rejected or ignored. Rejected and ignored ones are left out, except where one label alone was shown:
then a rejected text is a text without it.
"""

from __future__ import annotations

from typing import Any

from finetune.data.formats.annotations import NO_ANNOTATION, Item, annotated_table
from finetune.data.formats.base import Export, as_json, first_cells, may_be_label, rows_of
from finetune.data.label_cells import is_blank
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection

REASONS = {"reject": "rejected", "ignore": "ignored"}
ANSWERS = ("accept", *REASONS)
OF_TASK = ("label", "accept", "answer", "options", "config", "tokens", "spans")  # what is no column of the texts
LABELS = ("label", "accept")
WHO = ("_annotator_id", "_session_id")


def _recognises(table: Table, section: DataSection) -> bool:
    answers = first_cells(table, "answer")
    return (
        bool(answers)
        and all(answer in ANSWERS for answer in answers)
        and _has_labels(table)
        and may_be_label(section, *LABELS)
    )


def _has_labels(table: Table) -> bool:
    return "text" in table.columns and any(name in table.columns for name in LABELS)


def _read(table: Table, section: DataSection) -> Table:
    if not _has_labels(table) or "answer" not in table.columns:
        raise DataError(f"{table.origin}: an export of Prodigy has text, answer, and label or accept.")
    rows = list(rows_of(table))
    for number, row in enumerate(rows, start=1):
        if row["answer"] not in ANSWERS:
            raise DataError(
                f"{table.origin} row {number}: answer {row['answer']!r} is none of {', '.join(ANSWERS)}.", key="data"
            )
    shown = {str(row["label"]) for row in rows if not is_blank(row.get("label"))}
    chosen = "accept" in table.columns
    only = next(iter(shown)) if not chosen and len(shown) == 1 else None
    by_text: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        same = row["text"] if row.get("_input_hash") is None else row["_input_hash"]
        by_text.setdefault(str(same), []).append(row)
    items = [_item(group, only) for group in by_text.values()]
    tool = "annotations of Prodigy" + (f" (rejected texts are 'not {only}')" if only is not None else "")
    return annotated_table(table, tool, items, "label", section, "text")


def _item(rows: list[dict[str, Any]], only: str | None) -> Item:
    """One text: the labels that each annotator accepted."""
    votes: dict[str, list[Any]] = {}
    for row in rows:
        who = next((str(row[name]) for name in WHO if row.get(name) is not None), "")
        said = _labels(row, only)
        if said is not None:
            votes.setdefault(who, []).extend(name for name in said if name not in votes.get(who, []))
    reasons = [REASONS.get(row["answer"], NO_ANNOTATION) for row in rows]
    cells = {name: cell for name, cell in rows[0].items() if name not in OF_TASK}
    return Item(cells, list(votes.values()), max(reasons, key=reasons.count), len(rows))


def _labels(row: dict[str, Any], only: str | None) -> list[Any] | None:
    """What the annotator said of the text; None for a row that says nothing."""
    if row["answer"] != "accept":
        return [f"not {only}"] if only is not None and row["answer"] == "reject" else None
    if "accept" not in row:
        return None if is_blank(row.get("label")) else [row["label"]]
    accepted = as_json(row["accept"])
    if not isinstance(accepted, list):
        return None if is_blank(accepted) else [accepted]
    config = as_json(row.get("config"))
    several = isinstance(config, dict) and config.get("choice_style") == "multiple"
    return accepted if accepted or several else None


PRODIGY = Export(_recognises, _read)
