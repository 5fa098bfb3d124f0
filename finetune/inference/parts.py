"""Predictions for a file made before an interruption, so that the same command continues from there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.atomic import write_text
from finetune.data.digest import text_digest
from finetune.data.rows import Rows

ABOUT = "about.json"


class Parts:
    """A folder beside the output with the new cells of each window of rows; a window is there as a whole or not.

    Args:
        output: The file for all predictions.
        about: Everything that determines the predictions; parts for anything else are removed.
    """

    def __init__(self, output: Path, about: Mapping[str, Any]) -> None:
        self.folder = output.with_name(f".parts-{output.name}")
        self._about = json.dumps(about, sort_keys=True)

    def open(self) -> bool:
        """Create the folder; returns whether there are parts to continue from."""
        told = self.folder / ABOUT
        if told.is_file() and told.read_text(encoding="utf-8") == self._about:
            return True
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        write_text(told, self._about)
        return False

    def has(self, start: int) -> bool:
        """Whether a window has been predicted."""
        return self._path(start).is_file()

    def read(self, start: int) -> list[list[Any]]:
        """The cells of a window that has been predicted, one sequence per row."""
        rows: list[list[Any]] = json.loads(self._path(start).read_text(encoding="utf-8"))
        return rows

    def write(self, start: int, rows: Sequence[Sequence[Any]]) -> None:
        """Save the cells of a window."""
        write_text(self._path(start), json.dumps(rows))

    def remove(self) -> None:
        """Remove the folder, when everything is in the output."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, start: int) -> Path:
        return self.folder / f"{start}.json"


def texts_key(texts: Sequence[str], pairs: Sequence[str] | None) -> str:
    """sha256 over all texts."""
    unlabelled: list[Any] = [None] * len(texts)
    return text_digest(Rows(texts, pairs, unlabelled, unlabelled))


def model_key(folder: str, *settings: Any) -> str:
    """sha256 over the files of a model folder by size and time (for a hub id, its name), and the request."""
    path = Path(folder)
    files = sorted(path.glob("*.*")) if path.is_dir() else []
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.suffix != ".md"]
    return hashlib.sha256(json.dumps([folder, stats, *settings]).encode()).hexdigest()
