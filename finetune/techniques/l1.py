"""L1 penalty by proximal step."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.steps import OptimizerSteps, StepView
from finetune.techniques.outcome import Outcome
from finetune.techniques.parameters import WeightNames
from finetune.techniques.proximal import Target, proximal_step, proximal_targets, zeros_text
from finetune.techniques.search import SearchRange


class L1(Technique, OptimizerSteps):
    """L1: drives unneeded weights to exactly zero.

        after each step:  w ← sign(w) · max(|w| − η_t λ, 0)

    A sub-gradient in the loss never yields an exact zero under Adam; this does. Over a run a weight loses λ Σ η_t:
    choose λ so that this is close to the size of the weights (head: 0.02) or of their movement (difference: 0.001).

    Range: near 0 no weight reaches zero; where λ Σ η exceeds the size of the weights all of them do.
    Cost: ×1.0; one pass over the targeted weights per step.
    Raises: ModelError where no targeted weight is trained.
    Relations: `elastic_net` adds a quadratic part; the two are mutually exclusive.
    Evidence: none found for encoder classification; it is meant for sparse heads and sparse updates.
    Source: Parikh & Boyd 2014, "Proximal Algorithms", §6.5.2. Departs from it in: the step size is the plain
    learning rate, not Adam's preconditioned one (the decoupled form, as AdamW is for L2).
    """

    family: ClassVar[str] = "penalty"
    source: ClassVar[str] = "Parikh & Boyd 2014, Proximal Algorithms, §6.5.2"
    owns: ClassVar[frozenset[str]] = frozenset({"the proximal step"})
    search: ClassVar[Mapping[str, SearchRange]] = {"strength": SearchRange(0.05, 10)}

    strength: float = Field(0.5, gt=0, le=1e4, description="λ, in units of weight per learning rate.")
    target: Target = Field(
        "head", description="head: weights of the classification head; difference: encoder minus pretrained."
    )

    def effect(self, budget: Budget) -> str:
        return (
            f"reduces each weight of the {self.target} by up to λ Σ η = {self.strength * budget.learning_rate_sum:.4g}"
        )

    def outcome(self, run: Outcome) -> str | None:
        return zeros_text(run, self.target)

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return proximal_targets(names, self.target)

    def after_optimizer_step(self, step: StepView) -> None:
        proximal_step(step, self.target, self.strength, 0.0)
