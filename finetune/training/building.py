"""The parts of a run: model, trainer, batches, selector; built from a preparation and a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from finetune.data.labels import count_labels
from finetune.data.train_set import Collator, TrainSet
from finetune.data.views import TextViews
from finetune.data.votes import vote_targets
from finetune.measurement.beyond_chance import beats_trivial
from finetune.models.load import encoder_parameters, load_model
from finetune.models.outputs import Outputs
from finetune.techniques import Unlabelled, hook_of
from finetune.techniques.rates import decay_strength
from finetune.training.adaptation import adapted_encoder, apply_encoder
from finetune.training.arguments import build_arguments
from finetune.training.augmentation import augment_sources, text_augmenters, token_augmenters
from finetune.training.batches import StepBatches, StepLoader
from finetune.training.callbacks import StopAt
from finetune.training.distributed import rank, world_size
from finetune.training.evaluations import GAP_SPLITS
from finetune.training.objective import Objective
from finetune.training.phases import TOKENS, Stopwatch
from finetune.training.prepare import Prepared, configured_model
from finetune.training.scale import take_out_of_head
from finetune.training.selection import Selector
from finetune.training.trainer import RegularizedTrainer
from finetune.training.unlabelled import UnlabelledTexts, learns_unlabelled


class LoadedModel(NamedTuple):
    """A model that is ready to be trained.

    Attributes:
        model: As prepared by the techniques.
        pretrained: Name -> value of the encoder's parameters as loaded, adapted to the texts if that was
            requested, before another technique or a checkpoint changed them.
    """

    model: Any
    pretrained: Mapping[str, Tensor]


def build_model(prepared: Prepared, seed: int, stopwatch: Stopwatch | None = None) -> LoadedModel:
    """Load the weights, adapted to the texts if a technique requests it, and let the techniques prepare the model.

    Raises:
        ModelError: There are no weights, or the model does not support a technique.
        RunFailed, OutputError: As in `adapted_encoder`.
    """
    adapted = adapted_encoder(prepared, seed, stopwatch or Stopwatch())
    recipe, data = prepared.recipe, prepared.data
    pretrained: dict[str, Tensor] = {}

    def load(config: Any) -> Any:
        model = load_model(recipe.model, config, seed)
        apply_encoder(model, adapted)
        pretrained.update({name: value.detach().clone() for name, value in encoder_parameters(model).items()})
        if prepared.scale is not None and prepared.head.rows is not None:
            take_out_of_head(model, prepared.scale)
        return model

    return LoadedModel(configured_model(recipe, data.task, data.labels, load), pretrained)


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
        seed: Seed of head, batch order, dropout and augmentation.
        loaded: The model.
        checkpoints: Folder of this run's checkpoints, fresh or being resumed.
        callbacks: Further callbacks.
        run_state: State of the run itself that checkpoints keep.
        stopwatch: Records the time of each phase.
    """
    recipe, data, budget = prepared.recipe, prepared.data, prepared.budget
    with stopwatch.phase(TOKENS):
        train_set = training_set(prepared, seed)
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
            prepared.scale,
        ),
        budget=budget,
        pretrained=loaded.pretrained,
        train_loader=StepLoader(train_set, batches, collate, pin_memory=not arguments.use_cpu),
        measured={name: prepared.measured[name] for name in GAP_SPLITS},
        meter=prepared.meter,
        scale=prepared.scale,
        has_learned=learned_check(prepared),
        collate=collate,
        bf16=prepared.bf16,
        evaluate_in_bf16=prepared.bf16 and recipe.training.kernels == "fast",
        callbacks=[*([] if prepared.stop_at is None else [StopAt(prepared.stop_at)]), *callbacks],
        run_state=run_state,
        stopwatch=stopwatch,
        unlabelled=unlabelled_texts(prepared, seed, collate),
    )


def training_set(prepared: Prepared, seed: int) -> TrainSet:
    """The training rows with their targets: the label, the annotators' votes, or an ensemble's prediction."""
    recipe, data = prepared.recipe, prepared.data
    texts = text_augmenters(recipe.techniques, lambda: augment_sources(recipe, data, prepared.tokenizer))
    tokens = token_augmenters(recipe.techniques, prepared.tokenizer)
    predicted = None if prepared.soft_targets is None else prepared.soft_targets.tolist()
    targets = vote_targets(data.train, data.labels) if predicted is None else predicted
    return TrainSet(data.train, prepared.encoder, texts, seed, tokens, targets=targets)


def unlabelled_texts(prepared: Prepared, seed: int, collate: Collator) -> UnlabelledTexts | None:
    """The unlabelled part of the steps, if a technique requests it."""
    recipe, data, budget = prepared.recipe, prepared.data, prepared.budget
    asking = learns_unlabelled(recipe.techniques)
    if asking is None:
        return None
    assert data.unlabelled is not None, "asked for when the recipe was resolved"
    name, technique = asking
    view = hook_of(technique, Unlabelled.altered_view)()
    texts = text_augmenters(view, lambda: augment_sources(recipe, data, prepared.tokenizer))
    tokens = token_augmenters(view, prepared.tokenizer)
    counts, steps = count_labels(data.train), budget.steps or 0
    return UnlabelledTexts(
        name,
        technique,
        texts=TextViews(data.unlabelled, prepared.encoder, texts, tokens, seed),
        rows=TextViews(data.train, prepared.encoder, {}, {}, seed),
        collate=collate,
        labels=torch.tensor([prepared.encoder.target(label) for label in data.train.labels]),
        frequencies=torch.tensor([counts[label] / len(data.train) for label in data.labels or ()]),
        batch_size=recipe.training.batch_size,
        start=hook_of(technique, Unlabelled.starts_at)(budget),
        steps=steps,
        seed=seed,
        rank=rank(),
        world=world_size(),
    )


def step_batches(prepared: Prepared, seed: int, lengths: Sequence[int] | None) -> StepBatches:
    """The batches of this process; with `lengths`, of texts of similar length."""
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
    """n / (K × rows of the class), (K,): mean 1 over the training rows, so that the learning rate keeps its meaning.

    With several labels each is a binary decision: (2, K), the weights of rows without and with the label.
    """
    labels = prepared.data.labels
    if prepared.recipe.training.class_weights == "none" or labels is None:
        return None
    counts = count_labels(prepared.data.train)
    rows = len(prepared.data.train)
    if prepared.data.task == "multi_label":
        present = torch.tensor([float(counts[name]) for name in labels])
        # An answer that no row has is never weighted.
        return rows / (2 * torch.stack([rows - present, present]).clamp(min=1))
    # A class may have no rows where whole groups are left out of a fold; its weight is then used nowhere.
    return torch.tensor([rows / (len(counts) * max(1, counts[name])) for name in labels])


def learned_check(prepared: Prepared) -> Callable[[Outputs], bool] | None:
    """Whether outputs on validation beat the same answer for every text; None if no rule needs it."""
    metric = prepared.metric
    if metric is None:
        return None
    return lambda outputs: beats_trivial(prepared.data.task, metric, *outputs)


def build_selector(prepared: Prepared) -> Selector | None:
    """The selector of the checkpoint; None if the last one is the final one."""
    if prepared.rule is None or prepared.metric is None:
        return None
    return Selector(prepared.rule, prepared.metric, prepared.measure.loss)
