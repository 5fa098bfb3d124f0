"""Frozen encoders side by side: as lines on a terminal, and as blocks of a page."""

from __future__ import annotations

from finetune.advice.encoders import LIMITS, encoder_verdict
from finetune.measurement.units import (
    DASH,
    Scale,
    count_text,
    integer_text,
    number_text,
    percent_text,
    scale,
    time_text,
)
from finetune.records.encoders import EncoderComparison, EncoderScore
from finetune.reports.blocks import Block, Bullets, Cell, Column, Table
from finetune.reports.captions import sentence
from finetune.reports.numbers import shorten


def render_encoders(compared: EncoderComparison) -> str:
    """Two lines for each encoder, the best first: name, then numbers; the verdict; and its limits."""
    unit = scale(compared.score)
    lines = [caption(compared), ""]
    rows = [_numbers(entry, unit) for entry in [*compared.scored(), compared.tfidf]]
    header = _columns(unit)
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]

    def aligned(row: list[str]) -> str:
        return "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    lines.append(aligned(header))
    for entry, row in zip([*compared.scored(), compared.tfidf], rows, strict=True):
        lines += [_name(entry), aligned(row)]
    for entry in compared.models:
        if entry.error is not None:
            lines.append(f"{_name(entry)}  no score: {entry.error}")
    return "\n".join([*lines, "", *_notes(compared), *encoder_verdict(compared), LIMITS])


def encoder_blocks(compared: EncoderComparison) -> list[Block]:
    """Verdict, table, and limits."""
    unit = scale(compared.score)
    columns = [Column("Encoder", numeric=False), *(Column(sentence(title)) for title in _columns(unit))]
    rows = []
    for entry in [*compared.models, compared.tfidf]:
        detail = "" if entry.error is None else shorten(entry.error, 300)
        score, *others = _numbers(entry, unit)
        cells = [Cell(score, sort=entry.score.mean), *map(Cell, others)]
        rows.append([Cell(shorten(_name(entry)), detail, sort=entry.model, user=True), *cells])
    notes = [shorten(text, 500) for text in _notes(compared)]
    table = Table(caption(compared), columns, rows, second_part=len(compared.models), notes=[*notes, LIMITS])
    return [Bullets([shorten(text, 500) for text in encoder_verdict(compared)], user=True), table]


def caption(compared: EncoderComparison) -> str:
    """What was measured on how many rows."""
    name = scale(compared.score).title
    of_rows = "" if compared.rows == compared.of_rows else f" of {compared.of_rows:,}, drawn at random"
    return (
        f"Frozen encoders with a linear model: {name}, cross-validated on {compared.rows:,} training rows{of_rows} "
        f"({count_text(compared.folds, 'fold')}, {compared.how}). Validation and test were not read."
    )


def _columns(unit: Scale) -> list[str]:
    """Their titles."""
    return [unit.title, "to the best", "time", "params", "dim", "tokens", "cut"]


def _numbers(entry: EncoderScore, unit: Scale) -> list[str]:
    size = DASH if entry.parameters is None else f"{number_text(entry.parameters / 1e6, 1)} M"
    score, change = entry.score, entry.difference
    return [
        f"{unit.level(score.mean, unit=False)} {unit.range(score)}".rstrip(),
        f"{unit.change(change.mean, unit=False)} {unit.interval(change)}".rstrip() if change else DASH,
        time_text(entry.seconds),
        size,
        integer_text(entry.dimension),
        integer_text(entry.max_tokens),
        percent_text(entry.truncated),
    ]


def _notes(compared: EncoderComparison) -> list[str]:
    """What short titles mean, and warnings of single encoders."""
    cut = f"In brackets: what the head reads. cut: texts that lose tokens at data.max_length={compared.max_length}."
    warned = [f"warning: {entry.model}: {text}" for entry in compared.models for text in entry.warnings]
    return [cut, *warned]


def _name(entry: EncoderScore) -> str:
    """`./encoder (mean, the recipe's)`."""
    about = [*([entry.pooling] if entry.pooling else []), *(["the recipe's"] if entry.is_recipe else [])]
    return f"{entry.model} ({', '.join(about)})" if about else entry.model
