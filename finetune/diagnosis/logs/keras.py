"""Logs of Keras: the file of CSVLogger, and the dict `history.history` as JSON.

Seen with Keras 3.15: epochs begin at 0, and with `append=True` begin at 0 again in the next fit, below one header.
`loss` and `accuracy` are means over the epoch while the model changed, with dropout; `val_` ones are clean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from finetune.diagnosis.logs.log import Log, Reader, Record, canonical, one_file, place_of
from finetune.diagnosis.logs.table import header_of, read_table, tables_below
from finetune.errors import OutputError

ACCURACIES = ("acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")
LARGEST = 4 << 20  # bytes; beside a log lie tokenizers, which are JSON, too
OTHERS = ("epoch", "lr", "learning_rate")


def _finds(path: Path) -> Path | None:
    return place_of(path, _files(path))


def _files(path: Path) -> list[Path]:
    found = tables_below(path, ("*.csv", "*.log", "*.json"))[:50] if path.is_dir() else [path]
    return [file for file in found if _is_log(file)]


def _is_log(file: Path) -> bool:
    if file.suffix == ".json":
        return _history(file) is not None
    columns = header_of(file)
    return {"epoch", "loss"} <= set(columns) and "step" not in columns


def _history(file: Path) -> dict[str, list[Any]] | None:
    """Name -> a value for each epoch; None for other JSON."""
    try:
        if file.stat().st_size > LARGEST:
            return None
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    found = found.get("history", found) if isinstance(found, dict) else None
    is_history = isinstance(found, dict) and isinstance(found.get("loss"), list)
    return {k: v for k, v in found.items() if isinstance(v, list)} if is_history and found else None


def _read(path: Path, run: str | None) -> Log:
    path = one_file(path, _files(path), run)
    if path.suffix == ".json":
        history = _history(path)
        if history is None:
            raise OutputError(f"{path}: is not a history of Keras.")
        rows = [
            {name: values[i] for name, values in history.items() if i < len(values)}
            for i in range(len(history["loss"]))
        ]
        return Log(path, tuple(_records(rows)))
    table = read_table(path)
    epochs = [row.get("epoch") for row in table.rows]
    fits = sum(1 for epoch, before in zip(epochs[1:], epochs, strict=False) if (epoch or 0) <= (before or 0))
    notes = [f"the file holds {fits + 1} fits: their epochs are numbered consecutively"] if fits else []
    return Log(path, tuple(_records(table.rows)), (*table.notes, *notes))


def _records(rows: Iterable[Mapping[str, Any]]) -> list[Record]:
    return [
        {
            "step": epoch,
            "epoch": float(epoch),
            **{_key(k): v for k, v in row.items() if k not in OTHERS and v is not None},
        }
        for epoch, row in enumerate(rows, 1)
    ]


def _key(name: str) -> str:
    plain = name.removeprefix("val_")
    plain = "accuracy" if plain in ACCURACIES else plain
    if name.startswith("val_"):
        return f"eval_{plain}"
    return canonical(f"train_{plain}")


READER = Reader("Keras' CSVLogger, or history.history as JSON", _finds, _read, has_runs=True)
