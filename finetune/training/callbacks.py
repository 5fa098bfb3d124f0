"""Callbacks around a training step: techniques, stopwatch, and the end of a shortened run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback

from finetune.techniques import Budget, KeptWeights, OptimizerSteps, StepView, Technique, WeightNames, implementations
from finetune.techniques.rates import TOP_LAYER, part_budget
from finetune.training.averaging import WeightAverage
from finetune.training.phases import BATCHES, OPTIMIZER, Stopwatch
from finetune.training.rates import RatePlan


class TechniqueHooks(TrainerCallback):
    """Calls the techniques around each optimizer step, and updates the average of the weights after it.

    Args:
        parameters: Name -> trainable parameter.
        techniques: Techniques of the run.
        names: Parameters by what may be done to them.
        start: Name -> value at the start of training, for the parameters of the encoder; empty if nothing needs it.
        budget: Budget of the run.
        average: Average of the weights.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        techniques: Sequence[Technique],
        names: WeightNames,
        start: Mapping[str, Tensor],
        budget: Budget,
        average: WeightAverage,
    ) -> None:
        self._parameters = parameters
        self._techniques = techniques
        self._names = names
        self._start = start
        self._budget = budget
        self._top_budget = part_budget(techniques, TOP_LAYER, budget)
        self._average = average

    def _view(self, optimizer: Any) -> StepView:
        return StepView(self._parameters, optimizer, self._start, self._names, self._top_budget)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for before_step in implementations(self._techniques, OptimizerSteps.before_optimizer_step):
            before_step(self._view(kwargs["optimizer"]))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for after_step in implementations(self._techniques, OptimizerSteps.after_optimizer_step):
            after_step(self._view(kwargs["optimizer"]))
        for averaging_rate in implementations(self._techniques, KeptWeights.averaging_rate):
            self._average.update(averaging_rate(state.global_step + 1, self._budget))


class PartFreezing(TrainerCallback):
    """Computes no gradients for the parts of the model that a schedule keeps frozen in a step.

    For a single process only: with several, each must take part in the exchange of gradients.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], rates: RatePlan) -> None:
        self._parameters = parameters
        self._rates = rates

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        frozen = self._rates.frozen(state.global_step)
        for name, parameter in self._parameters.items():
            parameter.requires_grad_(name not in frozen)


class StepClock(TrainerCallback):
    """Tells the stopwatch the phases whose start and end the trainer itself does not see.

    Attributes:
        first_step: Start of the first optimizer step, by time.perf_counter.
    """

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self.first_step: float | None = None

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._stopwatch.switch(BATCHES)  # an epoch's texts are augmented before its first batch

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._stopwatch.switch(OPTIMIZER)  # what follows forward and backward pass
        self.first_step = self.first_step or time.perf_counter()


class StopAt(TrainerCallback):
    """Ends training after a number of optimizer steps; Trainer then evaluates and saves as at the end of an epoch."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= self._step:
            control.should_training_stop = True
