"""A row for each annotator and text: results of Amazon Mechanical Turk, full reports of Appen, tables of one's own.

Mechanical Turk calls what it shows `Input.…`, what workers say `Answer.…`, and has an AssignmentStatus.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finetune.data.columns import LABEL_NAMES, PAIR_NAMES, PAIRS, TEXT_NAMES
from finetune.data.formats.annotations import Item, annotated_table
from finetune.data.formats.base import Export, cells_of, choose_question, lone, rows_of
from finetune.data.label_cells import is_blank
from finetune.data.table import Table, UnusableColumn
from finetune.errors import Change, DataError, shorten
from finetune.recipe import DataSection

WHO = re.compile(r"_?(annotator|worker|rater|coder|judge|labell?er|crowd_?worker)[ _-]?(id|name)?", re.IGNORECASE)
ANSWER, STATUS, REFUSED = "Answer.", "AssignmentStatus", "Rejected"
NAMED = 8  # columns in one note
SEVERAL = 0.1  # least fraction of the texts with several annotators
DIFFERENT = 0.95  # least fraction of the rows in which an annotator meets a text for the first time


def _recognises(table: Table, section: DataSection) -> bool:
    who, text = _who(table), _text(table, section)
    if who is None or text is None or not (_label(table, section) or _answers(table)):
        return False
    try:
        keys = _keys(table, text, section)
        pairs = list(zip(keys, map(str, cells_of(table, who)), strict=True))
    except UnusableColumn:
        return False
    annotators = defaultdict(set)
    for key, name in pairs:
        annotators[key].add(name)
    several = sum(len(names) > 1 for names in annotators.values())
    return several >= SEVERAL * len(annotators) and len(set(pairs)) >= DIFFERENT * len(pairs) > 0


def _keys(table: Table, text: str, section: DataSection) -> list[tuple[str, ...]]:
    """What each row is about: the text, and a second one beside it."""
    beside = (second for pair in PAIRS if text.rpartition(".")[2].lower() in pair for second in pair)
    names = dict.fromkeys([text, section.text_pair, _called(table, [*PAIR_NAMES, *beside])])
    return list(zip(*(map(str, cells_of(table, name)) for name in names if name in table.columns), strict=True))


def _who(table: Table) -> str | None:
    return lone([name for name in table.columns if WHO.fullmatch(name.strip())])


def _text(table: Table, section: DataSection) -> str | None:
    return section.text if section.text in table.columns else _called(table, TEXT_NAMES)


def _label(table: Table, section: DataSection) -> str | None:
    if section.label is not None:
        return section.label if isinstance(section.label, str) and section.label in table.columns else None
    return _called(table, LABEL_NAMES)


def _called(table: Table, names: Sequence[str]) -> str | None:
    """The column with the first of some names, alone or as the last part of a path."""
    by_end = {name.rpartition(".")[2].lower().strip(): name for name in table.columns}
    return next((by_end[name] for name in names if name in by_end), None)


def _answers(table: Table) -> list[str]:
    return [name for name in table.columns if name.startswith(ANSWER)]


def _read(table: Table, section: DataSection) -> Table:
    who, text = _who(table), _text(table, section)
    if who is None or text is None:
        raise DataError(
            f"{table.origin}: a table with a row for each annotator and text has a column that names the annotator "
            "(annotator, worker_id, …), and one with the text.",
            Change(settings={"data.text": "COLUMN"}),
        )
    label = _label(table, section) or choose_question(section, _answers(table), table, "column")
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for key, row in zip(_keys(table, text, section), rows_of(table), strict=True):
        groups[key].append(row)
    kept, left = _about_the_text(list(groups.values()), {who, label})
    items: list[Item] = []
    for group in groups.values():
        items += _items(group, kept, label)
    if left:
        said = (
            f"{table.origin}: columns that differ between the annotators of a text are left out: {shorten(left, NAMED)}"
        )
        table = replace(table, notes=[*table.notes, said])
    return annotated_table(table, f"a row for each annotator ('{who}') and text", items, label, section, text)


def _items(group: Sequence[Mapping[str, Any]], kept: Sequence[str], label: str) -> list[Item]:
    """The text with its votes, and the assignments that were rejected."""
    cells = {name: group[0][name] for name in kept}
    accepted = [row for row in group if row.get(STATUS) != REFUSED]
    votes = [row[label] for row in accepted if not is_blank(row[label])]
    refused = len(group) - len(accepted)
    items = [Item(cells, votes, rows=len(accepted))] if accepted else []
    return items + ([Item(cells, [], "rejected assignment", refused)] if refused else [])


def _about_the_text(groups: Sequence[Sequence[Mapping[str, Any]]], apart: set[str]) -> tuple[list[str], list[str]]:
    """The columns that say the same in all rows of a text, whoever annotated it, and the others."""
    names = [name for name in groups[0][0] if name not in apart]
    kept = [name for name in names if all(row[name] == group[0][name] for group in groups for row in group)]
    return kept, [name for name in names if name not in kept]


ANNOTATOR_ROWS = Export(_recognises, _read)
