"""Steps and learning rates of a run, once its data is known."""

from __future__ import annotations

import math
from dataclasses import replace

from finetune.data.rows import Data
from finetune.recipe import Recipe, recipe_budget
from finetune.tasks import Task
from finetune.techniques import Budget


def plan_budget(recipe: Recipe, data: Data) -> Budget:
    """Steps and learning rates of a run on this data."""
    return budget_for(recipe, data.task, len(data.train))


def budget_for(recipe: Recipe, task: Task, rows: int) -> Budget:
    """Steps and learning rates of a run on this many training rows."""
    steps_per_epoch = math.ceil(rows / recipe.training.batch_size)
    return replace(recipe_budget(recipe), task=task, steps_per_epoch=steps_per_epoch, rows=rows)
