"""Logs of fastai's CSVLogger (history.csv).

By its source (2.8.12): a row each epoch; `train_loss` is an exponential mean with 0.98 over batches in training mode;
`valid_loss` and the metrics, which have no prefix, are of validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finetune.diagnosis.logs.log import NAMES, Log, Reader, Record, canonical, one_file, place_of
from finetune.diagnosis.logs.table import header_of, read_table, tables_below

OWN = ("epoch", "train_loss", "valid_loss")


def _finds(path: Path) -> Path | None:
    return place_of(path, _files(path))


def _files(path: Path) -> list[Path]:
    found = tables_below(path, ("*.csv",))[:50] if path.is_dir() else [path]
    return [file for file in found if _is_log(header_of(file))]


def _is_log(columns: Sequence[str]) -> bool:
    """No name has a prefix but the two losses; otherwise it is a table of somebody's own."""
    others = set(columns) - set(OWN)
    return set(OWN) <= set(columns) and all(canonical(name) == name.lower() for name in others)


def _read(path: Path, run: str | None) -> Log:
    path = one_file(path, _files(path), run)
    table = read_table(path)
    records: list[Record] = []
    for epoch, row in enumerate(table.rows, 1):
        scores = {f"eval_{NAMES.get(k, k)}": v for k, v in row.items() if k not in ("epoch", "train_loss", "time")}
        scores = {
            key.replace("eval_valid_loss", "eval_loss"): value for key, value in scores.items() if value is not None
        }
        records.append({"step": epoch, "epoch": float(epoch), "loss": row["train_loss"], **scores})
    return Log(path, tuple(records), table.notes)


READER = Reader("fastai's CSVLogger (history.csv)", _finds, _read, has_runs=True)
