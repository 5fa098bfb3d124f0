"""The runs of an experiment while they run: a live table on a terminal, one line per event elsewhere."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from finetune.listener import Listener
from finetune.measurement.scores import Measure
from finetune.measurement.units import DASH, change_text, count_text, metric_name, percent_text, score_text, time_text
from finetune.records.comparison import JobEntry
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.captions import sentence
from finetune.reports.rich_table import Adaptive, SafeConsole, add_names, add_numbers, plain_table, rich_table
from finetune.reports.terminal import live_scores
from finetune.visible import visible

if TYPE_CHECKING:
    from finetune.experiments.progress import JobState, Progress

MOST_ROWS = 12  # of an experiment that grows while it runs: the last ones, which are being trained
MOST_MARKS = 12  # runs of a preset that are shown one by one; beyond it, they are counted


class MatrixDisplay(Listener):
    """Shows the runs of an experiment on stderr."""

    def __init__(self) -> None:
        self._live: Live | None = None

    def jobs_started(self, progress: Progress, measure: Measure) -> None:
        """The first run begins."""
        console = SafeConsole(stderr=True, highlight=False)
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=False)
            self._live.start()

    def job_changed(self, progress: Progress, job: JobState, measure: Measure) -> None:
        """Something happened to a run."""
        if self._live is not None:
            self._live.update(Group(matrix_table(progress, measure), Text(footer(progress))), refresh=True)
        elif job.last_event != "step":
            sys.stderr.write(visible(f"{event_line(progress, job, measure)}\n"))
            sys.stderr.flush()

    def jobs_ended(self, progress: Progress, measure: Measure) -> None:
        """All runs have ended."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def matrix_table(progress: Progress, measure: Measure) -> RichTable:
    """A row per preset: its runs, and the means so far of train sample, validation and gap."""
    table = plain_table(sentence(metric_name(measure.score)))
    add_names(table, "Preset")
    table.add_column("Runs")
    add_numbers(table, "Train", "Validation", "Gap", f"{sentence(metric_name(measure.loss))} gap")
    rows: dict[str, list[JobState]] = {}
    for state in progress.states:
        rows.setdefault(_row_title(state.job.entry), []).append(state)
    shown = list(rows.items())[-MOST_ROWS:] if progress.at_most else rows.items()
    for name, states in shown:
        table.add_row(Text(name), _marks(states), *_means(states, measure))
    return table


def _row_title(entry: JobEntry) -> str:
    return entry.variant if entry.kind == "train" else f"{entry.kind} of {entry.variant}"


def _marks(states: list[JobState]) -> Text:
    if len(states) > MOST_MARKS:
        counts = {kind: sum(state.status == kind for state in states) for kind in ("finished", "running", "failed")}
        return Text(", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "waiting")
    return Text(" ").join(_mark(state) for state in states)


def _mark(state: JobState) -> Text:
    """✓ finished, ✗ failed, · waiting, percent while running: signs and not colours alone."""
    if state.status == "finished":
        return Text("✓", "dim" if state.kept else "green")
    if state.status == "failed":
        return Text("✗", "red")
    if state.status == "running":
        return Text(percent_text(state.done), "yellow")
    return Text("·", "dim")


def _means(states: list[JobState], measure: Measure) -> list[str]:
    measured = [state for state in states if state.status == "finished"]
    if not measured:
        return ["", "", "", ""]

    def mean(split: str, name: str) -> float | None:
        values = [value for state in measured if (value := getattr(state, split).get(name)) is not None]
        return statistics.mean(values) if values else None

    train, validation = mean("train", measure.score), mean("validation", measure.score)
    train_loss, validation_loss = mean("train", measure.loss), mean("validation", measure.loss)
    gap = None if train is None or validation is None else train - validation
    loss_gap = None if train_loss is None or validation_loss is None else validation_loss - train_loss
    scores = [score_text(measure.score, value) for value in (train, validation)]
    return [*scores, change_text(measure.score, gap), change_text(measure.loss, loss_gap)]


def footer(progress: Progress) -> str:
    """`5 of 12 runs done · 2 in parallel · about 3.1 min left`."""
    done = sum(state.status in ("finished", "failed") for state in progress.states)
    left = progress.remaining_seconds()
    bound = "at most " if progress.at_most else ""
    final = ", with the final model" if progress.after > 0 else ""
    remaining = "" if left is None else f" · {bound}about {time_text(left)} left{final}"
    total = f"{bound}{count_text(progress.total, 'run')}"
    return f"{done} of {total} done · {progress.slots} in parallel{remaining}"


def event_line(progress: Progress, state: JobState, measure: Measure) -> str:
    """The latest event as a line."""
    title = job_title(state.job.entry)
    if state.last_event == "evaluated":
        return f"{title}: step {state.step}/{state.steps}: {live_scores(measure, state.train, state.validation)}"
    if state.last_event == "failed":
        return f"{title}: failed: {state.message}"
    if state.last_event == "finished":
        return f"{title}: finished ({footer(progress)})"
    if state.last_event == "busy":
        return f"{title}: {state.message or 'another process is running it'}"
    return f"{title}: {state.last_event}"


def job_title(entry: JobEntry) -> str:
    """`strong seed 0 fold 1`, `refit of strong seed 0`, `soup of 5 runs of strong`."""
    if len(entry.inputs) > 1:
        return f"{entry.kind} of {len(entry.inputs)} runs of {entry.variant}"
    title = f"{entry.variant} seed {entry.seed}" + ("" if entry.fold is None else f" fold {entry.fold}")
    return title if entry.kind == "train" else f"{entry.kind} of {title}"


def describe_matrix(runs: list[dict[str, Any]]) -> Adaptive:
    """The runs of a dry run: a row for those of a preset that are in one state."""
    has_folds = any(run["fold"] is not None for run in runs)
    titles = ["Preset", "Seeds", *(["Folds"] if has_folds else []), "Runs", "State"]
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        grouped.setdefault((run["variant"], run["state"]), []).append(run)
    rows = []
    for (name, state), these in grouped.items():
        numbers = [_numbers(run[key] for run in these) for key in (("seed", "fold") if has_folds else ("seed",))]
        rows.append([Cell(text) for text in (name, *numbers, str(len(these)), state)])
    return rich_table(Table("", [Column(title, numeric=title == "Runs") for title in titles], rows))


def _numbers(found: Iterable[int | None]) -> str:
    """`0 to 4`, or `0, 3, 7` where numbers between them are missing."""
    numbers = sorted({number for number in found if number is not None})
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers)) or DASH
