"""Findings row by row, to work through in a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finetune.checks.base import LocatedFinding, show_label
from finetune.data.rows import Data, Rows

COLUMNS = ("severity", "check", "what", "split", "row", "id", "label", "text", "detail", "advice")


def rows_found(findings: Sequence[LocatedFinding], data: Data) -> Iterator[list[str]]:
    """Cells of `COLUMNS`: a line for each row of each finding, and one line for a finding without single rows.

    Args:
        findings: In the order of the lines.
        data: The data of the findings.
    """
    splits = data.whole_splits()
    if data.unlabelled is not None:
        splits["unlabelled"] = data.unlabelled
    for finding in findings:
        what = [finding.level, finding.check, finding.text]
        for row in finding.rows:
            cells = _cells(splits[row.split], row.position)
            yield [*what, row.split, *cells, _in_words(row.about), finding.advice]
        if not finding.rows:
            yield [*what, "", "", "", "", "", "", finding.advice]


def _in_words(about: str) -> str:
    """Without a sign that a spreadsheet takes for the start of a formula."""
    return about.strip().replace("= ", "equals ", 1) if about.startswith(" = ") else about.strip()


def _cells(rows: Rows, index: int) -> list[str]:
    """Number, id, label and whole text of a row."""
    label, pair = rows.labels[index], "" if rows.pairs is None else f" / {rows.pairs[index]}"
    shown = "" if label is None else show_label(label)
    return [rows.ids[index], rows.name(index) or "", shown, f"{rows.texts[index]}{pair}"]
