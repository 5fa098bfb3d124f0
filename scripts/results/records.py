"""One small record for each run: where it lies, whether it is there, and its line in a table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from finetune.atomic import write_text
from scripts.results.arms import Arm
from scripts.results.sets import Cell

MAIN_SCORE = {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "pearson"}
SPLITS = ("train_probe", "validation", "test")
MEASURED = ("score", "macro_f1", "nll", "ece", "mse")
COLUMNS = (
    *("half", "set", "n", "seed", "arm", "status", "task"),
    *(f"{split}_{measure}" for split in SPLITS for measure in MEASURED),
    *("steps", "steps_planned", "learning_rate", "epochs", "precision"),
    *("cpu_seconds", "wall_seconds", "peak_rss_mib", "threads", "bf16", "commit"),
)
NUMBERS = frozenset(COLUMNS) - {"half", "set", "arm", "status", "task", "precision", "bf16", "commit"}
Line = dict[str, Any]  # the columns of one record


def record_path(folder: Path, cell: Cell, arm: str) -> Path:
    return folder / f"{cell}-{arm}.json"


def write_record(folder: Path, record: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cell = Cell(record["set"], record["n"], record["seed"])
    write_text(record_path(folder, cell, record["arm"]), json.dumps(record, indent=1) + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
    """None if there is none, or none that can be read."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


def is_done(record: dict[str, Any] | None, arm: Arm, retry_failed: bool = False) -> bool:
    """Whether there is nothing to run: a record of this definition, which may say that it failed."""
    if record is None or record["definition"] != json.loads(json.dumps(arm.definition)):
        return False
    return not (retry_failed and record["status"] == "failed")


def measures(task: str, scores: dict[str, float | None]) -> dict[str, float | None]:
    """The main score by that name, and what the protocol has beside it."""
    named = {**scores, "score": scores[MAIN_SCORE[task]]}
    return {name: _rounded(named[name]) for name in MEASURED if name in named}


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 5)


def as_line(record: dict[str, Any]) -> Line:
    """The columns of a record; what it does not have is None."""
    scores = {
        f"{split}_{measure}": value
        for split, measured in record.get("metrics", {}).items()
        for measure, value in measured.items()
    }
    extra = {"bf16": "yes" if record["bf16"] else "no"}
    return {column: {**record, **scores, **extra}.get(column) for column in COLUMNS}


def read_lines(folder: Path) -> list[Line]:
    records = (read_record(path) for path in folder.glob("*.json"))
    return sorted_lines(as_line(record) for record in records if record is not None)


def sorted_lines(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (line["half"], line["set"], line["n"], line["seed"], line["arm"]))


def write_csv(path: Path, lines: Iterable[Line]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(COLUMNS), *(",".join(_cell(line[column]) for column in COLUMNS) for line in sorted_lines(lines))]
    write_text(path, "\n".join(rows) + "\n")


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def read_csv(path: Path) -> list[Line]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _value(key, cell) for key, cell in row.items()} for row in csv.DictReader(file)]


def _value(column: str, cell: str) -> Any:
    if cell == "":
        return None
    if column not in NUMBERS:
        return cell
    number = float(cell)
    return int(number) if number.is_integer() and "." not in cell else number
