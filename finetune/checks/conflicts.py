"""The same text with different labels."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from finetune.checks.base import EXAMPLES, FoundRow, LocatedFinding, keys_by_split, percent, show_row, shown_rows
from finetune.data.duplicates import TextKey
from finetune.data.rows import Data, Rows, label_identity
from finetune.measurement.units import count_text
from finetune.records.schema import Finding


def check_conflicts(data: Data, keys: Mapping[str, list[TextKey]] | None = None) -> list[Finding]:
    """Rows, over all splits, whose text has another label elsewhere; case, spacing and punctuation do not count.

    Every conflict is a warning: no model can predict both rows correctly. Numbers conflict when they lie more than one
    standard deviation of the training targets apart, as raters differ by less.

    Args:
        data: All splits are searched.
        keys: `keys_by_split(data)`, where it is known.
    """
    splits = data.whole_splits()
    tolerance = statistics.pstdev(data.train.labels) if data.task == "regression" else None
    same_text: dict[TextKey, list[_Row]] = defaultdict(list)
    for split, of_split in (keys_by_split(data) if keys is None else keys).items():
        for index, key in enumerate(of_split):
            same_text[key].append(_Row(split, index, splits[split].labels[index]))
    conflicts = [rows for rows in same_text.values() if _disagree([row.label for row in rows], tolerance)]
    if not conflicts:
        return []
    rows_in_conflict = sum(map(len, conflicts))
    fraction = rows_in_conflict / sum(map(len, splits.values()))
    return [
        LocatedFinding(
            check="conflicts",
            level="warning",
            text=f"{count_text(len(conflicts), 'text')} with different labels, in "
            f"{count_text(rows_in_conflict, 'row')} ({percent(fraction)} of all rows).",
            figures={"texts": len(conflicts), "rows": rows_in_conflict, "share": fraction},
            **shown_rows(splits, _pairs(conflicts, splits), label=True, most=min(EXAMPLES, len(conflicts))),
            advice="Correct the labels, or drop conflicting texts (equal except for case and spacing): "
            "--set data.deduplicate=true",
        )
    ]


class _Row(NamedTuple):
    split: str
    position: int
    label: Any


def _disagree(labels: list[Any], tolerance: float | None) -> bool:
    if len(labels) < 2:
        return False
    if tolerance is not None:
        return bool(max(labels) - min(labels) > tolerance)
    return len({label_identity(label) for label in labels}) > 1


def _pairs(conflicts: list[list[_Row]], splits: Mapping[str, Rows]) -> list[FoundRow]:
    """Two rows with different labels for each text, the second as the remark on the first; then all others."""
    pairs = [_two_labels(rows) for rows in conflicts]
    first = [FoundRow(one.split, one.position, f" ≠ {_shown(other, splits)}") for one, other in pairs]
    rest = [
        FoundRow(row.split, row.position, f" ≠ {_shown(one if row.label != one.label else other, splits)}")
        for rows, (one, other) in zip(conflicts, pairs, strict=True)
        for row in rows
        if row is not one
    ]
    return first + rest


def _shown(row: _Row, splits: Mapping[str, Rows]) -> str:
    return show_row(row.split, splits[row.split], row.position, label=True)


def _two_labels(rows: list[_Row]) -> tuple[_Row, _Row]:
    """The first row, and the first whose label differs from its label most."""
    first = rows[0]
    if isinstance(first.label, float):
        return first, max(rows, key=lambda row: abs(row.label - first.label))
    return first, next(row for row in rows if label_identity(row.label) != label_identity(first.label))
