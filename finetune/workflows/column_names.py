"""The columns of a file, read from its beginning: shell completion must not wait until all of it is read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from finetune.data.locate import split_files
from finetune.data.sources import read_sources
from finetune.errors import FinetuneError
from finetune.recipe import DataSection

BY_LINE = (".csv", ".tsv", ".txt", ".jsonl")  # formats whose beginning is a file of the same columns
BEGINNING = 200_000  # bytes
SMALL = 5_000_000  # bytes that are read whole, of any other format


def column_names(source: str) -> list[str]:
    """Names of the columns of a local file, or of the train file of a folder; empty if they cannot be found quickly.

    Args:
        source: As `data.source`.
    """
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            path = split_files(path)["train"][0]
        with tempfile.TemporaryDirectory() as folder:
            read = _beginning(path, Path(folder)) if path.suffix.lower() in BY_LINE else path
            if read.stat().st_size > SMALL:
                return []
            tables = read_sources(DataSection(source=str(read)))
            return list(next(iter(tables.values())).columns)
    except (FinetuneError, OSError, ValueError):  # what is wrong with the file is said when it is used
        return []


def _beginning(path: Path, folder: Path) -> Path:
    """A copy of the first whole lines."""
    with path.open("rb") as file:
        start = file.read(BEGINNING)
    whole = start if len(start) < BEGINNING else start[: start.rfind(b"\n") + 1]
    copied = folder / path.name
    copied.write_bytes(whole)
    return copied
