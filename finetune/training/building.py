"""The parts of a run: model, trainer, batches, selector. All from what `prepare` returned and a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from finetune.data.labels import count_labels
from finetune.data.tokens import Collator, TrainSet
from finetune.kernels.head import output_map
from finetune.measurement.beyond_chance import beats_trivial
from finetune.models.load import encoder_parameters, load_model
from finetune.models.outputs import Outputs
from finetune.techniques.rates import decay_strength
from finetune.training.arguments import build_arguments
from finetune.training.augmentation import text_augmenters, token_augmenters
from finetune.training.batches import StepBatches, StepLoader
from finetune.training.callbacks import StopAt
from finetune.training.distributed import rank, world_size
from finetune.training.evaluations import GAP_SPLITS
from finetune.training.objective import Objective
from finetune.training.phases import TOKENS, Stopwatch
from finetune.training.prepare import Prepared, configured_model
from finetune.training.selection import Selector
from finetune.training.trainer import RegularizedTrainer


class LoadedModel(NamedTuple):
    """A model that is ready to be trained.

    Attributes:
        model: As the techniques want it.
        pretrained: Name -> value of the encoder's parameters as loaded, before a technique or a checkpoint changed
            them.
    """

    model: Any
    pretrained: Mapping[str, Tensor]


def build_model(prepared: Prepared, seed: int) -> LoadedModel:
    """Load the weights and let the techniques prepare the model.

    Raises:
        ModelError: There are no weights, or the model does not do what a technique asks of it.
    """
    recipe, data = prepared.recipe, prepared.data
    pretrained: dict[str, Tensor] = {}

    def load(config: Any) -> Any:
        model = load_model(recipe.model, config, seed)
        pretrained.update({name: value.detach().clone() for name, value in encoder_parameters(model).items()})
        if data.task == "regression":
            start_at(model, float(np.mean(data.train.labels)))
        return model

    return LoadedModel(configured_model(recipe, data.task, data.labels, load), pretrained)


def start_at(model: Any, value: float) -> None:
    """Let a regression head predict `value`, the mean of the training targets, before the first step.

    From 0 a few hundred small steps would be spent on finding it. A head of another kind starts where it starts.
    """
    head = output_map(model)
    if head is not None and head.bias is not None:
        with torch.no_grad():
            head.bias.fill_(value)


def build_trainer(
    prepared: Prepared,
    seed: int,
    loaded: LoadedModel,
    checkpoints: Path,
    callbacks: Sequence[Any],
    run_state: Callable[[], dict[str, Any]],
    stopwatch: Stopwatch,
) -> RegularizedTrainer:
    """The trainer of one seed.

    Args:
        prepared: From `prepare`.
        seed: Of head, batch order, dropout and augmentation.
        loaded: The model.
        checkpoints: Folder of this run's checkpoints, fresh or being resumed.
        callbacks: Further callbacks.
        run_state: What a checkpoint keeps of the run itself.
        stopwatch: Is told what the time goes into.
    """
    recipe, data, budget = prepared.recipe, prepared.data, prepared.budget
    with stopwatch.phase(TOKENS):
        texts = text_augmenters(recipe, data, prepared.tokenizer)
        train_set = TrainSet(data.train, prepared.encoder, texts, seed, token_augmenters(recipe, prepared.tokenizer))
    batches = step_batches(prepared, seed, train_set.lengths if recipe.training.group_by_length else None)
    decay = decay_strength(recipe.techniques.values(), budget)
    is_cut_short = prepared.stop_at is not None
    arguments = build_arguments(recipe.training, budget, seed, decay, checkpoints, fixed_steps=is_cut_short)
    weights = class_weights(prepared)
    collate = Collator(prepared.tokenizer)
    return RegularizedTrainer(
        loaded.model,
        arguments,
        objective=Objective(
            loaded.model,
            data.task,
            list(recipe.techniques.values()),
            None if weights is None else weights.to(arguments.device),
        ),
        budget=budget,
        pretrained=loaded.pretrained,
        train_loader=StepLoader(train_set, batches, collate, pin_memory=not arguments.use_cpu),
        measured={name: prepared.measured[name] for name in GAP_SPLITS},
        meter=prepared.meter,
        has_learned=learned_check(prepared),
        collate=collate,
        bf16=prepared.bf16,
        evaluate_in_bf16=prepared.bf16 and recipe.training.kernels == "fast",
        callbacks=[*([] if prepared.stop_at is None else [StopAt(prepared.stop_at)]), *callbacks],
        run_state=run_state,
        stopwatch=stopwatch,
    )


def step_batches(prepared: Prepared, seed: int, lengths: Sequence[int] | None) -> StepBatches:
    """The batches of this process; with `lengths`, of texts of like length."""
    training, train = prepared.recipe.training, prepared.data.train
    return StepBatches(
        rows=len(train),
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        rank=rank(),
        world=world_size(),
        seed=seed,
        lengths=lengths,
        classes=train.labels if training.sampling == "balanced" else None,
    )


def class_weights(prepared: Prepared) -> Tensor | None:
    """n / (K × rows of the class): mean 1 over the training rows, so that the learning rate keeps its meaning."""
    labels = prepared.data.labels
    if prepared.recipe.training.class_weights == "none" or labels is None:
        return None
    counts = count_labels(prepared.data.train)
    rows = len(prepared.data.train)
    # A class may have no rows where whole groups are left out of a fold; its weight is then used nowhere.
    return torch.tensor([rows / (len(counts) * max(1, counts[name])) for name in labels])


def learned_check(prepared: Prepared) -> Callable[[Outputs], bool] | None:
    """Whether outputs on validation beat the same answer for every text; None where no rule asks for it."""
    metric = prepared.metric
    if metric is None:
        return None
    return lambda outputs: beats_trivial(prepared.data.task, metric, *outputs)


def build_selector(prepared: Prepared) -> Selector | None:
    """What chooses the checkpoint; None where the last one is the final one."""
    if prepared.rule is None or prepared.metric is None:
        return None
    return Selector(prepared.rule, prepared.metric, prepared.measure.loss)
