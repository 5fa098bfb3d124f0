"""Checks across keys that need the recipe alone: what could never act, and what fights over one thing."""

import math

from finetune.recipe.schema import Recipe
from finetune.techniques import Budget, conflicts
from finetune.techniques.rates import PartBudgets


def find_problems(recipe: Recipe) -> list[str]:
    """Every problem of a well-formed recipe, each starting with the key it blames."""
    training = recipe.training
    problems = find_budget_problems(recipe, recipe_budget(recipe))
    if training.batch_size < training.accumulation:
        problems.append(
            f"training.accumulation: {training.accumulation} parts of a batch of {training.batch_size} rows would be "
            f"empty. Type: --set training.accumulation={training.batch_size} or less"
        )
    if len(set(training.seeds)) < len(training.seeds):
        problems.append(
            f"training.seeds: {training.seeds} repeats a seed; the same run twice is no second observation."
        )
    used = [name for name in (recipe.data.text, recipe.data.text_pair, recipe.data.label) if name is not None]
    if len(set(used)) < len(used):
        problems.append(
            f"data.text: column '{max(used, key=used.count)}' is used twice among text, text_pair and label."
        )
    problems += _fold_problems(recipe.data.folds, recipe.data.fold)
    if recipe.data.labels is not None and recipe.data.task == "regression":
        problems.append("data.labels: has no meaning for regression. Type: --set data.labels=null")
    if recipe.data.labels is not None and len(set(recipe.data.labels)) < len(recipe.data.labels):
        problems.append("data.labels: a name is given twice.")
    return problems


def recipe_budget(recipe: Recipe) -> Budget:
    """What the recipe alone says of its budget, before the data is read."""
    return Budget(
        task=None if recipe.data.task == "auto" else recipe.data.task,
        epochs=_planned_epochs(recipe),
        learning_rate=recipe.training.learning_rate,
        steps_per_epoch=_steps_per_epoch(recipe),
        warmup=recipe.training.warmup,
    )


def _planned_epochs(recipe: Recipe) -> int:
    """Passes over the training rows, with what techniques add to them."""
    epochs = recipe.training.epochs
    for technique in recipe.techniques.values():
        epochs = technique.epochs(epochs)
    return epochs


def find_budget_problems(recipe: Recipe, budget: Budget) -> list[str]:
    """Problems that depend on task and number of steps: asked once of the recipe alone, again when data is loaded."""
    problems = conflicts(recipe.techniques)
    parts = PartBudgets.of(recipe.techniques.values(), budget)
    for name, technique in recipe.techniques.items():
        # A strength may be too much for one part only.
        found = dict.fromkeys(problem for met in parts.met_by(technique) for problem in technique.problems(met))
        problems += [f"techniques.{name}{problem}" for problem in found]
    weighting = recipe.training.class_weights
    if weighting != "none" and budget.task in ("regression", "multi_label"):
        problems.append(
            f"training.class_weights: {weighting} has no meaning for {budget.task}. "
            "Type: --set training.class_weights=none"
        )
    if budget.steps is not None and budget.warmup_steps >= budget.steps:
        problems.append(
            f"training.warmup: {budget.warmup_steps} rising steps of {budget.steps} in all: the learning rate would "
            "never reach its peak. Type: --set training.warmup=0.1"
        )
    return problems


def _fold_problems(folds: int | None, fold: int | None) -> list[str]:
    if folds is None:
        return [] if fold is None else ["data.fold: has no meaning without data.folds. Type: --set data.folds=5"]
    if fold is None:
        return [f"data.folds: one run tests one fold. Type: --set data.fold=0, or: finetune compare --folds {folds}"]
    if fold >= folds:
        return [f"data.fold: {fold} of {folds} folds; they count from 0 to {folds - 1}"]
    return []


def _steps_per_epoch(recipe: Recipe) -> int | None:
    """Known before the data is read only when the recipe fixes the number of rows."""
    size = recipe.data.train_size
    return math.ceil(size / recipe.training.batch_size) if isinstance(size, int) else None
