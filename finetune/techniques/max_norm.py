"""Max-norm constraint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.hooks.steps import OptimizerSteps, StepView
from finetune.techniques.outcome import Outcome
from finetune.techniques.parameters import WeightNames
from finetune.techniques.parts import is_in_encoder
from finetune.techniques.search import SearchRange, linear

if TYPE_CHECKING:
    from torch import Tensor, nn


AT_LIMIT = 0.999  # of the limit: a row that has reached it, up to rounding


def row_norms(weights: Tensor) -> Tensor:
    """‖w_row‖₂ over all but the first axis: (rows, …) -> (rows,)."""
    return weights.flatten(1).norm(dim=1)


def clipped_rows(weights: Tensor, limits: Tensor | float) -> Tensor:
    """The nearest weights with ‖w_row‖₂ ≤ limit: w_row · min(1, limit / ‖w_row‖₂).

    Args:
        weights: (rows, …).
        limits: (rows,), or one for all. Rows within their limit are returned bit for bit.
    """
    norms = row_norms(weights)
    factors = (limits / norms).where(norms > limits, 1.0)
    return weights * factors.view(-1, *[1] * (weights.dim() - 1))


class MaxNorm(Technique, OptimizerSteps):
    """Max-norm: keep the norm of each row of weights below a limit, so that logits cannot grow without bound.

        after each step:  w_row ← w_row · min(1, c / ‖w_row‖₂)

    A row holds the weights of one output of a linear map, or the vector of one token. In the head c is the norm
    itself (rows start near 0.02 √width: 0.4 for 384, 0.55 for 768); all its linear maps are limited. In the encoder,
    whose rows differ, c is a multiple of the row's pretrained norm. Biases, normalisation weights and rows within their
    limit are not changed, bit for bit.

    Range: head: below 0.5 it binds at once and caps the logits; above 3 it hardly ever binds. encoder: 1 lets no row
    grow; above 1.5 it hardly ever binds. With null that part has no limit.
    Cost: 1.0 × for the head; up to 1.05 × for the encoder, whose pretrained norms are computed again in each step.
    Raises: nothing of its own; a warning at the end of a run if the head stayed below its limit.
    Relations: `weight_decay` and `l2_sp` reduce all weights a little; this acts on the largest rows alone.
    `lora` does not change the weights of the encoder's layers, so limit the head only.
    Evidence: none found for encoder classification.
    Source: Srivastava et al. 2014, JMLR 15(56), §5.1. Departs from it in: their c of 3 to 4 never binds in a
    pretrained encoder, so that c is relative there; biases are not part of a row.
    """

    family: ClassVar[str] = "constraint"
    source: ClassVar[str] = "Srivastava et al. 2014, JMLR 15(56), §5.1"
    search: ClassVar[Mapping[str, SearchRange]] = {"head": SearchRange(0.5, 3), "encoder": linear(1, 1.5)}

    head: float | None = Field(1.0, gt=0, le=100, description="Largest norm of a row of the head's linear maps.")
    encoder: float | None = Field(
        None, ge=1, le=100, description="Largest norm of a row of the encoder, as a multiple of its pretrained norm."
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.head is None and self.encoder is None:
            raise ValueError("set at least one of head, encoder (for example head: 1.0)")
        return self

    def _limited_head(self, names: WeightNames) -> frozenset[str]:
        return frozenset() if self.head is None else names.head & names.decayed

    def _limited_encoder(self, names: WeightNames) -> frozenset[str]:
        return frozenset() if self.encoder is None else names.pretrained & names.decayed

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return self._limited_head(names) | self._limited_encoder(names)

    def after_optimizer_step(self, step: StepView) -> None:
        for name in sorted(self.acts_on(step.names) & step.names.trainable):
            parameter = step.parameters[name]
            if parameter.dim() > 1:
                parameter.data.copy_(clipped_rows(parameter.data, self._limits(name, step)))

    def outcome(self, run: Outcome) -> str | None:
        parts = []
        for part, names in (("head", self._limited_head(run.names)), ("encoder", self._limited_encoder(run.names))):
            reached = total = 0
            for name in run.of(names):
                if run.weights[name].dim() > 1:
                    norms = row_norms(run.weights[name].detach().cpu())
                    limit = self.head if part == "head" else self._pretrained_limit(run.pretrained[name].cpu())
                    reached += int((norms >= AT_LIMIT * limit).sum())  # type: ignore[operator]  # set for its part
                    total += len(norms)
            if total:
                parts.append(f"{reached:,} of {total:,} rows of the {part} are at their limit")
        return ", ".join(parts) or None

    def _pretrained_limit(self, pretrained: Tensor) -> Tensor:
        """Of each row of the encoder."""
        assert self.encoder is not None, "only limited parameters come here"
        return self.encoder * row_norms(pretrained)

    def export_warnings(self, model: nn.Module) -> list[Problem]:
        """A warning if the head never reached its limit, which cannot be known before."""
        lengths = [
            float(row_norms(value.detach()).max())
            for name, value in model.named_parameters()
            if value.dim() > 1 and not is_in_encoder(model, name)
        ]
        if self.head is None or not lengths or max(lengths) >= AT_LIMIT * self.head:
            return []
        longest = max(lengths)
        why = (
            f"the longest weight row of the final head has norm {longest:.2f}, below the limit of {self.head:g}, so "
            "the limit had no effect in the end."
        )
        lower = Change(settings={".head": float(f"{0.8 * longest:.1g}")}, note="a limit that has one")
        return [Problem(why, ".head", found=self.head, changes=(lower,))]

    def _limits(self, name: str, step: StepView) -> Tensor | float:
        if name in step.names.head:
            assert self.head is not None, "only limited parameters come here"
            return self.head
        return self._pretrained_limit(step.pretrained[name]).to(step.parameters[name].device)
