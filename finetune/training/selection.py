"""Selection of the final checkpoint, and early stopping."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune.measurement.scores import LOSSES
from finetune.techniques import SelectionRule


@dataclass
class SelectionState:
    """State that must survive an interruption.

    Attributes:
        learned_step: Step of the first evaluation that beat the same answer for every text beyond chance; None until
            then.
        best_step: Step of the best evaluation so far, whose weights are kept; None before the first.
        best: Its (metric, loss), both with "higher is better".
        reference: The value a gain is counted from; None until the run has begun to learn.
        waited: Evaluations in a row without a gain, since the run has begun to learn.
        stopped: Whether the rule ended training.
    """

    learned_step: int | None = None
    best_step: int | None = None
    best: tuple[float, float] | None = None
    reference: float | None = None
    waited: int = 0
    stopped: bool = False


class Selector:
    """Applies a selection rule to one evaluation after the other.

    Args:
        rule: Rule of the technique that owns the selection.
        metric: The measured name behind `rule.metric`.
        loss: The task's evaluation loss, which breaks ties of the metric.
    """

    def __init__(self, rule: SelectionRule, metric: str, loss: str) -> None:
        self.rule = rule
        self.metric = metric
        self._loss = loss
        self.state = SelectionState()

    def observe(self, step: int, epoch: float, validation: dict[str, float], has_learned: bool) -> bool:
        """Process an evaluation; returns whether it is the best so far. `state.stopped` says whether to stop.

        An undefined metric (nan) is never a gain.

        Args:
            step: Optimizer steps done.
            epoch: The same in epochs.
            validation: Scores and losses.
            has_learned: Whether it beats the same answer for every text beyond chance. Patience counts from the first
                such evaluation on, whatever later ones show.
        """
        value = upwards(self.metric, validation[self.metric])
        loss = upwards(self._loss, validation[self._loss])
        state = self.state
        is_best = state.best is None or (value, loss) > state.best
        if is_best:
            state.best, state.best_step = (value, loss), step
        if state.learned_step is None and has_learned:
            state.learned_step = step
        if state.learned_step is None:
            return is_best
        if state.reference is None or value > state.reference + self.rule.min_delta:
            state.reference, state.waited = value, 0
        else:
            state.waited += 1
        # Epochs are counted in whole evaluations; a rounding of 1e-9 must not cost one.
        may_stop = self.rule.stop and epoch + 1e-6 >= self.rule.min_epochs
        state.stopped = may_stop and state.waited >= self.rule.patience
        return is_best

    def to_dict(self) -> dict[str, Any]:
        return asdict(self.state)

    def restore(self, saved: dict[str, Any]) -> None:
        self.state = SelectionState(**{**saved, "best": None if saved["best"] is None else tuple(saved["best"])})


def upwards(name: str, value: float) -> float:
    """A measured value with "higher is better"; undefined is worst."""
    if math.isnan(value):
        return -math.inf
    return -value if name in LOSSES else value


def selected_weights(folder: Path, step: int) -> Path:
    """File of the weights of a selected step. It is named by step, because a kill between an evaluation and its
    checkpoint must not replace the file that the older checkpoint refers to.
    """
    return folder / f"selected-{step}.safetensors"
