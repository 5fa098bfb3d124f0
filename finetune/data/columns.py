"""Tables -> rows: which column is what, and which rows cannot be used."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from finetune.data.rows import Rows
from finetune.data.sources import Table
from finetune.errors import DataError, suggest
from finetune.recipe import DataSection

TEXT_NAMES = (
    "text",
    "sentence",
    "content",
    "tweet",
    "review",
    "message",
    "comment",
    "utterance",
    "question",
    "body",
)
LABEL_NAMES = ("label", "labels", "sentiment", "category", "class", "intent", "target", "topic", "score")
PAIR_NAMES = ("text_pair", "sentence2", "text2", "text_b", "hypothesis")
MOSTLY = 0.95  # share of texts that read as numbers from which a column is taken for a wrong choice


@dataclass(frozen=True)
class Columns:
    """The columns in use, and what was decided for the user."""

    text: str
    label: str
    text_pair: str | None
    notes: list[str]

    def as_dict(self) -> dict[str, str]:
        used = {"text": self.text, "label": self.label}
        return used if self.text_pair is None else {**used, "text_pair": self.text_pair}


def choose_columns(section: DataSection, table: Table) -> Columns:
    """Take the named columns, or recognise them by their names.

    Raises:
        DataError: A column is missing, or none is recognised; lists what the file has.
    """
    notes: list[str] = []
    text = _choose(section.text, TEXT_NAMES, "text", table, notes)
    label = _choose(section.label, LABEL_NAMES, "label", table, notes)
    pair = section.text_pair
    if pair is not None:
        _require(pair, "text_pair", table)
    elif section.text is None:
        pair = _recognise(PAIR_NAMES, table)
        if pair is not None:
            notes.append(f"column '{pair}' is taken as the second text of a pair (by its name)")
    used = [name for name in (text, label, pair) if name is not None]
    if len(set(used)) < len(used):
        raise DataError(
            f"{table.origin}: column '{max(used, key=used.count)}' would be used twice. Columns: "
            f"{', '.join(table.columns)}. Type: --set data.text=COLUMN --set data.label=COLUMN"
        )
    return Columns(text, label, pair, notes)


def _choose(given: str | None, known: tuple[str, ...], role: str, table: Table, notes: list[str]) -> str:
    if given is not None:
        _require(given, role, table)
        return given
    found = _recognise(known, table)
    if found is None:
        raise DataError(
            f"{table.origin}: no column is recognised as the {role}. Columns: {', '.join(table.columns)}. "
            f"Type: --set data.{role}=COLUMN"
        )
    if found != role:
        notes.append(f"column '{found}' is taken as the {role} (by its name)")
    return found


def _recognise(known: tuple[str, ...], table: Table) -> str | None:
    """The first of the known names that the table has; one in the same case wins over one in another."""
    by_lower: dict[str, str] = {}
    for name in table.columns:
        by_lower.setdefault(name.lower().strip(), name)
    return next((name if name in table.columns else by_lower[name] for name in known if name in by_lower), None)


def _require(name: str, role: str, table: Table) -> None:
    if name not in table.columns:
        raise DataError(
            f"{table.origin}: data.{role}: no column '{name}'.{suggest(name, table.columns)} "
            f"Columns: {', '.join(table.columns)}. Type: --set data.{role}=COLUMN"
        )


def extract_rows(section: DataSection, table: Table, columns: Columns, dropped: Counter[str]) -> Rows:
    """Take the columns, leave out rows that cannot be used (counted in `dropped`).

    Raises:
        DataError: A column is missing or holds no texts, or no row is left.
    """
    for role, name in columns.as_dict().items():
        _require(name, role, table)
    texts = _texts(table, columns.text)
    pairs = None if columns.text_pair is None else _texts(table, columns.text_pair)
    labels = table.columns[columns.label]
    _refuse_numbers(texts, columns.text, table)
    above = _above_minimum(section, table)
    keep: list[int] = []
    for index, text in enumerate(texts):
        if not above[index]:
            dropped["below data.minimum"] += 1
        elif not text.strip() or (pairs is not None and not pairs[index].strip()):
            dropped["empty text"] += 1
        elif section.task != "multi_label" and _is_empty(labels[index]):
            dropped["empty label"] += 1
        else:
            keep.append(index)
    if not keep:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in dropped.items())
        raise DataError(f"{table.origin}: no rows are left of {len(texts)} after cleaning ({reasons}).")
    ids = [f"{index + 1}" for index in range(len(texts))]
    return Rows(texts, pairs, list(labels), ids).take(keep)


def filled_labels(table: Table, columns: Columns) -> list[Any]:
    """The label cells that say something: what the task is told from."""
    _require(columns.label, "label", table)
    return [label for label in table.columns[columns.label] if not _is_empty(label)]


def _texts(table: Table, column: str) -> list[str]:
    odd = next((value for value in table.columns[column] if isinstance(value, list | dict | bool)), None)
    if odd is not None:
        raise DataError(
            f"{table.origin}: column '{column}' holds {odd!r}, which is no text. Type: --set data.text=COLUMN"
        )
    return [_as_text(value) for value in table.columns[column]]


def _as_text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def _is_empty(label: Any) -> bool:
    return label is None or (isinstance(label, str) and not label.strip())


def _refuse_numbers(texts: list[str], column: str, table: Table) -> None:
    filled = [text for text in texts if text.strip()]
    numbers = sum(_parses_as_number(text) for text in filled)
    if filled and numbers >= MOSTLY * len(filled):
        raise DataError(
            f"{table.origin}: column '{column}' holds numbers, not texts (first: {filled[0]!r}). "
            f"Columns: {', '.join(table.columns)}. Type: --set data.text=COLUMN"
        )


def _above_minimum(section: DataSection, table: Table) -> list[bool]:
    above = [True] * len(table)
    for name, minimum in section.minimum.items():
        if name not in table.columns:
            raise DataError(f"{table.origin}: data.minimum: no column '{name}'.{suggest(name, table.columns)}")
        for index, value in enumerate(table.columns[name]):
            text = _as_text(value)
            above[index] &= _parses_as_number(text) and float(text) >= minimum
    return above


def _parses_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
