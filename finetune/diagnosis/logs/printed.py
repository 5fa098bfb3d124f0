"""What transformers' Trainer prints while it trains, in a file: `{'loss': '0.5', 'epoch': '1'}` between other lines.

By its source (5.23), values are texts of four digits; before, they were numbers. There are no steps, so places in the
run go by `epoch`; and the record that closes the training has no `total_flos`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.diagnosis.logs.log import (
    CLOSING,
    Log,
    Reader,
    Record,
    as_float,
    number,
    of_training_rows,
    one_file,
    place_of,
    with_usual_score,
)
from finetune.diagnosis.logs.table import tables_below
from finetune.errors import OutputError

RECORD = re.compile(r"\{'[^{}]*'epoch'[^{}]*\}")
ENDINGS = ("*.log", "*.txt", "*.out")
LARGEST = 1 << 26  # bytes
PARTS = 10_000  # of an epoch, which stand for steps


def _finds(path: Path) -> Path | None:
    return place_of(path, _files(path))


def _files(path: Path) -> list[Path]:
    found = tables_below(path, ENDINGS)[:50] if path.is_dir() else [path]
    return [
        file for file in found if f"*{file.suffix}" in ENDINGS and any("eval_loss" in each for each in _printed(file))
    ]


def _printed(file: Path) -> Iterator[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace") if file.stat().st_size <= LARGEST else ""
    except OSError:
        return
    for found in RECORD.finditer(text):
        try:
            record = ast.literal_eval(re.sub(r"\b(nan|inf)\b(?!')", r"'\1'", found[0]))
        except (SyntaxError, ValueError):
            continue  # cut, or of another program
        if isinstance(record, dict):
            yield record


def _read(path: Path, run: str | None) -> Log:
    path = one_file(path, _files(path), run)
    records: list[Record] = []
    notes: list[str] = []
    has_ended = False
    for printed in _printed(path):
        record = {key: as_float(value) if isinstance(value, str) else value for key, value in printed.items()}
        if set(record) <= {*CLOSING, "epoch"} and not has_ended:
            record, has_ended = record | {"total_flos": 0.0}, True
        elif "train_runtime" in record:
            record = of_training_rows(record)
        epoch = number(record["epoch"])
        if epoch is None:
            raise OutputError(f"{path}: a record has the epoch {printed['epoch']!r}, which is not a number.")
        step = round(epoch * PARTS)
        if records and step < records[-1]["step"]:
            before = records[-1]["epoch"]
            notes = [f"epochs go back from {before:g} to {epoch:g}: a resumed or a second run, whose values count"]
            records, has_ended = [each for each in records if each["step"] < step], False
        records.append({"step": step, **{with_usual_score(key): value for key, value in record.items()}})
    return Log(path, tuple(records), tuple(notes))


READER = Reader("printed output of transformers' Trainer (.log, .txt)", _finds, _read, has_runs=True)
