"""The matrix of a comparison while it runs: a live table on a terminal, one line per event elsewhere."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finetune.measurement.scores import Measure
from finetune.measurement.units import change_text, metric_name, score_text
from finetune.reports.terminal import live_scores

if TYPE_CHECKING:
    from finetune.experiments.progress import JobState, Progress

MOST_COLUMNS = 12  # cells of a row that are shown one by one; beyond it, only counted


class MatrixDisplay:
    """Shows the runs of an experiment on stderr, from `start` to `close`."""

    def __init__(self) -> None:
        self._live: Live | None = None

    def start(self) -> None:
        """The first run begins."""
        console = Console(stderr=True, highlight=False)
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=False)
            self._live.start()

    def show(self, progress: Progress, state: JobState, measure: Measure) -> None:
        """Something happened to a run."""
        if self._live is not None:
            self._live.update(Group(matrix_table(progress, measure), Text(_footer(progress))), refresh=True)
        elif state.last_event != "step":
            sys.stderr.write(f"{_line(progress, state, measure)}\n")
            sys.stderr.flush()

    def close(self) -> None:
        """All runs have ended."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def matrix_table(progress: Progress, measure: Measure) -> Table:
    """A row a preset: its cells, and the running means of train probe, validation and gap."""
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("preset", "cells"):
        table.add_column(title)
    for title in (f"{metric_name(measure.score)}: train", "validation", "gap", f"{metric_name(measure.loss)} gap"):
        table.add_column(title, justify="right", no_wrap=True)
    for name in dict.fromkeys(state.job.entry.variant for state in progress.states):
        states = [state for state in progress.states if state.job.entry.variant == name]
        table.add_row(Text(name), _cells(states), *_means(states, measure))
    return table


def _cells(states: list[JobState]) -> Text:
    if len(states) > MOST_COLUMNS:
        counts = {kind: sum(state.status == kind for state in states) for kind in ("finished", "running", "failed")}
        return Text(", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "waiting")
    return Text(" ").join(_cell(state) for state in states)


def _cell(state: JobState) -> Text:
    """✓ finished, ✗ failed, · waiting, percent while running: signs and not colours alone."""
    if state.status == "finished":
        return Text("✓", "dim" if state.kept else "green")
    if state.status == "failed":
        return Text("✗", "red")
    if state.status == "running":
        return Text(f"{state.done:.0%}", "yellow")
    return Text("·", "dim")


def _means(states: list[JobState], measure: Measure) -> list[str]:
    measured = [state for state in states if state.status == "finished"]
    if not measured:
        return ["", "", "", ""]

    def mean(of: str, name: str) -> float | None:
        values = [value for state in measured if (value := getattr(state, of).get(name)) is not None]
        return statistics.mean(values) if values else None

    train, validation = mean("train", measure.score), mean("validation", measure.score)
    train_loss, validation_loss = mean("train", measure.loss), mean("validation", measure.loss)
    gap = None if train is None or validation is None else train - validation
    loss_gap = None if train_loss is None or validation_loss is None else validation_loss - train_loss
    scores = [score_text(measure.score, value) for value in (train, validation)]
    return [*scores, change_text(measure.score, gap), change_text(measure.loss, loss_gap)]


def _footer(progress: Progress) -> str:
    done = sum(state.status in ("finished", "failed") for state in progress.states)
    left = progress.remaining_seconds()
    eta = "" if left is None else f" · about {duration(left)} to go"
    return f"{done} of {len(progress.states)} cells · {progress.slots} at a time{eta}"


def _line(progress: Progress, state: JobState, measure: Measure) -> str:
    entry = state.job.entry
    title = f"{entry.variant} seed {entry.seed}" + ("" if entry.fold is None else f" fold {entry.fold}")
    if entry.kind != "train":
        title = f"{entry.kind} of {title}"
    if state.last_event == "evaluated":
        return f"{title}: {state.step}/{state.steps} steps: {live_scores(measure, state.train, state.validation)}"
    if state.last_event == "failed":
        return f"{title}: failed: {state.message}"
    if state.last_event == "finished":
        return f"{title}: finished ({_footer(progress)})"
    return f"{title}: {state.last_event}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe_matrix(cells: list[dict[str, Any]]) -> Table:
    """The cells of a dry run."""
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("preset", "seed", "fold", "state", "folder"):
        table.add_column(title, no_wrap=title != "folder")
    for cell in cells:
        fold = "-" if cell["fold"] is None else str(cell["fold"])
        table.add_row(Text(cell["variant"]), str(cell["seed"]), fold, cell["state"], Text(cell["folder"]))
    return table
