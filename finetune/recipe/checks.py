"""Checks across keys that need the recipe alone: settings that could never act, and settings that conflict."""

import math
from dataclasses import replace
from typing import Any

from finetune.errors import Change, Problem, suggest
from finetune.recipe.learning_rate import RATES, is_auto, nominal_rate
from finetune.recipe.scaling import planned_rows
from finetune.recipe.schema import DataSection, Recipe, TrainingSection
from finetune.recipe.template import template_parts
from finetune.techniques import Budget, Losses, ModelChanges, TrainingPlan, conflicts, implementations, overrides
from finetune.techniques.rates import PartBudgets


def find_problems(recipe: Recipe) -> list[Problem]:
    """Every problem of a well-formed recipe, each with the key it blames."""
    return [
        *find_budget_problems(recipe, recipe_budget(recipe)),
        *_batch_problems(recipe.training),
        *_column_problems(recipe.data),
        *_label_problems(recipe.data),
        *_long_text_problems(recipe.data),
        *_fold_problems(recipe.data),
        *_split_problems(recipe.data),
        *_subset_problems(recipe.data),
    ]


def find_budget_problems(recipe: Recipe, budget: Budget) -> list[Problem]:
    """Problems that depend on task, number of steps, or techniques that the size of the data turns on.

    They are checked for the recipe alone, and again with its data.
    """
    problems = conflicts(recipe.techniques)
    for rate in RATES if is_auto(recipe) else (budget.learning_rate,):  # any of them may be chosen
        found = _technique_problems(recipe, replace(budget, learning_rate=rate))
        problems += [problem for problem in found if problem not in problems]
    return [
        *problems,
        *_class_problems(recipe.training, budget.task),
        *_label_weight_problems(recipe, budget.task),
        *_warmup_problems(budget),
        *_unlabelled_problems(recipe),
        *_head_problems(recipe),
    ]


def _technique_problems(recipe: Recipe, budget: Budget) -> list[Problem]:
    """A strength may be too much for one part of the model only; what holds for both parts is said once."""
    problems: list[Problem] = []
    parts = PartBudgets.of(recipe.techniques.values(), budget)
    for name, technique in recipe.techniques.items():
        for part_budget in parts.budgets_for(technique):
            for problem in technique.problems(part_budget):
                named = problem.below(f"techniques.{name}")
                problems += [] if named in problems else [named]
    return problems


def recipe_budget(recipe: Recipe) -> Budget:
    """The budget as far as the recipe alone determines it, before the data is read."""
    return Budget(
        task=None if recipe.data.task == "auto" else recipe.data.task,
        epochs=_planned_epochs(recipe),
        learning_rate=nominal_rate(recipe.training),
        steps_per_epoch=_steps_per_epoch(recipe),
        warmup=recipe.training.warmup,
        rows=planned_rows(recipe.data),
    )


def _planned_epochs(recipe: Recipe) -> int:
    """Passes over the training rows, with what techniques add to them."""
    epochs = recipe.training.epochs
    for change_epochs in implementations(recipe.techniques.values(), TrainingPlan.epochs):
        epochs = change_epochs(epochs)
    return epochs


def _steps_per_epoch(recipe: Recipe) -> int | None:
    """Known before the data is read only when the recipe fixes the number of rows."""
    rows = planned_rows(recipe.data)
    return None if rows is None else math.ceil(rows / recipe.training.batch_size)


def _set(key: str, value: Any, note: str = "") -> Change:
    return Change(settings={key: value}, note=note)


def _class_problems(training: TrainingSection, task: str | None) -> list[Problem]:
    """Settings that refer to the class of a row."""
    problems = []
    weights, sampling, score = training.class_weights, training.sampling, training.score
    if task == "regression" and weights != "none":
        why = f"{weights} has no meaning for {task}."
        problems.append(Problem(why, "training.class_weights", changes=(_set("training.class_weights", "none"),)))
    if task in ("regression", "multi_label"):
        if sampling != "shuffled":
            why = f"{sampling} has no meaning for {task}, where a row has no single class."
            problems.append(Problem(why, "training.sampling", changes=(_set("training.sampling", "shuffled"),)))
        if score != "auto":
            why = f"{score} is a score of classes, and the task is {task}."
            problems.append(Problem(why, "training.score", changes=(_set("training.score", "auto"),)))
    if sampling != "shuffled" and weights != "none":
        why = (
            f"{sampling} and training.class_weights={weights} correct the same imbalance, so rare classes would count "
            "twice."
        )
        problems.append(Problem(why, "training.sampling", changes=(_set("training.class_weights", "none"),)))
    return problems


def _label_weight_problems(recipe: Recipe, task: str | None) -> list[Problem]:
    """Where a row has several labels, each has weights: what replaces the loss of a whole row leaves no place."""
    weights = recipe.training.class_weights
    if task != "multi_label" or weights == "none":
        return []
    replacing = [name for name, each in recipe.techniques.items() if overrides(each, Losses.example_losses)]
    why = "with several labels per row, {} and class weights both decide the weight of each label."
    return [
        Problem(
            why.format(name),
            "training.class_weights",
            found=weights,
            changes=(_set("training.class_weights", "none"), _set(f"techniques.{name}", "off")),
        )
        for name in replacing
    ]


def _warmup_problems(budget: Budget) -> list[Problem]:
    if budget.steps is None or budget.warmup_steps < budget.steps:
        return []
    why = (
        f"{budget.warmup_steps} warm-up steps in a run of {budget.steps} steps: the learning rate would never reach "
        "its peak."
    )
    return [Problem(why, "training.warmup", found=budget.warmup, changes=(_set("training.warmup", 0.1),))]


def _batch_problems(training: TrainingSection) -> list[Problem]:
    problems = []
    if training.batch_size < training.accumulation:
        why = f"{training.accumulation} parts of a batch of {training.batch_size} rows: some would be empty."
        fewer = _set("training.accumulation", training.batch_size, "or less")
        problems.append(Problem(why, "training.accumulation", found=training.accumulation, changes=(fewer,)))
    if len(set(training.seeds)) < len(training.seeds):
        why = f"{training.seeds} repeats a seed; the same run twice is not a second observation."
        problems.append(Problem(why, "training.seeds", found=training.seeds))
    return problems


def _column_problems(data: DataSection) -> list[Problem]:
    problems = []
    texts = [] if data.text is None else [data.text]
    if data.template is not None:
        if data.text is not None:
            why = "makes the text, so data.text cannot act beside it."
            problems.append(Problem(why, "data.template", changes=(_set("data.text", None),)))
        try:
            texts += {name for _, name in template_parts(data.template) if name is not None}
        except ValueError as error:
            why = (
                f"{data.template!r}: {error}. Write columns as in '{{title}}: {{body}}', and a literal brace as {{{{ "
                "or }}."
            )
            problems.append(Problem(why, "data.template", found=data.template))
    labels = data.label if isinstance(data.label, list) else [data.label]
    used = [name for name in (*texts, data.text_pair, *labels) if name is not None]
    if len(set(used)) < len(used):
        twice = max(used, key=used.count)
        why = f"column '{twice}' is used twice among text, template, text_pair and label."
        problems.append(Problem(why, "data.text", found=twice))
    return problems


def _label_problems(data: DataSection) -> list[Problem]:
    problems = []
    names = data.labels
    if names is not None and data.task == "regression":
        why = "has no meaning for regression."
        problems.append(Problem(why, "data.labels", found=names, changes=(_set("data.labels", None),)))
    if names is not None and len(set(names)) < len(names):
        each_once = _set("data.labels", list(dict.fromkeys(names)))
        problems.append(Problem("a name is given twice.", "data.labels", found=names, changes=(each_once,)))
    if data.decimal is not None and (isinstance(data.label, list) or data.task in ("single_label", "multi_label")):
        what = "0/1 columns" if isinstance(data.label, list) else f"data.task={data.task}"
        change = _set("data.decimal", None)
        problems.append(Problem(f"reads numbers, so it has no meaning with {what}.", "data.decimal", changes=(change,)))
    if isinstance(data.label, list) and data.task not in ("auto", "multi_label"):
        why = f"a list of 0/1 columns gives a row several labels, which is not {data.task}."
        ways = (_set("data.task", "multi_label"), Change(text="name a single column"))
        problems.append(Problem(why, "data.label", found=data.label, changes=ways))
    separator = DataSection.model_fields["label_separator"].default
    if data.label_separator != separator and (isinstance(data.label, list) or data.task not in ("auto", "multi_label")):
        what = "0/1 columns" if isinstance(data.label, list) else f"data.task={data.task}"
        why = f"separates the labels within one cell, so it has no meaning with {what}."
        change = _set("data.label_separator", separator)
        problems.append(Problem(why, "data.label_separator", found=data.label_separator, changes=(change,)))
    return problems + _label_map_problems(data)


def _label_map_problems(data: DataSection) -> list[Problem]:
    if not data.label_map:
        return []
    problems = []
    without = _set("data.label_map", {})
    if isinstance(data.label, list):
        why = "has no meaning where columns are the labels. Rename the columns instead."
        problems.append(Problem(why, "data.label_map", changes=(without,)))
    if data.task == "regression":
        problems.append(Problem("has no meaning for regression.", "data.label_map", changes=(without,)))
    surplus = [name for name in data.labels or () if name not in data.label_map.values()]
    if surplus:
        close = suggest(surplus[0], set(data.label_map.values()))
        problems.append(
            Problem(f"'{surplus[0]}' is not among the names of data.label_map.{close}", "data.labels", found=surplus[0])
        )
    return problems


def _long_text_problems(data: DataSection) -> list[Problem]:
    if data.overlap is None or data.long_texts == "windows":
        return []
    why = f"has no meaning with data.long_texts={data.long_texts}."
    ways = (_set("data.overlap", None), _set("data.long_texts", "windows"))
    return [Problem(why, "data.overlap", found=data.overlap, changes=ways)]


def _fold_problems(data: DataSection) -> list[Problem]:
    folds, fold = data.folds, data.fold
    if folds is None:
        given = [key for key in ("fold", "folds_of") if getattr(data, key) is not None]
        return [
            Problem("has no meaning without data.folds.", f"data.{key}", changes=(_set("data.folds", 5),))
            for key in given
        ]
    if fold is None:
        ways = (_set("data.fold", 0), Change(command=f"finetune compare --folds {folds}"))
        return [Problem("one run tests one fold.", "data.folds", found=folds, changes=ways)]
    if fold >= folds:
        why = f"there is no fold {fold} among {folds} folds, which count from 0 to {folds - 1}."
        return [Problem(why, "data.fold", found=fold, changes=(_set("data.fold", folds - 1),))]
    return []


def _split_problems(data: DataSection) -> list[Problem]:
    """Keys that decide more than once which row is in which split."""
    problems = []
    if data.order_by is not None and data.group is not None:
        why = "a split by time cuts through groups, so data.group cannot act beside it."
        problems.append(Problem(why, "data.order_by", changes=(_set("data.group", None),)))
    if data.order_by is not None and data.folds is not None:
        why = "folds would train on rows that come after their test rows."
        ways = (_set("data.order_by", None), Change(text="leave out folds"))
        problems.append(Problem(why, "data.order_by", changes=ways))
    files = [f"data.{key}" for key in ("validation", "test") if getattr(data, key) is not None]
    if data.split_column is not None and files:
        why = f"says which row is in which split, so {' and '.join(files)} cannot act."
        ways = (Change(settings=dict.fromkeys(files)), _set("data.split_column", None))
        problems.append(Problem(why, "data.split_column", found=data.split_column, changes=ways))
    if data.split_file is not None:
        others = ("train_size", "validation_size", "test_size", "folds", "group", "order_by", "split_column")
        inner = ("folds",) if data.folds_of else ()  # folds of the training rows come after the split
        idle = [f"data.{key}" for key in others if getattr(data, key) is not None and key not in inner]
        if idle:
            why = f"decides which row is in which split, so {', '.join(idle)} cannot act."
            without = Change(settings=dict.fromkeys(idle))
            problems.append(Problem(why, "data.split_file", changes=(without,)))
    return problems


def _subset_problems(data: DataSection) -> list[Problem]:
    if data.subset is None and data.subset_seed != 0:
        why = "has no meaning without data.subset."
        return [Problem(why, "data.subset_seed", changes=(_set("data.subset", 100),))]
    if data.subset is not None and isinstance(data.train_size, int) and data.subset > data.train_size:
        why = f"{data.subset} rows of data.train_size={data.train_size}."
        fewer = _set("data.subset", data.train_size, "or less")
        return [Problem(why, "data.subset", found=data.subset, changes=(fewer,))]
    return []


def _unlabelled_problems(recipe: Recipe) -> list[Problem]:
    """Techniques that learn from unlabelled texts that the recipe does not name."""
    if recipe.data.unlabelled is not None:
        return []
    why = "learns from unlabelled texts, and data.unlabelled names no file with any."
    return [
        Problem(why, f"techniques.{name}", changes=(_set("data.unlabelled", "FILE"), _set(f"techniques.{name}", "off")))
        for name, technique in recipe.techniques.items()
        if technique.unlabelled == "needed"
    ]


def _head_problems(recipe: Recipe) -> list[Problem]:
    """A head that the recipe keeps, but that is replaced before the first step."""
    if recipe.model.head != "kept":
        return []
    return [
        Problem(
            f"does nothing beside techniques.{name}, which replaces the outputs that would be kept.",
            "model.head",
            found="kept",
            changes=(_set("model.head", "auto"), _set(f"techniques.{name}", "off")),
        )
        for name, technique in recipe.techniques.items()
        if overrides(technique, ModelChanges.start_head)
    ]
