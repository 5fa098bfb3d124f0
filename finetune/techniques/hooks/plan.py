"""The plan of training: epochs, learning rates and weight decay."""

from __future__ import annotations

from typing import Self

from finetune.techniques.budget import Budget
from finetune.techniques.parameters import Part


class TrainingPlan:
    """Called before training; `schedule` and `rate_factor` are called for every part of the model and every step."""

    def epochs(self, epochs: int) -> int:
        """Number of epochs, given the recipe's."""
        return epochs

    def with_epochs_scaled(self, factor: float) -> Self:
        """The technique for a run with `factor` (1 or more) times the epochs: scales settings that count epochs."""
        return self

    def decay_strength(self, budget: Budget) -> float:
        """The decoupled weight decay of the optimizer, in 1/learning-rate units; 0 for none.

        Called for every part of the model, with the learning rates of that part. All techniques' strengths add up.
        """
        return 0.0

    def schedule(self, part: Part, step: int, budget: Budget) -> float | None:
        """The learning rate of a part in optimizer step `step` (from 0); None keeps the recipe's schedule.

        Exactly 0.0 freezes the part in this step: no gradient, no optimizer state. One technique per run may have it.
        """
        return None

    def rate_factor(self, part: Part, budget: Budget) -> float:
        """A factor on the learning rate of a part, in every step. The factors of all techniques are multiplied."""
        return 1.0
