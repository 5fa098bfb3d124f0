"""Sharpness-aware minimisation, plain and adaptive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from finetune.errors import Change, RunFailed
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.changes import turned_off
from finetune.techniques.hooks.gradients import Gradients, GradientView
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import Tensor

ETA = 0.01  # keeps weights of 0 movable in the adaptive form; Kwon et al.'s own


def ascent(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], radius: float, adaptive: bool
) -> tuple[list[Tensor], float]:
    """e = ρ T² g / ‖T g‖₂ over all tensors together; T = 1, or |w| + η element by element if adaptive.

    Returns:
        e, shaped like the weights, and ‖T g‖₂; where that is 0 or not finite e is of no use.
    """
    import torch

    scales = [weight.abs() + ETA if adaptive else torch.ones_like(weight) for weight in weights]
    scaled = [scale * gradient for scale, gradient in zip(scales, gradients, strict=True)]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in scaled]))
    return [radius * scale * part / norm for scale, part in zip(scales, scaled, strict=True)], float(norm)


class SAM(Technique, Gradients):
    """SAM: take each step with the gradient at the worst nearby weights, which avoids sharp minima.

        e = ρ T² g / ‖T g‖₂,   T = 1,  or T = |w| + η (η = 0.01) if adaptive
        step with the gradient of the objective at w + e, taken at w

    g: gradient of a whole optimizer step; ‖·‖₂: over all trained parameters together; ρ: length of e in units of the
    weights, or relative to them if adaptive.

    Both gradients are those of a whole step, over all micro-batches and processes, so accumulation and several
    processes change nothing; both see the same rows, dropout masks and noise. Weights are restored bit for bit before
    the optimizer moves. Gradient clipping, the optimizer and the logged gradient norm use the second gradient only.

    Range: ρ near 0 is plain fine-tuning at twice the cost; at 0.2 (adaptive: 2) and more the model at w + e is
    useless. 0.01 to 0.15, adaptive 0.1 to 1, is sensible.
    Cost: × 2.0: each step is computed twice, one after the other; memory for four copies of the weights.
    Raises: RunFailed if the gradient's norm is not finite. A gradient of 0 is left as it is, since it has no direction
    of ascent.
    Relations: `fgm` also needs the second pass: mutually exclusive. With `r_drop` both of its passes are repeated (×
    4). Averages of the weights (`ema`, `swa`) find flat minima by other means and can be combined with it.
    Evidence: BERT-base, 3 seeds (Na et al. 2022): STS-B 84.0 → 84.7, MRPC 82.6 → 82.9, RTE 67.0 → 65.5, CoLA 53.3 →
    54.1: mixed on few texts. Bahri et al. 2022 claim larger gains with less data.
    Source: Foret et al. 2021, arXiv:2010.01412; Kwon et al. 2021, arXiv:2102.11600 (adaptive). Departs from it in:
    the norm is of the whole batch's gradient, not of each device's part; biases are adaptive, too.
    """

    family: ClassVar[str] = "consistency and noise"
    source: ClassVar[str] = "Foret et al. 2021, arXiv:2010.01412"
    cost: ClassVar[float] = 2.0
    owns: ClassVar[frozenset[str]] = frozenset({"the second pass"})
    search: ClassVar[Mapping[str, SearchRange]] = {"radius": SearchRange(0.01, 0.15)}

    radius: float | None = Field(None, gt=0, le=10, description="ρ, length of e; null: 0.05, or 0.5 if adaptive.")
    adaptive: bool = Field(False, description="Measure e relative to the size of each weight (ASAM).")

    @property
    def rho(self) -> float:
        """The radius in effect."""
        return self.radius if self.radius is not None else 0.5 if self.adaptive else 0.05

    def effect(self, budget: Budget) -> str:
        return f"ρ = {self.rho:g}{', relative to each weight' if self.adaptive else ''}"

    def after_gradients(self, view: GradientView) -> None:
        import torch

        parameters = [parameter for parameter in view.parameters.values() if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        start = [parameter.detach().clone() for parameter in parameters]
        steps, norm = ascent(start, gradients, self.rho, self.adaptive)
        if not math.isfinite(norm):
            raise RunFailed(
                f"the norm of the gradient became {norm}.",
                Change(text="Use a smaller training.learning_rate."),
                turned_off("sam"),
                key="techniques.sam",
            )
        if norm == 0:
            return
        try:
            with torch.no_grad():
                for parameter, step in zip(parameters, steps, strict=True):
                    parameter.add_(step)
                    parameter.grad = None
            view.repeat()
        finally:
            with torch.no_grad():
                for parameter, value in zip(parameters, start, strict=True):
                    parameter.copy_(value)
