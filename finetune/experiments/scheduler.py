"""Conducts a comparison: which cells are done, which are run now, which models are kept."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from finetune.analysis.choice import validation_order
from finetune.analysis.collect import read_run
from finetune.errors import OutputError
from finetune.experiments.executor import Workforce, run_tasks
from finetune.experiments.matrix import Cell, DataSets
from finetune.experiments.worker import Event, Task
from finetune.records.comparison import ComparisonFolder, Manifest
from finetune.records.schema import FinishedRecord, Scores
from finetune.records.store import RunFolder, write_atomically
from finetune.training.prepare import declared_cost

Status = Literal["waiting", "running", "finished", "failed", "interrupted"]
Keep = Literal["all", "best", "none"]


@dataclass
class CellState:
    """Where a cell is, for the live table.

    Attributes:
        cell: Which one.
        status: Of the run.
        weight: Expected work: its declared cost, in plain runs of the largest size.
        kept: It was finished before this command started.
        done: Share of its steps that are done.
        started_at: Share that was done when it was first heard of: a resumed run.
        train: Train probe scores of the last evaluation.
        validation: Validation scores of the last evaluation.
        message: Why it failed.
        damaged: What an earlier command left cannot be read; the cell starts anew.
    """

    cell: Cell
    status: Status
    weight: float
    kept: bool = False
    done: float = 0.0
    started_at: float | None = None
    train: Scores = field(default_factory=dict)
    validation: Scores = field(default_factory=dict)
    message: str = ""
    damaged: bool = False


@dataclass
class Progress:
    """Everything a display may want to know."""

    states: list[CellState]
    jobs: int
    started: float  # time.monotonic()

    def remaining_seconds(self) -> float | None:
        """From the work done since the start; None before anything was."""
        done = sum(state.weight * _work(state) for state in self.states if not state.kept)
        left = sum(state.weight * (1 - state.done) for state in self.states if state.status in ("waiting", "running"))
        return (time.monotonic() - self.started) * left / done if done > 0 else None


def _work(state: CellState) -> float:
    """Share of a cell that was computed in this session."""
    return max(0.0, state.done - (state.started_at or 0.0))


def conduct(
    folder: ComparisonFolder,
    manifest: Manifest,
    cells: Sequence[Cell],
    workforce: Workforce,
    keep: Keep,
    on_change: Callable[[Progress, CellState, Event], None],
) -> Manifest:
    """Run what is missing. A cell that fails is written down and does not stop the others.

    Args:
        folder: Where everything goes; the caller holds its lock.
        manifest: Written before the first cell starts, and after every failure.
        cells: Seed by seed, in the order of the manifest.
        workforce: From `choose_workforce`, for all cells.
        keep: Which models: of all cells, of each variant's best by validation, or none.
        on_change: Told about every event.

    Returns:
        The manifest with the errors of failed cells.

    Raises:
        KeyboardInterrupt: As it came; what is complete is kept.
    """
    errors: dict[int, str] = {}
    states = [look_up(folder, cell) for cell in cells]
    todo = [index for index, state in enumerate(states) if state.status == "waiting"]
    progress = Progress(states, min(workforce.jobs, len(todo)), time.monotonic())

    def current() -> Manifest:
        entries = [entry.model_copy(update={"error": errors.get(index)}) for index, entry in enumerate(manifest.cells)]
        return manifest.model_copy(update={"cells": entries})

    def on_event(event: Event) -> None:
        state = states[event.index]
        _update(state, event)
        if event.kind == "failed":
            errors[event.index] = event.message
            _mark_failed(folder.cell(cells[event.index].entry), event.message)
            folder.write(current())
        elif event.kind == "finished" and keep == "none":
            shutil.rmtree(folder.cell(state.cell.entry).model, ignore_errors=True)
        elif event.kind == "finished" and keep == "best":
            _keep_best_model(folder, [c for c in cells if c.entry.variant == state.cell.entry.variant])
        on_change(progress, state, event)

    folder.write(current())
    for index in todo:
        if states[index].damaged:
            shutil.rmtree(folder.cell(cells[index].entry).path)
    order = _in_running_order(todo, states)
    tasks = [Task(index, cells[index].recipe, folder.cell(cells[index].entry).path) for index in order]
    if tasks:
        run_tasks(tasks, workforce, on_event)
    return current()


def _in_running_order(todo: Sequence[int], states: Sequence[CellState]) -> list[int]:
    """Seed by seed, so that what is unfinished is paired; of a seed the longest first, so that no worker waits long."""

    def group(index: int) -> tuple[int, int | None]:
        entry = states[index].cell.entry
        return entry.seed, entry.fold

    groups = list(dict.fromkeys(group(index) for index in todo))
    return sorted(todo, key=lambda index: (groups.index(group(index)), -states[index].weight))


def look_up(folder: ComparisonFolder, cell: Cell) -> CellState:
    """What an earlier command left of a cell. Changes nothing."""
    run = folder.cell(cell.entry)
    state = CellState(cell, "waiting", cell.work * declared_cost(cell.recipe))
    if not run.record_path.exists():
        return state
    try:
        record, _ = read_run(run)
    except OutputError:
        state.damaged = True
        return state
    if isinstance(record, FinishedRecord):
        state.status, state.kept, state.done = "finished", True, 1.0
        state.train, state.validation = record.selected.train_probe, record.selected.validation
    return state


def _update(state: CellState, event: Event) -> None:
    if event.steps:
        state.done = event.step / event.steps
        state.started_at = state.done if state.started_at is None else state.started_at
    if event.scores is not None:
        state.train, state.validation = dict(event.scores["train_probe"]), dict(event.scores["validation"])
    if event.kind == "started":
        state.status = "running"
    if event.kind in ("finished", "failed"):
        state.status, state.done = event.kind, 1.0  # type: ignore[assignment]  # checked in the line above
        state.message = event.message
    if event.kind == "interrupted":
        state.status = "interrupted"


def _mark_failed(run: RunFolder, message: str) -> None:
    """A process that was killed could not write it down itself."""
    with contextlib.suppress(OutputError):
        record = run.read()
        if record is not None and record.status == "running":
            run.write(record.model_copy(update={"status": "failed", "error": message}))


def _keep_best_model(folder: ComparisonFolder, cells: Sequence[Cell]) -> None:
    """Of the finished cells of one variant, remove all models but that of the best validation score.

    A removed one could never be chosen later: the better one stays.
    """
    finished = {}
    for cell in cells:
        run = folder.cell(cell.entry)
        with contextlib.suppress(OutputError):
            record = run.read()
            if isinstance(record, FinishedRecord):
                finished[run.path] = (record, run)
    if finished:
        best = max(finished.values(), key=lambda found: validation_order(found[0]))[1]
        for _, run in finished.values():
            if run.path != best.path:
                shutil.rmtree(run.model, ignore_errors=True)


def write_texts(folder: ComparisonFolder, cells: Sequence[Cell], data: DataSets) -> None:
    """Keep the rows that scores are reported on, so that a report can show where presets disagree."""
    kept: dict[str, dict[str, list[object]]] = {}
    for cell in cells:
        loaded = data.load(cell.recipe.data)
        rows = loaded.validation if loaded.test is None else loaded.test
        if loaded.fingerprint not in kept:
            pairs = [None] * len(rows) if rows.pairs is None else rows.pairs
            kept[loaded.fingerprint] = {
                row: [text, pair] for row, text, pair in zip(rows.ids, rows.texts, pairs, strict=True)
            }
    folder.path.mkdir(parents=True, exist_ok=True)
    write_atomically(folder.texts, json.dumps(kept, ensure_ascii=False))
