"""What a technique says about itself. Every technique has these hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from finetune.errors import Problem
from finetune.techniques.budget import Budget
from finetune.techniques.outcome import Outcome
from finetune.techniques.parameters import WeightNames

if TYPE_CHECKING:
    from torch import nn


class Description:
    """What its settings cost and amount to, and what is wrong with them."""

    cost: ClassVar[float]

    def training_cost(self, budget: Budget) -> float:
        """`cost` for these settings, where they decide it."""
        return self.cost

    def problems(self, budget: Budget) -> list[Problem]:
        """Why these settings could not act; an empty list is good.

        Keys are relative to the technique, in `key` and in the settings of `changes`: ".strength", or "" for all of it.
        """
        return []

    def warnings(self, budget: Budget) -> list[Problem]:
        """What the user should know about settings that do act, in the same form."""
        return []

    def model_warnings(self, model: nn.Module) -> list[Problem]:
        """As `warnings`, about the prepared model. `model` may be without weights (torch's meta device)."""
        return []

    def export_warnings(self, model: nn.Module) -> list[Problem]:
        """As `warnings`, about the weights that are exported, when training is over."""
        return []

    def effect(self, budget: Budget) -> str | None:
        """What these settings amount to in this run, in a few words; None where the settings say it all."""
        return None

    def outcome(self, run: Outcome) -> str | None:
        """What it did in a run that has ended, measured where possible, in a few words without a full stop.

        Such as "28 of 99 head weights are exactly 0"; None where nothing can be said that `effect` does not say.
        """
        return None

    def acts_on(self, names: WeightNames) -> frozenset[str] | None:
        """The parameters whose values it works on; None if it does not work on parameters.

        A run in which none of them is trained is refused.
        """
        return None
