"""The contract of a technique: frozen settings plus hooks that do nothing unless overridden.

A technique never stores state: what a run needs to remember lives in the run (`StepView`, the selection rule).
Hooks act in training only; evaluation is always the clean model on clean text with the plain loss.
No module of this package imports torch, so that `finetune ls` and `validate` answer at once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Task = Literal["single_label", "multi_label", "regression"]


@dataclass(frozen=True)
class Budget:
    """What a technique may ask of a run before it starts. `None`: not known yet.

    Attributes:
        task: What is predicted.
        epochs: Passes over the training rows; there is one evaluation each.
        learning_rate: Peak learning rate.
        steps_per_epoch: Optimizer steps of one epoch.
        warmup: Rising steps, a share below 1, a number from 1.
    """

    task: Task | None
    epochs: int
    learning_rate: float
    steps_per_epoch: int | None
    warmup: float

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

    def learning_rates(self) -> list[float]:
        """The learning rate of every optimizer step: linear rise, then linear decay to 0."""
        steps, rising = self.steps or 0, self.warmup_steps
        return [
            self.learning_rate * (step / rising if step < rising else (steps - step) / max(1, steps - rising))
            for step in range(steps)
        ]


@dataclass(frozen=True)
class TrainStep:
    """One forward pass of training, for techniques that add to the objective.

    Attributes:
        logits: (batch, outputs), float32.
        labels: (batch,) int64, or (batch, outputs) float for multi-label, or (batch,) float for regression.
        forward: Runs the same rows again with fresh dropout masks; returns logits.
        example_losses: logits -> (batch,), the losses that this run minimises.
    """

    logits: Tensor
    labels: Tensor
    forward: Callable[[], Tensor]
    example_losses: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class StepView:
    """What a technique sees around an optimizer step.

    Attributes:
        parameters: Name -> trainable parameter.
        optimizer: Its groups hold the learning rate of this very step.
        pretrained: Name -> value as loaded, for the parameters of the encoder.
        head: Names of the parameters that are not the encoder's.
        decayed: Names that penalties may touch: neither biases nor normalisation weights.
    """

    parameters: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    pretrained: Mapping[str, Tensor]
    head: frozenset[str]
    decayed: frozenset[str]

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
    cost: ClassVar[float] = 1.0  # training time as a multiple of plain fine-tuning
    owns: ClassVar[frozenset[str]] = frozenset()  # things only one technique of a run may control

    @property
    def augments(self) -> bool:
        """Whether this technique changes texts."""
        return type(self).augment is not Technique.augment

    def problems(self, budget: Budget) -> list[str]:
        """Why these settings could not act. Each text starts with `.key: ` or `: `; an empty list is good."""
        return []

    def warnings(self, budget: Budget) -> list[str]:
        """What the user should know about settings that do act, in the same form."""
        return []

    def effect(self, budget: Budget) -> str | None:
        """What these settings amount to in this run, in a few words; None where the settings say it all."""
        return None

    def configure_model(self, config: Any) -> None:
        """Change the configuration before the model is built. `config` is a `transformers.PretrainedConfig`."""

    def prepare_model(self, model: nn.Module) -> None:
        """Change the loaded model, and verify that what was asked for took effect.

        Raises:
            ModelError: It did not.
        """

    def decay_strength(self, budget: Budget) -> float:
        """The decoupled weight decay of the optimizer, 1/learning-rate units; 0 for none."""
        return 0.0

    def example_losses(self, logits: Tensor, labels: Tensor) -> Tensor | None:
        """Replace the loss of each row, (batch,); None leaves the plain loss. Owners say so in `owns`."""
        return None

    def train_loss(self, loss: Tensor, step: TrainStep) -> Tensor:
        """Add to the objective. `loss` is the scalar so far; techniques act in the order of the preset."""
        return loss

    def before_optimizer_step(self, step: StepView) -> None:
        """Gradients are complete and clipped; the optimizer has not moved yet."""

    def after_optimizer_step(self, step: StepView) -> None:
        """The optimizer has moved; the learning rate is still the one it used."""

    def augment(self, text: str, rng: random.Random) -> str:
        """A training text as the model sees it this epoch. Never called for a text that is measured."""
        return text

    def selection_rule(self) -> SelectionRule | None:
        """How to choose the checkpoint that ships; without any rule the last one does."""
        return None


def conflicts(techniques: Mapping[str, Technique]) -> list[str]:
    """Name every pair that fights over one thing."""
    names = list(techniques)
    return [
        f"techniques.{second}: fights with {first} over {thing}; keep one. Type: --set techniques.{first}=off"
        for index, first in enumerate(names)
        for second in names[index + 1 :]
        for thing in sorted(techniques[first].owns & techniques[second].owns)
    ]
