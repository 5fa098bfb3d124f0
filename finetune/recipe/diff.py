"""The differences between two recipes."""

import json
from collections.abc import Iterable
from typing import Any

from finetune.recipe.choices import describe_choices
from finetune.recipe.flat import flatten
from finetune.recipe.scaling import describe_rules
from finetune.recipe.schema import Recipe


def differences(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ; the value is None on a side that lacks the key.

    A technique that a rule of one side sets is one key, that of the rule; its settings are not listed in addition.
    """
    rules = [{**describe_rules(recipe.rules), **describe_choices(recipe.choices)} for recipe in (first, second)]
    ruled = dict.fromkeys(key for described in rules for key in described)
    a, b = (
        {**_gathered(flatten(recipe.to_dict()), ruled), **described}
        for recipe, described in zip((first, second), rules, strict=True)
    )
    return {
        key: (a.get(key), b.get(key))
        for key in dict.fromkeys([*a, *b])
        if json.dumps(a.get(key)) != json.dumps(b.get(key))
    }


def _gathered(flat: dict[str, Any], prefixes: Iterable[str]) -> dict[str, Any]:
    """Values below a prefix as one value of the prefix."""
    kept = dict(flat)
    for prefix in prefixes:
        below = {key: kept.pop(key) for key in flat if key.startswith(f"{prefix}.") and key in kept}
        if below:
            kept[prefix] = {key.removeprefix(f"{prefix}."): value for key, value in below.items()}
    return kept
