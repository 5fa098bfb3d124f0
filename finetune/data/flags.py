"""Columns that say yes or no of one label each: 0/1, true/false, yes/no, or a mark and an empty cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

FLAGS = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
WORDS = ({"no": False, "yes": True}, {"n": False, "y": True})
NO = frozenset({"0", "0.0", "false", "no", "n", "-"})  # no mark of a label
MARKS = frozenset({"x", "xx", "y", "yes", "true", "1"})  # that people put into a box, beside those that are no letters


def flag_of(cell: Any) -> str:
    """What of a cell counts: not its case, nor spaces around it; "" for an empty one."""
    return "" if cell is None else str(cell).strip().lower()


def flags_in(values: Collection[str]) -> Mapping[str, bool]:
    """Value -> whether the text has the label, for the values of one column: 0 and 1, unless yes and no are
    among them, or some are empty and the others one mark."""
    filled = set(values) - {""}
    if filled and "" in values and len(filled) == 1 and not filled & NO:
        return {"": False, filled.pop(): True}
    if filled & set(FLAGS):
        return FLAGS
    return next((words for words in WORDS if filled and (filled <= set(words) or filled > set(words))), FLAGS)


def are_flags(values: Collection[str], has_empty: bool) -> bool:
    """Whether the values of a column may be those of a label: both occur, or a short mark beside empty cells."""
    found = {*values, ""} if has_empty else set(values)
    words = flags_in(found)
    if "" in words:
        return all(value in MARKS or not any(character.isalnum() for character in value) for value in values)
    return set(values) <= set(words) and len({words[value] for value in values}) == 2


def described(words: Mapping[str, bool]) -> str:
    """What a cell may hold, in words: `0 nor 1 (nor true or false)`."""
    if words is FLAGS:
        return "0 nor 1 (nor true or false)"
    no, yes = (next(value for value, flag in words.items() if flag is wanted) for wanted in (False, True))
    return f"{no!r} nor {yes!r}, unlike the other cells"
