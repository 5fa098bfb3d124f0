"""Databases of SQLite that trackers write: opened to read only, so that nothing is created or locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from finetune.errors import OutputError

MAGIC = b"SQLite format 3\x00"


def has_columns(file: Path, **tables: Sequence[str]) -> bool:
    """Whether it is a database in which each table has these columns."""
    if not is_database(file):
        return False
    try:
        with closing(_open(file)) as database:
            return all(
                set(columns) <= {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
                for table, columns in tables.items()
            )
    except sqlite3.Error:
        return False


def is_database(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def rows_of(file: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Raises OutputError for a database that is damaged or of another version."""
    try:
        with closing(_open(file)) as database:
            return list(database.execute(query, values))
    except sqlite3.Error as error:
        raise OutputError(f"{file}: cannot be read: {error}.") from error


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
