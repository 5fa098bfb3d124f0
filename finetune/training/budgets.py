"""Steps and learning rates of a run, once its data is known."""

from __future__ import annotations

import math
from dataclasses import replace

from finetune.data.rows import Data
from finetune.recipe import Recipe, recipe_budget
from finetune.techniques import Budget


def plan_budget(recipe: Recipe, data: Data) -> Budget:
    """Steps and learning rates of a run on this data."""
    return replace(
        recipe_budget(recipe),
        task=data.task,
        steps_per_epoch=math.ceil(len(data.train) / recipe.training.batch_size),
    )
