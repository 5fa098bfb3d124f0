"""Coupled L2 penalty: through the gradient, hence through Adam's moments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from finetune.techniques.base import Technique
from finetune.techniques.hooks.steps import OptimizerSteps, StepView
from finetune.techniques.outcome import Outcome, norm_change
from finetune.techniques.parameters import WeightNames
from finetune.techniques.search import SearchRange


class L2(Technique, OptimizerSteps):
    """L2 penalty: add λ w to the gradient before the optimizer sees it.

        objective = loss + λ/2 ‖w‖²        so that       g ← g + λ w

    It is applied after clipping and once per optimizer step, so that neither accumulation nor the number of processes
    changes it. Adam divides it by the root of the second moment: weights with large gradients are decayed less, rarely
    updated ones (embeddings) more. Biases and normalisation weights are left out.

    Range: near 0 the gradient of the loss decides; from about 1e-2 on the penalty dominates the gradient.
    Cost: ×1.0; one addition per weight.
    Raises: ModelError where no such weight is trained.
    Relations: `weight_decay` is the decoupled form, whose strength means the same for every weight.
    Evidence: none found for encoder classification.
    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, §2 ("L2 regularization"). Departs from it in: nothing.
    """

    family: ClassVar[str] = "penalty"
    source: ClassVar[str] = "Loshchilov & Hutter 2019, arXiv:1711.05101, §2"
    search: ClassVar[Mapping[str, SearchRange]] = {"strength": SearchRange(1e-05, 0.01)}

    strength: float = Field(1e-4, gt=0, le=1, description="λ of λ/2 ‖w‖², in units of the loss.")

    def outcome(self, run: Outcome) -> str | None:
        return norm_change(run, run.names.decayed & run.names.trainable)

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return names.decayed

    def before_optimizer_step(self, step: StepView) -> None:
        for name, parameter in step.parameters.items():
            if name in step.names.decayed and parameter.grad is not None:
                parameter.grad.add_(parameter.detach(), alpha=self.strength)
