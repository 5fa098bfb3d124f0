"""Arguments as Python gives them -> lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetune.analysis.sequential import FIRST, MOST
from finetune.errors import Change, RecipeError

MOST_SEEDS = 1000
AUTO = "auto"
AUTO_MOST = 10  # seeds of `auto` without a number


def as_list(value: Any) -> list[Any]:
    """None gives an empty list, a sequence its members, anything else a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def most_seeds(seeds: int | str | Sequence[int], folds: int | None) -> int | None:
    """`auto:12` -> 12 and `auto` -> 10, the most seeds of a comparison that adds seeds by itself; None for others.

    Raises:
        RecipeError: The number is missing or out of range, or there are folds.
    """
    if not isinstance(seeds, str):
        return None
    name, colon, number = seeds.strip().partition(":")
    example = Change(arguments={"seeds": f"{AUTO}:{AUTO_MOST}"})
    if name != AUTO or (colon and not (number.isascii() and number.isdigit())):
        raise RecipeError(
            f"expected how many, such as 5, which, such as 3,7,11, or {AUTO}:MOST.",
            example,
            argument="seeds",
            found=seeds,
        )
    most = int(number) if colon else AUTO_MOST
    if not FIRST < most <= MOST:
        raise RecipeError(
            f"expected {AUTO}:{FIRST + 1} to {AUTO}:{MOST}: the rule looks after {FIRST} seeds for the first time.",
            example,
            argument="seeds",
            found=seeds,
        )
    if folds:
        raise RecipeError(
            "seeds cannot be added by themselves in a cross-validation: its folds share training rows, and the rule is "
            "for independent repetitions. Give a number of seeds, or leave out the folds.",
            Change(arguments={"seeds": 3}),
            argument="seeds",
            found=seeds,
        )
    return most


def seed_list(seeds: int | str | Sequence[int]) -> list[int]:
    """5 -> 0 to 4; [3, 7, 11] -> these three.

    Raises:
        RecipeError: A number is out of range, a seed is named twice, or seeds are to be added by themselves.
    """
    if isinstance(seeds, str):
        raise RecipeError(
            "expected how many, such as 5, or which, such as 3,7,11. Only `finetune compare` adds seeds by itself.",
            Change(arguments={"seeds": 5}),
            argument="seeds",
            found=seeds,
        )
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
