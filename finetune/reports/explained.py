"""Which words moved the answers of the exported model to rows on which presets disagree, as a table."""

from __future__ import annotations

from finetune.measurement.units import DASH, number_text, percent_text, row_text, signed
from finetune.records.explained import Deletion, ExplainedAnswer
from finetune.records.report import Disagreement, Group
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.numbers import shorten
from finetune.reports.tables import long_column

NOTES = [
    "Contributions are integrated gradients of the calibrated log-odds of the answer against the next most likely "
    "class; with several labels, of the log-odds of the most confident one; with numbers, of the number. Positive "
    "values support the answer.",
    "Trust the named words where removing them moves the answer more than removing random words.",
]


def explained_table(group: Group) -> Table | None:
    """One table row per explained row; None where nothing was explained."""
    rows = [(row, row.explained) for row in group.disagreements if row.explained is not None]
    if not rows or group.recommendation is None:
        return None
    labelled = group.task != "regression"
    columns = [Column("Row"), long_column("Text"), Column("True label" if labelled else "Target", numeric=False)]
    columns += [Column("Answer", numeric=False), long_column("Words that moved it most"), long_column("Without them")]
    caption = f"Which words moved the answers of the exported model to {len(rows)} of these rows."
    return Table(caption, columns, [_row(row, found) for row, found in rows], notes=NOTES, as_cards=True)


def _row(row: Disagreement, found: ExplainedAnswer) -> list[Cell]:
    name = shorten(row_text(row.row, row.id), 60)
    text = shorten(row.text or "", 140), shorten(row.pair or "", 140)
    answer = number_text(found.value, 3) if found.label is None else shorten(found.label, 40)
    sure = "" if found.probability is None else percent_text(found.probability)
    against = "" if found.against is None else f", next {shorten(found.against, 30)}"
    words = ", ".join(f"{shorten(word.word, 30)} {signed(word.contribution, 2)}" for word in found.words)
    return [
        Cell(name, sort=float(row.row) if row.row.isdecimal() else row.row, user=True),
        Cell(text[0], text[1], user=True),
        Cell(shorten(row.target, 40), sort=row.target, user=True),
        Cell(answer, f"{sure}{against}", sort=answer, user=True),
        Cell(words, user=True),
        _without(found, found.deletion),
    ]


def _without(found: ExplainedAnswer, check: Deletion | None) -> Cell:
    """The probability, or the number, without the words that speak for it, and without as many random ones."""
    if check is None:
        return Cell(DASH, "too few words to check")

    def amount(value: float) -> str:
        return number_text(value, 3) if found.label is None else percent_text(value)

    names = ", ".join(shorten(word, 30) for word in check.words)
    text = f"{amount(check.before)} → {amount(check.after)} without {names}"
    return Cell(text, f"{amount(check.random)} without as many random words", user=True)
