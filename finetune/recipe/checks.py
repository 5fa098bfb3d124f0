"""Checks across keys that need the recipe alone: what could never act, and what fights over one thing."""

import math

from finetune.errors import suggest
from finetune.recipe.schema import DataSection, Recipe
from finetune.recipe.template import template_parts
from finetune.techniques import Budget, conflicts
from finetune.techniques.rates import PartBudgets


def find_problems(recipe: Recipe) -> list[str]:
    """Every problem of a well-formed recipe, each starting with the key it blames."""
    training = recipe.training
    problems = find_budget_problems(recipe, recipe_budget(recipe))
    if training.batch_size < training.accumulation:
        problems.append(
            f"training.accumulation: {training.accumulation} parts of a batch of {training.batch_size} rows would be "
            f"empty. Try: --set training.accumulation={training.batch_size} or less"
        )
    if len(set(training.seeds)) < len(training.seeds):
        problems.append(
            f"training.seeds: {training.seeds} repeats a seed; the same run twice is no second observation."
        )
    if recipe.data.overlap is not None and recipe.data.long_texts != "windows":
        problems.append(
            f"data.overlap: has no meaning with data.long_texts={recipe.data.long_texts}. "
            "Try: --set data.overlap=null, or --set data.long_texts=windows"
        )
    problems += _column_problems(recipe.data) + _label_problems(recipe.data)
    return problems + _fold_problems(recipe.data.folds, recipe.data.fold) + _split_problems(recipe.data)


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
            "Try: --set training.class_weights=none"
        )
    if recipe.training.sampling != "shuffled" and budget.task in ("regression", "multi_label"):
        problems.append(
            f"training.sampling: {recipe.training.sampling} has no meaning for {budget.task}, where a row has no "
            "single class. Try: --set training.sampling=shuffled"
        )
    if recipe.training.sampling != "shuffled" and weighting != "none":
        problems.append(
            f"training.sampling: {recipe.training.sampling} and training.class_weights={weighting} correct the same "
            "thing, and rare classes would count twice. Try: --set training.class_weights=none"
        )
    if recipe.training.score != "auto" and budget.task in ("regression", "multi_label"):
        problems.append(
            f"training.score: {recipe.training.score} is a score of classes, and the task is {budget.task}. "
            "Try: --set training.score=auto"
        )
    if budget.steps is not None and budget.warmup_steps >= budget.steps:
        problems.append(
            f"training.warmup: {budget.warmup_steps} rising steps of {budget.steps} in all: the learning rate would "
            "never reach its peak. Try: --set training.warmup=0.1"
        )
    return problems


def _column_problems(data: DataSection) -> list[str]:
    problems = []
    texts = [] if data.text is None else [data.text]
    if data.template is not None:
        if data.text is not None:
            problems.append(
                "data.template: makes the text, so data.text has no meaning beside it. Try: --set data.text=null"
            )
        try:
            texts += {name for _, name in template_parts(data.template) if name is not None}
        except ValueError as error:
            problems.append(
                f"data.template: {data.template!r}: {error}. Write columns as in '{{title}}: {{body}}', and a brace "
                "that is to stay as {{ or }}"
            )
    labels = data.label if isinstance(data.label, list) else [data.label]
    used = [name for name in (*texts, data.text_pair, *labels) if name is not None]
    if len(set(used)) < len(used):
        problems.append(
            f"data.text: column '{max(used, key=used.count)}' is used twice among text, template, text_pair and label."
        )
    return problems


def _label_problems(data: DataSection) -> list[str]:
    problems = []
    names = data.labels
    if names is not None and data.task == "regression":
        problems.append("data.labels: has no meaning for regression. Try: --set data.labels=null")
    if names is not None and len(set(names)) < len(names):
        problems.append("data.labels: a name is given twice.")
    if isinstance(data.label, list) and data.task not in ("auto", "multi_label"):
        problems.append(
            f"data.label: a list of 0/1 columns makes several labels a row, not {data.task}. "
            "Try: --set data.task=multi_label, or name one column"
        )
    separator = DataSection.model_fields["label_separator"].default
    if data.label_separator != separator and (isinstance(data.label, list) or data.task not in ("auto", "multi_label")):
        what = "0/1 columns" if isinstance(data.label, list) else f"data.task={data.task}"
        problems.append(
            f"data.label_separator: stands between the labels of one cell, and has no meaning with {what}. "
            f"Try: --set 'data.label_separator={separator}'"
        )
    if not data.label_map:
        return problems
    if isinstance(data.label, list):
        problems.append("data.label_map: has no meaning where columns are the labels. Rename the columns")
    if data.task == "regression":
        problems.append("data.label_map: has no meaning for regression. Try: --set 'data.label_map={}'")
    surplus = [name for name in names or () if name not in data.label_map.values()]
    if surplus:
        problems.append(
            f"data.labels: '{surplus[0]}' is not among the names of data.label_map."
            f"{suggest(surplus[0], set(data.label_map.values()))}"
        )
    return problems


def _split_problems(data: DataSection) -> list[str]:
    """Keys that say twice, or in two ways, who is in which split."""
    problems = []
    if data.order_by is not None and data.group is not None:
        problems.append(
            "data.order_by: splits by time cut through groups, so data.group has no meaning beside it. "
            "Try: --set data.group=null"
        )
    if data.order_by is not None and data.folds is not None:
        problems.append(
            "data.order_by: folds would train on what comes after their test rows. Leave --folds out, or type: "
            "--set data.order_by=null"
        )
    if data.split_file is not None:
        others = ("train_size", "validation_size", "test_size", "folds", "group", "order_by")
        idle = [f"data.{key}" for key in others if getattr(data, key) is not None]
        if idle:
            problems.append(
                f"data.split_file: says who is in which split, so {', '.join(idle)} cannot act. "
                f"Try: --set {idle[0]}=null"
            )
    if data.subset is None and data.subset_seed != 0:
        problems.append("data.subset_seed: has no meaning without data.subset. Try: --set data.subset=100")
    if data.subset is not None and isinstance(data.train_size, int) and data.subset > data.train_size:
        problems.append(f"data.subset: {data.subset} rows of data.train_size={data.train_size}. Ask for fewer")
    return problems


def _fold_problems(folds: int | None, fold: int | None) -> list[str]:
    if folds is None:
        return [] if fold is None else ["data.fold: has no meaning without data.folds. Try: --set data.folds=5"]
    if fold is None:
        return [f"data.folds: one run tests one fold. Try: --set data.fold=0, or: finetune compare --folds {folds}"]
    if fold >= folds:
        return [f"data.fold: {fold} of {folds} folds; they count from 0 to {folds - 1}"]
    return []


def _steps_per_epoch(recipe: Recipe) -> int | None:
    """Known before the data is read only when the recipe fixes the number of rows."""
    size = recipe.data.subset or recipe.data.train_size
    return math.ceil(size / recipe.training.batch_size) if isinstance(size, int) else None
