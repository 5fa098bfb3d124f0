"""Elastic net by proximal step."""

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


class ElasticNet(Technique, OptimizerSteps):
    """Elastic net: L1 for exact zeros and L2 for small weights, in one proximal step.

        after each step:  w ← sign(w) · max(|w| − η_t λ₁, 0) / (1 + η_t λ₂)

    Two separate strengths: λ₁ decides how many weights are exactly zero, λ₂ how large the others are.

    Range: near 0 nothing happens; where λ₁ Σ η exceeds the size of the weights, all of them reach zero; η λ₂ near 1
    halves the weights at every step.
    Cost: ×1.0; one pass over the targeted weights per step.
    Raises: ModelError where no targeted weight is trained.
    Relations: `l1` is λ₂ → 0; the two are mutually exclusive. Composes with `weight_decay`.
    Evidence: none found for encoder classification.
    Source: Zou & Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x; proximal form: Parikh & Boyd 2014, §6.5.3.
    Departs from it in: the step size is the plain learning rate, not Adam's preconditioned one.
    """

    family: ClassVar[str] = "penalty"
    source: ClassVar[str] = "Zou & Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x"
    owns: ClassVar[frozenset[str]] = frozenset({"the proximal step"})
    search: ClassVar[Mapping[str, SearchRange]] = {"l1": SearchRange(0.05, 10), "l2": SearchRange(0.05, 10)}

    l1: float = Field(0.5, gt=0, le=1e4, description="λ₁, in units of weight per learning rate.")
    l2: float = Field(0.5, gt=0, le=1e4, description="λ₂, in units of 1/learning rate.")
    target: Target = Field(
        "head", description="head: weights of the classification head; difference: encoder minus pretrained."
    )

    def effect(self, budget: Budget) -> str:
        return f"reduces each weight of the {self.target} by up to λ Σ η = {self.l1 * budget.learning_rate_sum:.4g}"

    def outcome(self, run: Outcome) -> str | None:
        return zeros_text(run, self.target)

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return proximal_targets(names, self.target)

    def after_optimizer_step(self, step: StepView) -> None:
        proximal_step(step, self.target, self.l1, self.l2)
