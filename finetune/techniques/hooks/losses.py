"""The training objective: the loss of each row, and terms added to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class TrainStep:
    """One forward pass of training.

    Attributes:
        logits: (batch, outputs), float32.
        labels: (batch,) int64, or (batch, outputs) float for multi-label, or (batch,) float for regression, with mean 0
            and standard deviation 1 over the training rows if the head can hold their scale. A student of an ensemble
            learns probabilities: (batch, outputs) float also for single-label, where `example_losses` still gets
            classes, one call for each, and the mean of their losses is used.
        forward: Runs the same rows again with fresh dropout masks, as a pass with its own logits.
        head_forward: Runs only the head again, on the encoder's output of this pass, with fresh masks; returns logits.
        losses_for: (logits, labels) -> (batch,), the losses that this run minimises, class weights included.
        row_weights: (batch,), the class weight of each row; ones without class weights, and for multi-label.
        model: The classifier itself, not wrapped for several processes.
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
        """(batch,), the losses of these rows for given logits."""
        return self.losses_for(logits, self.labels)


class Losses:
    """Called in each forward pass of training; never when the model is measured."""

    def example_losses(self, logits: Tensor, labels: Tensor) -> Tensor | None:
        """Replace the loss of each row, (batch,); None keeps the plain loss. One technique per run may have it."""
        return None

    def change_pass(self, step: TrainStep) -> TrainStep:
        """Change a forward pass for all techniques, such as its losses. Called once per pass."""
        return step

    def train_loss(self, loss: Tensor, step: TrainStep) -> Tensor:
        """Add to the objective. `loss` is the scalar so far; techniques act in the order of the preset."""
        return loss
