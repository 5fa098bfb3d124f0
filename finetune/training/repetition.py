"""Forward and backward passes that techniques may repeat, with the same dropout masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from finetune.techniques import Gradients, GradientView, Technique, has_hook, implementations
from finetune.training.random_state import TorchRandomState

ForwardBackward = Callable[[Any, dict[str, Any]], Tensor]  # model and inputs -> loss; adds to the gradients


def repeats_passes(techniques: Sequence[Technique]) -> bool:
    """Whether a technique uses gradients, and so may repeat a pass."""
    return has_hook(techniques, Gradients.after_backward, Gradients.after_gradients)


@dataclass(frozen=True)
class _Pass:
    """A micro-batch and the random state with which it was computed."""

    inputs: dict[str, Any]
    random: TorchRandomState


class RepeatablePasses:
    """Runs and remembers the passes of each optimizer step, and calls the techniques that use gradients.

    Args:
        model: The classifier itself, not wrapped for several processes.
        techniques: Techniques of the run.
        forward_backward: One pass.
    """

    def __init__(self, model: nn.Module, techniques: Sequence[Technique], forward_backward: ForwardBackward) -> None:
        self._model = model
        self._techniques = techniques
        self._forward_backward = forward_backward
        self._step: list[_Pass] = []  # of the optimizer step in progress

    def run(
        self, model: Any, inputs: dict[str, Any], parameters: Mapping[str, nn.Parameter], ends_step: bool
    ) -> Tensor:
        """Run forward and backward on one micro-batch, with the gradients added by techniques; returns its loss.

        Args:
            model: The model to call: the classifier, or its wrapper.
            inputs: The batch.
            parameters: Name -> parameter trained in this step, which techniques may use.
            ends_step: Whether the gradients of the optimizer step are complete afterwards.
        """
        this = _Pass(inputs, TorchRandomState())
        loss = self._forward_backward(model, inputs)
        view = GradientView(self._model, parameters, lambda: self._repeat(model, [this]))
        for after_backward in implementations(self._techniques, Gradients.after_backward):
            after_backward(view)
        self._step.append(this)
        if ends_step:
            passes, self._step = self._step, []
            view = GradientView(self._model, parameters, lambda: self._repeat(model, passes))
            for after_gradients in implementations(self._techniques, Gradients.after_gradients):
                after_gradients(view)
        return loss

    def _repeat(self, model: Any, passes: Sequence[_Pass]) -> None:
        """The same passes again, dropout masks included; the random stream goes on as if nothing had happened."""
        present = TorchRandomState()
        for earlier in passes:
            earlier.random.restore()
            self._forward_backward(model, earlier.inputs)
        present.restore()
