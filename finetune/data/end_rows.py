"""The first and the last row of a table, where they seem to describe the columns or to sum up the rows."""

from __future__ import annotations

import re
from collections import Counter

from finetune.data.labels import drop_change
from finetune.data.rows import Rows, names_of
from finetune.tasks import Task

ENOUGH = 10  # rows, below which a class with a single row is nothing special
MOST_SINGLE = 2  # classes with a single row, up to which that of the first or last row stands out
SHOWN = 60  # characters of a text
TOTAL = re.compile(r"(?:grand |sub)?totals?|sum|average|mean|count|gesamt|summe|suma", re.IGNORECASE)


def end_row_warnings(origin: str, rows: Rows, task: Task) -> list[str]:
    """Warnings about a first row whose label no other row has, as a second line of the header, and about a last one
    that sums up the others.

    Args:
        origin: The table, for the message.
        rows: Its clean rows.
        task: What is predicted.
    """
    if len(rows) < ENOUGH:
        return []
    warnings = []
    last = len(rows) - 1
    if TOTAL.fullmatch(rows.texts[last].strip(" :*=-")):
        warnings.append(
            f"{origin}: row {rows.ids[last]}, the last, is {_shown(rows, last)}: a sum of the others, and no text? "
            "Then delete it from the file"
        )
    label = rows.labels[0]
    first = names_of(label)
    if task == "regression" or len(first) != 1 or rows.ids[0] != "1" or rows.labels.count(label) > 1:
        return warnings
    counts = Counter(name for label in rows.labels for name in names_of(label))
    if counts[first[0]] == 1 and sum(count == 1 for count in counts.values()) <= MOST_SINGLE:
        leave_out = drop_change(first).for_command_line()
        warnings.append(
            f"{origin}: row 1 is the only one with its label: {_shown(rows, 0)}. If it describes the columns, leave it "
            f"out: {leave_out}"
        )
    return warnings


def _shown(rows: Rows, index: int) -> str:
    text = rows.texts[index].strip()
    return f"{text[:SHOWN] + ('…' if len(text) > SHOWN else '')!r} with the label {rows.labels[index]!r}"
