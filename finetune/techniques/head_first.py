"""Head first: train the head on the frozen encoder, then both (LP-FT)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Self

from pydantic import Field

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.parameters import Part, WeightNames
from finetune.techniques.search import SearchRange


def warmup_and_decay(step: int, steps: int, warmup: int) -> float:
    """Learning rate in step 0 … `steps` − 1 as a fraction of the peak; never 0.

    (t + 1) / (R + 1) for t < R = `warmup`, then (T − t) / (T − R).
    """
    return (step + 1) / (warmup + 1) if step < warmup else (steps - step) / (steps - warmup)


class HeadFirst(Technique, TrainingPlan):
    """Train the head alone first, then all weights (LP-FT): gradients of a random head would distort the encoder.

        first E epochs:  η_head constant, the encoder frozen         then:  η rises and falls anew for both

    While it is frozen the encoder has no gradient and no optimizer state. The second phase has a warm-up of its own,
    the recipe's fraction of its steps, and decays to 0 at the end of the run: η (t + 1)/(R + 1) in its R warm-up steps
    t, then η (T − t)/(T − R) of its T. Everything below the head is frozen, the pooler included: one that the
    checkpoint lacks is a random map in the first phase.

    Range: epochs: a number, or a fraction of all (at least one epoch); at 0 it is plain fine-tuning, and one epoch must
    be left for the encoder. learning_rate: 1e-4 to 1e-2; a head alone needs a higher one than an encoder.
    Cost: an epoch of the head costs a third: 0.87 × for a fifth of the epochs.
    Raises: RecipeError if no epoch, or no step after the warm-up, is left to fine-tune.
    Relations: `swa` also sets the schedule, `lora` and `train_only` the head's learning rate, and `head_start` fits the
    same head at once: mutually exclusive.
    `llrd` and `freeze` can be combined with it. `weight_decay` by strength follows the learning rate, so that it acts
    on the head most in the first phase. `l2_sp` acts from the second phase on.
    Evidence: in vision as good as fine-tuning on the same distribution and better on shifted ones (Kumar et al. 2022);
    none found for encoder classification with numbers we could read.
    Source: Kumar et al. 2022, arXiv:2202.10054. Departs from it in: one run, its epochs divided between the phases.
    """

    family: ClassVar[str] = "shrinkage of the step"
    source: ClassVar[str] = "Kumar et al. 2022, arXiv:2202.10054"
    cost: ClassVar[float] = 0.87
    excludes: ClassVar[dict[str, str]] = {"reinit": "the head would first be fitted to layers of random values"}
    search: ClassVar[Mapping[str, SearchRange]] = {"learning_rate": SearchRange(0.0001, 0.01)}

    epochs_alone: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Epochs in which the head trains alone: a whole number of them, or a fraction of all."
    )
    learning_rate: float = Field(
        1e-3, gt=0, lt=1, description="Learning rate of the head while it trains alone, constant."
    )

    def with_epochs_scaled(self, factor: float) -> Self:
        if isinstance(self.epochs_alone, int):
            return self.model_copy(update={"epochs_alone": round(self.epochs_alone * factor)})
        return self

    def _alone(self, budget: Budget) -> int:
        """Epochs in which the head trains alone."""
        if isinstance(self.epochs_alone, int):
            return self.epochs_alone
        return max(1, round(self.epochs_alone * budget.epochs))

    def training_cost(self, budget: Budget) -> float:
        return 1 - min(1.0, self._alone(budget) / budget.epochs) * 2 / 3

    def problems(self, budget: Budget) -> list[Problem]:
        alone = self._alone(budget)
        if alone >= budget.epochs:
            settings = {".epochs_alone": 1} if budget.epochs > 1 else {"training.epochs": 5}
            why = f"the head trains alone for {alone} of {budget.epochs} epochs, so that none is left to fine-tune."
            return [Problem(why, ".epochs_alone", found=self.epochs_alone, changes=(Change(settings=settings),))]
        rest = _second_phase(budget, alone)
        if rest.steps is not None and rest.warmup_steps >= rest.steps:
            why = f"{rest.steps} steps are left to fine-tune, and training.warmup takes {rest.warmup_steps} of them."
            less = Change(settings={"training.warmup": 0.1})
            return [Problem(why, ".epochs_alone", found=self.epochs_alone, changes=(less,))]
        return []

    def effect(self, budget: Budget) -> str:
        return f"head alone for {self._alone(budget)} of {budget.epochs} epochs"

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return names.trainable - names.head

    def schedule(self, part: Part, step: int, budget: Budget) -> float:
        alone = self._alone(budget)
        rest = _second_phase(budget, alone)
        started = alone * (budget.steps_per_epoch or 0)
        if step < started:
            return self.learning_rate if part.is_head else 0.0
        return budget.learning_rate * warmup_and_decay(step - started, rest.steps or 0, rest.warmup_steps)


def _second_phase(budget: Budget, alone: int) -> Budget:
    return replace(budget, epochs=budget.epochs - alone)
