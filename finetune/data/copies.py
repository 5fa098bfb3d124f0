"""Rows with the same text: inside a split, and on both sides of one."""

from collections import Counter
from typing import Any

from finetune.data.rows import Rows, label_identity


def deduplicate(rows: Rows, dropped: Counter[str]) -> Rows:
    """Keep the first row of each text; where copies disagree about the label, keep none of them."""
    keys = [rows.text_key(index) for index in range(len(rows))]
    said: dict[tuple[str, str], Any] = {}
    disputed: set[tuple[str, str]] = set()
    for key, label in zip(keys, rows.labels, strict=True):
        identity = label_identity(label)
        if said.setdefault(key, identity) != identity:
            disputed.add(key)
    seen: set[tuple[str, str]] = set()
    keep = []
    for index, key in enumerate(keys):
        if key in disputed:
            dropped["same text, different labels"] += 1
        elif key in seen:
            dropped["duplicate text"] += 1
        else:
            seen.add(key)
            keep.append(index)
    return rows.take(keep)


def drop_shared(tables: dict[str, Rows], dropped: Counter[str]) -> dict[str, Rows]:
    """Leave out of train what validation or test holds, and of validation what test holds: before rows are drawn."""
    kept: dict[str, Rows] = {}
    held: set[tuple[str, str]] = set()
    for name in ("test", "validation", "train", "all"):
        if name in tables:
            rows = tables[name]
            keys = [rows.text_key(index) for index in range(len(rows))]
            keep = [index for index, key in enumerate(keys) if key not in held]
            dropped[f"{name} text also in a later split"] += len(rows) - len(keep)
            kept[name] = rows.take(keep)
            held.update(keys)
    return kept


def drop_leaks(splits: dict[str, Rows], dropped: Counter[str], notes: list[str]) -> dict[str, Rows]:
    """Leave out of train what (nearly) equals a validation or test row, and of validation what does a test row."""
    from finetune.data.duplicates import find_leaks  # slow to import, and rarely asked for

    kept = dict(splits)
    for name, later in (("validation", ("test",)), ("train", ("test", "validation"))):
        for other in later:
            if other in kept:
                leaks = set(find_leaks(kept[other], kept[name]))
                kept[name] = kept[name].take([row for row in range(len(kept[name])) if row not in leaks])
                dropped[f"{name} row (nearly) equal to a {other} row"] += len(leaks)
                notes.append(f"{name}: {len(leaks)} rows left out that (nearly) equal a {other} row (data.drop_leaks)")
    return kept
