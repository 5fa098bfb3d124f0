"""Rows with the same text: inside a split, and across splits."""

from collections import Counter
from typing import Any

from finetune.data.rows import Rows, label_identity

Keys = list[tuple[str, str]]  # `Rows.text_key` of each row


def deduplicate(tables: dict[str, Rows], dropped: Counter[str]) -> dict[str, Rows]:
    """Keep the first row of each text in its table, and none where copies disagree about the label. Then take texts of
    validation and test out of train, and those of test out of validation, before rows are drawn."""
    keys = {name: [rows.text_key(index) for index in range(len(rows))] for name, rows in tables.items()}
    firsts = {name: _first_copies(rows.labels, keys[name], dropped) for name, rows in tables.items()}
    keys = {name: [keys[name][row] for row in kept] for name, kept in firsts.items()}
    return _drop_shared({name: rows.take(firsts[name]) for name, rows in tables.items()}, keys, dropped)


def _first_copies(labels: list[Any], keys: Keys, dropped: Counter[str]) -> list[int]:
    """Positions of the rows that are kept of one table."""
    first_labels: dict[tuple[str, str], Any] = {}
    disputed: set[tuple[str, str]] = set()
    for key, label in zip(keys, labels, strict=True):
        identity = label_identity(label)
        if first_labels.setdefault(key, identity) != identity:
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
    return keep


def _drop_shared(tables: dict[str, Rows], keys: dict[str, Keys], dropped: Counter[str]) -> dict[str, Rows]:
    kept: dict[str, Rows] = {}
    later: set[tuple[str, str]] = set()
    for name in ("test", "validation", "train", "all"):
        if name in tables:
            rows = tables[name]
            keep = [index for index, key in enumerate(keys[name]) if key not in later]
            dropped[f"{name} text also in a later split"] += len(rows) - len(keep)
            kept[name] = rows.take(keep)
            later.update(keys[name])
    return kept


def drop_leaks(splits: dict[str, Rows], dropped: Counter[str], notes: list[str]) -> dict[str, Rows]:
    """Take rows that (nearly) equal a validation or test row out of train, and those that do a test row out of
    validation."""
    from finetune.data.duplicates import find_leaks  # slow to import, and rarely asked for

    kept = dict(splits)
    for name, later in (("validation", ("test",)), ("train", ("test", "validation"))):
        for other in later:
            if other in kept:
                leaks = set(find_leaks(kept[other], kept[name]))
                kept[name] = kept[name].take([row for row in range(len(kept[name])) if row not in leaks])
                dropped[f"{name} row (nearly) equal to a {other} row"] += len(leaks)
                notes.append(f"{name}: left out {len(leaks)} rows that (nearly) equal a {other} row (data.drop_leaks)")
    return kept
