"""Epochs, steps and learning rates of a run, as techniques see them before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from finetune.tasks import Task


@dataclass(frozen=True)
class Budget:
    """What a technique can know about a run before it starts. `None` means not known yet.

    Attributes:
        task: What is predicted.
        epochs: Passes over the training rows; there is one evaluation per epoch.
        learning_rate: Peak learning rate.
        steps_per_epoch: Optimizer steps of one epoch.
        warmup: Warm-up steps: a fraction of all steps below 1, a number of steps from 1.
        rates: The learning rate of every step of one part of the model, where techniques changed it.
        rows: Training rows.
    """

    task: Task | None
    epochs: int
    learning_rate: float
    steps_per_epoch: int | None
    warmup: float
    rates: tuple[float, ...] | None = None
    rows: int | None = None

    @property
    def steps(self) -> int | None:
        return None if self.steps_per_epoch is None else self.steps_per_epoch * self.epochs

    @property
    def warmup_steps(self) -> int:
        """Warm-up steps; 0 while the number of steps is unknown and `warmup` is a fraction."""
        return int(self.warmup) if self.warmup >= 1 else math.ceil(self.warmup * (self.steps or 0))

    @property
    def learning_rate_sum(self) -> float:
        """Σ η_t, the scale of every strength that is multiplied by the learning rate."""
        return sum(self.learning_rates())

    @property
    def peak(self) -> float:
        """The highest learning rate of a step; the recipe's while the number of steps is unknown."""
        return max(self.learning_rates(), default=self.learning_rate)

    def learning_rates(self) -> list[float]:
        """The learning rate of every optimizer step: linear warm-up, then linear decay to 0, unless it was changed."""
        if self.rates is not None:
            return list(self.rates)
        steps, warmup = self.steps or 0, self.warmup_steps
        return [
            self.learning_rate * (step / warmup if step < warmup else (steps - step) / max(1, steps - warmup))
            for step in range(steps)
        ]
