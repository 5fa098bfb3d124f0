"""Self-description of techniques. Every technique has these hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from finetune.errors import Problem
from finetune.techniques.budget import Budget
from finetune.techniques.outcome import Outcome
from finetune.techniques.parameters import WeightNames

if TYPE_CHECKING:
    from torch import nn


class Description:
    """The cost and effect of the settings of a technique, and what is wrong with them."""

    cost: ClassVar[float]

    def training_cost(self, budget: Budget) -> float:
        """`cost` for these settings, if it depends on them."""
        return self.cost

    def problems(self, budget: Budget) -> list[Problem]:
        """Why these settings could have no effect; an empty list means no problem.

        Keys are relative to the technique, in `key` and in the settings of `changes`: ".strength", or "" for all of it.
        """
        return []

    def warnings(self, budget: Budget) -> list[Problem]:
        """What the user should know about settings that do have an effect, in the same form."""
        return []

    def model_warnings(self, model: nn.Module) -> list[Problem]:
        """Like `warnings`, about the prepared model. `model` may be without weights (torch's meta device)."""
        return []

    def export_warnings(self, model: nn.Module) -> list[Problem]:
        """Like `warnings`, about the exported weights, after training."""
        return []

    def effect(self, budget: Budget) -> str | None:
        """The effect of these settings in this run, in a few words; None if the settings themselves say it all."""
        return None

    def outcome(self, run: Outcome) -> str | None:
        """What the technique did in a finished run, measured if possible, in a few words without a full stop.

        Such as "28 of 99 head weights are exactly 0"; None if there is nothing to add to `effect`.
        """
        return None

    def acts_on(self, names: WeightNames) -> frozenset[str] | None:
        """The parameters whose values the technique acts on; None if it does not act on parameters.

        A run in which none of them is trained is refused.
        """
        return None
