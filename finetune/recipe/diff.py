"""What two recipes say differently."""

import json
from typing import Any

from finetune.recipe.choices import describe_choices
from finetune.recipe.flat import flatten
from finetune.recipe.scaling import describe_rules
from finetune.recipe.schema import Recipe


def differences(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ; a key that one side lacks shows as None there."""
    a, b = (
        {**flatten(recipe.to_dict()), **describe_rules(recipe.rules), **describe_choices(recipe.choices)}
        for recipe in (first, second)
    )
    return {
        key: (a.get(key), b.get(key))
        for key in dict.fromkeys([*a, *b])
        if json.dumps(a.get(key)) != json.dumps(b.get(key))
    }
