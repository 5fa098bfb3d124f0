"""Recipes and presets: schema, YAML, resolution. Loads no model and no data.

Names are imported on first use: completion and `--help` need only `recipe.library`, which is stdlib.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune.recipe.checks import find_budget_problems, recipe_budget
    from finetune.recipe.choosing import choose
    from finetune.recipe.diff import differences
    from finetune.recipe.flat import flatten
    from finetune.recipe.layers import Overrides, PresetInput, RecipeInput, is_preset_file, preset_name
    from finetune.recipe.learning_rate import DEFAULT_RATE, FOLDS, RATES, is_auto, with_rate
    from finetune.recipe.length import longer_note, with_epochs, with_min_steps
    from finetune.recipe.resolution import Resolved, load_recipe, resolve
    from finetune.recipe.scaling import apply_rules, counted_classes, describe_rules
    from finetune.recipe.schema import (
        HUB_PREFIX,
        MEMORY_PREFIX,
        PATH_KEYS,
        READING_KEYS,
        TELLING_KEYS,
        DataSection,
        ModelSection,
        Recipe,
        TrainingSection,
    )

_HOMES = {
    "find_budget_problems": "checks",
    "recipe_budget": "checks",
    "choose": "choosing",
    "differences": "diff",
    "flatten": "flat",
    "Overrides": "layers",
    "PresetInput": "layers",
    "RecipeInput": "layers",
    "is_preset_file": "layers",
    "preset_name": "layers",
    "DEFAULT_RATE": "learning_rate",
    "FOLDS": "learning_rate",
    "RATES": "learning_rate",
    "is_auto": "learning_rate",
    "with_rate": "learning_rate",
    "longer_note": "length",
    "with_epochs": "length",
    "with_min_steps": "length",
    "Resolved": "resolution",
    "load_recipe": "resolution",
    "resolve": "resolution",
    "apply_rules": "scaling",
    "counted_classes": "scaling",
    "describe_rules": "scaling",
    "HUB_PREFIX": "schema",
    "MEMORY_PREFIX": "schema",
    "PATH_KEYS": "schema",
    "READING_KEYS": "schema",
    "TELLING_KEYS": "schema",
    "DataSection": "schema",
    "ModelSection": "schema",
    "Recipe": "schema",
    "TrainingSection": "schema",
}

__all__ = [
    "DEFAULT_RATE",
    "FOLDS",
    "HUB_PREFIX",
    "MEMORY_PREFIX",
    "PATH_KEYS",
    "RATES",
    "READING_KEYS",
    "TELLING_KEYS",
    "DataSection",
    "ModelSection",
    "Overrides",
    "PresetInput",
    "Recipe",
    "RecipeInput",
    "Resolved",
    "TrainingSection",
    "apply_rules",
    "choose",
    "counted_classes",
    "describe_rules",
    "differences",
    "find_budget_problems",
    "flatten",
    "is_auto",
    "is_preset_file",
    "load_recipe",
    "longer_note",
    "preset_name",
    "recipe_budget",
    "resolve",
    "with_epochs",
    "with_min_steps",
    "with_rate",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"finetune.recipe.{_HOMES[name]}"), name)
