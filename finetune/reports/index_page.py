"""index.html: one page over all runs and experiments of a folder, with links to their reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

from finetune.measurement.units import DASH, change_text, metric_name, score_text
from finetune.records.listing import Listed
from finetune.reports.blocks import Cell, Column, Page, Prose, Section, Table
from finetune.reports.html import render_page
from finetune.reports.listing import SCORE_NOTE, name_below, runs_caption, size_text
from finetune.reports.numbers import shorten
from finetune.reports.palette import Palette

TITLE = "Runs and experiments"
WRITTEN = b"<footer><p>Written by <code>finetune</code> from the records below "  # of report.html.j2
WITHOUT = "Names without a report link to their folder; to write its report: finetune report DIR."


def render_index(entries: Sequence[Listed], folder: str) -> str:
    """The whole page: a table, newest first, that sorts by every column.

    Args:
        entries: The runs and experiments.
        folder: Folder of the page; links are relative to it.
    """
    newest = sorted(entries, key=lambda entry: entry.date or "", reverse=True)
    section = Section("runs", "Newest first", [_table(newest, folder)] if entries else [Prose("– There is none.")])
    page = Page(TITLE, [("i1", SimpleNamespace(name=TITLE), [section])], [], Palette([]))
    return render_page(page, f"the records below {shorten(folder, 120)}")


def is_index(path: Path) -> bool:
    """Whether a file is a page made by `render_index`, for any runs."""
    return path.is_file() and WRITTEN in path.read_bytes()


def _table(entries: Sequence[Listed], folder: str) -> Table:
    columns = [Column(title, numeric=False, look="word") for title in ("Name", "Kind", "Data", "Preset")]
    columns += [Column("Score"), Column("Gap"), Column("Date"), Column("Size"), Column("Status", numeric=False)]
    notes = [SCORE_NOTE]
    if any(entry.report is None for entry in entries):
        notes.append(WITHOUT)
    return Table(
        f"{runs_caption(entries, shorten(folder, 120))}.",
        columns,
        [_row(entry, folder) for entry in entries],
        notes=notes,
        as_cards=True,
    )


def _row(entry: Listed, folder: str) -> list[Cell]:
    name, preset = name_below(entry, folder), entry.preset
    measured = entry.metric is not None and entry.score is not None
    score = score_text(entry.metric, entry.score) if entry.metric is not None else DASH
    gap = change_text(entry.metric, entry.gap) if entry.metric is not None else DASH
    return [
        Cell(shorten(name, 100), sort=name, user=True, link=f"./{quote(name)}/{quote(entry.report or '')}"),
        Cell(entry.kind, sort=entry.kind),
        Cell(shorten(entry.data, 60) or DASH, sort=entry.data or None, user=True),
        Cell(shorten(preset or DASH, 60), sort=preset, user=True),
        Cell(score, metric_name(entry.metric or "") if measured else "", sort=entry.score),
        Cell(gap, sort=entry.gap),
        Cell(entry.date or DASH, sort=entry.date),
        Cell(size_text(entry.size), sort=entry.size),
        Cell(shorten(entry.status, 200), sort=entry.status[:60], user=True),
    ]
