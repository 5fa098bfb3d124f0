"""What is computed once for equal cells: a million label cells hold a few different ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Value = TypeVar("Value")


def are_texts(cells: Sequence[Any]) -> bool:
    """Whether all cells are plain texts, so that equal cells are the same: 1, 1.0 and True are equal, too."""
    return set(map(type, cells)) <= {str}


def of_each(function: Callable[[Any], Value], cells: Sequence[Any]) -> list[Value]:
    """The value of a function for each cell; computed once for equal texts, in the order in which they occur."""
    if not are_texts(cells):
        return list(map(function, cells))
    known = {cell: function(cell) for cell in dict.fromkeys(cells)}
    return list(map(known.__getitem__, cells))
