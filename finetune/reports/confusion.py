"""Confusion matrices as tables with shaded cells: of each preset, and how it differs from the baseline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from finetune.measurement.units import DASH, MINUS, count_text
from finetune.records.report import Confusion, Group, VariantReport
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.captions import name_of, quoted
from finetune.reports.numbers import finished, shorten

MOST_CLASSES = 12  # of a matrix that a screen holds; of more, the most frequent confusions are listed
MOST_PAIRS = 20
NO_INTERVAL = "Cells have no intervals: a class of few rows moves by many points with one row."
Counts = Mapping[tuple[str, str], float]  # (true, predicted) -> rows


def confusion_tables(group: Group) -> list[Table]:
    """A matrix per preset, those of baseline and recommendation open; for many classes one list of confusions."""
    shown = [variant for variant in finished(group) if variant.confusions]
    if not shown:
        return []
    labels = _labels(shown)
    counts = {variant.name: _counts(variant.confusions) for variant in shown}
    if len(labels) > MOST_CLASSES:
        pairs = _pairs(group, shown, counts)
        return [pairs] if pairs.rows else []
    chosen = None if group.recommendation is None else group.recommendation.variant
    return [_matrix(group, variant, labels, counts, variant.name not in (group.baseline, chosen)) for variant in shown]


def _labels(shown: list[VariantReport]) -> list[str]:
    """In the order of the record: that of the true classes, which all occur in a measured split or not at all."""
    found = [(each.true, each.predicted) for variant in shown for each in variant.confusions]
    return list(dict.fromkeys([*(true for true, _ in found), *(predicted for _, predicted in found)]))


def _counts(confusions: list[Confusion]) -> Counts:
    return {(each.true, each.predicted): each.rows for each in confusions}


def _matrix(
    group: Group, variant: VariantReport, labels: list[str], counts: Mapping[str, Counts], folded: bool
) -> Table:
    ours, theirs = counts[variant.name], counts.get(variant.baseline or "")
    columns = [Column("True class", numeric=False, sortable=False), Column("Rows", sortable=False)]
    columns += [Column(f"→ {shorten(label, 24)}", sortable=False) for label in labels]
    rows = []
    for true in labels:
        total = _total(ours, true)
        cells = [Cell(shorten(true, 40), user=True), Cell(f"{total:.0f}")]
        for predicted in labels:
            share = _share(ours, true, predicted)
            change = None if theirs is None else _change(share, _share(theirs, true, predicted))
            cells.append(Cell(DASH if share is None else f"{share:.0f}", change or "", shade=(share or 0) / 100))
        rows.append(cells)
    caption = f"Confusion matrix of {name_of(variant)} on {group.reported}, % of the rows of each true class"
    caption += "." if theirs is None else f"; second line: difference to {quoted(variant.baseline or '')}, in points."
    notes = [] if folded or theirs is None else [NO_INTERVAL]
    return Table(caption, columns, rows, 0 if folded else None, notes=notes)


def _total(counts: Counts, true: str) -> float:
    return sum(rows for (label, _), rows in counts.items() if label == true)


def _share(counts: Counts, true: str, predicted: str) -> float | None:
    """In percent; None of a class without rows."""
    total = _total(counts, true)
    return 100 * counts.get((true, predicted), 0.0) / total if total else None


def _change(share: float | None, other: float | None) -> str | None:
    if share is None or other is None:
        return None
    difference = round(share - other)
    return "0" if difference == 0 else f"{'+' if difference > 0 else MINUS}{abs(difference)}"


def _pairs(group: Group, shown: list[VariantReport], counts: Mapping[str, Counts]) -> Table:
    """The pairs of classes that are confused most, of all presets together."""
    together: dict[tuple[str, str], float] = defaultdict(float)
    for of_variant in counts.values():
        for pair, rows in of_variant.items():
            together[pair] += rows
    most = sorted((pair for pair in together if pair[0] != pair[1]), key=lambda pair: (-together[pair], pair))[
        :MOST_PAIRS
    ]
    columns = [Column("True class", numeric=False), Column("Predicted", numeric=False)]
    columns += [Column(shorten(variant.name, 40)) for variant in shown]
    lines = []
    for pair in most:
        names = [Cell(shorten(label, 40), sort=label[:60], user=True) for label in pair]
        lines.append([*names, *(_confused(pair, variant, counts) for variant in shown)])
    text = f"The {count_text(len(lines), 'pair')} of classes that are confused most on {group.reported}: rows, mean "
    return Table(f"{text}over seeds. Second line: difference to the baseline of the preset.", columns, lines)


def _confused(pair: tuple[str, str], variant: VariantReport, counts: Mapping[str, Counts]) -> Cell:
    rows, theirs = counts[variant.name].get(pair, 0.0), counts.get(variant.baseline or "")
    change = "" if theirs is None else _rows_change(rows - theirs.get(pair, 0.0))
    return Cell(f"{rows:.1f}", change, sort=rows)


def _rows_change(rows: float) -> str:
    return "0" if abs(rows) < 0.05 else f"{'+' if rows > 0 else MINUS}{abs(rows):.1f}"
