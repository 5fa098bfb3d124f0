"""Helpers that several checks share: the splits by name, and the display of rows, counts and percentages."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from finetune.data.duplicates import TextKey, text_keys
from finetune.data.rows import Data, Rows
from finetune.measurement.units import row_text
from finetune.records.schema import Finding

CHECKS = (  # the names that findings have
    "adversarial",
    "classes",
    "conflicts",
    "duplicates",
    "groups",
    "label_errors",
    "label_shift",
    "label_variants",
    "language",
    "leaks",
    "length_shift",
    "majority",
    "resolution",
    "tokens",
    "truncation",
)
EXAMPLES = 3  # rows shown of one finding
SHOWN = 120  # characters of a text in an example
NAMED = 5  # labels named in one sentence
TWO_SIDED = 1.959964  # normal quantile of a 95 % interval


class FoundRow(NamedTuple):
    """A row that a finding is about.

    Attributes:
        split: train, validation, test, or unlabelled.
        position: In the split, from 0.
        about: Text shown after the row, such as the row that it equals.
    """

    split: str
    position: int
    about: str = ""


class LocatedFinding(Finding):
    """A finding with all its rows: too many for a record, which shows a few of them as examples."""

    rows: list[FoundRow] = Field([], description="All that it is about.")

    @classmethod
    def of(cls, finding: Finding) -> LocatedFinding:
        """The finding, with the rows where they are known."""
        return finding if isinstance(finding, cls) else cls(**finding.model_dump())

    def for_record(self) -> Finding:
        """The finding without its rows."""
        return Finding(**self.model_dump(exclude={"rows"}))


def shown_rows(
    splits: Mapping[str, Rows], rows: Sequence[FoundRow], label: bool = False, most: int = EXAMPLES
) -> dict[str, Any]:
    """The fields of a finding that say which rows it is about: all of them, and the first as examples."""
    examples = [f"{show_row(row.split, splits[row.split], row.position, label)}{row.about}" for row in rows[:most]]
    return {"rows": list(rows), "examples": examples}


def keys_by_split(data: Data) -> dict[str, list[TextKey]]:
    """Split -> keys that are equal for rows with the same text; punctuation is ignored."""
    return {name: text_keys(rows) for name, rows in data.whole_splits().items()}


def draw_positions(rows: Rows, most: int) -> Sequence[int]:
    """All positions, or `most` of them if there are more rows: ascending, and the same each time."""
    positions = range(len(rows))
    return positions if len(rows) <= most else sorted(random.Random(0).sample(positions, most))


def draw_rows(rows: Rows, most: int) -> Rows:
    """The rows at these positions; the same object if these are all rows."""
    return rows if len(rows) <= most else rows.take(draw_positions(rows, most))


def is_given(data: Data, split: str) -> bool:
    """Whether the split came as a separate file, instead of being split off here."""
    return data.tables.get(split, split) == split


def advise_on_shift(data: Data, split: str) -> str:
    """What to do about a split that differs from train."""
    if not is_given(data, split):
        return f"As the recipe splits the rows, {split} differs from train: regularization cannot close this gap"
    return (
        f"If {split} should be like train, use one file with all rows, which is then split: --data FILE. If it comes "
        "from another time or source, regularization cannot close this gap"
    )


def full_texts(rows: Rows) -> list[str]:
    """The text of each row; both texts of a pair in one."""
    if rows.pairs is None:
        return list(rows.texts)
    return [f"{text} {pair}" for text, pair in zip(rows.texts, rows.pairs, strict=True)]


def row_id(rows: Rows, index: int) -> str:
    """The row number in the source, and the name if the row has one."""
    return row_text(rows.ids[index], rows.name(index))


def show_row(split: str, rows: Rows, index: int, label: bool = False) -> str:
    """One line: split, row id, label where it matters, and the start of the text."""
    second = "" if rows.pairs is None else f" / {rows.pairs[index]}"
    text = " ".join(f"{rows.texts[index]}{second}".split())
    shortened = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    shown_label = f" [{show_label(rows.labels[index])}]" if label else ""
    return f"{split} row {row_id(rows, index)}{shown_label}: {shortened}"


def show_label(label: Any) -> str:
    """A label as a user writes it; lists joined."""
    if isinstance(label, list):
        return ", ".join(label) or "none"
    return f"{label:g}" if isinstance(label, float) else str(label)


def verb(number: int, singular: str, plural: str) -> str:
    return singular if number == 1 else plural


def percent(fraction: float) -> str:
    """A fraction in [0, 1] as a percentage; a small one is not shown as 0."""
    return f"{100 * fraction:.0f} %" if fraction >= 0.1 or fraction == 0 else f"{100 * fraction:.2g} %"
