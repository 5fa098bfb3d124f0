"""Names of columns that several columns have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def distinct_names(names: Sequence[str], origin: str, notes: list[str]) -> list[str]:
    """The names of the columns, where a name that several columns have is completed by their positions, so that it
    refers to none of them; with a note. Again, where another column is called so. Empty names stay.

    Args:
        names: One per column.
        origin: Name of the table in messages.
        notes: Extended with a message.
    """
    counts = Counter(name for name in names if name)
    if max(counts.values(), default=1) == 1:
        return list(names)
    distinct = [f"{name} (column {n})" if counts[name] > 1 else name for n, name in enumerate(names, start=1)]
    for name, count in counts.items():
        if count > 1:
            called = ", ".join(f"'{new}'" for new, old in zip(distinct, names, strict=True) if old == name)
            notes.append(f"{origin}: {count} columns are called '{name}'. They are told apart as {called}")
    return distinct_names(distinct, origin, notes)
