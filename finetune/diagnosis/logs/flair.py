"""Logs of flair: loss.tsv and training.log.

Seen with flair 0.15: TRAIN_LOSS is the mean of an epoch in training mode, and is compared with nothing; with
`monitor_train_sample` TRAIN_SAMPLE_* are of training rows in eval mode, as DEV_* are of dev. TEST_* are not read.
training.log names the rows, and says whether dev was trained on (`train_with_dev`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from finetune.diagnosis.logs.log import Log, Reader, Record, as_float
from finetune.diagnosis.logs.table import header_of, read_table

TABLE, TEXT = "loss.tsv", "training.log"
CORPUS = re.compile(r"(\d+) train \+ (\d+) dev")
DONE = re.compile(r"\bEPOCH (\d+) done: loss (\S+)", re.IGNORECASE)
SCORED = re.compile(r"\b(DEV|TRAIN_SAMPLE) : loss (\S+) - (\S+) \(([^)]+)\)\s+(\S+)")
BEGINNING = 1 << 16  # characters that are searched for what flair always writes


def _finds(path: Path) -> Path | None:
    if path.is_dir():
        return next((found for name in (TABLE, TEXT) if (found := _finds(path / name))), None)
    if not path.is_file():
        return None
    if {"EPOCH", "TRAIN_LOSS", "TIMESTAMP"} <= set(header_of(path)):
        return path
    text = _text(path, BEGINNING) if path.suffix in (".log", ".txt") else ""
    return path if DONE.search(text) and re.search(r"\btrain_with_dev=|\bDEV : loss ", text) else None


def _read(path: Path, run: str | None) -> Log:
    if {"EPOCH", "TRAIN_LOSS"} <= set(header_of(path)):
        table = read_table(path)
        return _log(path, map(_record, table.rows), table.notes, _text(path.with_name(TEXT), BEGINNING))
    text = _text(path)
    return _log(path, _records(text), (), text[:BEGINNING])


def _log(path: Path, records: Iterable[Record], notes: Iterable[str], beginning: str) -> Log:
    """With what the beginning of training.log says: the rows, and whether dev was trained on."""
    rows = CORPUS.search(beginning)
    trained = "dev was trained on as well (train_with_dev), so that its scores say nothing about new texts"
    return Log(
        path,
        tuple(records),
        (*notes, *([trained] if "train_with_dev=True" in beginning else [])),
        train_rows=int(rows[1]) if rows else None,
        validation_rows=int(rows[2]) or None if rows else None,
    )


def _record(row: dict[str, float | None]) -> Record:
    record: Record = {"step": int(row["EPOCH"] or 0), "epoch": row["EPOCH"]}
    for name, value in row.items():
        for prefix, key in (("DEV_", "eval_"), ("TRAIN_SAMPLE_", "clean_")):
            if name.startswith(prefix) and value is not None:
                record[key + name.removeprefix(prefix).lower()] = value
    if row["TRAIN_LOSS"] is not None:
        record["loss"] = row["TRAIN_LOSS"]
    return record


def _records(text: str) -> list[Record]:
    records: list[Record] = []
    for line in text.splitlines():
        if done := DONE.search(line):
            epoch = int(done[1])
            records.append({"step": epoch, "epoch": float(epoch), "loss": as_float(done[2])})
        elif records and (scored := SCORED.search(line)):
            side = "eval" if scored[1] == "DEV" else "clean"
            name = scored[3].replace("f1-score", "f1").replace("-", "_")
            records[-1] |= {f"{side}_loss": as_float(scored[2]), f"{side}_{name}": as_float(scored[5])}
    return records


def _text(file: Path, most: int = -1) -> str:
    """The first characters of a file, or all; empty where it cannot be read."""
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(most)
    except OSError:
        return ""


READER = Reader("flair (loss.tsv, training.log)", _finds, _read)
