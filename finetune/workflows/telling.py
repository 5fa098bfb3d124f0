"""From transformers' callbacks to a listener."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from finetune.listener import Listener, RunProgress
from finetune.measurement.scores import Measure
from finetune.records.facts import RateChoice
from finetune.reports.rate_choice import choice_text
from finetune.training.distributed import is_main
from finetune.training.evaluations import split_scores


class ListenerCallback(TrainerCallback):
    """Tells a listener about one run, from the main process only.

    Args:
        title: Name of the run.
        measure: The main score and loss.
        listener: Receives the events.
    """

    def __init__(self, title: str, measure: Measure, listener: Listener) -> None:
        self._title = title
        self._measure = measure
        self._listener = listener
        self._running: RunProgress | None = None

    def close(self) -> None:
        """Tell that the run has ended, if it stopped before its last step."""
        if self._running is not None:
            self._listener.run_ended(self._running)
            self._running = None

    def for_fit(self, title: str, done: int, total: int, of_run: int) -> ListenerCallback:
        """A callback for one of the trainings that choose a learning rate."""
        return FitCallback(f"{self._title}, {title}", self._measure, self._listener)

    def rate_chosen(self, choice: RateChoice) -> None:
        """The learning rate has been chosen."""
        if is_main():
            self._listener.notice(f"training.learning_rate: {choice_text(choice)}")

    def _progress(self, args: Any, state: Any) -> RunProgress:
        epochs = float(args.num_train_epochs)
        return RunProgress(
            self._title, self._measure, state.global_step, state.max_steps, float(state.epoch or 0), epochs
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._running = self._progress(args, state)
            self._listener.run_started(self._running)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._running = self._progress(args, state)
            self._listener.run_stepped(self._running)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            scores: dict[str, Any] = split_scores(kwargs["metrics"])
            self._listener.run_evaluated(self._progress(args, state), scores["train_probe"], scores["validation"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._running = self._progress(args, state)
            self.close()


class FitCallback(ListenerCallback):
    """Tells about the steps, but not the scores, of a training that is not one of the user's runs."""

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ignore it: its rows are some of the training rows."""
