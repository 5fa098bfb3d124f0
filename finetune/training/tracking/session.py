"""Trackers during one run: they start with its training and end after its measurement, whatever happens."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock
from transformers import TrainerCallback

from finetune.atomic import write_text
from finetune.cache import cache_folder
from finetune.errors import first_line
from finetune.records.schema import Checkpoint
from finetune.training.evaluations import split_scores
from finetune.training.phases import TRACKERS as TELLING
from finetune.training.phases import Stopwatch
from finetune.training.prepare import Prepared
from finetune.training.random_state import same_random_state
from finetune.training.tracking.trackers import TRACKERS, Ended, TrackedRun, Tracker
from finetune.training.tracking.values import evaluation_values, final_values, settings, training_values

logger = logging.getLogger(__name__)

LONGEST = 200  # characters of what a tracker's error says
MOST_WAITING = 60.0  # seconds, for another process that begins a run
IDS = "trackers.json"  # in the folder of a run: what each tracker calls it


class Tracking(TrainerCallback):
    """The trackers of one run. As a callback of Trainer it gets the metrics; as a context it knows how the run ended.

    A tracker that raises is left out from then on, with a warning that the record keeps: a tracker never ends a run.

    Args:
        run: Facts passed to the trackers at the start.
        names: Names of the trackers; empty in processes other than the main one.
        loss: Name of the evaluation loss.
        stopwatch: Of the run.
    """

    def __init__(self, run: TrackedRun, names: Sequence[str], loss: str, stopwatch: Stopwatch) -> None:
        self._run = run
        self._stopwatch = stopwatch
        self._loss = loss
        self._told = [_Told(TRACKERS[name], run) for name in names]
        self._last: dict[str, Any] = {}  # what Trainer hands to its callbacks

    def begin(self, args: Any, state: Any, control: Any, model: Any) -> None:
        """Let each tracker start a run, or continue the one that it started before."""
        if self._last or not self._told:
            return
        self._last = {"args": _as_told(args, self._run), "state": state, "control": control, "model": model}
        with self._stopwatch.phase(TELLING), one_at_a_time():
            for told in self._told:
                told.begin(state.global_step, **self._last)
        ids = {told.tracker.name: told.id for told in self._told if told.id is not None}
        if ids:
            write_text(self._run.folder / IDS, json.dumps({**self._run.ids, **ids}, indent=2) + "\n")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begin(args, state, control, kwargs.get("model"))

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._log(training_values(kwargs["logs"]))

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        scores = split_scores(kwargs["metrics"])
        values = evaluation_values({**scores, "validation": {}} if self._run.is_refit else scores, self._loss)
        self._log({**values, "epoch": state.epoch})

    def log_final(self, selected: Checkpoint) -> None:
        """Log the metrics of the final weights."""
        told = selected.model_copy(update={"validation": {}}) if self._run.is_refit else selected
        self._log(final_values(told, self._loss))

    def _log(self, values: Mapping[str, float]) -> None:
        if not values or not self._last:
            return
        with self._stopwatch.phase(TELLING):
            for told in self._told:
                told.call("on_log", **self._last, logs=dict(values))

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        how: Ended = "finished"
        if kind is not None:
            how = "interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"
        if not self._last:
            return
        with self._stopwatch.phase(TELLING):
            for told in self._told:
                told.end(how, **self._last)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Only one process on this machine starts its runs at a time: two that create the same new MLflow store at once
    break it for one of them (3.18). A process that has waited long proceeds anyway.
    """
    lock = FileLock(cache_folder() / "trackers.lock", timeout=MOST_WAITING)
    with contextlib.suppress(OSError):  # no cache folder, or waited in vain: Timeout is one, too
        cache_folder().mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Told:
    """One tracker, and what it is told. What it prints goes nowhere; what it raises becomes a warning, once."""

    def __init__(self, tracker: Tracker, run: TrackedRun) -> None:
        self.tracker = tracker
        self.id: str | None = None
        self._run = run
        self._callback: Any = None
        self._has_failed = False

    def begin(self, step: int, **event: Any) -> None:
        def start() -> None:
            self._callback = self.tracker.callback(self._run, step)
            self._callback.on_init_end(**event)
            self._callback.on_train_begin(**event)
            self.id = self.tracker.id_of(self._callback, self._run)

        self._guarded(start)

    def call(self, method: str, **event: Any) -> None:
        if not self._has_failed:
            self._guarded(lambda: getattr(self._callback, method)(**event))

    def end(self, how: Ended, **event: Any) -> None:
        """End the run, also in a tracker that has failed: an open one would take in the next run of this process."""
        if self._callback is not None:
            if how == "finished":
                self._guarded(lambda: self._callback.on_train_end(**event))
            self._guarded(lambda: self.tracker.end(self._callback, how))

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            with same_random_state(), _variables(self._variables()), contextlib.redirect_stdout(io.StringIO()):
                call()
        except (Exception, SystemExit) as error:  # whatever programs of others raise
            if not self._has_failed:
                logger.warning(
                    "training.report_to: %s failed: %s: %s. The run goes on without it",
                    self.tracker.name,
                    type(error).__name__,
                    first_line(error)[:LONGEST],
                )
            self._has_failed = True

    def _variables(self) -> dict[str, str]:
        return {**self.tracker.local, **self.tracker.environment(self._run)}


@contextlib.contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that the user has not set, inside."""
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _as_told(args: Any, run: TrackedRun) -> Any:
    """Trainer's arguments as trackers see them: the settings of the run.

    Of Trainer's own some hundred most are not at work in a run, and some mean something else in it.
    """

    class Told(type(args)):  # type: ignore[misc]
        def to_dict(self) -> dict[str, Any]:
            return dict(run.settings)

    told = copy.copy(args)
    told.__class__ = Told
    told.run_name = run.name
    return told


def open_tracking(
    prepared: Prepared, seed: int, folder: Path, group: str | None, stopwatch: Stopwatch, is_main: bool
) -> Tracking:
    """The trackers that a recipe names.

    Args:
        prepared: Preparation of the run.
        seed: Seed of the run.
        folder: Folder of the run.
        group: The experiment that it is part of.
        stopwatch: Stopwatch of the run.
        is_main: Whether this is the main process; the others log nothing.
    """
    names = prepared.recipe.training.report_to if is_main else []
    ids = _read_ids(folder / IDS) if names else {}
    run = TrackedRun(folder, group, settings(prepared, seed, group), ids, prepared.is_refit)
    return Tracking(run, names, prepared.measure.loss, stopwatch)


def _read_ids(path: Path) -> dict[str, str]:
    """Of an earlier session; a damaged file is said, and the trackers begin another run."""
    if not path.exists():
        return {}
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError) as error:
        logger.warning("%s: cannot be read: %s. The trackers start a new run", path, first_line(error))
        return {}
