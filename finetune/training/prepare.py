"""Everything of a run that needs no training: data, tokens, checks. One preparation serves all seeds."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finetune.cache import cache_folder
from finetune.checks import Inspection, inspect_data
from finetune.data.labels import count_labels, largest_class
from finetune.data.load import class_counts, load_data
from finetune.data.rows import Data
from finetune.data.tokens import Encoder, MeasuredSet
from finetune.errors import Problem, RecipeError, suggest
from finetune.measurement.scores import Measure, main_score, measure_of
from finetune.models.load import (
    build_without_weights,
    encoder_parameters,
    load_config,
    load_tokenizer,
    locate_model,
    position_limit,
    pretrained_embeddings,
)
from finetune.recipe import Recipe, apply_rules, find_budget_problems, recipe_budget
from finetune.records.environment import has_fast_bf16
from finetune.records.schema import ActiveTechnique, DataFacts
from finetune.techniques import AugmentSources, Budget, SelectionRule, TokenFacts, overrides, refuse_idle
from finetune.techniques.rates import PartBudgets
from finetune.training.distributed import world_size
from finetune.training.names import weight_names
from finetune.training.phases import CHECKS, DATA, TOKENS, Stopwatch

if TYPE_CHECKING:
    from finetune.measurement.modules import Meter  # `import evaluate` takes seconds, and `check` measures nothing

_LOST = {"head": "their end", "tail": "their start", "head_tail": "their middle"}  # by data.long_texts
FEW_STEPS = 400  # below it small sets often stay at the majority class (Mosbach et al. 2021, Zhang et al. 2021)


@dataclass(frozen=True)
class Prepared:
    """What all seeds of a recipe share.

    Attributes:
        recipe: As resolved.
        data: Splits and what was said about them.
        budget: Steps and learning rates.
        tokenizer: Of the model.
        encoder: Texts -> items.
        measured: Split -> clean items.
        meter: Logits -> scores.
        measure: The main score and loss among them.
        rule: How the checkpoint that ships is chosen; None: the last one ships.
        metric: The measured name behind `rule.metric`.
        bf16: Whether training passes run in bf16.
        warnings: What the user should look at before trusting the run.
        stop_at: Stop after this many optimizer steps of the schedule; None: at its end, or when the rule says so.
        inspection: What the checks of the data found, and its baselines.
        share: Share of the fine-tuned weights where techniques interpolate; None: validation chooses.
    """

    recipe: Recipe
    data: Data
    budget: Budget
    tokenizer: Any
    encoder: Encoder
    measured: dict[str, MeasuredSet]
    meter: Meter
    measure: Measure
    rule: SelectionRule | None
    metric: str | None
    bf16: bool
    warnings: list[str]
    inspection: Inspection
    stop_at: int | None = None
    share: float | None = None

    def facts(self) -> DataFacts:
        """What the record says of the data."""
        return data_facts(self.data, self.measure, self.inspection)


def prepare(recipe: Recipe, data: Data | None = None, stopwatch: Stopwatch | None = None) -> Prepared:
    """Load and check everything short of the weights.

    Args:
        recipe: As resolved.
        data: What `load_data(recipe.data)` returned before; loaded if not given.
        stopwatch: Is told what the time goes into.

    Raises:
        DataError, ModelError, RecipeError: With file, key, what was found and what to type next.
    """
    stopwatch = stopwatch or Stopwatch()
    with stopwatch.phase(DATA):
        data = load_data(recipe.data) if data is None else data
        recipe = fitted_recipe(recipe, data)
        data = with_score_note(recipe, data)
        measure = measure_for(recipe, data)
    tokenizer, encoder, of_model = check_run(recipe, data)
    budget = plan_budget(recipe, data)
    _, rule = _selection(recipe)
    with stopwatch.phase(TOKENS):
        measured = {name: MeasuredSet(rows, encoder) for name, rows in data.splits().items()}
        of_texts = _text_warnings(recipe, data, encoder)
    with stopwatch.phase(CHECKS):
        inspection = inspect(recipe, data, encoder)
    return Prepared(
        recipe=recipe,
        data=data,
        budget=budget,
        tokenizer=tokenizer,
        encoder=encoder,
        measured=measured,
        meter=_meter(recipe, data),
        measure=measure,
        rule=rule,
        metric=None if rule is None else _measured_name(rule, measure),
        bf16=_use_bf16(recipe.training.precision),
        warnings=[
            *data.warnings,
            *budget_warnings(recipe, budget),
            *of_model,
            *of_texts,
            *_balance_warnings(recipe, data),
            *_precision_warnings(recipe),
        ],
        inspection=inspection,
    )


def inspect(recipe: Recipe, data: Data, encoder: Encoder) -> Inspection:
    """What the checks find, unless the recipe wants none."""
    return inspect_data(data, recipe.data, encoder) if recipe.data.check else Inspection(findings=[], baselines=[])


def check_run(recipe: Recipe, data: Data) -> tuple[Any, Encoder, list[str]]:
    """Refuse what can be seen to fail before a text is tokenised or a weight is read.

    Returns:
        The tokenizer and the encoder, which had to be built for it, and what techniques say about the model.

    Raises:
        ModelError, RecipeError: With key, what was found and what to type next.
    """
    owner, rule = _selection(recipe)
    metric = None if rule is None else _measured_name(rule, measure_for(recipe, data))
    problems: list[str | Problem] = [*find_budget_problems(recipe, plan_budget(recipe, data))]
    problems += _metric_problems(owner, metric, data, _meter(recipe, data))
    problems += _process_problems(recipe)
    if problems:
        raise RecipeError(problems)
    tokenizer = load_tokenizer(recipe.model)
    for technique in recipe.techniques.values():
        if overrides(technique, "check_sources"):  # to locate the model may mean to hash it
            technique.check_sources(augment_sources(recipe, data, tokenizer))
        technique.augment_tokens([], random.Random(0), token_facts(tokenizer))  # refuses what a tokenizer lacks
    encoder = Encoder(tokenizer, data, recipe.data.max_length, recipe.data.long_texts, recipe.data.overlap)
    # A model that lacks a dropout, or that ignores it, must fail now and not after a minute.
    pretrained: list[str] = []

    def build(config: Any) -> Any:
        plain = build_without_weights(config)
        pretrained.extend(encoder_parameters(plain))
        return plain

    model = configured_model(recipe, data.task, data.labels, build)
    names = weight_names(model, pretrained)
    for name, technique in recipe.techniques.items():
        refuse_idle(name, technique, names)
    limit = position_limit(model.config)
    if limit is not None and recipe.data.max_length > limit:
        raise RecipeError(
            f"data.max_length: {recipe.data.max_length} tokens, but the model has positions for {limit}. "
            f"Try: --set data.max_length={limit}"
        )
    return tokenizer, encoder, model_warnings(recipe, model)


def fitted_recipe(recipe: Recipe, data: Data) -> Recipe:
    """The recipe with the settings that its rules want for the size of this data."""
    return apply_rules(recipe, len(data.train), len(data.labels or ()) or 2)


def measure_for(recipe: Recipe, data: Data) -> Measure:
    """What is measured, with the main score that the recipe asks for or that the training rows call for."""
    share = largest_class(data.train)[1] if data.task == "single_label" else None
    return measure_of(data.task, main_score(data.task, share, recipe.training.score))


def with_score_note(recipe: Recipe, data: Data) -> Data:
    """The data with a note, once, where its classes decided on the main score."""
    score = measure_for(recipe, data).score
    if recipe.training.score != "auto" or score == measure_of(data.task, None).score:
        return data
    name, share = largest_class(data.train)
    note = (
        f"{score} leads and selects: class '{name}' has {share:.0%} of the training rows, so that accuracy would hide "
        "the others (--set training.score=accuracy takes it anyway)"
    )
    return replace(data, notes=[*(text for text in data.notes if text != note), note])


def plan_budget(recipe: Recipe, data: Data) -> Budget:
    return replace(
        recipe_budget(recipe),
        task=data.task,
        steps_per_epoch=math.ceil(len(data.train) / recipe.training.batch_size),
    )


def configured_model(
    recipe: Recipe, task: str, labels: list[str] | None, build: Callable[[Any], Any] = build_without_weights
) -> Any:
    """The model as the techniques want it: modules only, or with weights if `build` loads them.

    Raises:
        ModelError: The model cannot be found, or does not obey.
    """
    config = load_config(recipe.model, task, labels)
    for technique in recipe.techniques.values():
        technique.configure_model(config)
    model = build(config)
    for technique in recipe.techniques.values():
        technique.prepare_model(model)
    return model


def model_warnings(recipe: Recipe, model: Any) -> list[str]:
    """What techniques say about a prepared model, with or without weights."""
    return [
        warning.below(f"techniques.{name}").for_command_line()
        for name, technique in recipe.techniques.items()
        for warning in technique.model_warnings(model)
    ]


def measured_names(recipe: Recipe, data: Data) -> list[str]:
    """Names of all scores and losses of a run, the user's own included."""
    return list(_meter(recipe, data).measure(*_made_up(data)))


def _meter(recipe: Recipe, data: Data) -> Meter:
    from finetune.measurement.modules import Meter

    return Meter(data.task, recipe.training.metrics)


def data_facts(data: Data, measure: Measure, inspection: Inspection | None = None) -> DataFacts:
    named = {"train": data.train, **data.splits()}
    return DataFacts(
        task=data.task,
        labels=data.labels,
        columns=data.columns,
        rows={name: len(rows) for name, rows in named.items()},
        classes=class_counts(data),
        dropped=data.dropped,
        notes=data.notes,
        warnings=data.warnings,
        fingerprint=data.fingerprint,
        score=measure.score,
        findings=[] if inspection is None else inspection.findings,
        baselines=[] if inspection is None else inspection.baselines,
    )


def active_techniques(recipe: Recipe, budget: Budget) -> dict[str, ActiveTechnique]:
    parts = PartBudgets.of(recipe.techniques.values(), budget)
    return {
        name: ActiveTechnique(
            settings=technique.model_dump(),
            cost=round(technique.training_cost(budget), 2),
            effect=technique.effect(parts.met_by(technique)[0]),
        )
        for name, technique in recipe.techniques.items()
    }


def declared_cost(recipe: Recipe, budget: Budget | None = None) -> float:
    """Training time of all techniques together, as a multiple of plain fine-tuning.

    Args:
        recipe: Of the run.
        budget: Its budget, where the data is loaded; else what the recipe alone says.
    """
    budget = recipe_budget(recipe) if budget is None else budget
    return round(math.prod(technique.training_cost(budget) for technique in recipe.techniques.values()), 2)


def augment_sources(recipe: Recipe, data: Data, tokenizer: Any) -> AugmentSources:
    """What text augmentation may draw on in a run. Weights are read only if they are asked for."""
    return AugmentSources(
        texts=[*data.train.texts, *(data.train.pairs or [])],
        tokenizer=tokenizer,
        model=locate_model(recipe.model),
        embeddings=lambda: pretrained_embeddings(recipe.model),
        cache=cache_folder(),
    )


def token_facts(tokenizer: Any) -> TokenFacts:
    return TokenFacts(tokenizer.mask_token_id, frozenset(tokenizer.all_special_ids))


def _selection(recipe: Recipe) -> tuple[str, SelectionRule | None]:
    """The technique that chooses the checkpoint (only one may), and its rule; ("", None) without one."""
    rules = ((name, technique.selection_rule()) for name, technique in recipe.techniques.items())
    return next(((name, rule) for name, rule in rules if rule is not None), ("", None))


def _measured_name(rule: SelectionRule, measure: Measure) -> str:
    return {"score": measure.selects, "loss": measure.loss}.get(rule.metric, rule.metric)


def _metric_problems(owner: str, metric: str | None, data: Data, meter: Meter) -> list[str]:
    """Try all metrics on made-up rows, so that a broken module or an unknown name is found before training."""
    known = meter.measure(*_made_up(data))
    if metric is None or metric in known:
        return []
    return [
        f"techniques.{owner}.metric: '{metric}' is not measured for {data.task}."
        f"{suggest(metric, [*known, 'score', 'loss'])}"
    ]


def _made_up(data: Data) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits and targets of one right row per label (two rows for numbers)."""
    if data.labels is None:
        return np.array([[0.0], [1.0]]), np.array([0.0, 1.0])
    logits = np.eye(len(data.labels)) - 0.5
    return logits, np.arange(len(data.labels)) if data.task == "single_label" else np.eye(len(data.labels))


def _process_problems(recipe: Recipe) -> list[str]:
    """Each process needs a row for each of its micro-batches."""
    training, processes = recipe.training, world_size()
    if training.batch_size >= training.accumulation * processes:
        return []
    return [
        f"training.accumulation: {training.accumulation} parts in each of {processes} processes are more than the "
        f"{training.batch_size} rows of a batch. Try: --set training.accumulation="
        f"{max(1, training.batch_size // processes)}, or use fewer processes"
    ]


def _text_warnings(recipe: Recipe, data: Data, encoder: Encoder) -> list[str]:
    """Texts that are cut, and augmentation that finds no words."""
    warnings = _length_warnings(recipe, data, encoder)
    augments = [name for name, technique in recipe.techniques.items() if technique.augments]
    if augments and statistics.median(len(text.split()) for text in data.train.texts) < 2:
        warnings.append(f"techniques.{augments[0]}: works on words between spaces, and most texts are a single one")
    return warnings


def _balance_warnings(recipe: Recipe, data: Data) -> list[str]:
    """Corrections of a balance that is even already."""
    counts = count_labels(data.train)
    if data.task != "single_label" or len(set(counts.values())) > 1:
        return []
    settings = {
        "class_weights": (recipe.training.class_weights, "none"),
        "sampling": (recipe.training.sampling, "shuffled"),
    }
    return [
        f"training.{key}: {value} has nothing to correct: each class has {next(iter(counts.values()))} training rows. "
        f"Try: --set training.{key}={off}"
        for key, (value, off) in settings.items()
        if value != off
    ]


def _length_warnings(recipe: Recipe, data: Data, encoder: Encoder) -> list[str]:
    """Texts that lose tokens, what the model that ships makes of them, and a way of cutting that cuts nothing."""
    limit, mode = recipe.data.max_length, recipe.data.long_texts
    splits = {"train": data.train, **data.splits()}
    longer = {
        name: sum(length > limit for length in encoder.lengths(rows.texts, rows.pairs)) for name, rows in splits.items()
    }
    if not any(longer.values()):
        idle = f"data.long_texts: {mode} acts on nothing: no text is longer than data.max_length={limit} tokens. "
        return [] if mode == "head" else [f"{idle}Try: --set data.long_texts=head"]
    share = f"{longer['train']} of {len(data.train)} training texts are longer than {limit} tokens"
    warnings = []
    if mode != "windows" and longer["train"] and not recipe.data.check:  # which says more about it
        warnings.append(f"data.max_length: {share} and lose tokens: {_LOST[mode]}")
    if mode in ("windows", "head_tail"):
        told = {"windows": "one window of such a text unless you average the logits of all", "head_tail": "their start"}
        warnings.append(
            f"data.long_texts: {mode}: {share}; the model that ships is plain transformers, which sees only "
            f"{told[mode]}: it may do worse there than what is measured here"
        )
    return warnings


def budget_warnings(recipe: Recipe, budget: Budget) -> list[str]:
    """What techniques say about their settings, and a budget too small to learn from."""
    warnings = []
    if budget.steps_per_epoch and budget.steps is not None and budget.steps < FEW_STEPS:
        enough = math.ceil(FEW_STEPS / budget.steps_per_epoch)
        warnings.append(
            f"training.epochs: {budget.steps} optimizer steps are few for fine-tuning, and a model that has not "
            f"learned shows no gap. Consider --set training.epochs={enough} ({FEW_STEPS} steps)"
        )
    parts = PartBudgets.of(recipe.techniques.values(), budget)
    return warnings + [
        warning.below(f"techniques.{name}").for_command_line()
        for name, technique in recipe.techniques.items()
        for warning in technique.warnings(parts.met_by(technique)[0])
    ]


def _use_bf16(precision: str) -> bool:
    return precision == "bf16" or (precision == "auto" and has_fast_bf16())


def _precision_warnings(recipe: Recipe) -> list[str]:
    if recipe.training.precision == "bf16" and not has_fast_bf16():
        return ["training.precision: bf16 is emulated on this machine and slower than fp32"]
    return []
