"""A stage before fine-tuning: training with an objective of its own, before the first step of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from finetune.tasks import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn


class StageTraining(Protocol):
    """AdamW over the trainable weights, one optimizer step per batch; linear warm-up, then linear decay to 0."""

    def __call__(
        self,
        batches: Sequence[Sequence[Any]],
        loss: Callable[[Sequence[Any]], Tensor],
        learning_rate: float,
        warmup: float = 0.1,
    ) -> None:
        """
        Args:
            batches: The examples of each step, in any form. Several processes share those of a step between them.
            loss: Mean loss over some examples, a scalar with a gradient; the model is in training mode.
            learning_rate: Peak.
            warmup: Fraction of the steps.

        Raises:
            RunFailed: A loss is not finite.
        """


@dataclass(frozen=True)
class Stage:
    """What a stage works with. Every process of a run has it.

    Attributes:
        technique: Its name.
        task: What is predicted.
        targets: Of all training rows: (rows,) int64 classes, (rows, outputs) zeros and ones, or (rows,) numbers.
        seed: Of the run.
        model: The classifier itself, on its device, as all techniques prepared it.
        inputs: Positions of training rows -> what the model takes of their clean texts, on its device, without labels.
        embed: Positions of training rows -> (len, width) float32, with a gradient: the embeddings that the head reads.
        train: Trains.
    """

    technique: str
    task: Task
    targets: NDArray[Any]
    seed: int
    model: nn.Module
    inputs: Callable[[Sequence[int]], dict[str, Tensor]]
    embed: Callable[[Sequence[int]], Tensor]
    train: StageTraining


class FirstStage:
    """Called once per run, before the head is started; not when a run is resumed from a checkpoint.

    It trains the classifier as the techniques prepared it: with its frozen layers, adapters and dropout, on labels.
    `ModelChanges.adaptation` is another thing: it trains the checkpoint by its own head for masked words before a
    technique touches it, and what `pretrained` means to other techniques is its result. A run that is resumed needs
    that result again, so it is kept in the cache; that of a stage lies in the checkpoint.
    """

    def before_training(self, stage: Stage) -> None:
        """Train the model in place. Several techniques act in the order of the preset.

        Modules that techniques changed act in it (dropout, adapters), their forward hooks do not (noise, mixtures).
        A run that is killed in a stage repeats it. Random streams are put back afterwards, so that batches and dropout
        masks of fine-tuning are those of a run without it. Its cost belongs into `training_cost`.
        """
