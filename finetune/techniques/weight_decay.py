"""Decoupled weight decay (AdamW)."""

import math
from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.outcome import Outcome, norm_change
from finetune.techniques.parameters import WeightNames
from finetune.techniques.search import SearchRange

ENOUGH = Change(settings={".strength": None, ".total_shrink": 0.02})
NEGLIGIBLE = 0.001  # 0.1 % over a whole run: below it no published experiment saw any effect (Zhang et al. 2021)


def cumulative_decay(strength: float, learning_rates: list[float]) -> float:
    """The fraction of each weight that decay alone removes over a run: 1 − Π_t (1 − η_t λ).

    Args:
        strength: λ, in units of 1/learning rate.
        learning_rates: η_t of every optimizer step; η_t λ < 1.
    """
    return -math.expm1(sum(math.log1p(-rate * strength) for rate in learning_rates))


def strength_for(decay: float, learning_rates: list[float]) -> float:
    """The λ with `cumulative_decay(λ, learning_rates) == decay`, for 0 < decay < 1."""
    from scipy.optimize import brentq  # slow to import; needed only where a cumulative decay is set

    largest = max(learning_rates)
    target = math.log1p(-decay)
    # Σ log(1 − ηλ) falls from 0 (λ = 0) to −∞ (λ = 1/max η), so there is exactly one root between.
    return float(
        brentq(
            lambda strength: sum(math.log1p(-rate * strength) for rate in learning_rates) - target,
            0.0,
            (1 - 1e-12) / largest,
            xtol=1e-12,
            rtol=1e-13,
        )
    )


class WeightDecay(Technique, TrainingPlan):
    """Decoupled weight decay (AdamW): reduce every weight by a fraction of itself at each step.

        w ← w − η_t λ w          in addition to the AdamW step, independent of its moments

    Biases and normalisation weights are left out; embeddings are decayed (transformers' own rule).
    At fine-tuning learning rates the usual λ = 0.01 reduces weights by about 0.01 % over a whole run, which has no
    effect. Set `total_shrink`, the cumulative decay of the run, instead; `finetune show` prints what a λ amounts to.

    Range: a `total_shrink` near 0 changes nothing, near 1 erases what pre-training learned; λ · η must stay below 1.
    Cost: ×1.0; the optimizer does it anyway.
    Raises: RecipeError where λ · η ≥ 1; a warning where the cumulative decay is below 0.1 %.
    Relations: `l2` is the coupled form; `l2_sp` decays towards the pretrained weights instead of 0; all of them add up.
    Evidence: BERT-large on RTE, MRPC, STS-B, CoLA: no difference on any of the four (Zhang et al. 2021, λ up to 0.1,
    a cumulative decay below 0.1 %).
    Source: Loshchilov & Hutter 2019, arXiv:1711.05101. Departs from it in: `total_shrink`, which solves
    1 − Π_t (1 − η_t λ) for λ.
    """

    family: ClassVar[str] = "penalty"
    source: ClassVar[str] = "Loshchilov & Hutter 2019, arXiv:1711.05101"
    owns: ClassVar[frozenset[str]] = frozenset({"the optimizer's weight decay"})
    search: ClassVar[Mapping[str, SearchRange]] = {
        "strength": SearchRange(0.1, 20),
        "total_shrink": SearchRange(0.001, 0.3),
    }

    strength: float | None = Field(None, gt=0, le=1e5, description="λ, in units of 1/learning rate.")
    total_shrink: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Cumulative weight decay: fraction of each weight removed over the run, instead of a strength.",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.strength is None) == (self.total_shrink is None):
            raise ValueError("give either strength or total_shrink, the other null (for example total_shrink: 0.02)")
        return self

    def problems(self, budget: Budget) -> list[Problem]:
        if self.strength is not None and self.strength * budget.peak >= 1:
            why = f"{self.strength:g} × learning rate {budget.peak:g} ≥ 1 removes a whole weight, or more, per step."
            return [Problem(why, ".strength", found=self.strength, changes=(ENOUGH,))]
        return []

    def warnings(self, budget: Budget) -> list[Problem]:
        if self.strength is None or not budget.steps:
            return []
        shrink = cumulative_decay(self.strength, budget.learning_rates())
        if shrink >= NEGLIGIBLE:
            return []
        why = (
            f"{self.strength:g} shrinks weights by {100 * shrink:.2f} % over these {budget.steps} steps: too little to "
            "regularize anything."
        )
        return [Problem(why, ".strength", found=self.strength, changes=(ENOUGH,))]

    def effect(self, budget: Budget) -> str:
        strength = self.decay_strength(budget)
        decay = cumulative_decay(strength, budget.learning_rates())
        return f"λ = {strength:.4g}: cumulative weight decay {100 * decay:.2f} %"

    def outcome(self, run: Outcome) -> str | None:
        return norm_change(run, run.names.decayed & run.names.trainable)

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return names.decayed

    def decay_strength(self, budget: Budget) -> float:
        if self.strength is not None:
            return self.strength
        assert self.total_shrink is not None, "the validator lets exactly one of the two through"
        return strength_for(self.total_shrink, budget.learning_rates())
