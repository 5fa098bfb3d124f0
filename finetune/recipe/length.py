"""The fewest optimizer steps of a training: with few rows, a fixed number of epochs ends before the task is learned."""

from __future__ import annotations

import math

from finetune.recipe.schema import Recipe
from finetune.techniques import TrainingPlan, hook_of

# Validation is measured once an epoch: with a few rows of training nearly all time would go into measuring.
MOST_EPOCHS = 100


def with_min_steps(recipe: Recipe, rows: int) -> Recipe:
    """Raise the epochs to `training.min_steps` optimizer steps; what counts epochs is stretched along.

    Applied again to what it returns, it changes nothing.

    Args:
        recipe: With the techniques as they are at this size.
        rows: Training rows.

    Returns:
        The same recipe where its epochs are enough, or more than `MOST_EPOCHS` already.
    """
    epochs = recipe.training.epochs
    enough = math.ceil(recipe.training.min_steps / _steps_per_epoch(recipe, rows))
    return with_epochs(recipe, max(epochs, min(enough, MOST_EPOCHS)))


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with this many epochs; what counts epochs is stretched along."""
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
    """What `with_min_steps` raised, in words; None if nothing."""
    was, now, least = before.training.epochs, after.training.epochs, after.training.min_steps
    if was == now:
        return None
    a_pass = _steps_per_epoch(after, rows)
    short = f", and {MOST_EPOCHS} epochs are the most" if now * a_pass < least else ""
    return (
        f"{rows} training rows: {now} epochs instead of {was}, {now * a_pass} optimizer steps instead of "
        f"{was * a_pass} (training.min_steps is {least}{short})"
    )


def _steps_per_epoch(recipe: Recipe, rows: int) -> int:
    return math.ceil(rows / recipe.training.batch_size)
