"""Changes of the model: before it is built, after it is loaded, and after training."""

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
    """The training rows as the head sees them before the first step.

    Attributes:
        task: What is predicted.
        targets: Targets of all rows: (rows,) int64 classes, (rows, outputs) zeros and ones, or (rows,) float numbers,
            scaled as training scales them.
        outputs: Number of outputs of the head.
        class_weights: (outputs,), mean 1 over the rows; for multi-label (2, outputs), for rows without and with the
            label; None without class weights.
        features: Positions of rows -> (len, width) float32, inputs of the head's output map for their unaltered texts,
            in eval mode. Expensive: all rows of one call pass through the encoder.
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
        learning_rate: Peak learning rate.
        probability: Probability that a token is selected for prediction.
    """

    steps: int
    learning_rate: float
    probability: float


class HeadValues(NamedTuple):
    """Parameters of the head's output map: weight (outputs, width), bias (outputs,)."""

    weight: NDArray[Any]
    bias: NDArray[Any]


class ModelChanges:
    """Each hook is called once per run; `configure_model` and `prepare_model` once more for a model without weights
    when a run is checked, and `adaptation` any number of times.
    """

    def adaptation(self) -> Adaptation | None:
        """Masked-language modelling before all other training; None for none. One technique per run may have it."""
        return None

    def configure_model(self, config: Any) -> None:
        """Change the configuration before the model is built. `config` is a `transformers.PretrainedConfig`.

        Raises:
            ModelError: The architecture lacks the requested feature.
        """

    def prepare_model(self, model: nn.Module) -> None:
        """Change the loaded model in place, and verify that the change took effect.

        Also called for a model without weights (torch's meta device) when a run is only checked. Randomness comes
        from torch's global generator, which is seeded. Forward hooks must act in training mode only.

        Raises:
            ModelError: The change did not take effect.
        """

    def start_head(self, rows: TrainingRows) -> HeadValues | None:
        """Initial values of the head's output map; None leaves them as they are. One technique per run may have it.

        Called before the first step, with the model as all techniques prepared it; not when a run is resumed. Every
        process of a run calls it and takes the values of the main one. Random states are restored afterwards.
        """
        return None

    def finish_model(self, model: nn.Module) -> None:
        """Undo, in place, changes that plain transformers could not load, and keep what was learned."""
