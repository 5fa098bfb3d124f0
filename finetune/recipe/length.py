"""The minimum number of optimizer steps: with few rows, a fixed number of epochs ends before the task is learned."""

from __future__ import annotations

import math

from finetune.recipe.schema import Recipe
from finetune.techniques import TrainingPlan, hook_of

# Validation is measured once an epoch: with a few rows of training nearly all time would go into measuring.
MOST_EPOCHS = 100


def with_min_steps(recipe: Recipe, rows: int) -> Recipe:
    """Raise the epochs to reach `training.min_steps` optimizer steps; settings that count epochs are scaled too.

    Applied again to what it returns, it changes nothing.

    Args:
        recipe: With the techniques for data of this size.
        rows: Training rows.

    Returns:
        The same recipe if its epochs are enough, or already more than `MOST_EPOCHS`.
    """
    epochs = recipe.training.epochs
    enough = math.ceil(recipe.training.min_steps / _steps_per_epoch(recipe, rows))
    return with_epochs(recipe, max(epochs, min(enough, MOST_EPOCHS)))


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with this many epochs; settings that count epochs are scaled too."""
    if epochs == recipe.training.epochs:
        return recipe
    factor = epochs / recipe.training.epochs
    return recipe.model_copy(
        update={
            "training": recipe.training.model_copy(update={"epochs": epochs}),
            "techniques": {
                name: hook_of(technique, TrainingPlan.with_epochs_scaled)(factor)
                for name, technique in recipe.techniques.items()
            },
        }
    )


def longer_note(before: Recipe, after: Recipe, rows: int) -> str | None:
    """The change made by `with_min_steps`, in words; None if there is none."""
    was, now, least = before.training.epochs, after.training.epochs, after.training.min_steps
    if was == now:
        return None
    a_pass = _steps_per_epoch(after, rows)
    short = f", limited to {MOST_EPOCHS} epochs" if now * a_pass < least else ""
    return (
        f"{rows} training rows: {now} epochs instead of {was}, {now * a_pass} optimizer steps instead of "
        f"{was * a_pass} (training.min_steps is {least}{short})"
    )


def _steps_per_epoch(recipe: Recipe, rows: int) -> int:
    return math.ceil(rows / recipe.training.batch_size)
