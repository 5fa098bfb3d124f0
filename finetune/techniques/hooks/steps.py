"""Before and after each optimizer step: penalties and constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune.techniques.budget import Budget
from finetune.techniques.parameters import WeightNames

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class StepView:
    """The state around an optimizer step.

    Attributes:
        parameters: Name -> trainable parameter.
        optimizer: Its groups hold the learning rate of this step.
        pretrained: Name -> value as loaded, for the parameters of the encoder; the new value for those that `reinit`
            drew.
        names: Which parameters belong to the head, and which may be penalised.
        budget: Budget of the run, with the learning rates of the encoder's top layer; its steps are known.
    """

    parameters: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    pretrained: Mapping[str, Tensor]
    names: WeightNames
    budget: Budget

    def learning_rate_of(self, parameter: nn.Parameter) -> float:
        """The learning rate that this step used for `parameter`.

        Raises:
            KeyError: The optimizer does not update it.
        """
        for group in self.optimizer.param_groups:
            if any(member is parameter for member in group["params"]):
                return float(group["lr"])
        raise KeyError("parameter is in no group of the optimizer")


class OptimizerSteps:
    """Called once per optimizer step. Nothing random may happen here, so that processes stay equal."""

    def before_optimizer_step(self, step: StepView) -> None:
        """Gradients are complete and clipped; the weights have not changed yet."""

    def after_optimizer_step(self, step: StepView) -> None:
        """The weights have changed; the learning rate is still the one of this step."""
