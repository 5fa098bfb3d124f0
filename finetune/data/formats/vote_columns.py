"""One column per labeller: labelling functions of Snorkel (a label matrix, -1 abstains), or annotators.

Snorkel 0.10 has classes 0 to K-1, and -1 for a function that abstains.
"""

from __future__ import annotations

import re
from typing import Any

from finetune.data.columns import LABEL_NAMES
from finetune.data.formats.annotations import Item, annotated_table
from finetune.data.formats.base import Export, first_cells, lone, rows_of, text_columns
from finetune.data.label_cells import is_blank
from finetune.data.numbers import as_number
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection

ABSTAIN = -1
MOST_CLASSES = 50
ANNOTATOR = re.compile(
    r"(annotator|annotation|rater|coder|judge|worker|label(l?er)?)[ _-]?([0-9]+|[a-z])", re.IGNORECASE
)
LABELLED = re.compile(r" *label[ _-]?([0-9]+|[a-z]) *", re.IGNORECASE)  # may be labels of different kinds, too
LABEL = "majority"  # the column that is made


def _has_label(table: Table, section: DataSection) -> bool:
    return section.label is not None or any(name.lower().strip() in LABEL_NAMES for name in table.columns)


def _functions(table: Table) -> list[str]:
    """Columns of classes from 0 on, and -1."""
    return [name for name in table.columns if _are_votes(first_cells(table, name))]


def _are_votes(cells: list[Any]) -> bool:
    numbers = [as_number(cell) for cell in cells]
    return bool(numbers) and all(
        number is not None and number.is_integer() and ABSTAIN <= number <= MOST_CLASSES for number in numbers
    )


def _is_matrix(table: Table, section: DataSection) -> bool:
    functions = [
        name for name in _functions(table) if any(as_number(cell) == ABSTAIN for cell in first_cells(table, name))
    ]
    return not _has_label(table, section) and len(functions) > 1


def _read_matrix(table: Table, section: DataSection) -> Table:
    functions = [name for name in _functions(table) if name != "id"]
    if len(functions) < 2:
        raise DataError(f"{table.origin}: a label matrix has a column for each labelling function: -1, 0, 1, …")
    return _read(table, section, functions, "a label matrix of Snorkel", "every labelling function abstains")


def _annotators(table: Table) -> list[str]:
    return [name for name in table.columns if ANNOTATOR.fullmatch(name.strip())]


def _is_by_annotator(table: Table, section: DataSection) -> bool:
    annotators = _annotators(table)
    several = not _has_label(table, section) and len(annotators) > 1
    return several and (not all(map(LABELLED.fullmatch, annotators)) or _share_labels(table, annotators))


def _share_labels(table: Table, annotators: list[str]) -> bool:
    """Whether each column holds a label that is in another one too: columns of different labels are no votes."""
    labels = [{str(_plain(cell)) for cell in first_cells(table, name)} for name in annotators]
    return all(
        not own or any(own & other for number, other in enumerate(labels) if number != place)
        for place, own in enumerate(labels)
    )


def _read_annotators(table: Table, section: DataSection) -> Table:
    annotators = _annotators(table)
    if len(annotators) < 2:
        raise DataError(f"{table.origin}: no two columns are named like annotators (annotator_1, annotator_2).")
    return _read(table, section, annotators, "a table with a column for each annotator", "no annotation")


def _read(table: Table, section: DataSection, voters: list[str], tool: str, missing: str) -> Table:
    items = []
    for row in rows_of(table):
        votes = [_plain(row[name]) for name in voters if not is_blank(row[name]) and as_number(row[name]) != ABSTAIN]
        items.append(Item({name: cell for name, cell in row.items() if name not in voters}, votes, missing))
    texts = text_columns(table, voters)
    named = f"{tool} ({', '.join(voters)})" if len(voters) < 6 else f"{tool} ({len(voters)} columns)"
    return annotated_table(table, named, items, LABEL, section, lone(texts))


def _plain(cell: Any) -> Any:
    """Whole numbers as such: pandas makes them fractions where a cell is empty."""
    number = as_number(cell)
    return cell if number is None or not number.is_integer() else str(int(number))


SNORKEL = Export(_is_matrix, _read_matrix)
ANNOTATORS = Export(_is_by_annotator, _read_annotators)
