"""Runs and experiments of a folder as a table, and two of them side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from finetune.measurement.units import DASH, change_text, count_text, listed, metric_name, scale, score_text
from finetune.records.listing import Listed, ScoredTwice, TwoListed
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.captions import sentence
from finetune.reports.numbers import split_name
from finetune.reports.rich_table import Adaptive, rich_table

UNITS = ("B", "KB", "MB", "GB", "TB")
SCORE_NOTE = "Score: on test, or on validation without a test split; for a comparison, of the recommended preset."


def runs_table(entries: Sequence[Listed], folder: str) -> Adaptive:
    """A row for each, with the disk space of all."""
    titles = ("Name", "Kind", "Data", "Preset", "Status")
    columns = [Column(title, numeric=False) for title in titles]
    columns += [Column(title) for title in ("Score", "Gap", "Date", "Size")]
    notes = [SCORE_NOTE]
    return rich_table(
        Table(runs_caption(entries, folder), columns, [_row(entry, folder) for entry in entries], notes=notes)
    )


def runs_caption(entries: Sequence[Listed], folder: str) -> str:
    """`runs: 3 runs and 1 experiment, 1.2 GB`."""
    experiments = sum(entry.kind not in ("run", "unreadable") for entry in entries)
    counts = [count_text(len(entries) - experiments, "run"), count_text(experiments, "experiment")]
    return f"{folder}: {listed(counts)}, {size_text(sum(entry.size for entry in entries))}"


def _row(entry: Listed, folder: str) -> list[Cell]:
    score = gap = DASH
    if entry.metric is not None:
        score = f"{metric_name(entry.metric)} {score_text(entry.metric, entry.score)}"
        gap = change_text(entry.metric, entry.gap)
    names = (name_below(entry, folder), entry.kind, entry.data or DASH, entry.preset or DASH, entry.status)
    return [Cell(text) for text in (*names, score, gap, entry.date or DASH, size_text(entry.size))]


def name_below(entry: Listed, folder: str) -> str:
    """The path of an entry below the folder."""
    return PurePath(entry.path).relative_to(folder).as_posix()


def pair_tables(pair: TwoListed, folder: str) -> list[Adaptive]:
    """Numbers of both, and the settings in which they differ."""
    columns = [Column("", numeric=False), *(Column(name_below(each, folder)) for each in (pair.first, pair.second))]
    about = [
        [Cell(title), Cell(getattr(pair.first, key) or DASH), Cell(getattr(pair.second, key) or DASH)]
        for title, key in (("Kind", "kind"), ("Data", "data"), ("Preset", "preset"), ("Date", "date"))
    ]
    about.append([Cell("Status"), Cell(pair.first.status), Cell(pair.second.status)])
    about.append([Cell("Size"), Cell(size_text(pair.first.size)), Cell(size_text(pair.second.size))])
    rows = [[*cells, Cell("")] for cells in about]
    rows += [_scores(each) for each in pair.scores]
    tables = [Table("", [*columns, Column("Difference")], rows, notes=_notes(pair))]
    if pair.settings:
        values = [[Cell(key), *(Cell(_value(each)) for each in pair.settings[key])] for key in pair.settings]
        names = [Column(column.title, numeric=False) for column in columns[1:]]
        tables.append(Table("Settings that differ", [Column("Key", numeric=False), *names], values))
    return [rich_table(table) for table in tables]


def _scores(each: ScoredTwice) -> list[Cell]:
    is_gap = each.split == "gap"
    title = "gap" if is_gap else split_name("train_probe" if each.split == "train" else each.split)
    shown = [
        change_text(each.metric, value) if is_gap else score_text(each.metric, value)
        for value in (each.first, each.second)
    ]
    change = change_text(each.metric, each.difference.value, unit=False)
    interval = scale(each.metric).interval(each.difference)
    return [Cell(sentence(f"{metric_name(each.metric)}, {title}")), *map(Cell, shown), Cell(change, interval)]


def _notes(pair: TwoListed) -> list[str]:
    notes = []
    if not pair.scores:
        notes.append(
            "They have no number in common: one has no finished run or no report of a comparison, or they have "
            "different metrics."
        )
    if any(each.difference.low is not None for each in pair.scores):
        notes.append("Difference: second − first, with its 95 % interval over the rows, for exactly these two models.")
    elif pair.scores:
        notes.append("Difference: second − first.")
    if pair.same_data is False:
        notes.append("They were measured on different rows: differences also come from the data.")
    if any(each.presets for each in (pair.first, pair.second)) and pair.scores:
        notes.append("For a comparison: means over the seeds of the recommended preset.")
    if pair.same_data and not pair.settings:
        notes.append("No settings differ except seeds.")
    return notes


def _value(value: Any) -> str:
    return DASH if value is None else json.dumps(value, ensure_ascii=False)


def size_text(size: float) -> str:
    """`1.2 GB`."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in UNITS[:2] else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"
