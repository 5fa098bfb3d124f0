"""The same text with different labels."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

from finetune.checks.base import EXAMPLES, count, named_splits, percent, show_row
from finetune.data.duplicates import text_keys
from finetune.data.rows import Data, label_identity
from finetune.records.schema import Finding


def check_conflicts(data: Data) -> list[Finding]:
    """Rows of all splits together whose text, but for case, spacing and punctuation, has another label elsewhere.

    Every conflict is a warning: no model can be right about both rows. Numbers conflict when they lie more than a
    standard deviation of the training targets apart, as raters differ by less.
    """
    splits = named_splits(data)
    tolerance = statistics.pstdev(data.train.labels) if data.task == "regression" else None
    places: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for name, rows in splits.items():
        for index, key in enumerate(text_keys(rows)):
            places[key].append((name, index))
    conflicts = [
        found for found in places.values() if _disagree([splits[name].labels[i] for name, i in found], tolerance)
    ]
    if not conflicts:
        return []
    rows_in_conflict = sum(len(found) for found in conflicts)
    share = rows_in_conflict / sum(len(rows) for rows in splits.values())
    return [
        Finding(
            check="conflicts",
            level="warning",
            text=f"{count(len(conflicts), 'text')} with different labels, in {count(rows_in_conflict, 'row')} "
            f"({percent(share)} of all).",
            figures={"texts": len(conflicts), "rows": rows_in_conflict, "share": share},
            examples=[
                " ≠ ".join(
                    show_row(name, splits[name], index, label=True)
                    for name, index in _two_labels([(name, i, splits[name].labels[i]) for name, i in found])
                )
                for found in conflicts[:EXAMPLES]
            ],
            advice="Correct the labels, or drop those of texts that are equal but for case and spacing: "
            "--set data.deduplicate=true",
        )
    ]


def _disagree(labels: list[Any], tolerance: float | None) -> bool:
    if len(labels) < 2:
        return False
    if tolerance is not None:
        return bool(max(labels) - min(labels) > tolerance)
    return len({label_identity(label) for label in labels}) > 1


def _two_labels(places: list[tuple[str, int, Any]]) -> list[tuple[str, int]]:
    """The first place, and the first whose label differs from its most."""
    name, index, label = places[0]
    if isinstance(label, float):
        other = max(places, key=lambda place: abs(place[2] - label))
    else:
        other = next(place for place in places if label_identity(place[2]) != label_identity(label))
    return [(name, index), other[:2]]
