"""The record of a run: its opening, and its updates during the run."""

from __future__ import annotations

import contextlib
import datetime
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finetune.errors import Change, OutputError
from finetune.recipe import Recipe
from finetune.records.environment import read_code, read_device, read_versions
from finetune.records.facts import RunBudget, RunTime
from finetune.records.schema import FinishedRecord, RunRecord, TargetScale
from finetune.records.store import RunFolder
from finetune.techniques import changed_sources, own_sources
from finetune.training.distributed import is_main, world_size
from finetune.training.facts import active_techniques, declared_cost, model_facts
from finetune.training.failures import folder_gone
from finetune.training.phases import SAVING, TRACKERS, Stopwatch
from finetune.training.prepare import Prepared


class RecordFile:
    """The record of a run in progress, and its file.

    Args:
        folder: Folder of the run; written by the main process only.
        stopwatch: Stopwatch of the run.
        started: Start of the run, or of its current segment, by time.perf_counter.
        earlier: Time of a resumed run so far; None if it starts. It counts too: the cost of a run is the total of all
            its segments.

    Attributes:
        record: The current record, once it is open; every process has it.
        stopwatch: Stopwatch of the run.
    """

    record: RunRecord

    def __init__(self, folder: RunFolder, stopwatch: Stopwatch, started: float, earlier: RunTime | None) -> None:
        self.stopwatch = stopwatch
        self._folder = folder
        self._started = started
        self._earlier = earlier
        self._is_written = False
        if earlier is not None:
            stopwatch.add(earlier.phases)

    def open(self, opening: RunRecord) -> None:
        """Open the record with the facts known before the first step; a choice of the learning rate opens it with
        fewer.
        """
        self.record = opening
        if self._earlier is not None:
            self.update_time(resumed=self._earlier.resumed + 1)

    def update(self, **changes: Any) -> None:
        """Replace fields."""
        self.record = self.record.model_copy(update=changes)

    def update_time(self, **changes: Any) -> None:
        """Replace entries of the time section."""
        self.update(time=self.record.time.model_copy(update=changes))

    def write(self, **changes: Any) -> None:
        """Replace fields, and the file."""
        with self.stopwatch.phase(SAVING):
            self.update(**changes)
            self._add_phases()
            if is_main():
                self._write(self.record)

    def _write(self, record: RunRecord) -> None:
        """
        Raises:
            RunFailed: The folder is gone: a new one in its place would look like the run but hold only a part of it.
        """
        if self._is_written and not self._folder.record_path.exists():
            raise folder_gone(self._folder.path)
        self._folder.write(record)
        self._is_written = True

    def finish(self, warnings: list[str]) -> FinishedRecord:
        """Write the record of the finished run, and return it."""
        with self.stopwatch.phase(SAVING):
            self._add_phases()
            self.record = record = self.record.finish(warnings=warnings)
            if is_main():
                self._write(record)
        return record

    def _add_phases(self) -> None:
        phases = {name: round(seconds, 3) for name, seconds in self.stopwatch.seconds().items()}
        self.update_time(seconds=self.seconds(), total_seconds=round(sum(phases.values()), 3), phases=phases)

    def seconds(self) -> float:
        """Seconds of all segments of the run so far, without the time of trackers; presets are compared by it."""
        earlier = RunTime() if self._earlier is None else self._earlier
        telling = self.stopwatch.seconds().get(TRACKERS, 0.0) - earlier.phases.get(TRACKERS, 0.0)
        return round(time.perf_counter() - self._started - telling + earlier.seconds, 2)

    def since_start(self, moment: float) -> float:
        """Seconds from the start of this segment to a moment of time.perf_counter."""
        return round(moment - self._started, 2)


def opening_record(prepared: Prepared, seed: int, model: Any) -> RunRecord:
    """The record of a run before its first step."""
    recipe = prepared.recipe
    own = own_sources(recipe.techniques)
    return RunRecord(
        status="running",
        recipe=recipe.recorded(),
        preset=recipe.preset,
        seed=seed,
        data=prepared.facts(),
        model=model_facts(model, prepared.pooling, prepared.head),
        techniques=active_techniques(recipe, prepared.budget),
        target=_target(prepared),
        budget=_run_budget(prepared),
        code=read_code().model_copy(update={"techniques": own} if own else {}),
        versions=read_versions(),
        device=read_device(),
        warnings=warning_texts(prepared),
        time=RunTime(started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")),
    )


def warning_texts(prepared: Prepared, ended: RunBudget | None = None) -> list[str]:
    """The warnings of a preparation as a record keeps them.

    Args:
        prepared: Preparation of the run.
        ended: The budget at the end of the run. A run that stopped early gets no advice to train for more epochs.
    """
    stopped = ended is not None and ended.early_stopping is not None and ended.early_stopping.stopped
    kept = [problem for problem in prepared.warnings if not (stopped and problem.key == "training.epochs")]
    return [problem.for_command_line() for problem in kept]


def refuse_changed_techniques(recipe: Recipe, recorded: Mapping[str, str], folder: Path) -> None:
    """Refuse to resume a run with other techniques than those that started it.

    Args:
        recipe: Recipe of the run.
        recorded: The user's own techniques and the digests of their sources at the start of the run.
        folder: Folder of the run.

    Raises:
        OutputError: The source of one has changed; the error names it.
    """
    for name in changed_sources(recipe.techniques, recorded):
        raise OutputError(
            f"the source of this technique has changed since the run in {folder} was started.",
            Change(text="Restore the source, or start a new run."),
            key=f"techniques.{name}",
        )


def has_scale(prepared: Prepared, record: RunRecord) -> bool:
    """Whether a resumed run scaled its targets as this version does; versions before 3 did not."""
    return _target(prepared) == record.target


def has_pooling(prepared: Prepared, record: RunRecord) -> bool:
    """Whether the head of a run that is resumed reads what it read when the run began."""
    return record.model.pooling in (None, prepared.pooling.kind)


def _target(prepared: Prepared) -> TargetScale | None:
    return None if prepared.scale is None else TargetScale(**prepared.scale._asdict())


def _run_budget(prepared: Prepared) -> RunBudget:
    budget = prepared.budget
    return RunBudget(
        steps=budget.steps,
        steps_per_epoch=budget.steps_per_epoch,
        warmup_steps=budget.warmup_steps,
        processes=world_size(),
        precision="bf16" if prepared.bf16 else "fp32",
        cost=declared_cost(prepared.recipe, budget),
        **({"trained_on_validation": True} if prepared.is_refit else {}),
        **({} if prepared.rate is None else {"learning_rate": prepared.rate}),
    )


@contextlib.contextmanager
def logged_warnings() -> Iterator[list[str]]:
    """Collect the warnings that the package logs inside, each text once, for the record."""
    texts: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            is_warning = record.levelno >= logging.WARNING and not record.name.endswith(".progress")
            if is_warning and record.getMessage() not in texts:
                texts.append(record.getMessage())

    listener, logger = Listener(), logging.getLogger("finetune")
    logger.addHandler(listener)
    try:
        yield texts
    finally:
        logger.removeHandler(listener)
