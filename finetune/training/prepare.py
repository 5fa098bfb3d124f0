"""All parts of a run that need no training: data, tokens, checks. One preparation serves all seeds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finetune.checks import Inspection, inspect_data
from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.data.sorted_sets import MeasuredSet
from finetune.data.tokens import Encoder
from finetune.errors import Change, FinetuneError, Problem, RecipeError, as_problem
from finetune.measurement.modules import Meter
from finetune.measurement.scores import Measure
from finetune.models.configuration import load_tokenizer, position_limit
from finetune.models.head import HeadStart
from finetune.models.load import (
    build_without_weights,
    encoder_parameters,
    find_start,
    load_config,
    pooled_for_pairs,
)
from finetune.models.outputs import Outputs
from finetune.models.pooling import Pooling
from finetune.recipe import (
    Recipe,
    apply_rules,
    choose,
    counted_classes,
    find_budget_problems,
    longer_note,
    with_min_steps,
)
from finetune.records.environment import has_fast_bf16
from finetune.records.facts import RateChoice
from finetune.records.schema import DataFacts
from finetune.tasks import Task
from finetune.techniques import Budget, ModelChanges, SelectionRule, Unlabelled, hook_of, implementations, refuse_idle
from finetune.techniques.changes import turned_off
from finetune.training.adaptation import check_adaptation
from finetune.training.augmentation import augment_sources, check_augmentation
from finetune.training.budgets import plan_budget
from finetune.training.choice_facts import measure_facts
from finetune.training.data_facts import data_facts
from finetune.training.distributed import world_size
from finetune.training.head import described_head, refuse_unknown_head
from finetune.training.measures import (
    measure_for,
    meter_for,
    metric_problems,
    selecting_metric,
    selection_rule,
    with_score_note,
)
from finetune.training.names import weight_names
from finetune.training.phases import CHECKS, DATA, TOKENS, Stopwatch
from finetune.training.rate_folds import rate_problems
from finetune.training.run_warnings import (
    balance_warnings,
    budget_warnings,
    model_warnings,
    precision_warnings,
    text_warnings,
    unlabelled_warnings,
)
from finetune.training.scale import TargetScale, can_hold_scale, scale_warnings, target_scale
from finetune.training.tracking.starting import tracker_problems
from finetune.training.unlabelled import learns_unlabelled


@dataclass(frozen=True)
class Prepared:
    """The parts of a run that all seeds of a recipe share.

    Attributes:
        recipe: The resolved recipe, with the settings for the size of the data.
        data: Splits, with notes and warnings about them.
        budget: Steps and learning rates.
        tokenizer: Tokenizer of the model.
        encoder: Texts -> items.
        pooling: Pooling of the encoder's output that the head reads.
        head: Start of the outputs.
        scale: Scaling of numeric targets in training; None for classes, and if the head cannot hold it.
        measured: Split -> clean items.
        meter: Logits -> scores.
        measure: The main score and loss among them.
        rule: Rule that selects the final checkpoint; None: the last one.
        metric: The measured name behind `rule.metric`.
        bf16: Whether training passes run in bf16.
        warnings: Points to check before trusting the run.
        inspection: Findings of the data checks, and the baselines.
        stop_at: Stop after this many optimizer steps of the schedule; None: at its end, or when the rule says so.
        interpolation: Fraction of the fine-tuned weights, if techniques interpolate with the pretrained ones; None:
            validation chooses.
        held_out: For a refit: outputs for validation of the run that it repeats, on which temperature and thresholds
            are chosen.
        soft_targets: Targets that replace the labels of the training rows: (rows, outputs) probabilities, or
            (rows,) numbers; None: the labels.
        keeps_split: Whether the training rows are the split's, so that the run's split file can be used again.
        keeps_model: Whether the trained model is saved.
        rate: The chosen learning rate, if the recipe says auto; None before the choice, or if the recipe gives one.
    """

    recipe: Recipe
    data: Data
    budget: Budget
    tokenizer: Any
    encoder: Encoder
    pooling: Pooling
    head: HeadStart
    scale: TargetScale | None
    measured: dict[str, MeasuredSet]
    meter: Meter
    measure: Measure
    rule: SelectionRule | None
    metric: str | None
    bf16: bool
    warnings: list[Problem]
    inspection: Inspection
    stop_at: int | None = None
    interpolation: float | None = None
    held_out: Outputs | None = None
    soft_targets: NDArray[np.float32] | None = None
    keeps_split: bool = True
    keeps_model: bool = True
    rate: RateChoice | None = None

    @property
    def is_refit(self) -> bool:
        """Whether validation is part of the training rows."""
        return self.stop_at is not None

    def chosen_on(self, validation: Outputs) -> Outputs | None:
        """Outputs on which temperature, thresholds and confidences are chosen: the run's own for validation, or for a
        refit the held-out ones; None if there are none.
        """
        return self.held_out if self.is_refit else validation

    def facts(self) -> DataFacts:
        """The data section of the record."""
        return data_facts(self.data, self.measure, self.inspection)


def prepare(recipe: Recipe, data: Data | None = None, stopwatch: Stopwatch | None = None) -> Prepared:
    """Load and check everything except the weights.

    Args:
        recipe: The resolved recipe.
        data: Result of an earlier `load_data(recipe.data)`; loaded if not given.
        stopwatch: Records the time of each phase.

    Raises:
        DataError, ModelError, RecipeError: The error names file, key, what was found and what to change.
    """
    stopwatch = stopwatch or Stopwatch()
    with stopwatch.phase(DATA):
        data = load_data(recipe.data) if data is None else data
        recipe, data = fitted_with_notes(recipe, data)
        measure = measure_for(data, recipe.training.score)
    checked = check_run(recipe, data)
    budget = plan_budget(recipe, data)
    _, rule = selection_rule(recipe)
    with stopwatch.phase(TOKENS):
        measured = {name: MeasuredSet(rows, checked.encoder) for name, rows in data.measured_splits().items()}
        text_problems = text_warnings(recipe, data, checked.encoder)
    with stopwatch.phase(CHECKS):
        inspection = inspect(recipe, data, checked.encoder)
    return Prepared(
        recipe=recipe,
        data=data,
        budget=budget,
        tokenizer=checked.tokenizer,
        encoder=checked.encoder,
        pooling=checked.pooling,
        head=checked.head,
        scale=checked.scale,
        measured=measured,
        meter=meter_for(recipe, data),
        measure=measure,
        rule=rule,
        metric=None if rule is None else selecting_metric(rule, measure),
        bf16=_use_bf16(recipe.training.precision),
        warnings=[
            *map(as_problem, data.warnings),
            *unlabelled_warnings(recipe),
            *budget_warnings(recipe, budget),
            *checked.warnings,
            *text_problems,
            *balance_warnings(recipe, data),
            *precision_warnings(recipe),
        ],
        inspection=inspection,
    )


def inspect(recipe: Recipe, data: Data, encoder: Encoder) -> Inspection:
    """Findings of the data checks, unless the recipe turns them off."""
    return inspect_data(data, recipe.data, encoder) if recipe.data.check else Inspection(findings=[], baselines=[])


def with_budget(prepared: Prepared, budget: Budget) -> Prepared:
    """The preparation with another budget and the warnings that depend on it."""
    stale = budget_warnings(prepared.recipe, prepared.budget)
    others = [problem for problem in prepared.warnings if problem not in stale]
    return replace(prepared, budget=budget, warnings=[*others, *budget_warnings(prepared.recipe, budget)])


def with_training_rows(prepared: Prepared, data: Data) -> Prepared:
    """The preparation with other training rows, and the budget and warnings that depend on them."""
    recipe, encoder = prepared.recipe, prepared.encoder

    def of_rows(data: Data) -> list[Problem]:
        return [*text_warnings(recipe, data, encoder), *balance_warnings(recipe, data)]

    stale = of_rows(prepared.data)
    others = [problem for problem in prepared.warnings if problem not in stale]
    changed = replace(prepared, data=data, warnings=[*others, *of_rows(data)])
    return with_budget(changed, plan_budget(recipe, data))


class Checked(NamedTuple):
    """The parts that were built and decided to check whether a run can start; as in `Prepared`.

    Attributes:
        warnings: Warnings about the model.
    """

    tokenizer: Any
    encoder: Encoder
    pooling: Pooling
    head: HeadStart
    scale: TargetScale | None
    warnings: list[Problem]


def check_run(recipe: Recipe, data: Data) -> Checked:
    """Refuse a run that would certainly fail, before a text is tokenised or a weight is read.

    Raises:
        DataError, ModelError, RecipeError: The error names the key, what was found and what to change.
    """
    problems = find_budget_problems(recipe, plan_budget(recipe, data))
    problems += [*metric_problems(recipe, data), *_process_problems(recipe), *rate_problems(recipe, data)]
    problems += tracker_problems(recipe)
    if problems:
        raise RecipeError(problems)
    tokenizer = load_tokenizer(recipe.model)
    _check_augmentation(recipe, data, tokenizer)
    model = _checked_model(recipe, data)
    check_adaptation(recipe, tokenizer)
    section, positions = recipe.data, position_limit(model.config)
    encoder = Encoder(tokenizer, data, section.max_length, section.long_texts, section.overlap, positions)
    pooling, head = find_start(recipe.model, data.task, data.labels)
    head = described_head(recipe.techniques, head)
    warnings = model_warnings(recipe, model, pooling, head)
    scale = None
    if data.task == "regression":
        found, holds = target_scale(data.train.labels), can_hold_scale(model)
        warnings += scale_warnings(found, holds)
        scale = found if holds else None
    return Checked(tokenizer, encoder, pooling, head, scale, warnings)


def _check_augmentation(recipe: Recipe, data: Data, tokenizer: Any) -> None:
    """Of the training rows, and of the unlabelled texts of the technique that learns from them."""
    sources = functools.partial(augment_sources, recipe, data, tokenizer)
    check_augmentation(recipe.techniques, sources, tokenizer)
    asking = learns_unlabelled(recipe.techniques)
    if asking is None:
        return
    name, technique = asking
    try:
        check_augmentation(hook_of(technique, Unlabelled.altered_view)(), sources, tokenizer)
    except FinetuneError as error:
        blamed = (replace(each, key=f"techniques.{name}", changes=(turned_off(name),)) for each in error.problems)
        raise type(error)(list(blamed)) from error


def _checked_model(recipe: Recipe, data: Data) -> Any:
    """The prepared model without weights.

    A model that lacks a dropout or ignores it must fail now and not after a minute, and so must a technique that would
    act on none of its weights.
    """
    pretrained: list[str] = []

    def build(config: Any) -> Any:
        plain = build_without_weights(config)
        pretrained.extend(encoder_parameters(plain))
        return plain

    model = configured_model(recipe, data.task, data.labels, build)
    refuse_unknown_head(recipe.techniques, model)
    names = weight_names(model, pretrained)
    for name, technique in recipe.techniques.items():
        refuse_idle(name, technique, names)
    return model


def fitted_recipe(recipe: Recipe, data: Data) -> Recipe:
    """The recipe with the choices of its preset for this data, and the settings and epochs for its size."""
    rows, classes = len(data.train), counted_classes(data.task, len(data.labels or ()))
    if data.has_pairs:
        recipe = recipe.model_copy(update={"model": pooled_for_pairs(recipe.model)})
    if recipe.choices is not None:
        recipe = choose(recipe, measure_facts(recipe, data))
    return with_min_steps(apply_rules(recipe, rows, classes), rows)


def fitted_with_notes(recipe: Recipe, data: Data) -> tuple[Recipe, Data]:
    """`fitted_recipe`, and the data with a note for each value that its rows determined: score, epochs, pooling."""
    fitted = fitted_recipe(recipe, data)
    data = with_score_note(fitted, data)
    notes = [longer_note(recipe, fitted, len(data.train)), _pooling_note(recipe, fitted)]
    new = [note for note in notes if note is not None and note not in data.notes]
    return fitted, replace(data, notes=[*data.notes, *new])


def _pooling_note(before: Recipe, after: Recipe) -> str | None:
    if before.model.pooling == after.model.pooling:
        return None
    return (
        "model.pooling: cls, because rows are pairs of texts and the encoder was trained to pool single texts (to read "
        "the mean of all tokens: --set model.pooling=mean)"
    )


def configured_model(
    recipe: Recipe, task: Task, labels: list[str] | None, build: Callable[[Any], Any] = build_without_weights
) -> Any:
    """The model as configured and prepared by the techniques: modules only, or with weights if `build` loads them.

    Raises:
        ModelError: The model cannot be found, or does not support a technique.
    """
    config = load_config(recipe.model, task, labels)
    for configure_model in implementations(recipe.techniques.values(), ModelChanges.configure_model):
        configure_model(config)
    model = build(config)
    for prepare_model in implementations(recipe.techniques.values(), ModelChanges.prepare_model):
        prepare_model(model)
    return model


def _process_problems(recipe: Recipe) -> list[Problem]:
    """Each process needs a row for each of its micro-batches."""
    training, processes = recipe.training, world_size()
    if training.batch_size >= training.accumulation * processes:
        return []
    why = (
        f"{training.accumulation} micro-batches in each of {processes} processes are more than the "
        f"{training.batch_size} rows of a batch."
    )
    fewer = Change(settings={"training.accumulation": max(1, training.batch_size // processes)})
    changes = (fewer, Change(text="use fewer processes"))
    return [Problem(why, "training.accumulation", found=training.accumulation, changes=changes)]


def _use_bf16(precision: str) -> bool:
    return precision == "bf16" or (precision == "auto" and has_fast_bf16())
