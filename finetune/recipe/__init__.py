"""Recipes and presets: schema, YAML, resolution. Loads no model and no data.

Names are imported when they are asked for: completion and `--help` need only `recipe.library`, which is stdlib.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune.recipe.checks import find_budget_problems, recipe_budget
    from finetune.recipe.flat import flatten
    from finetune.recipe.resolution import Resolved, at_size, differences, resolve
    from finetune.recipe.schema import DataSection, ModelSection, Recipe, TrainingSection

_HOMES = {
    "find_budget_problems": "checks",
    "recipe_budget": "checks",
    "Resolved": "resolution",
    "at_size": "resolution",
    "differences": "resolution",
    "flatten": "flat",
    "resolve": "resolution",
    "DataSection": "schema",
    "ModelSection": "schema",
    "Recipe": "schema",
    "TrainingSection": "schema",
}

__all__ = [
    "DataSection",
    "ModelSection",
    "Recipe",
    "Resolved",
    "TrainingSection",
    "at_size",
    "differences",
    "find_budget_problems",
    "flatten",
    "recipe_budget",
    "resolve",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"finetune.recipe.{_HOMES[name]}"), name)
