"""Databases of Trackio: `PROJECT.db`, a row for each call of log.

Seen with 0.43: metrics are JSON, as text or as bytes; a NaN is the text "NaN"; `step` counts calls of log, so
`train/global_step` goes before it; `train_loss` is not kept.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from finetune.diagnosis.logs.log import Log, Reader, Record, canonical, objective_of, of_trainer, one_run, place_of
from finetune.diagnosis.logs.sqlite import has_columns, rows_of
from finetune.errors import Change, OutputError

COLUMNS = ("run_name", "step", "metrics")
STEPS = ("train/global_step", "global_step")
NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def _finds(path: Path) -> Path | None:
    return place_of(path, _files(path))


def _files(path: Path) -> list[Path]:
    found = sorted(path.glob("*.db")) if path.is_dir() else [path]
    return [file for file in found if file.is_file() and has_columns(file, metrics=COLUMNS)]


def _read(path: Path, run: str | None) -> Log:
    if path.is_dir():
        files = _files(path)
        ways = [Change(command=f"finetune diagnose {shlex.quote(str(file))}") for file in files[:3]]
        raise OutputError(f"{path}: holds {len(files)} databases of Trackio, but only one can be diagnosed.", *ways)
    names = {row[0]: None for row in rows_of(path, "SELECT DISTINCT run_name FROM metrics ORDER BY id")}
    name = one_run(path, names, run)
    rows = rows_of(path, "SELECT step, metrics FROM metrics WHERE run_name = ? ORDER BY id", name)
    values = [(step, json.loads(metrics)) for step, metrics in rows]
    trainer = of_trainer(key for _, found in values for key in found)
    records = tuple(_record(step, found, trainer) for step, found in values)
    return Log(path, records, objective=objective_of(records, trainer))


def _record(calls: int, metrics: dict[str, Any], trainer: bool) -> Record:
    step = next((metrics[name] for name in STEPS if name in metrics), calls)
    values = {canonical(k, trainer): _value(v) for k, v in metrics.items() if k not in STEPS}
    return {**values, "step": int(step)}


def _value(value: Any) -> Any:
    return float(value) if value in NOT_FINITE else value


READER = Reader("Trackio database", _finds, _read, has_runs=True)
