"""Runs and experiments of a folder as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from finetune.measurement.units import DASH, change_text, count_text, listed, metric_name, score_text
from finetune.records.listing import Listed
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.rich_table import Adaptive, rich_table

UNITS = ("B", "KB", "MB", "GB", "TB")


def runs_table(entries: Sequence[Listed], folder: str) -> Adaptive:
    """A row for each, and how much disk all of them take."""
    titles = ("Name", "Kind", "Data", "Preset", "Status")
    columns = [Column(title, numeric=False) for title in titles]
    columns += [Column(title) for title in ("Score", "Gap", "Date", "Size")]
    total = size_text(sum(entry.size for entry in entries))
    experiments = sum(entry.kind not in ("run", "unreadable") for entry in entries)
    counts = [count_text(len(entries) - experiments, "run"), count_text(experiments, "experiment")]
    caption = f"{folder}: {listed(counts)}, {total}"
    notes = ["Score: on test, or on validation without a test split; of a comparison that of the recommended preset."]
    return rich_table(Table(caption, columns, [_row(entry, folder) for entry in entries], notes=notes))


def _row(entry: Listed, folder: str) -> list[Cell]:
    score = gap = DASH
    if entry.metric is not None:
        score = f"{metric_name(entry.metric)} {score_text(entry.metric, entry.score)}"
        gap = change_text(entry.metric, entry.gap)
    name = str(PurePath(entry.path).relative_to(folder))
    names = (name, entry.kind, entry.data or DASH, entry.preset or DASH, entry.status)
    return [Cell(text) for text in (*names, score, gap, entry.date or DASH, size_text(entry.size))]


def size_text(size: float) -> str:
    """`1.2 GB`."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in UNITS[:2] else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"
