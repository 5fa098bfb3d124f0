"""Scaling of numeric targets to mean 0 and standard deviation 1 over the training rows.

A head starts near 0 and moves by about the learning rate in each step. It would take thousands of steps to reach prices
from 100 to 900; it stops near their mean, where errors on training and new texts are similar and nothing looks
overfitted. So training minimises (z − (y − mean) / sd)², and evaluation measures mean + sd · z, in units of the data.
The last linear map of the saved head contains both: plain transformers returns mean + sd · z.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from finetune.errors import Change, DataError, ModelError, Problem
from finetune.kernels.head import output_map

Values = TypeVar("Values", torch.Tensor, NDArray[Any])
USUAL = (0.05, 20.0)  # standard deviations that a head learns without scaling
RESOLVED = 1e5  # mean / sd: above it fp32, which holds 7 digits, tells fewer than 100 values within one sd apart


class TargetScale(NamedTuple):
    """Mean and standard deviation for scaling. The same for all seeds, processes and checkpoints of a run.

    Attributes:
        mean: Mean of the training targets.
        sd: Their standard deviation.
    """

    mean: float
    sd: float

    def scaled(self, targets: Values) -> Values:
        """Targets in units of the data -> scaled targets."""
        return (targets - self.mean) / self.sd

    def restored(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """(rows, 1) outputs of a model in training -> outputs in units of the data."""
        units: NDArray[Any] = self.mean + self.sd * outputs.astype(np.float64)
        return units.astype(outputs.dtype)


def target_scale(labels: list[float]) -> TargetScale:
    """Mean and standard deviation of the training targets.

    Raises:
        DataError: They are all the same.
    """
    values = np.asarray(labels, dtype=np.float64)
    sd = float(values.std())
    if values.min() == values.max():  # of equal numbers the deviation may be rounded to a little more than 0
        why = f"every training row has the value {values[0]:g}: there is nothing to learn."
        raise DataError(why, Change(text="Use rows with different values."), key="data.label", found=float(values[0]))
    return TargetScale(float(values.mean()), sd)


def can_hold_scale(model: Any) -> bool:
    """Whether the head ends in a linear map with a bias, which can hold a scale. The model may lack weights."""
    output = output_map(model)
    return output is not None and output.bias is not None


def scale_warnings(scale: TargetScale, is_used: bool) -> list[Problem]:
    """Targets that the head learns slowly without scaling, or that single precision cannot distinguish."""
    if abs(scale.mean) > RESOLVED * scale.sd:
        why = (
            f"targets are about {scale.mean:g} and differ by {scale.sd:g}: outputs in single precision cannot "
            "distinguish them. Subtract a constant from all of them."
        )
        return [Problem(why, "data.label", found=scale.mean)]
    if is_used or USUAL[0] <= scale.sd <= USUAL[1]:
        return []
    why = (
        f"targets have a standard deviation of {scale.sd:g}, and the head of this architecture cannot hold their "
        "scale: it learns slowly. Rescale them to about 1."
    )
    return [Problem(why, "data.label", found=scale.sd)]


def put_into_head(model: Any, scale: TargetScale) -> None:
    """Make the head return units of the data, in place: W ← sd · W, b ← mean + sd · b.

    Raises:
        ModelError: The head cannot hold the scale.
    """
    _transform(model, factor=scale.sd, shift=scale.mean)


def take_out_of_head(model: Any, scale: TargetScale) -> None:
    """The inverse, for a head that returns units of the data: W ← W / sd, b ← (b − mean) / sd.

    Raises:
        ModelError: As in `put_into_head`.
    """
    _transform(model, factor=1 / scale.sd, shift=-scale.mean / scale.sd)


def _transform(model: Any, factor: float, shift: float) -> None:
    output = output_map(model)
    if output is None or output.bias is None:
        raise ModelError(f"the head of architecture '{model.config.model_type}' cannot hold the scale of targets.")
    with torch.no_grad():
        output.weight.copy_(output.weight.double() * factor)
        output.bias.copy_(output.bias.double() * factor + shift)
