"""A test split without labels, as competitions publish it: it cannot be measured, and stops nothing."""

from __future__ import annotations

import difflib
from collections import Counter

from finetune.data.columns import LABEL_NAMES, Columns
from finetune.data.extract import label_cells
from finetune.data.label_cells import parse_name
from finetune.data.spellings import placeholders
from finetune.data.table import Table

REASON = "test without labels"


def leave_out_unlabelled(
    tables: dict[str, Table], columns: Columns, warnings: list[str], dropped: Counter[str]
) -> dict[str, Table]:
    """The tables without a test split that has no labels; "all" where train is alone then.

    It has no labels if its label columns are missing and no column has a similar name, or if all their cells are empty,
    mean no label (`?`), or are -1, which no training row has.
    """
    if "test" not in tables or "train" not in tables or not _is_unlabelled(tables, columns):
        return tables
    test = tables["test"]
    rest = {name: table for name, table in tables.items() if name != "test"}
    drawn = "a test split is drawn from the training rows" if len(rest) == 1 else "no test split is measured"
    warnings.append(f"{test.origin}: its {len(test)} rows have no labels and are not measured; {drawn}")
    dropped[REASON] += len(test)
    return rest if len(rest) > 1 else {"all": rest["train"]}


def _is_unlabelled(tables: dict[str, Table], columns: Columns) -> bool:
    table = tables["test"]
    names = [columns.label] if isinstance(columns.label, str) else columns.label
    missing = [name for name in names if name not in table.columns]
    if missing:
        others = [name for name in table.columns if name not in columns.texts]
        misnamed = [name for name in others if name.lower() in LABEL_NAMES]
        close = [name for each in missing for name in difflib.get_close_matches(each, others, cutoff=0.6)]
        return len(missing) == len(names) and not misnamed and not close
    found = _values(table, columns)
    return not found or (found <= {"-1"} and "-1" not in _values(tables["train"], columns))


def _values(table: Table, columns: Columns) -> set[str]:
    """What label cells hold, without those that stand for no label."""
    cells = label_cells(table, columns)
    parts = (part for cell in cells for part in (cell if isinstance(cell, tuple | list) else [cell]))
    filled = {str(part) if isinstance(part, list | dict) else parse_name(part) for part in parts if part is not None}
    filled.discard("")
    return filled - set(placeholders(filled)[0])
