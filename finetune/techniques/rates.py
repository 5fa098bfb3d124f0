"""Learning rates of the parts of a model, as the techniques of a run want them together."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from finetune.techniques.base import Budget, Part, Technique, WeightNames, overrides

TOP_LAYER = Part(depth=1, layers=1, is_head=False)  # what stands for the encoder where one figure is asked for
HEAD = Part(depth=2, layers=1, is_head=True)
# One weight of each kind, to ask a technique which of them it works on.
TWO_WEIGHTS = WeightNames(
    trainable=frozenset({"head", "encoder"}),
    head=frozenset({"head"}),
    decayed=frozenset({"head", "encoder"}),
    pretrained=frozenset({"encoder"}),
)


def changes_rates(techniques: Collection[Technique]) -> bool:
    """Whether any technique has a say; without one, Trainer's own groups and schedule stay as they are."""
    return any(overrides(technique, "schedule") or overrides(technique, "rate_factor") for technique in techniques)


def learning_rate(techniques: Collection[Technique], part: Part, step: int, budget: Budget, plain: float) -> float:
    """Of a part in optimizer step `step`, from 0; `plain` is the recipe's."""
    scheduled = scheduled_rate(techniques, part, step, budget)
    base = plain if scheduled is None else scheduled
    return base * math.prod(technique.rate_factor(part, budget) for technique in techniques)


def scheduled_rate(techniques: Collection[Technique], part: Part, step: int, budget: Budget) -> float | None:
    """What a technique puts in place of the recipe's schedule, before any factor."""
    rates = (technique.schedule(part, step, budget) for technique in techniques)
    return next((rate for rate in rates if rate is not None), None)


def part_budget(techniques: Collection[Technique], part: Part, budget: Budget) -> Budget:
    """The budget with the learning rates that a part has in it; as it is while the number of steps is unknown."""
    if budget.steps is None or not changes_rates(techniques):
        return budget
    rates = [learning_rate(techniques, part, step, budget, plain) for step, plain in enumerate(budget.learning_rates())]
    return replace(budget, rates=tuple(rates))


@dataclass(frozen=True)
class PartBudgets:
    """A run's budget as its encoder (the top layer stands for it) and its head meet it."""

    encoder: Budget
    head: Budget

    @classmethod
    def of(cls, techniques: Collection[Technique], budget: Budget) -> PartBudgets:
        return cls(part_budget(techniques, TOP_LAYER, budget), part_budget(techniques, HEAD, budget))

    def met_by(self, technique: Technique) -> list[Budget]:
        """Of the parts that a technique works on, or of both, the encoder first."""
        targets = technique.acts_on(TWO_WEIGHTS)
        parts = {"encoder": self.encoder, "head": self.head}
        return [budget for name, budget in parts.items() if not targets or name in targets]
