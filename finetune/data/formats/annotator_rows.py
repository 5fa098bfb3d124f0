"""A row for each annotator and text: results of Amazon Mechanical Turk, full reports of Appen, tables of one's own.

Mechanical Turk calls what it shows `Input.…`, what workers say `Answer.…`, and has an AssignmentStatus; Appen has
`_worker_id`, and `_tainted` for judgements of workers it does not trust.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finetune.data.column_hints import few_values, holds_texts
from finetune.data.columns import LABEL_NAMES, PAIR_NAMES, TEXT_NAMES
from finetune.data.formats.annotations import Item, annotated_table
from finetune.data.formats.base import Export, cells_of, choose_question, lone, rows_of
from finetune.data.label_cells import is_blank
from finetune.data.numbers import as_number
from finetune.data.table import Table, UnusableColumn
from finetune.errors import Change, DataError, shorten
from finetune.recipe import DataSection

WHO = re.compile(r"_?(annotator|worker|rater|coder|judge|labell?er|crowd_?worker)[ _-]?(id|name)?", re.IGNORECASE)
INPUT, ANSWER = "Input.", "Answer."
REFUSED = {"AssignmentStatus": "rejected", "_tainted": "true"}  # column -> what it says of an annotation without value
SEVERAL = 0.1  # least fraction of the texts with several annotators
DIFFERENT = 0.95  # least fraction of the rows in which an annotator meets a text for the first time
MOST_NUMBERS = 3  # different numbers that are classes; more are a rating, of which there may be no majority
NAMED = 8  # columns in one note
Rows = Sequence[Mapping[str, Any]]


def _recognises(table: Table, section: DataSection) -> bool:
    """Whether texts have several annotators, and nothing else distinguishes their rows that is asked for."""
    who, text, labels = _who(table), _text(table, section), _labels(table, section)
    if who is None or text is None or not labels:
        return False
    try:
        groups = _groups(table, text, section)
        cells = [cell for name in labels for cell in cells_of(table, name)]
    except UnusableColumn:
        return False
    pairs = [(key, str(row[who])) for key, rows in groups.items() for row in rows]
    several = sum(len({str(row[who]) for row in rows}) > 1 for rows in groups.values())
    if several < SEVERAL * len(groups) or len(set(pairs)) < DIFFERENT * len(pairs):
        return False
    differing = _differing(list(groups.values()), {who, *labels})
    return (
        _are_classes(cells, section)
        and _asked(section).isdisjoint([*differing, who])
        and not any(_distinguishes(table, name, who) for name in differing)
    )


def _who(table: Table) -> str | None:
    return lone([name for name in table.columns if WHO.fullmatch(name.strip())])


def _text(table: Table, section: DataSection) -> str | None:
    """The column that the recipe names, or one of the usual names; of Mechanical Turk only what it shows."""
    if section.text is not None or section.template is not None:
        return section.text if section.text in table.columns else None
    shown = [name for name in table.columns if name.startswith(INPUT)]
    if not shown:
        return _called(table, TEXT_NAMES)
    others = [name for name in shown if name.removeprefix(INPUT).lower() not in LABEL_NAMES]
    return _called(table, TEXT_NAMES, INPUT) or lone(others)


def _labels(table: Table, section: DataSection) -> list[str]:
    """The column that the recipe names, or one of the usual names; of Mechanical Turk all that workers said."""
    if section.label is not None:
        return [section.label] if isinstance(section.label, str) and section.label in table.columns else []
    answers = [name for name in table.columns if name.startswith(ANSWER)]
    named = _called(table, LABEL_NAMES, ANSWER if answers else "")
    return answers if named is None else [named]


def _called(table: Table, names: Sequence[str], start: str = "") -> str | None:
    """The column with the first of some names, behind `start`, or as its last part (`Answer.mood.label`)."""
    plain = {name.removeprefix(start).lower().strip(): name for name in table.columns if name.startswith(start)}
    by_end = {key.rpartition(".")[2]: name for key, name in plain.items()} if start else {}
    return next((found[name] for found in (plain, by_end) for name in names if name in found), None)


def _groups(table: Table, text: str, section: DataSection) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """What was annotated (a text, and a second one beside it) -> its rows."""
    names = dict.fromkeys([text, section.text_pair, _called(table, PAIR_NAMES)])
    keys = zip(*(map(str, cells_of(table, name)) for name in names if name in table.columns), strict=True)
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for key, row in zip(keys, rows_of(table), strict=True):
        groups[key].append(row)
    return groups


def _differing(groups: Sequence[Rows], apart: set[str]) -> list[str]:
    """The columns that do not say the same in all rows of a text."""
    names = [name for name in groups[0][0] if name not in apart]
    return [name for name in names if any(row[name] != rows[0][name] for rows in groups for row in rows)]


def _asked(section: DataSection) -> set[str]:
    """Columns that the recipe names for something else than text and label."""
    named = (section.id, section.group, section.order_by, section.split_column)
    return {*(name for name in named if name is not None), *section.minimum}


def _distinguishes(table: Table, name: str, who: str) -> bool:
    """Whether a differing column may be a part of what was annotated: a second text, an aspect, an official split; and
    not the number of seconds, or something about the annotators."""
    if any(shown.startswith(INPUT) for shown in table.columns):
        return name.startswith(INPUT)
    if name in REFUSED:
        return False
    values = few_values(table, name)
    if not values:
        return holds_texts(table, name, words=2)
    annotators = list(map(str, cells_of(table, who)))
    said = {*zip(annotators, map(str, cells_of(table, name)), strict=True)}
    is_about_annotators = len(said) == len({*annotators})
    return not is_about_annotators and not all(as_number(value) is not None for value in values)


def _are_classes(cells: Sequence[Any], section: DataSection) -> bool:
    """Whether labels are single classes of which one can have the majority."""
    filled = [cell for cell in cells if not is_blank(cell)]
    if section.task == "regression" or any(section.label_separator in str(cell) for cell in filled):
        return False
    numbers = {as_number(cell) for cell in filled}
    return None in numbers or (len(numbers) <= MOST_NUMBERS and all(number % 1 == 0 for number in numbers if number))


def _read(table: Table, section: DataSection) -> Table:
    who, text, labels = _who(table), _text(table, section), _labels(table, section)
    if who is None or text is None or not labels:
        raise DataError(
            f"{table.origin}: a table with a row for each annotator and text has a column that names the annotator "
            "(annotator, worker_id, …), one with the text and one with the label.",
            Change(settings={"data.text": "COLUMN", "data.label": "COLUMN"}),
        )
    label = lone(labels) or choose_question(section, labels, table, "column")
    groups = list(_groups(table, text, section).values())
    left = _differing(groups, {who, label})
    items: list[Item] = []
    for rows in groups:
        items += _items(rows, {who, label, *left}, label)
    notes = []
    if section.annotations != "all":
        each = Change(settings={"data.annotations": "all"}).for_command_line()
        notes.append(f"{table.origin}: to train on every annotation: {each}")
    if left:
        said = f"columns that differ between the annotators of a text are left out: {shorten(left, NAMED)}"
        notes.append(f"{table.origin}: {said}")
    table = replace(table, notes=[*table.notes, *notes])
    return annotated_table(table, f"a row for each annotator ('{who}') and text", items, label, section, text)


def _items(rows: Rows, apart: set[str], label: str) -> list[Item]:
    """The text with its votes, and the annotations that were rejected."""
    cells = {name: cell for name, cell in rows[0].items() if name not in apart}
    accepted = [row for row in rows if not any(str(row.get(key)).lower() == no for key, no in REFUSED.items())]
    votes = [_stripped(row[label]) for row in accepted if not is_blank(row[label])]
    refused = len(rows) - len(accepted)
    items = [Item(cells, votes, rows=len(accepted))] if accepted else []
    return items + ([Item(cells, [], "rejected annotation", refused)] if refused else [])


def _stripped(cell: Any) -> Any:
    return cell.strip() if isinstance(cell, str) else cell


ANNOTATOR_ROWS = Export(_recognises, _read)
