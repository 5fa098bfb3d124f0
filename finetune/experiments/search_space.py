"""Search space of a tune: the learning rate, then the strengths of a preset's techniques in their declared ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from finetune.data.rows import Data
from finetune.errors import Change, Problem, RecipeError, suggest
from finetune.measurement.units import is_number, listed
from finetune.recipe import Recipe, flatten
from finetune.recipe.layers import entries_of
from finetune.recipe.learning_rate import nominal_rate
from finetune.recipe.validation import problems_of_value
from finetune.recipe.yaml_file import parse_yaml
from finetune.records.tune import Dimension
from finetune.techniques import TECHNIQUES
from finetune.techniques.search import SearchRange
from finetune.training.budgets import plan_budget
from finetune.training.rate_folds import fixing_techniques

RATE = "training.learning_rate"
AROUND = 5.0  # the learning rate is searched from a fifth of the recipe's to five times it
WIDE = 8.0  # from this ratio of its ends on, a range of the user's is logarithmic
EXAMPLE = {"techniques.l1.strength": (0.1, 10)}


def search_space(recipe: Recipe, data: Data, ranges: Any = None) -> list[Dimension]:
    """The settings of a recipe that can be searched, the learning rate first.

    The recipe's own learning rate, or if techniques set the rate of all trained weights, theirs; then each setting that
    is a number in this recipe and whose technique declares a range. A range is widened to include the current value.

    Args:
        recipe: Recipe with the settings for this data.
        data: Determines whether the learning rate has an effect.
        ranges: Key -> (low, high), or `key=low,high` texts: only these are searched, in these ranges.

    Raises:
        RecipeError: A key cannot be searched, or no key can.
    """
    present = _numbers(recipe)
    fixing = fixing_techniques(recipe, plan_budget(recipe, data))
    rates = [f"techniques.{name}.learning_rate" for name in fixing] or [RATE]
    asked = _read_ranges(ranges) if ranges else {}
    problems = [problem for key, ends in asked.items() for problem in _range_problems(key, ends, present)]
    problems = problems or [each for key, ends in asked.items() for each in _outside(key, ends, recipe)]
    if RATE in asked and RATE not in rates:
        why = f"cannot act: the learning rate is set by {listed(fixing)}. Search {listed(rates)} instead."
        problems.append(Problem(why, RATE, where=f"--range {RATE}", where_in_python="ranges"))
    if problems:
        raise RecipeError(problems)
    wanted = asked or dict.fromkeys([*rates, *(key for key in present if key != RATE and key not in rates)], ())
    found = {key: _range(key, ends, present) for key, ends in wanted.items()}
    space = [
        Dimension(
            key=key,
            low=wide.low,
            high=wide.high,
            is_log=wide.is_log,
            default=present[key],
            is_rate=key in rates,
        )
        for key, wide in found.items()
        if wide is not None
    ]
    if not space:
        raise RecipeError(
            f"has nothing to tune: the learning rate is set by {listed(fixing)}, and no technique declares a range "
            "for its settings.",
            Change(arguments={"ranges": EXAMPLE}),
            argument="preset",
            found=recipe.preset,
        )
    return sorted(space, key=lambda each: not each.is_rate)


def _numbers(recipe: Recipe) -> dict[str, float]:
    """Dotted key -> value, of what is a number that need not be whole."""
    flat = flatten(recipe.to_dict())
    flat[RATE] = nominal_rate(recipe.training)
    return {key: value for key, value in flat.items() if isinstance(value, float)}


def _declared(key: str, present: Mapping[str, float]) -> SearchRange | None:
    """Where a key is looked for; None where it is not set, or its technique declares no range."""
    if key not in present:
        return None
    if key == RATE:
        return SearchRange(present[key] / AROUND, present[key] * AROUND)
    section, *parts = key.split(".")
    return TECHNIQUES[parts[0]].search.get(parts[1]) if section == "techniques" and len(parts) == 2 else None


def _read_ranges(ranges: Any) -> dict[str, tuple[Any, ...]]:
    """Key -> its ends, empty where the declared range is meant."""
    found: dict[str, tuple[Any, ...]] = {}
    for entry in entries_of(ranges):
        if isinstance(entry, Mapping):
            key, ends = next(iter(entry.items()))
        else:
            key, _, written = str(entry).partition("=")
            ends = parse_yaml(f"[{written}]", f"--range {entry}")
        key = str(key).strip()
        if key in found:
            raise RecipeError("gives a key twice.", argument="range", found=key)
        found[key] = tuple(ends) if isinstance(ends, Sequence) and not isinstance(ends, str) else (ends,)
    return found


def _range_problems(key: str, ends: Sequence[Any], present: Mapping[str, float]) -> list[Problem]:
    def problem(why: str, *changes: Change) -> list[Problem]:
        return [Problem(why, key, changes=changes, where=f"--range {key}", where_in_python="ranges")]

    if key not in present:
        known = [name for name in present if _declared(name, present) is not None]
        return problem(f"is not a number of this recipe and preset that can be searched.{suggest(key, known)}")
    if not ends and _declared(key, present) is None:
        return problem("has no declared range. Give one.", Change(arguments={"ranges": {key: (0.1, 10)}}))
    if ends and (len(ends) != 2 or not all(is_number(end) and math.isfinite(end) for end in ends)):
        return problem("expected LOW,HIGH.", Change(arguments={"ranges": EXAMPLE}))
    if ends and not ends[0] < ends[1]:
        return problem(f"{ends[0]:g} to {ends[1]:g} is not a range: the first number must be the smaller one.")
    return []


def _outside(key: str, ends: Sequence[Any], recipe: Recipe) -> list[Problem]:
    """Ends that lie beyond the bounds of a key; one on a bound that is excluded is drawn next to never."""
    found: list[Problem] = []
    for end, other in zip(ends, reversed(ends), strict=True):
        inside = problems_of_value(recipe, key, math.nextafter(end, other))
        found += [
            Problem(
                f"the end {end:g} is out of bounds: {problem.why}",
                key,
                where=f"--range {key}",
                where_in_python="ranges",
            )
            for problem in (problems_of_value(recipe, key, end) if inside else [])
        ]
    return found


def _range(key: str, ends: Sequence[Any], present: Mapping[str, float]) -> SearchRange | None:
    """Where a key is searched: as asked for, else as declared; wide enough for what is set."""
    declared = _declared(key, present)
    if not ends:
        return None if declared is None else declared.including(present[key])
    low, high = map(float, ends)
    is_log = low > 0 and (high / low >= WIDE or (declared is not None and declared.is_log))
    return SearchRange(low, high, is_log).including(present[key])
