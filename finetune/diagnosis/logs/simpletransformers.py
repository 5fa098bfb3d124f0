"""Logs of simpletransformers: training_progress_scores.csv.

Seen with 0.70: `train_loss` is the last batch's; a step that is evaluated by steps and at the epoch's end has two equal
rows; with two classes tp, tn, fp and fn add up to the rows of validation.
"""

from __future__ import annotations

from pathlib import Path

from finetune.diagnosis.logs.log import NAMES, Log, Reader, Record
from finetune.diagnosis.logs.table import Table, header_of, read_table

FILE = "training_progress_scores.csv"
COUNTS = ("tp", "tn", "fp", "fn")


def _finds(path: Path) -> Path | None:
    file = path / FILE if path.is_dir() else path
    return file if file.is_file() and {"global_step", "train_loss", "eval_loss"} <= set(header_of(file)) else None


def _read(path: Path, run: str | None) -> Log:
    table = read_table(path)
    records: list[Record] = []
    for row in table.rows:
        scores = {
            NAMES.get(name, name): value
            for name, value in row.items()
            if name not in ("global_step", "train_loss", *COUNTS) and value is not None
        }
        about = {} if row["train_loss"] is None else {"loss": row["train_loss"]}
        records.append({"step": int(row["global_step"] or 0), **about, **_prefixed(scores)})
    return Log(path, tuple(records), table.notes, "batch", validation_rows=_rows(table))


def _prefixed(scores: dict[str, float]) -> dict[str, float]:
    return {name if name.startswith("eval_") else f"eval_{name}": value for name, value in scores.items()}


def _rows(table: Table) -> int | None:
    counts = [table.rows[-1].get(name) for name in COUNTS]
    known = [count for count in counts if count is not None]
    return round(sum(known)) or None if len(known) == len(COUNTS) else None


READER = Reader(f"simpletransformers ({FILE})", _finds, _read)
