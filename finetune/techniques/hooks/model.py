"""Changes of the model: before it is built, after it is loaded, and when training is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from finetune.tasks import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn


@dataclass(frozen=True)
class TrainingRows:
    """The training rows as a head meets them before the first step.

    Attributes:
        task: What is predicted.
        targets: Of all rows: (rows,) int64 classes, (rows, outputs) zeros and ones, or (rows,) float numbers.
        outputs: Of the head.
        class_weights: (outputs,), mean 1 over the rows; None without class weights.
        features: Positions of rows -> (len, width) float32, what the head's output map reads of their clean texts, in
            eval mode. Expensive: all rows of one call pass through the encoder.
    """

    task: Task
    targets: NDArray[Any]
    outputs: int
    class_weights: NDArray[Any] | None
    features: Callable[[Sequence[int]], NDArray[Any]]


class Adaptation(NamedTuple):
    """How an encoder is adapted to the texts of a run by predicting hidden tokens.

    Attributes:
        steps: Optimizer steps.
        learning_rate: The highest.
        probability: Of each token to be predicted.
    """

    steps: int
    learning_rate: float
    probability: float


class HeadValues(NamedTuple):
    """Of the head's output map: weight (outputs, width), bias (outputs,)."""

    weight: NDArray[Any]
    bias: NDArray[Any]


class ModelChanges:
    """Each hook is called once per run; `configure_model` and `prepare_model` once more for a model without weights
    when a run is checked, and `adaptation` whenever somebody asks."""

    def adaptation(self) -> Adaptation | None:
        """Masked-language modelling before everything else; None for none. One technique per run may have it."""
        return None

    def configure_model(self, config: Any) -> None:
        """Change the configuration before the model is built. `config` is a `transformers.PretrainedConfig`.

        Raises:
            ModelError: The architecture does not have what is asked for.
        """

    def prepare_model(self, model: nn.Module) -> None:
        """Change the loaded model in place, and verify that the change took effect.

        Also called for a model without weights (torch's meta device) when a run is only checked. Randomness comes
        from torch's global generator, which is seeded. Forward hooks must act in training mode only.

        Raises:
            ModelError: The change did not take effect.
        """

    def start_head(self, rows: TrainingRows) -> HeadValues | None:
        """Where the head's output map starts; None leaves it where it is. One technique per run may have it.

        Called before the first step, with the model as all techniques prepared it; not when a run is resumed. Every
        process of a run calls it, and takes the values of the main one. Random streams are put back afterwards.
        """
        return None

    def finish_model(self, model: nn.Module) -> None:
        """Undo, in place, what plain transformers could not load, and keep what was learned."""
