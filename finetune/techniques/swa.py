"""Stochastic weight averaging: the plain mean of the weights at the ends of the last epochs."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.kept_weights import KeptWeights
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.parameters import Part
from finetune.techniques.search import SearchRange, linear


def mean_rate(count: int) -> float:
    """1/n: the coefficient of the newest of n values in their plain mean."""
    return 1 / count


@functools.lru_cache(maxsize=8)
def _planned(budget: Budget) -> tuple[float, ...]:
    """Cached: needed once per step and part, during the whole run."""
    return tuple(budget.learning_rates())


class SWA(Technique, TrainingPlan, KeptWeights):
    """SWA: average the weights of the last epochs, while the learning rate is kept from reaching 0.

        w̄ = (1/n) Σ_{e=E−n+1…E} w_e        η_t ← max(η_t, floor · η_max) in those n epochs

    w_e are the weights at the end of epoch e of E; n = E − ⌊start · E⌋. With the recipe's own decay to 0 the last
    epochs would hardly differ, and their mean would be the last weights: the floor keeps them moving.

    Before epoch E − n + 1 nothing changes. After the first of the n epochs the mean so far is
    measured, selected and exported. Encoders have no batch statistics to be estimated anew.
    Range: `start`: 0 averages all epochs, near 1 the last two. `floor`: 0 keeps the recipe's decay (and leaves little
    to average), 1 holds the peak rate to the end.
    Cost: 1 × plain fine-tuning; one more copy of the weights in memory and in each checkpoint.
    Raises: RecipeError if fewer than two epochs are left to average.
    Relations: `ema` is another average, and `head_first` also sets the schedule: mutually exclusive. `llrd` scales the
    floor like all learning rates. `early_stopping` may stop before averaging begins, and then keeps plain weights: set
    its min_epochs beyond `start`. `wise_ft` interpolates towards the mean.
    Evidence: none found for SWA alone on few examples. Na et al. 2022 average epochs 6 to 10 of 10 in addition to SAM
    (BERT-base on GLUE).
    Source: Izmailov et al. 2018, arXiv:1803.05407. Departs from it in: the late rate is the linear decay with a floor,
    not constant or cyclic.
    """

    family: ClassVar[str] = "averaging"
    source: ClassVar[str] = "Izmailov et al. 2018, arXiv:1803.05407"
    search: ClassVar[Mapping[str, SearchRange]] = {"start": linear(0.25, 0.75)}

    start: float = Field(0.5, ge=0, lt=1, description="Fraction of the epochs before averaging begins, rounded down.")
    floor: float = Field(
        0.2, ge=0, le=1, description="Lowest learning rate while averaging, as a fraction of the peak."
    )

    def _first_epoch(self, budget: Budget) -> int:
        """Epochs before the first that is averaged."""
        return math.floor(round(self.start * budget.epochs, 9))

    def problems(self, budget: Budget) -> list[Problem]:
        count = budget.epochs - self._first_epoch(budget)
        if count >= 2:
            return []
        change = Change(settings={"": "off"})
        if budget.epochs >= 2:
            latest = math.floor((budget.epochs - 2) / budget.epochs * 100) / 100
            change = Change(settings={".start": latest})
        why = f"{self.start:g} of {budget.epochs} epochs leaves {count} to average."
        return [Problem(why, ".start", found=self.start, changes=(change,))]

    def warnings(self, budget: Budget) -> list[Problem]:
        if budget.steps_per_epoch is None:
            return []
        first = self._first_epoch(budget) * budget.steps_per_epoch
        if first >= budget.warmup_steps:
            return []
        why = f"averaging begins after {first} steps, during warm-up (which ends at step {budget.warmup_steps})."
        return [Problem(why, ".start", found=self.start, changes=(Change(settings={".start": 0.5}),))]

    def effect(self, budget: Budget) -> str:
        first = self._first_epoch(budget)
        rate = self.floor * budget.peak
        return f"mean of epochs {first + 1} to {budget.epochs}, learning rate at least {rate:.2g} in them"

    def schedule(self, part: Part, step: int, budget: Budget) -> float | None:
        if budget.steps_per_epoch is None or step < self._first_epoch(budget) * budget.steps_per_epoch:
            return None
        lowest = self.floor * budget.learning_rate
        return lowest if lowest > _planned(budget)[step] else None

    def averaging_rate(self, step: int, budget: Budget) -> float:
        epoch, between = divmod(step, budget.steps_per_epoch or 1)
        count = epoch - self._first_epoch(budget)
        return mean_rate(count) if between == 0 and count >= 1 else 0.0
