"""How `training.learning_rate: auto` was decided: in words, and as a table of all runs."""

from __future__ import annotations

from finetune.measurement.units import count_text, integer_text, metric_name, score_text, time_text
from finetune.records.facts import RateChoice, RateScore
from finetune.records.report import Group
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.numbers import shorten


def choice_text(choice: RateChoice, seconds: float | None = None) -> str:
    """The value, the reason, the score of each, and the time it took, if already known.

    `0.0001: better than the default of 5e-05 beyond chance. Accuracy over 3 folds of 300 training rows: …`
    """
    text = f"{choice.value:g}: {choice.reason}."
    if not choice.tried:
        return text
    scores = ", ".join(_tried(each, choice.metric) for each in choice.tried)
    took = count_text(choice.steps, "optimizer step") + ("" if seconds is None else f", {time_text(seconds)}")
    rows = count_text(choice.rows, "training row")
    return f"{text} Over {choice.folds} folds of {rows}: {scores}. It took {took}."


def choices_table(group: Group) -> Table | None:
    """A row per run that chose its learning rate; None where none did."""
    chose = [
        (variant.name, run, choice)
        for variant in group.variants
        for run in variant.runs
        if (choice := run.learning_rate) is not None
    ]
    tried = sorted({each.value for *_, choice in chose for each in choice.tried})
    if not chose:
        return None
    columns = [Column("Preset", numeric=False), Column("Seed"), Column("Chosen")]
    columns += [Column(f"{rate:g}", note=metric_name(group.score)) for rate in tried]
    columns += [Column("Steps"), Column("Time"), Column("Why", numeric=False, sortable=False, look="long")]
    rows = []
    for name, run, choice in chose:
        scores = {each.value: _tried(each, choice.metric, named=False) for each in choice.tried}
        fold = "" if run.fold is None else f", fold {run.fold}"
        rows.append(
            [
                Cell(name, user=True),
                Cell(f"{run.seed}{fold}"),
                Cell(f"{choice.value:g}"),
                *(Cell(scores.get(rate, "")) for rate in tried),
                Cell(integer_text(choice.steps)),
                Cell(time_text(run.choice_seconds)),
                Cell(shorten(choice.reason, 200)),
            ]
        )
    caption = (
        "Learning rates that were chosen by cross-validation on the training rows of each run: score over the rows of "
        "all folds, with the adjusted one-sided p-value of being better than the default."
    )
    return Table(caption, columns, rows)


def _tried(each: RateScore, metric: str, named: bool = True) -> str:
    name = f"{each.value:g} " if named else ""
    if each.failure is not None:
        return f"{name}diverged"
    p = "" if each.p is None or each.p >= 1 else f" (p = {each.p:.2g})"
    return f"{name}{score_text(metric, each.score)}{p}"
