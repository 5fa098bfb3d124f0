"""Unlabelled texts: read like the labelled ones, without texts that are measured or trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from finetune.data.columns import Columns
from finetune.data.duplicates import TextKey, find_leaks, text_keys
from finetune.data.extract import texts_to_read
from finetune.data.rows import Rows
from finetune.data.sources import read_unlabelled
from finetune.data.table import Table
from finetune.errors import Change, DataError, Problem, suggest
from finetune.recipe import DataSection

KEY = "data.unlabelled"
WITHOUT = Change(settings={KEY: None}, note="trains without them")
HELD_OUT, TRAINED, NEAR = "text of validation or test", "text of train", "nearly a text of validation or test"


@dataclass(frozen=True)
class Pool:
    """Unlabelled texts as read: without empty texts and duplicates.

    Attributes:
        origin: Their file in messages.
        rows: Their labels are None.
        keys: Key of each row that is equal for the same text.
        dropped: Reason -> rows left out of the file.
        notes, warnings: Messages of reading.
    """

    origin: str
    rows: Rows
    keys: list[TextKey]
    dropped: Counter[str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Unlabelled:
    """The texts of a pool that a run may train on.

    Attributes:
        rows: Their labels are None.
        dropped: Reason -> rows left out, those of the pool included.
        notes, warnings: Messages about them.
    """

    rows: Rows
    dropped: Counter[str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_pool(section: DataSection, columns: Columns) -> Pool | None:
    """Read `data.unlabelled`; None where the recipe has none. Labels in the file are never looked at.

    Args:
        section: The data section of the recipe.
        columns: Columns of the labelled data: the same columns hold the text here.

    Raises:
        DataError: The file cannot be read, has no such column, or holds no text.
    """
    if section.unlabelled is None:
        return None
    try:
        table = read_unlabelled(section)
        _require_columns(table, columns)
        table, texts, pairs = texts_to_read(section, table, columns)
    except DataError as error:
        raise DataError([_blamed(problem) for problem in error.problems]) from error
    dropped = Counter(table.dropped)
    rows = Rows(texts, pairs, [None] * len(texts), [str(table.number(row)) for row in range(len(texts))])
    filled = [row for row, text in enumerate(texts) if text.strip() and (pairs is None or pairs[row].strip())]
    dropped["empty text"] += len(rows) - len(filled)
    rows = rows.take(filled)
    firsts: dict[TextKey, int] = {}
    for row, key in enumerate(text_keys(rows)):
        firsts.setdefault(key, row)
    dropped["duplicate text"] += len(rows) - len(firsts)
    if not firsts:
        raise _nothing_left(table.origin, dropped)
    notes = (*_named(table, table.notes), *_ignored_labels(table, columns))
    rows = rows.take(list(firsts.values()))
    return Pool(table.origin, rows, list(firsts), dropped, notes, _named(table, table.warnings))


def choose_unlabelled(pool: Pool, train: Rows, held_out: Sequence[Rows], drop_near: bool) -> Unlabelled:
    """Leave out texts that are measured, or already trained on.

    Args:
        pool: From `read_pool`.
        train: Rows that are trained on.
        held_out: Validation, and test where there is one.
        drop_near: Leave out texts that nearly equal one of `held_out`, too.

    Raises:
        DataError: Nothing is left; says what was left out.
    """
    dropped = Counter(pool.dropped)
    measured = {key for rows in held_out for key in text_keys(rows)}
    trained = set(text_keys(train)) - measured
    near = {row for rows in held_out for row in find_leaks(rows, pool.rows)} if drop_near else set()
    keep = []
    for row, key in enumerate(pool.keys):
        if key in measured:
            dropped[HELD_OUT] += 1
        elif row in near:
            dropped[NEAR] += 1
        elif key in trained:
            dropped[TRAINED] += 1
        else:
            keep.append(row)
    if not keep:
        raise _nothing_left(pool.origin, dropped)
    named = Counter({f"unlabelled: {reason}": count for reason, count in dropped.items()})
    stays = dropped[HELD_OUT] and not drop_near
    advice = f"; texts that nearly equal a {HELD_OUT} stay, unless data.drop_leaks=true" if stays else ""
    notes = (*pool.notes, f"{_summary(pool.origin, len(keep), dropped)}{advice}")
    return Unlabelled(pool.rows.take(keep), named, notes, pool.warnings)


def _summary(origin: str, kept: int, dropped: Counter[str]) -> str:
    """The counts, which add up to the rows of the file."""
    left_out = f"; left out: {_counts(dropped)}" if dropped.total() else ""
    return f"unlabelled texts: {kept:,} of the {kept + dropped.total():,} rows of {origin} are used{left_out}"


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{count:,} × {reason}" for reason, count in dropped.items() if count)


def _nothing_left(origin: str, dropped: Counter[str]) -> DataError:
    return DataError(
        f"none of the {dropped.total():,} rows of {origin} can be used: {_counts(dropped)}. Name a file with other "
        "texts.",
        Change(settings={KEY: "FILE"}),
        WITHOUT,
        key=KEY,
    )


def _blamed(problem: Problem) -> Problem:
    """What is wrong with the file, with the key that named it and the way out."""
    return replace(problem, key=problem.key or KEY, changes=(*problem.changes, WITHOUT))


def _require_columns(table: Table, columns: Columns) -> None:
    """The columns of the labelled texts must be here, too: another one might hold something else."""
    for name in (*columns.texts, *([] if columns.text_pair is None else [columns.text_pair])):
        if name not in table.columns:
            raise DataError(
                f"{table.origin} has no column '{name}', where the labelled data has its texts."
                f"{suggest(name, table.columns)} Columns: {', '.join(table.columns)}.",
                Change(text=f"give that column of {table.origin} the name '{name}'"),
            )


def _named(table: Table, messages: list[str]) -> tuple[str, ...]:
    """Messages of reading, with the name of the file where it is not in them."""
    return tuple(text if table.origin in text else f"{table.origin}: {text}" for text in messages)


def _ignored_labels(table: Table, columns: Columns) -> list[str]:
    names = [columns.label] if isinstance(columns.label, str) else columns.label
    there = [name for name in names if name in table.columns]
    shown = "', '".join(there)
    return [f"{table.origin}: labels in '{shown}' are not read: its texts count as unlabelled"] if there else []
