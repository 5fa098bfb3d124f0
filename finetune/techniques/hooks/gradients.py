"""Gradients before they are clipped, and second passes over the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class GradientView:
    """The state after a backward pass, gradients not yet clipped.

    Attributes:
        model: The classifier itself, not wrapped for several processes.
        parameters: Name -> trainable parameter.
        repeat: Runs forward and backward again on the same rows with the same dropout masks, and adds to the
            gradients; raises RunFailed if the objective is not finite.
    """

    model: nn.Module
    parameters: Mapping[str, nn.Parameter]
    repeat: Callable[[], None]


class Gradients:
    """Called while the gradients of an optimizer step are computed."""

    def after_backward(self, view: GradientView) -> None:
        """Called after a backward pass: gradients contain this micro-batch and the earlier ones of the same step."""

    def after_gradients(self, view: GradientView) -> None:
        """Called with the gradients of the whole step, over all micro-batches and processes; `repeat` repeats all."""
