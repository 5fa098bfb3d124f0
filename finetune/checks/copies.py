"""Copies of texts: inside a split, and across splits, where they are leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from finetune.checks.base import (
    FoundRow,
    LocatedFinding,
    keys_by_split,
    percent,
    row_id,
    show_row,
    shown_rows,
    verb,
)
from finetune.data.duplicates import Kind, TextKey, Twin, find_twins
from finetune.data.rows import Data, Rows, label_identity
from finetune.measurement.units import count_text
from finetune.records.schema import Finding

SEARCHED = 50_000  # rows in the search for near copies: about 15 s and 200 MB
MANY_COPIES = 0.05  # fraction of a split
LEAKED = 0.01  # fraction of a measured split: leaked rows alone can move its score by a point
LEAVE_OUT = (  # one setting for all leaks, so that it is said once
    "Drop training rows that (nearly) equal a validation or test row, and validation rows that (nearly) equal a test "
    "row: --set data.drop_leaks=true"
)
KINDS: dict[Kind, str] = {
    "exact": "equal",
    "normalised": "equal except for case and punctuation",
    "near": "nearly equal",
}


def check_copies(data: Data, keys: Mapping[str, list[TextKey]] | None = None) -> list[Finding]:
    """Duplicates in each split, then leaks across splits, from one search.

    Duplicates: rows whose text occurs earlier in the same split. A warning from 5 % of the split, where they begin to
    act as weights (in train) or as fewer rows than counted (in validation and test); below it, information.

    Leaks: rows of validation and test whose text is in train, or rows of test that are in validation. A problem from
    1 % of the split: models mostly recall rows that they were trained on, so these alone move the score by up to that
    much. Below it a warning.

    Args:
        data: All splits are searched.
        keys: `keys_by_split(data)`, where it is known.
    """
    splits = data.whole_splits()
    names, parts = list(splits), list(splits.values())
    keys = keys_by_split(data) if keys is None else keys
    twins = find_twins(parts, limit=SEARCHED, keys=list(keys.values()))
    findings = [_duplicates(name, parts[part], twins[part, part]) for part, name in enumerate(names)]
    for part, name in enumerate(names):
        for earlier in range(part):
            findings.append(_leaks(names[earlier], parts[earlier], name, parts[part], twins[earlier, part]))
    rows = sum(len(part) for part in parts)
    return [*filter(None, findings), *(_sampled(rows) if rows > SEARCHED else [])]


def _duplicates(split: str, rows: Rows, twins: Sequence[Twin]) -> Finding | None:
    if not twins:
        return None
    fraction = len(twins) / len(rows)
    return LocatedFinding(
        check="duplicates",
        level="warning" if fraction >= MANY_COPIES else "info",
        text=f"{count_text(len(twins), f'{split} row')} ({percent(fraction)}) {verb(len(twins), 'repeats', 'repeat')} "
        f"an earlier {split} row: {_by_kind(twins)}.",
        figures={"rows": len(twins), "share": fraction, **_kinds(twins)},
        **shown_rows({split: rows}, _found(split, rows, split, twins)),
        advice="Check whether they are the same text"
        if all(twin.kind == "near" for twin in twins)
        else "Drop those that are equal except for case and spacing: --set data.deduplicate=true",
    )


def _leaks(kept: str, originals: Rows, split: str, rows: Rows, twins: Sequence[Twin]) -> Finding | None:
    if not twins:
        return None
    fraction = len(twins) / len(rows)
    relabelled = sum(
        label_identity(originals.labels[twin.original]) != label_identity(rows.labels[twin.row]) for twin in twins
    )
    of_them = "" if len(twins) == 1 else f"{relabelled} of them "
    labels = f", {of_them}with a different label" if relabelled else ""
    return LocatedFinding(
        check="leaks",
        level="problem" if fraction >= LEAKED else "warning",
        split=split,
        text=f"{count_text(len(twins), f'{split} row')} ({percent(fraction)}) "
        f"{verb(len(twins), 'duplicates', 'duplicate')} {verb(len(twins), f'a {kept} row', f'{kept} rows')}: "
        f"{_by_kind(twins)}{labels}.",
        figures={"rows": len(twins), "share": fraction, "other_label": relabelled, **_kinds(twins)},
        **shown_rows({split: rows}, _found(kept, originals, split, twins)),
        advice=LEAVE_OUT,
    )


def _sampled(rows: int) -> list[Finding]:
    return [
        Finding(
            check="leaks",
            level="info",
            text=f"The search for nearly equal texts covers {SEARCHED:,} of {rows:,} rows: validation, test and a "
            "sample of train. The search for equal texts covers all rows.",
            figures={"rows": rows, "searched": SEARCHED},
            advice=LEAVE_OUT,
        )
    ]


def _kinds(twins: Sequence[Twin]) -> dict[str, float | None]:
    counts = Counter(twin.kind for twin in twins)
    return {kind: counts[kind] for kind in KINDS}


def _by_kind(twins: Sequence[Twin]) -> str:
    counts = Counter(twin.kind for twin in twins)
    return ", ".join(f"{counts[kind]} {about}" for kind, about in KINDS.items() if counts[kind])


def _found(kept: str, originals: Rows, split: str, twins: Sequence[Twin]) -> list[FoundRow]:
    """One of each kind first; the near duplicate of a row is shown beside it."""
    firsts = {twin.kind: index for index, twin in reversed(list(enumerate(twins)))}
    chosen = [firsts[kind] for kind in KINDS if kind in firsts]
    order = [*chosen, *(index for index in range(len(twins)) if index not in chosen)]
    return [_equal(kept, originals, split, twins[index]) for index in order]


def _equal(kept: str, originals: Rows, split: str, twin: Twin) -> FoundRow:
    is_near = twin.kind == "near"
    other = show_row(kept, originals, twin.original) if is_near else f"{kept} row {row_id(originals, twin.original)}"
    return FoundRow(split, twin.row, f" = {other}")
