"""Learning rates of the parts of a model, as set by all techniques of a run together."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.lookup import has_hook, implementations
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.parameters import Part, WeightNames

TOP_LAYER = Part(depth=1, layers=1, is_head=False)  # represents the encoder where a single number is needed
HEAD = Part(depth=2, layers=1, is_head=True)
# One weight of each kind, to ask a technique which of them it works on.
TWO_WEIGHTS = WeightNames(
    trainable=frozenset({"head", "encoder"}),
    head=frozenset({"head"}),
    decayed=frozenset({"head", "encoder"}),
    pretrained=frozenset({"encoder"}),
)


def changes_rates(techniques: Collection[Technique]) -> bool:
    """Whether any technique changes learning rates; without one, Trainer's own groups and schedule stay as they are."""
    return has_hook(techniques, TrainingPlan.schedule, TrainingPlan.rate_factor)


def learning_rate(techniques: Collection[Technique], part: Part, step: int, budget: Budget, plain: float) -> float:
    """The learning rate of a part in optimizer step `step` (from 0); `plain` is the recipe's."""
    scheduled = scheduled_rate(techniques, part, step, budget)
    base = plain if scheduled is None else scheduled
    return base * math.prod(factor(part, budget) for factor in implementations(techniques, TrainingPlan.rate_factor))


def scheduled_rate(techniques: Collection[Technique], part: Part, step: int, budget: Budget) -> float | None:
    """The learning rate of a technique's own schedule, before any factor; None without one."""
    rates = (schedule(part, step, budget) for schedule in implementations(techniques, TrainingPlan.schedule))
    return next((rate for rate in rates if rate is not None), None)


def decay_strength(techniques: Collection[Technique], budget: Budget) -> float:
    """Weight decay of the optimizer at these learning rates, summed over all techniques."""
    return sum((strength(budget) for strength in implementations(techniques, TrainingPlan.decay_strength)), 0.0)


def part_budget(techniques: Collection[Technique], part: Part, budget: Budget) -> Budget:
    """The budget with the learning rates of one part; unchanged while the number of steps is unknown."""
    if budget.steps is None or not changes_rates(techniques):
        return budget
    rates = [learning_rate(techniques, part, step, budget, plain) for step, plain in enumerate(budget.learning_rates())]
    return replace(budget, rates=tuple(rates))


@dataclass(frozen=True)
class PartBudgets:
    """A run's budget with the learning rates of the encoder (represented by its top layer) and of the head."""

    encoder: Budget
    head: Budget

    @classmethod
    def of(cls, techniques: Collection[Technique], budget: Budget) -> PartBudgets:
        return cls(part_budget(techniques, TOP_LAYER, budget), part_budget(techniques, HEAD, budget))

    def budgets_for(self, technique: Technique) -> list[Budget]:
        """The budgets of the parts that a technique works on, or of both, the encoder first."""
        targets = technique.acts_on(TWO_WEIGHTS)
        parts = {"encoder": self.encoder, "head": self.head}
        return [budget for name, budget in parts.items() if not targets or name in targets]
