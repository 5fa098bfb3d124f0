"""Metrics of a run: its main score and loss, and the metric that selects a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.data.labels import largest_class
from finetune.data.rows import Data
from finetune.errors import Problem, suggest
from finetune.measurement.modules import Meter
from finetune.measurement.scores import MEASURES, Measure, main_score, measure_of
from finetune.measurement.units import metric_name, percent_text
from finetune.recipe import Recipe, recipe_budget
from finetune.techniques import KeptWeights, SelectionRule, hook_of


def measure_for(data: Data, score: str) -> Measure:
    """The main score and loss of a run.

    Args:
        data: Its training rows decide if `score` is "auto".
        score: The main score, as `training.score` of a recipe.
    """
    fraction = largest_class(data.train)[1] if data.task == "single_label" else None
    return measure_of(data.task, main_score(data.task, fraction, score))


def with_score_note(recipe: Recipe, data: Data) -> Data:
    """The data with a note, added once, if its classes determined the main score."""
    score = measure_for(data, recipe.training.score).score
    if recipe.training.score != "auto" or score == MEASURES[data.task].score:
        return data
    name, fraction = largest_class(data.train)
    note = (
        f"{metric_name(score)} is the main score and selects the model, because {percent_text(fraction)} of the "
        f"training rows are '{name}' and accuracy would hide the other classes (to use accuracy: "
        "--set training.score=accuracy)"
    )
    return replace(data, notes=[*(text for text in data.notes if text != note), note])


def meter_for(recipe: Recipe, data: Data) -> Meter:
    """The meter that turns logits into scores.

    Raises:
        RecipeError: A user's module cannot be loaded.
    """
    return Meter(data.task, recipe.training.metrics)


def measured_names(recipe: Recipe, data: Data) -> list[str]:
    """Names of all scores and losses of a run, the user's own included."""
    return list(meter_for(recipe, data).measure(*_made_up_outputs(data)))


def selection_rule(recipe: Recipe) -> tuple[str, SelectionRule | None]:
    """The technique that selects the checkpoint (only one may), and its rule in this run; ("", None) without one."""
    rules = ((name, hook_of(technique, KeptWeights.selection_rule)()) for name, technique in recipe.techniques.items())
    epochs = recipe_budget(recipe).epochs
    return next(((name, rule.within(epochs)) for name, rule in rules if rule is not None), ("", None))


def selecting_metric(rule: SelectionRule, measure: Measure) -> str:
    """The measured name behind a rule's metric, which may be `score` or `loss`."""
    return {"score": measure.selects, "loss": measure.loss}.get(rule.metric, rule.metric)


def metric_problems(recipe: Recipe, data: Data) -> list[Problem]:
    """Try all metrics on made-up rows, to find a broken module or an unknown name before training."""
    names = measured_names(recipe, data)
    technique, rule = selection_rule(recipe)
    metric = None if rule is None else selecting_metric(rule, measure_for(data, recipe.training.score))
    if metric is None or metric in names:
        return []
    why = f"'{metric}' is not measured for {data.task}.{suggest(metric, [*names, 'score', 'loss'])}"
    return [Problem(why, f"techniques.{technique}.metric", found=metric)]


def _made_up_outputs(data: Data) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits and targets of one right row per label (two rows for numbers)."""
    if data.labels is None:
        return np.array([[0.0], [1.0]]), np.array([0.0, 1.0])
    logits = np.eye(len(data.labels)) - 0.5
    return logits, np.arange(len(data.labels)) if data.task == "single_label" else np.eye(len(data.labels))
