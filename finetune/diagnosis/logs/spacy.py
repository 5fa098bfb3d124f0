"""Logs of spaCy's `train`: what it prints, saved to a file, and the JSON lines of its ConsoleLogger.

By its source (3.8): losses are sums since the evaluation before, by pipe, so they are compared with nothing, not even
with each other; scores are in percent, except `speed` and the last one, `score`, a weighted mean that is a fraction.
There is no loss of the dev rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from finetune.diagnosis.logs.log import Log, Reader, Record, as_float, one_file, place_of

ENDS = (".jsonl", ".log", ".txt", ".out")
NAMES = {"cats_macro_f": "macro_f1", "cats_micro_f": "micro_f1", "cats_acc": "accuracy", "cats_macro_auc": "macro_auc"}
PERCENT = 100
BEGINNING = 200  # lines, before the table begins
SCORE = "score"


def _finds(path: Path) -> Path | None:
    return place_of(path, _files(path))


def _files(path: Path) -> list[Path]:
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    named = [file for file in found if file.suffix in ENDS and file.is_file()]
    return [file for file in named[:50] if _is_log(file)]


def _is_log(file: Path) -> bool:
    lines = list(islice(_lines(file), BEGINNING))
    return any(_columns(line) for line in lines) or any(_entry(line) for line in lines[:3])


def _read(path: Path, run: str | None) -> Log:
    path = one_file(path, _files(path), run)
    lines = list(_lines(path))
    entries = [entry for line in lines if (entry := _entry(line))]
    records = [_of_entry(entry) for entry in entries] if entries else list(_of_table(lines))
    cut = bool(entries) and bool(lines) and _entry(lines[-1]) is None
    notes = ("the last line is cut and is left out",) if cut else ()
    return Log(path, tuple(records), notes, "sum")


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            yield from (line for line in stream if line.strip())
    except OSError:
        return


def _entry(line: str) -> dict[str, Any] | None:
    """A line of the JSON file."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"epoch", "step", "losses", "scores"} <= set(found) else None


def _of_entry(entry: dict[str, Any]) -> Record:
    losses, scores = entry["losses"].values(), entry["scores"].items()
    return {
        "step": int(entry["step"]),
        "epoch": float(entry["epoch"]),
        "loss": sum(losses),
        **{f"eval_{_name(k)}": v / PERCENT for k, v in scores if k != "speed" and isinstance(v, int | float)},
        f"eval_{SCORE}": entry.get("score"),
    }


def _columns(line: str) -> list[str]:
    """Of the head of the table; names of pipes may hold spaces, so columns stand two spaces apart."""
    names = re.split(r"\s{2,}", line.strip())
    return names if names[:2] == ["E", "#"] and names[-1] == "SCORE" else []


def _of_table(lines: list[str]) -> Iterator[Record]:
    columns: list[str] = []
    for line in lines:
        columns = _columns(line) or columns
        cells = line.split()
        if not columns or len(cells) != len(columns) or not cells[0].isdigit():
            continue
        values = [as_float(cell) for cell in cells]
        record: Record = {"step": int(values[1]), "epoch": values[0]}
        for name, value in zip(columns[2:], values[2:], strict=True):
            if name.startswith("LOSS"):
                record["loss"] = record.get("loss", 0.0) + value
            elif name == "SCORE":
                record[f"eval_{SCORE}"] = value
            elif name != "SPEED":
                record[f"eval_{_name(name.lower())}"] = value / PERCENT
        yield record


def _name(column: str) -> str:
    """Names longer than 13 characters are cut on the screen: `cats_macro...`."""
    whole = [name for name in NAMES if column.endswith("...") and name.startswith(column.removesuffix("..."))]
    return NAMES.get(whole[0] if len(whole) == 1 else column, column)


READER = Reader("spaCy's training output, or its JSON lines", _finds, _read, has_runs=True)
