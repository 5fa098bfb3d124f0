"""The proximal step of L1 and elastic net: the only form that gives exact zeros under Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from finetune.techniques.hooks.steps import StepView
from finetune.techniques.outcome import Outcome
from finetune.techniques.parameters import WeightNames

if TYPE_CHECKING:
    from torch import Tensor

Target = Literal["head", "difference"]


def soft_threshold(weights: Tensor, threshold: float) -> Tensor:
    """sign(w) · max(|w| − threshold, 0), element-wise; any shape. Values within the threshold become exactly 0."""
    return weights.sign() * (weights.abs() - threshold).clamp(min=0)


def proximal_point(weights: Tensor, step_size: float, l1: float, l2: float) -> Tensor:
    """argmin_v ½‖v − w‖² + η (λ₁‖v‖₁ + λ₂/2 ‖v‖²) = soft_threshold(w, η λ₁) / (1 + η λ₂); any shape."""
    return soft_threshold(weights, step_size * l1) / (1 + step_size * l2)


def proximal_targets(names: WeightNames, target: Target) -> frozenset[str]:
    """Names of the trained weights of a target."""
    return names.trainable & names.decayed & (names.head if target == "head" else names.pretrained)


def zeros_text(run: Outcome, target: Target) -> str:
    """How many of the targeted weights ended at exactly 0 or, for the difference, at exactly their pretrained value."""
    names = proximal_targets(run.names, target)
    total = run.count(names)
    if target == "head":
        return f"{run.zeros(names):,} of {total:,} head weights are exactly 0"
    return f"{run.unmoved(names):,} of {total:,} encoder weights are exactly at their pretrained value"


def proximal_step(step: StepView, target: Target, l1: float, l2: float) -> None:
    """Move each targeted weight to its proximal point, in place, with the learning rate that this step used.

    "head": the weights of the classification head, pulled to 0.
    "difference": encoder weights minus their pretrained values, so that untouched weights return to exactly
    where they started. Raw encoder weights are never thresholded: that would erase what pre-training learned.
    """
    for name in sorted(proximal_targets(step.names, target)):
        parameter = step.parameters[name]
        rate = step.learning_rate_of(parameter)
        if target == "head":
            parameter.data.copy_(proximal_point(parameter.data, rate, l1, l2))
        else:
            anchor = step.pretrained[name]
            parameter.data.copy_(anchor + proximal_point(parameter.data - anchor, rate, l1, l2))
