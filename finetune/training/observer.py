"""Turns Trainer's events into the history of a run, and applies the selection rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from finetune.records.schema import Evaluation
from finetune.training.distributed import is_main
from finetune.training.evaluations import HAS_LEARNED, make_evaluation, split_scores
from finetune.training.selection import Selector


class RunObserver(TrainerCallback):
    """Collects one `Evaluation` per measurement. The checkpoint that follows keeps the weights, if selected.

    Args:
        selector: The selector of the checkpoint, or None: then the last one is the final one.
        on_evaluation: Called with the history after each measurement, in the main process.
    """

    def __init__(self, selector: Selector | None, on_evaluation: Callable[[list[Evaluation]], None]) -> None:
        self.selector = selector
        self.history: list[Evaluation] = []
        self._on_evaluation = on_evaluation
        self._logs: dict[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        return {
            "history": [evaluation.model_dump() for evaluation in self.history],
            "selection": None if self.selector is None else self.selector.to_dict(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.history = [Evaluation.model_validate(evaluation) for evaluation in saved["history"]]
        if self.selector is not None:
            self.selector.restore(saved["selection"])

    def selected(self) -> Evaluation:
        """The evaluation whose weights are the final ones."""
        if self.selector is None:
            return self.history[-1]
        step = self.selector.state.best_step
        return next(evaluation for evaluation in self.history if evaluation.step == step)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._logs = dict(kwargs["logs"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        scores = split_scores(kwargs["metrics"])
        self.history.append(make_evaluation(state, self._logs, scores))
        if self.selector is not None:
            has_learned = bool(kwargs["metrics"][HAS_LEARNED])
            self.selector.observe(state.global_step, state.epoch, scores["validation"], has_learned)
            control.should_training_stop = control.should_training_stop or self.selector.state.stopped
        if is_main():
            self._on_evaluation(self.history)
