"""Points that a user should check before trusting a run: budget, texts, precision, warnings of techniques."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from finetune.data.labels import count_labels
from finetune.data.rows import Data
from finetune.data.tokens import Encoder
from finetune.errors import Change, Problem, shorten
from finetune.measurement.thresholds import Threshold, never_predicted
from finetune.measurement.units import count_text
from finetune.models.head import HeadStart
from finetune.models.outputs import Outputs
from finetune.models.pooling import Pooling
from finetune.recipe import Recipe
from finetune.records.environment import has_fast_bf16
from finetune.records.facts import FEW_STEPS, epochs_for_more_steps
from finetune.techniques import TECHNIQUES, Budget, augments_texts
from finetune.techniques.rates import PartBudgets

NAMED = 10  # labels in one warning
_LOST = {"head": "their end", "tail": "their start", "head_tail": "their middle"}  # by data.long_texts
_SEEN_OF_WINDOWS = "one window of such a text unless you average the logits of all"


def budget_warnings(recipe: Recipe, budget: Budget) -> list[Problem]:
    """A budget too small to learn from, and the techniques' warnings about their settings in it."""
    warnings = []
    if budget.steps_per_epoch and budget.steps is not None and budget.steps < FEW_STEPS:
        epochs = epochs_for_more_steps(budget.steps, budget.steps_per_epoch)
        why = f"only {budget.steps} optimizer steps; the model may underfit, and then it shows no gap."
        more = Change(settings={"training.epochs": epochs}, note=f"{FEW_STEPS} steps")
        warnings.append(Problem(why, "training.epochs", found=recipe.training.epochs, changes=(more,)))
    parts = PartBudgets.of(recipe.techniques.values(), budget)
    for name, technique in recipe.techniques.items():
        warnings += technique_problems(name, technique.warnings(parts.budgets_for(technique)[0]))
    return warnings


def unlabelled_warnings(recipe: Recipe) -> list[Problem]:
    """Unlabelled texts that nothing learns from."""
    if recipe.data.unlabelled is None or any(each.unlabelled != "ignored" for each in recipe.techniques.values()):
        return []
    able = [name for name, technique in TECHNIQUES.items() if technique.unlabelled != "ignored"]
    add = [Change(settings={f"techniques.{name}": {}}) for name in able]
    why = "does nothing: no technique of this run reads unlabelled texts. The run is the same without them."
    without = Change(settings={"data.unlabelled": None})
    return [Problem(why, "data.unlabelled", found=recipe.data.unlabelled, changes=(*add, without))]


def model_warnings(recipe: Recipe, model: Any, pooling: Pooling, head: HeadStart) -> list[Problem]:
    """Pooling that the encoder was not trained for, lost parts of a checkpoint's head, and the techniques' warnings
    about a prepared model, with or without weights.
    """
    of_techniques = (
        warning
        for name, technique in recipe.techniques.items()
        for warning in technique_problems(name, technique.model_warnings(model))
    )
    return [*pooling.warnings, *head.warnings, *of_techniques]


def technique_problems(name: str, problems: Iterable[Problem]) -> list[Problem]:
    """Problems reported by a technique, with full keys; its own keys are relative to it."""
    return [problem.below(f"techniques.{name}") for problem in problems]


def text_warnings(recipe: Recipe, data: Data, encoder: Encoder) -> list[Problem]:
    """Truncated texts, and augmentation that finds no words."""
    warnings = _length_warnings(recipe, data, encoder)
    augmenting = [name for name, technique in recipe.techniques.items() if augments_texts(technique)]
    if augmenting and statistics.median(len(text.split()) for text in data.train.texts) < 2:
        why = "works on words between spaces, but most texts are a single word"
        warnings.append(Problem(why, f"techniques.{augmenting[0]}"))
    return warnings


def _length_warnings(recipe: Recipe, data: Data, encoder: Encoder) -> list[Problem]:
    """Texts that lose tokens, what the saved model makes of them, and a way of cutting that cuts nothing."""
    limit, mode = recipe.data.max_length, recipe.data.long_texts
    splits = {"train": data.train, **data.measured_splits()}
    longer = {
        name: sum(length > limit for length in encoder.lengths(rows.texts, rows.pairs)) for name, rows in splits.items()
    }
    if not any(longer.values()):
        why = f"{mode} has no effect: no text is longer than data.max_length={limit} tokens."
        plain = Change(settings={"data.long_texts": "head"})
        return [] if mode == "head" else [Problem(why, "data.long_texts", found=mode, changes=(plain,))]
    count = f"{longer['train']} of {len(data.train)} training texts are longer than {limit} tokens"
    warnings = []
    if mode != "windows" and longer["train"] and not recipe.data.check:  # which says more about it
        warnings.append(Problem(f"{count} and lose tokens: {_LOST[mode]}", "data.max_length", found=limit))
    if mode in ("windows", "head_tail"):
        seen = _SEEN_OF_WINDOWS if mode == "windows" else "their start"
        why = (
            f"{mode}: {count}. The saved model is a plain transformers model, which sees only {seen}: it may score "
            "lower than measured here"
        )
        warnings.append(Problem(why, "data.long_texts", found=mode))
    return warnings


def balance_warnings(recipe: Recipe, data: Data) -> list[Problem]:
    """Corrections for classes that are already balanced."""
    counts = count_labels(data.train)
    if data.task != "single_label" or len(set(counts.values())) > 1:
        return []
    settings = {
        "training.class_weights": (recipe.training.class_weights, "none"),
        "training.sampling": (recipe.training.sampling, "shuffled"),
    }
    return [
        Problem(
            f"{value} has nothing to correct: each class has {next(iter(counts.values()))} training rows.",
            key,
            found=value,
            changes=(Change(settings={key: off}),),
        )
        for key, (value, off) in settings.items()
        if value != off
    ]


def unpredicted_warnings(
    recipe: Recipe, labels: Sequence[str], validation: Outputs, plain: Sequence[Threshold], chosen: Sequence[Threshold]
) -> list[Problem]:
    """Labels that validation rows have and that are never predicted.

    Args:
        recipe: Recipe of the run.
        labels: Names in the order of the logits.
        validation: Outputs on validation.
        plain: Thresholds at 0.5.
        chosen: The chosen thresholds.
    """
    unseen = never_predicted(*validation, plain)
    if not unseen:
        return []
    even_so = set(never_predicted(*validation, chosen))
    counts = validation.targets.sum(axis=0)
    rows = count_text(len(validation.targets), "validation row")
    named = [
        f"'{labels[label]}' (in {counts[label]:.0f}"
        + ("" if label in even_so else f"; predicted above {chosen[label].probability:.3f}, its threshold")
        + ")"
        for label in unseen
    ]
    why = f"never predicted at 0.5 for any of {rows}: {shorten(named, NAMED)}."
    weigh = Change(settings={"training.class_weights": "balanced"}, note="rare labels count more")
    changes = (
        (weigh,)
        if recipe.training.class_weights == "none"
        else (Change(text="Train longer, or add rows that have them."),)
    )
    return [Problem(why, "data.label", changes=changes)]


def precision_warnings(recipe: Recipe) -> list[Problem]:
    """A precision in which this machine is slow."""
    if recipe.training.precision == "bf16" and not has_fast_bf16():
        why = "bf16 is emulated on this machine and slower than fp32."
        best = Change(settings={"training.precision": "auto"})
        return [Problem(why, "training.precision", found="bf16", changes=(best,))]
    return []
