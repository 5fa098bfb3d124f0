"""The contract of a technique: frozen settings plus hooks that do nothing unless overridden.

A technique never stores state: what a run needs to remember lives in the run (`StepView`, the selection rule).
Hooks act in training only; evaluation is always the clean model on clean text with the plain loss.
No module of this package imports torch, so that `finetune ls` and `validate` answer at once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from finetune.errors import Change, ModelError, Problem
from finetune.tasks import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BatchAugment = Callable[[Sequence[str], Sequence[random.Random]], list[str]]


@dataclass(frozen=True)
class Budget:
    """What a technique may ask of a run before it starts. `None`: not known yet.

    Attributes:
        task: What is predicted.
        epochs: Passes over the training rows; there is one evaluation each.
        learning_rate: Peak learning rate.
        steps_per_epoch: Optimizer steps of one epoch.
        warmup: Rising steps, a share below 1, a number from 1.
        rates: The learning rate of every step of the part in question, where techniques changed it.
    """

    task: Task | None
    epochs: int
    learning_rate: float
    steps_per_epoch: int | None
    warmup: float
    rates: tuple[float, ...] | None = None

    @property
    def steps(self) -> int | None:
        return None if self.steps_per_epoch is None else self.steps_per_epoch * self.epochs

    @property
    def warmup_steps(self) -> int:
        """Rising steps; 0 while the number of steps is unknown and `warmup` is a share."""
        return int(self.warmup) if self.warmup >= 1 else math.ceil(self.warmup * (self.steps or 0))

    @property
    def learning_rate_sum(self) -> float:
        """Σ η_t, the yardstick of every strength that is multiplied by the learning rate."""
        return sum(self.learning_rates())

    @property
    def peak(self) -> float:
        """The highest learning rate of a step; the recipe's while the number of steps is unknown."""
        return max(self.learning_rates(), default=self.learning_rate)

    def learning_rates(self) -> list[float]:
        """The learning rate of every optimizer step: linear rise, then linear decay to 0, unless it was changed."""
        if self.rates is not None:
            return list(self.rates)
        steps, rising = self.steps or 0, self.warmup_steps
        return [
            self.learning_rate * (step / rising if step < rising else (steps - step) / max(1, steps - rising))
            for step in range(steps)
        ]


@dataclass(frozen=True)
class Part:
    """Where a parameter sits, for techniques that treat depths differently.

    Attributes:
        depth: 0 for the embeddings, 1 … `layers` for the encoder's layers from the bottom, `layers` + 1 for what
            comes after them (pooler, final norm) and for the head.
        layers: Layers of the encoder.
        is_head: Whether it is the classification head's.
    """

    depth: int
    layers: int
    is_head: bool


@dataclass(frozen=True)
class WeightNames:
    """The parameters of a prepared model, by what may be done to them.

    Attributes:
        trainable: All that the optimizer moves.
        head: Those that are not the encoder's, trainable or not.
        decayed: Those that penalties may touch: neither biases nor normalisation weights.
        pretrained: Those of the encoder whose pretrained value is known under the same name.
    """

    trainable: frozenset[str]
    head: frozenset[str]
    decayed: frozenset[str]
    pretrained: frozenset[str]


@dataclass(frozen=True)
class TokenFacts:
    """What token-level augmentation must know of a tokenizer.

    Attributes:
        mask: Id of the mask token; None where the tokenizer has none.
        special: Ids that are never touched ([CLS], [SEP], [PAD], …).
    """

    mask: int | None
    special: frozenset[int]


@dataclass(frozen=True)
class AugmentSources:
    """What text augmentation may draw on.

    Attributes:
        texts: The training texts, first and second texts of pairs alike.
        tokenizer: The run's own.
        model: Folder or hub id of the run's own model, as `from_pretrained` takes it.
        embeddings: Returns the pretrained word embeddings, (vocabulary, width) float32.
        cache: Folder for what is expensive to make; keyed by content, so that runs may share it.
    """

    texts: Sequence[str]
    tokenizer: Any
    model: str
    embeddings: Callable[[], Tensor]
    cache: Path


@dataclass(frozen=True)
class TrainStep:
    """One forward pass of training, for techniques that add to the objective.

    Attributes:
        logits: (batch, outputs), float32.
        labels: (batch,) int64, or (batch, outputs) float for multi-label, or (batch,) float for regression.
        forward: Runs the same rows again with fresh dropout masks; a pass of its own, with its own logits.
        head_forward: Runs only the head again, on the encoder's output of this pass, with fresh masks; returns logits.
        losses_for: (logits, labels) -> (batch,), the losses that this run minimises, class weights included.
        row_weights: (batch,), the class weight of each row; ones without class weights.
        model: The classifier itself, not wrapped for many processes.
        task: What is predicted.
    """

    logits: Tensor
    labels: Tensor
    forward: Callable[[], TrainStep]
    head_forward: Callable[[], Tensor]
    losses_for: Callable[[Tensor, Tensor], Tensor]
    row_weights: Tensor
    model: nn.Module
    task: Task

    def example_losses(self, logits: Tensor) -> Tensor:
        """(batch,), the losses of these rows, given logits of theirs."""
        return self.losses_for(logits, self.labels)


@dataclass(frozen=True)
class GradientView:
    """What a technique sees when a backward pass is done, gradients not yet clipped.

    Attributes:
        model: The classifier itself, not wrapped for many processes.
        parameters: Name -> trainable parameter.
        repeat: Runs forward and backward again on the same rows with the same dropout masks, and adds to the
            gradients; raises RunFailed if the objective is not finite.
    """

    model: nn.Module
    parameters: Mapping[str, nn.Parameter]
    repeat: Callable[[], None]


@dataclass(frozen=True)
class StepView:
    """What a technique sees around an optimizer step.

    Attributes:
        parameters: Name -> trainable parameter.
        optimizer: Its groups hold the learning rate of this very step.
        pretrained: Name -> value as loaded, for the parameters of the encoder; where `reinit` started one anew, that.
        names: Which of them are the head's, and which may be penalised.
        budget: Of the run, with the learning rates of the encoder's top layer; its steps are known.
    """

    parameters: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    pretrained: Mapping[str, Tensor]
    names: WeightNames
    budget: Budget

    def learning_rate_of(self, parameter: nn.Parameter) -> float:
        """The learning rate that this step used for `parameter`."""
        for group in self.optimizer.param_groups:
            if any(member is parameter for member in group["params"]):
                return float(group["lr"])
        raise KeyError("parameter is in no group of the optimizer")


@dataclass(frozen=True)
class SelectionRule:
    """When to stop and which checkpoint to ship; see the `early_stopping` technique for the meaning."""

    metric: str
    patience: int
    min_delta: float
    min_epochs: int


class Technique(BaseModel):
    """Base of all techniques. Fields of a subclass are its YAML keys, with bounds and a description each."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    family: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[float] = 1.0  # training time with the default settings, as a multiple of plain fine-tuning
    owns: ClassVar[frozenset[str]] = frozenset()  # things only one technique of a run may control
    excludes: ClassVar[Mapping[str, str]] = {}  # name of another technique -> why it could not act beside this one

    # --- what it says of itself -----------------------------------------------------------------------------------

    @property
    def augments(self) -> bool:
        """Whether this technique changes texts."""
        return overrides(self, "augment") or overrides(self, "augmenter")

    def training_cost(self, budget: Budget) -> float:
        """`cost` for these very settings, where they decide it."""
        return self.cost

    def problems(self, budget: Budget) -> list[Problem]:
        """Why these settings could not act; an empty list is good.

        Keys are relative to the technique, in `key` and in the settings of `changes`: ".strength", or "" for all of it.
        """
        return []

    def warnings(self, budget: Budget) -> list[Problem]:
        """What the user should know about settings that do act, in the same form."""
        return []

    def model_warnings(self, model: nn.Module) -> list[Problem]:
        """As `warnings`, of what the model shows. `model` may be without weights (torch's meta device)."""
        return []

    def shipped_warnings(self, model: nn.Module) -> list[Problem]:
        """As `warnings`, of what only the weights that ship can show."""
        return []

    def effect(self, budget: Budget) -> str | None:
        """What these settings amount to in this run, in a few words; None where the settings say it all."""
        return None

    def acts_on(self, names: WeightNames) -> frozenset[str] | None:
        """The parameters whose values it works on; None if it does not work on parameters.

        A run in which this is empty is refused: something else keeps these parameters from moving.
        """
        return None

    # --- the model and the optimizer ------------------------------------------------------------------------------

    def epochs(self, epochs: int) -> int:
        """Passes over the training rows, given the recipe's."""
        return epochs

    def stretched(self, factor: float) -> Self:
        """For a run whose epochs are multiplied by `factor` (from 1): settings that count epochs grow with them."""
        return self

    def configure_model(self, config: Any) -> None:
        """Change the configuration before the model is built. `config` is a `transformers.PretrainedConfig`."""

    def prepare_model(self, model: nn.Module) -> None:
        """Change the loaded model in place, and verify that what was asked for took effect.

        Called on a model without weights (torch's meta device) too, when a run is only checked. Randomness comes
        from torch's global generator, which is seeded. Forward hooks must act in training mode only.

        Raises:
            ModelError: It did not take effect.
        """

    def finish_model(self, model: nn.Module) -> None:
        """Undo, in place, what plain transformers could not load, keeping what was learned."""

    def decay_strength(self, budget: Budget) -> float:
        """The decoupled weight decay of the optimizer, 1/learning-rate units; 0 for none.

        Asked for every part of the model, with the learning rates of that part.
        """
        return 0.0

    def schedule(self, part: Part, step: int, budget: Budget) -> float | None:
        """The learning rate of optimizer step `step` (from 0); None keeps the recipe's schedule.

        Exactly 0.0 means that the part rests: no gradient, no optimizer state. Owners say so in `owns`.
        """
        return None

    def rate_factor(self, part: Part, budget: Budget) -> float:
        """A factor on the learning rate of a part, in every step. The factors of all techniques are multiplied."""
        return 1.0

    # --- one training step ----------------------------------------------------------------------------------------

    def example_losses(self, logits: Tensor, labels: Tensor) -> Tensor | None:
        """Replace the loss of each row, (batch,); None leaves the plain loss. Owners say so in `owns`."""
        return None

    def change_pass(self, step: TrainStep) -> TrainStep:
        """Change what all techniques are told of a forward pass, such as its losses. Called once for each pass."""
        return step

    def train_loss(self, loss: Tensor, step: TrainStep) -> Tensor:
        """Add to the objective. `loss` is the scalar so far; techniques act in the order of the preset."""
        return loss

    def after_backward(self, view: GradientView) -> None:
        """One backward pass is done: gradients hold this micro-batch and those before it in the same step."""

    def after_gradients(self, view: GradientView) -> None:
        """The gradients of the whole step are there, over all micro-batches and processes. `repeat` runs all of it."""

    def before_optimizer_step(self, step: StepView) -> None:
        """Gradients are complete and clipped; the optimizer has not moved yet."""

    def after_optimizer_step(self, step: StepView) -> None:
        """The optimizer has moved; the learning rate is still the one it used."""

    # --- what is measured and shipped -----------------------------------------------------------------------------

    def average_share(self, step: int, budget: Budget) -> float:
        """The share of the current weights in a running average, after optimizer step `step` (from 1).

        average ← average + share · (weights − average). 0 leaves the average as it is; 1 starts it anew. Once there is
        an average it is what gets measured, selected and shipped. Owners say so in `owns`.
        """
        return 0.0

    def interpolations(self) -> tuple[float, ...]:
        """Shares of the fine-tuned weights to choose from on validation, the rest being the pretrained ones."""
        return ()

    def selection_rule(self) -> SelectionRule | None:
        """How to choose the checkpoint that ships; without any rule the last one does."""
        return None

    # --- texts ----------------------------------------------------------------------------------------------------

    def augment(self, text: str, rng: random.Random) -> str:
        """A training text as the model sees it this epoch. Never called for a text that is measured."""
        return text

    def check_sources(self, sources: AugmentSources) -> None:
        """Refuse, before anything is trained, what `augmenter` would not find. Reads no weights.

        Raises:
            ModelError, DataError: What it needs is not there; says what to type next.
        """

    def augmenter(self, sources: AugmentSources) -> BatchAugment:
        """Texts and a random stream each -> texts. Override it for what needs more than the text itself.

        Raises:
            ModelError, DataError: What it needs is not there; says what to type next.
        """
        return lambda texts, streams: [self.augment(text, rng) for text, rng in zip(texts, streams, strict=True)]

    def augment_tokens(self, ids: list[int], rng: random.Random, tokens: TokenFacts) -> list[int]:
        """Token ids of a training text as the model sees them this epoch, of the same length.

        Called once with no ids before anything is loaded, so that a tokenizer that lacks something is found then.
        """
        return ids


def overrides(technique: Technique, hook: str) -> bool:
    """Whether a technique does anything in a hook."""
    return getattr(type(technique), hook) is not getattr(Technique, hook)


def refuse_idle(name: str, technique: Technique, names: WeightNames) -> None:
    """Refuse a technique that would work on no weight of this model.

    Raises:
        ModelError: Names it.
    """
    targets = technique.acts_on(names)
    if targets is None:
        return
    # A pooler trains along with the head in most runs: to work on that alone is not what was asked for.
    if all(".pooler." in target for target in targets & names.trainable):
        raise ModelError(
            f"techniques.{name}: would act on no weight: of those it is for, none is trained in this run. "
            f"Try: --set techniques.{name}=off"
        )


# Of these hooks one answer counts, so that whoever has one owns the thing.
OWNED_BY_HOOK = {
    "example_losses": "the targets",
    "schedule": "the learning-rate schedule",
    "average_share": "the weights that ship",
    "selection_rule": "the choice of the checkpoint",
}


def owned(technique: Technique) -> frozenset[str]:
    """What only this technique of a run may control: what it says, and what its hooks imply."""
    return technique.owns | {thing for hook, thing in OWNED_BY_HOOK.items() if overrides(technique, hook)}


def conflicts(techniques: Mapping[str, Technique]) -> list[Problem]:
    """Name every pair that fights over one thing, or of which one keeps the other from acting."""
    names = list(techniques)
    problems = []
    for index, first in enumerate(names):
        without = Change(settings={f"techniques.{first}": "off"})
        for second in names[index + 1 :]:
            problems += [
                Problem(f"fights with {first} over {thing}; keep one.", f"techniques.{second}", changes=(without,))
                for thing in sorted(owned(techniques[first]) & owned(techniques[second]))
            ]
            reason = techniques[first].excludes.get(second) or techniques[second].excludes.get(first)
            if reason:
                why = f"does not go with {first}: {reason}."
                problems.append(Problem(why, f"techniques.{second}", changes=(without,)))
    return problems
