"""Execution of one task in this process, for workers, the inline executor and `finetune cell`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from finetune.errors import FinetuneError, InUseError, OutputError
from finetune.experiments.jobs import KINDS, Event, Task
from finetune.recipe import Recipe
from finetune.records.store import RunFolder

SECONDS_BETWEEN_STEPS = 1.0  # at most one "step" event in this time


class Preparations:
    """Preparations shared by the tasks of one process: data, tokens and checks. The seeds of a preset share one."""

    def __init__(self) -> None:
        from finetune.data.loader import Loader

        self._loader = Loader()
        self._data_key = ""
        self._prepared: dict[str, Any] = {}

    def __call__(self, recipe: Recipe) -> Any:
        """Like `prepare(recipe)`, with a cache."""
        from finetune.training.prepare import prepare

        data_key = recipe.data.model_dump_json()
        if data_key != self._data_key:  # folds and sizes come one after the other: keep the tokens of one
            self._prepared.clear()
            self._data_key = data_key
        without_seed = recipe.training.model_copy(update={"seeds": [0]})
        key = recipe.model_copy(update={"training": without_seed}).model_dump_json()
        if key not in self._prepared:
            self._prepared[key] = prepare(recipe, self._loader.load(recipe.data))
        return with_seeds(self._prepared[key], recipe.training.seeds)


def with_seeds(prepared: Any, seeds: list[int]) -> Any:
    """The preparation of a recipe for other seeds, because the record of a run names its own."""
    training = prepared.recipe.training.model_copy(update={"seeds": seeds})
    return replace(prepared, recipe=prepared.recipe.model_copy(update={"training": training}))


def execute(task: Task, prepare: Callable[[Recipe], Any], send: Callable[[Event], None]) -> Event:
    """Run a task and report on the way.

    Returns:
        Its last event: finished, also if another process has finished it meanwhile; failed; or busy.

    Raises:
        KeyboardInterrupt: Passed on, after an "interrupted" event.
    """
    from finetune.experiments.nesting import inside_experiment

    folder = RunFolder(task.folder)
    try:
        with inside_experiment(str(task.folder)), folder.locked():
            if not has_finished(folder):
                send(Event("started", task.key))
                KINDS[task.kind].run(task, prepare, [_reporter(task.key, send)])
    except InUseError:
        return Event("busy", task.key)
    except KeyboardInterrupt:
        send(Event("interrupted", task.key))
        raise
    except FinetuneError as error:
        return Event("failed", task.key, message=error.for_command_line())
    except Exception as error:  # a bug in one task must not take the others with it; its record tells
        return Event("failed", task.key, message=f"{type(error).__name__}: {error}")
    return Event("finished", task.key)


def has_finished(folder: RunFolder) -> bool:
    """Whether the folder holds a readable finished run."""
    from finetune.records.predictions import read_run
    from finetune.records.schema import FinishedRecord

    with contextlib.suppress(OutputError):
        return folder.record_path.exists() and isinstance(read_run(folder)[0], FinishedRecord)
    return False


def _reporter(key: str, send: Callable[[Event], None]) -> Any:
    from transformers import TrainerCallback

    from finetune.training.evaluations import split_scores

    class Reporter(TrainerCallback):
        """Sends a step now and then, also during measurements, and every evaluation.

        Args:
            before: Steps that the choice of a learning rate has already done.
            total: Steps of the choice and of the run that follows it, if this is a training of the choice, whose
                evaluations are not reported.
        """

        def __init__(self, before: int = 0, total: int | None = None) -> None:
            self._sent = 0.0
            self._before = before
            self._total = total

        def for_fit(self, title: str, done: int, total: int, of_run: int) -> Reporter:
            """A reporter that counts the steps of the choice and of the run together."""
            self._before = total
            return Reporter(done, total + of_run)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._tell_step(state)

        def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._tell_step(state)  # it has got further, also where no step is done

        def _tell_step(self, state: Any) -> None:
            if time.monotonic() - self._sent > SECONDS_BETWEEN_STEPS:
                self._sent = time.monotonic()
                send(self._event("step", state))

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if self._total is None:
                send(replace(self._event("evaluated", state), scores=split_scores(kwargs["metrics"])))

        def _event(self, kind: str, state: Any) -> Event:
            total = self._before + state.max_steps if self._total is None else self._total
            return Event(kind, key, self._before + state.global_step, total)

    return Reporter()
