"""The final model of a comparison, beside the alternatives."""

from __future__ import annotations

from finetune.measurement.units import DASH, Scale
from finetune.records.report import FinalModel, Group, ModelScore, ScoredModel
from finetune.reports.blocks import Block, Cell, Column, Prose, Table
from finetune.reports.captions import sentence
from finetune.reports.numbers import scale_of, shorten

NAMES = {
    "best": "best seed",
    "refit": "refit",
    "soup": "soup",
    "distil": "student",
    "members": "mean of the seeds",
    "ensemble": "ensemble",
}
INTERVALS = (
    "95 % intervals are over rows, for exactly these models; the difference is paired by row. Each is measured once on "
    "test, after it was made."
)


def final_name(kind: str) -> str:
    """`student`."""
    return NAMES.get(kind, kind)


def final_table(group: Group, final: FinalModel) -> Table:
    """A row for each model: main score on validation and test, the difference to the seeds' mean, and the loss."""
    score, loss = scale_of(group, group.score), scale_of(group, group.loss)
    splits = [split for split in group.splits if split != "train"]
    columns = [Column("Model", numeric=False)]
    columns += [Column(f"{sentence(split)} {score.title}", note="95 % interval") for split in splits]
    columns += [Column(f"{sentence(group.reported)} − mean of the seeds", note=score.unit or score.name)]
    columns += [Column(f"{sentence(group.reported)} {loss.title}"), Column("Description", numeric=False)]
    models = [*final.references, *final.candidates]
    rows = [_row(group, model, splits, "exported" if model.kind == final.kind else "") for model in models]
    return Table(_caption(final), columns, rows, notes=[INTERVALS], as_cards=True)


def _caption(final: FinalModel) -> str:
    missing = "" if final.asked in (final.kind, "auto") else ", which was not made"
    return f"What is exported: the {final_name(final.kind)} (--final {final.asked}{missing})."


def _row(group: Group, model: ScoredModel, splits: list[str], mark: str) -> list[Cell]:
    score, loss = scale_of(group, group.score), scale_of(group, group.loss)
    levels = [getattr(model, split).get(group.score) for split in splits]
    losses = getattr(model, group.reported)
    reported = losses[group.loss].value if group.loss in losses else None
    about = model.about if model.problem is None else f"{model.about}: not made: {model.problem}"
    return [
        Cell(final_name(model.kind), mark, sort=final_name(model.kind)),
        *(_level(score, level) for level in levels),
        _difference(score, model.difference.get(group.score)),
        Cell(loss.level(reported), sort=reported),
        Cell(shorten(about, 400), user=True),
    ]


def _level(scale: Scale, found: ModelScore | None) -> Cell:
    if found is None:
        return Cell(DASH)
    return Cell(scale.level(found.value, unit=False), scale.range(found), found.value)


def _difference(scale: Scale, found: ModelScore | None) -> Cell:
    if found is None:
        return Cell(DASH)
    return Cell(scale.change(found.value, unit=False), scale.interval(found), found.value)


def final_blocks(group: Group) -> list[Block]:
    """The section on the final model."""
    chosen = group.recommendation
    if chosen is None or chosen.final is None:
        return [Prose("– Nothing is recommended, so there is no model.")]
    return [final_table(group, chosen.final), Prose(f"How it is chosen: {chosen.final.rule}")]
