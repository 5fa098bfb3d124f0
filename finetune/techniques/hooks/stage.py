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
            batches: The examples of each step, in any form. Several processes divide the examples of a step among them.
            loss: Mean loss over some examples, a scalar with a gradient; the model is in training mode.
            learning_rate: Peak learning rate.
            warmup: Fraction of the steps.

        Raises:
            RunFailed: A loss is not finite.
        """


@dataclass(frozen=True)
class Stage:
    """The inputs of a stage. Every process of a run has them.

    Attributes:
        technique: Name of the technique.
        task: What is predicted.
        targets: Targets of all training rows: (rows,) int64 classes, (rows, outputs) zeros and ones, or (rows,)
            numbers.
        seed: Seed of the run.
        model: The classifier itself, on its device, as all techniques prepared it.
        inputs: Positions of training rows -> model inputs of their unaltered texts, on its device, without labels.
        embed: Positions of training rows -> (len, width) float32, with a gradient: the embeddings that the head reads.
        train: Trains the model.
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
    `ModelChanges.adaptation` is different: it trains the checkpoint with its own head for masked words before any
    technique changes it, and its result is the `pretrained` of other techniques. A resumed run needs that result again,
    so it is kept in the cache; the result of a stage is in the checkpoint.
    """

    def before_training(self, stage: Stage) -> None:
        """Train the model in place. Several techniques act in the order of the preset.

        Modules that techniques changed are active in it (dropout, adapters), their forward hooks are not (noise,
        mixtures). A run that is killed in a stage repeats it. Random states are restored afterwards, so batches and
        dropout masks of fine-tuning are those of a run without a stage. Include its cost in `training_cost`.
        """
