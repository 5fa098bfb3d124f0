"""Recipes and presets: schema, YAML, resolution. Loads no model and no data."""

from finetune.recipe.checks import find_budget_problems
from finetune.recipe.resolve import Resolved, differences, flatten, resolve
from finetune.recipe.schema import DataSection, ModelSection, Recipe, TrainingSection

__all__ = [
    "DataSection",
    "ModelSection",
    "Recipe",
    "Resolved",
    "TrainingSection",
    "differences",
    "find_budget_problems",
    "flatten",
    "resolve",
]
