"""Small files of annotation tools: texts of two or three classes, and what their reading must give."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.data.sources import read_sources
from finetune.data.table import Table
from finetune.recipe import DataSection


def texts(count: int) -> list[str]:
    return [f"text number {row}" for row in range(count)]


def names(count: int, classes: Sequence[str] = ("pos", "neg")) -> list[str]:
    return [classes[row % len(classes)] for row in range(count)]


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def only(path: Path, **settings: Any) -> Table:
    """The one table of a source."""
    tables = read_sources(DataSection(source=str(path), **settings))
    assert list(tables) == ["all"]
    return tables["all"]


def labelled(table: Table) -> dict[str, Any]:
    """Text -> label, by the columns that the format tells."""
    text, label = (table.columns[table.roles.get(role, role)] for role in ("text", "label"))
    return dict(zip(text, label, strict=True))


def loaded(path: Path, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), **settings))


def account(table: Table) -> str:
    """The note that counts the rows."""
    (note,) = [note for note in table.notes if "read as" in note]
    return note


def rows_in_file(table: Table) -> int:
    """Rows that were read and rows that were left out, together."""
    return len(table) + table.dropped.total()
