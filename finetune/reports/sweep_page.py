"""The report of a sweep: its sections and its files. Computes nothing."""

from __future__ import annotations

from pathlib import Path

from finetune.advice.sweep import chosen_text
from finetune.measurement.units import DASH, Scale, count_text, number_text
from finetune.records.sweep import SweepPoint, SweepReport
from finetune.reports.blocks import Block, Bullets, Cell, Column, Facts, Page, Plot, Prose, Section, Table
from finetune.reports.captions import quoted, sentence
from finetune.reports.curve_page import change_cell, failure_blocks, level_cell, notes_of
from finetune.reports.figures.path import path
from finetune.reports.files import write_files
from finetune.reports.numbers import log_loss_note, scale_of, shorten, skipped, split_name
from finetune.reports.palette import Palette
from finetune.reports.recommendation import about, caveat_blocks
from finetune.reports.reproduce import reproduce
from finetune.reports.sweep import failures, region, value_text, zero_part, zeros_text

BAND_NOTE = (
    "Bands and brackets are 95 % intervals of the mean over seeds and rows. Small dots are single seeds. The same seed "
    "gives every point the same rows, initial head and order of batches."
)


def write_sweep(sweep: SweepReport, folder: Path) -> list[Path]:
    """Write sweep.json, sweep.html, and sweep.md with its figures; returns the three paths."""
    palette = palette_of(sweep)
    title = shorten(sweep.title, 160) or "Sweep"
    page = Page(title, [("g1", sweep, sections(sweep, palette))], skipped(sweep), palette)
    return write_files("sweep", sweep, page, folder)


def palette_of(sweep: SweepReport) -> Palette:
    """A mark per line of the picture."""
    return Palette(point.line for point in sweep.points if point.line)


def sections(sweep: SweepReport, palette: Palette) -> list[Section]:
    """All sections on a sweep."""
    return [
        Section("answer", "The choice", answer(sweep)),
        Section("path", f"The path of {listed_keys(sweep)}", figure(sweep, palette)),
        Section("points", "Points side by side", [points_table(sweep), *_outcomes(sweep), _reasons(sweep)]),
        Section("data", "Data", _data(sweep)),
        Section("reproduce", "Reproduce", reproduce(sweep, "Recipe at the first point")),
        Section("failures", "Failures", _failures(sweep)),
    ]


def listed_keys(sweep: SweepReport) -> str:
    return " and ".join(shorten(key, 80) for key in sweep.keys)


def answer(sweep: SweepReport) -> list[Block]:
    """The headline, the choice with its rule and its test score, and the caveats."""
    runs = about(sweep, count_text(len(sweep.points), "point"), count_text(len(sweep.seeds), "seed"))
    blocks: list[Block] = [Prose(runs, quiet=True), Prose(shorten(sweep.headline, 1200), lead=True)]
    chosen = sweep.chosen
    if chosen is not None:
        entries = [
            ("Chosen", shorten(chosen.name, 200)),
            ("Test", sentence(chosen_text(sweep, chosen))),
            ("Model", "A sweep keeps no model: train one with `finetune run` and the chosen settings."),
            ("Why", shorten(chosen.reason, 600)),
            ("Not significantly different", shorten(", ".join(chosen.tied), 400) or DASH),
            ("Rule", chosen.rule),
        ]
        blocks.append(Facts(entries))
    return [*blocks, *caveat_blocks(sweep.caveats)]


def figure(sweep: SweepReport, palette: Palette) -> list[Block]:
    """The figure of the path."""
    picture = path(sweep, palette)
    if not picture.panels:
        return [Prose("– No run finished, so there is nothing to draw.")]
    chosen = "" if sweep.chosen is None else f" Dotted: {quoted(sweep.chosen.name)}, the choice by validation."
    caption = f"Solid: validation; dashed: train sample.{chosen} {sweep.rule}"
    if len({point.line for point in sweep.points}) > 1:
        caption += " Regions are those of the line with the choice."
    return [Plot("path", f"The path of {listed_keys(sweep)}", picture, caption)]


def points_table(sweep: SweepReport) -> Table:
    """A row per point. Test is not in it: only the choice is measured there."""
    score, loss, zeros = scale_of(sweep, sweep.score), scale_of(sweep, sweep.loss), zero_part(sweep)
    columns = [
        *(Column(shorten(key, 60)) for key in sweep.keys),
        Column("Train", note=score.title),
        Column("Validation", note=score.title),
        Column("Gap", note=score.change_title),
        Column(f"{sentence(loss.name)}", note="validation"),
        Column("Gap", note=loss.change_title),
        Column(f"Validation − {shorten(sweep.baseline, 40)}", note="paired"),
        *([Column("Zeros", note=zeros)] if zeros else []),
        Column("Norm", note="encoder, head"),
        Column("Region", numeric=False),
        Column("Runs", note="finished"),
    ]
    rows = [_row(sweep, point, score, loss, zeros) for point in sweep.points]
    caption = f"Means of {count_text(len(sweep.seeds), 'seed')}; every point starts from preset {sweep.preset}."
    notes = [BAND_NOTE, "A positive gap means overfitting.", sweep.rule, log_loss_note(sweep.loss)]
    return Table(caption, columns, rows, notes=[note for note in notes if note])


def _row(sweep: SweepReport, point: SweepPoint, score: Scale, loss: Scale, zeros: str | None) -> list[Cell]:
    is_chosen = sweep.chosen is not None and point.name == sweep.chosen.name
    finished = sum(run.status == "finished" for run in point.runs)
    norms = ", ".join(number_text(group.norm, 2) for group in point.weights.values())
    difference = point.differences.get("validation", {}).get(sweep.score)
    return [
        *(Cell(value_text(value), sort=_sort(value), user=True) for value in point.values.values()),
        level_cell(score, point.train.get(score.metric)),
        level_cell(score, point.validation.get(score.metric)),
        change_cell(score, point.gap.get(sweep.score)),
        level_cell(loss, point.validation.get(loss.metric)),
        change_cell(loss, point.gap.get(sweep.loss)),
        change_cell(score, difference),
        *([Cell(zeros_text(point.weights.get(zeros)))] if zeros else []),
        Cell(norms or DASH),
        Cell(", ".join(filter(None, ("chosen" * is_chosen, region(point)))) or DASH),
        Cell(f"{finished} of {len(point.runs)}", sort=finished),
    ]


def _sort(value: object) -> float | str:
    return float(value) if isinstance(value, int | float) else str(value)


def _outcomes(sweep: SweepReport) -> list[Block]:
    """What the techniques of each point did."""
    texts = [shorten(f"{point.name}: {text}", 400) for point in sweep.points for text in point.outcomes]
    return [Bullets(texts, user=True, title="What regularization did", folded=True)] if texts else []


def _reasons(sweep: SweepReport) -> Block:
    texts = [f"{quoted(point.name)}: {point.verdict}; {shorten(point.verdict_reason, 300)}." for point in sweep.points]
    return Bullets(texts, title="Reasons for the verdicts", folded=True)


def _data(sweep: SweepReport) -> list[Block]:
    blocks: list[Block] = [
        Facts(
            [
                ("Task", sweep.task.replace("_", "-")),
                ("Rows", ", ".join(f"{split_name(split)} {count:,}" for split, count in sweep.rows.items())),
                ("Columns", ", ".join(f"{key} = {shorten(name, 60)}" for key, name in sweep.columns.items()) or DASH),
            ]
        )
    ]
    return [*blocks, *notes_of(sweep)]


def _failures(sweep: SweepReport) -> list[Block]:
    return failure_blocks(failures(sweep), sum(len(point.runs) for point in sweep.points))
