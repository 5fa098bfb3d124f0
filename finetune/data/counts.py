"""Accounts of all lines and rows: counts that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from finetune.data.rows import Rows
from finetune.data.table import Table

# Kinds of lines in `Table.lines` -> one of them, several.
KINDS = {
    "row": ("row read", "rows read"),
    "left out": ("left out", "left out"),
    "header": ("header", "header"),
    "further line of a row": ("further line of a row, in quotes", "further lines of rows, in quotes"),
}
SAID = ("row", "left out")  # even where there are none


class Account(str):
    """A note that accounts for rows or columns and decides nothing: `finetune check` and the record show it."""


class Lines(Account):
    """An account of every line or row of the source: also shown when a run starts, so that no loss goes unnoticed."""


def lines_note(table: Table) -> Lines:
    """Lines of the file = rows + header + other kinds of lines; only rows for formats without lines."""
    rows = [_count(len(table), "row read", "rows read")]
    if not table.lines:
        return Lines(f"{table.origin}: {rows[0]}, {sum(table.dropped.values())} left out")
    named = {**KINDS, **{kind: (kind, kind) for kind in table.lines if kind not in KINDS}}
    parts = [_count(table.lines[kind], *names) for kind, names in named.items() if kind in SAID or table.lines[kind]]
    return Lines(f"{table.origin}: {_count(sum(table.lines.values()), 'line', 'lines')} = {' + '.join(parts)}")


def rows_note(read: int, splits: Mapping[str, Rows], dropped: Counter[str]) -> Lines:
    """Rows of all files = rows of the splits + those left out, by reason + those in no split."""
    parts = [f"{len(rows)} {split}" for split, rows in splits.items()]
    parts += [f"{count} left out ({reason})" for reason, count in dropped.items() if count]
    used = sum(map(len, splits.values())) + sum(dropped.values())
    if used != read:
        parts.append(f"{read - used} in no split (sizes of splits, data.split_file)")
    return Lines(f"{_count(read, 'row', 'rows')} in all = {' + '.join(parts)}")


def rows_in(tables: Mapping[str, Table]) -> int:
    """Rows of all tables, including those that could not be read."""
    return sum(len(table) + sum(table.dropped.values()) for table in tables.values())


def held_out_note(split: str, rows: int, manner: str) -> Account:
    """How many rows a split got, and how they were drawn."""
    return Account(f"{split}: {_count(rows, 'row', 'rows')} held out ({manner})")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
