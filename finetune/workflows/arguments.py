"""Arguments as Python gives them -> lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetune.errors import Change, RecipeError

MOST_SEEDS = 1000


def as_list(value: Any) -> list[Any]:
    """None gives an empty list, a sequence its members, anything else a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """5 -> 0 to 4; [3, 7, 11] -> these three.

    Raises:
        RecipeError: A number is out of range, or a seed is named twice.
    """
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if not 1 <= seeds <= MOST_SEEDS:
            alone = [Change(arguments={"seeds": [seeds]}, note=f"for seed {seeds} alone")] if 0 <= seeds < 2**32 else []
            raise RecipeError(f"expected 1 to {MOST_SEEDS} seeds.", *alone, argument="seeds", found=seeds)
        return list(range(seeds))
    listed = [seed for seed in seeds if isinstance(seed, int)] if isinstance(seeds, Sequence) else []
    shown = ",".join(map(str, seeds)) if isinstance(seeds, Sequence) else str(seeds)
    if not listed or len(listed) < len(seeds):  # type: ignore[arg-type]  # a sequence, where anything is listed
        raise RecipeError("expected how many, such as 5, or which, such as 3,7,11.", argument="seeds", found=shown)
    if len(set(listed)) < len(listed):
        raise RecipeError(
            "names a seed twice; repeating a run gives no second observation.", argument="seeds", found=shown
        )
    if not 0 <= min(listed) <= max(listed) < 2**32:
        raise RecipeError(f"a seed must be below {2**32} and not negative.", argument="seeds", found=shown)
    return listed
