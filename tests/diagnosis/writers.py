"""Small logs in the forms that trackers and trainers write, seen with the versions that each function names."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.diagnosis.logs import history

Records = Sequence[dict[str, Any]]
OVERFITS = history([0.6, 0.2, 0.02], [0.50, 0.75, 1.1], [0.77, 0.77, 0.76])
HEALTHY = history([0.6, 0.4, 0.3, 0.28], [0.5, 0.42, 0.4, 0.4], [0.85, 0.90, 0.92, 0.92])
TEST_ROWS = {"eval_loss": 0.9, "eval_accuracy": 0.6, "step": 160, "epoch": 4.0}  # evaluated after the training


def renamed(name: str) -> str:
    """As transformers renames a key for TensorBoard, W&B and Trackio."""
    return f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"


def values(records: Records, name: Any = renamed) -> Iterator[tuple[str, int, float]]:
    for record in records:
        yield from ((name(key), record["step"], value) for key, value in record.items() if key != "step")


def tensorboard(folder: Path, entries: Any, arguments: dict[str, Any] | None = None) -> Path:
    """By torch's own writer."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    if arguments is not None:
        writer.add_text("args", json.dumps(arguments))
    for name, step, value in entries:
        writer.add_scalar(name, value, step)
    writer.close()
    return folder


def mlflow_folder(store: Path, run: str, records: Records, params: dict[str, Any] | None = None) -> Path:
    """A run of the file store (MLflow 2; 3.17 reads it, and no longer writes it)."""
    folder = store / "1" / f"id-{run}"
    (folder / "metrics").mkdir(parents=True)
    (folder / "params").mkdir()
    about = f"run_id: id-{run}\nrun_name: {run}\nlifecycle_stage: active\nstatus: 3\n"
    (folder / "meta.yaml").write_text(about, encoding="utf-8")
    for time, record in enumerate(records):
        for key, value in record.items():
            with (folder / "metrics" / key).open("a", encoding="utf-8") as file:
                file.write(f"{1700000000000 + time} {value} {record['step']}\n")
    for key, value in (params or {}).items():
        (folder / "params" / key).write_text(str(value), encoding="utf-8")
    return folder


def mlflow_database(file: Path, runs: dict[str, Records], params: dict[str, Any] | None = None) -> Path:
    """The tables of MLflow 3.17, with the columns that matter: a NaN is 0 and a flag."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE runs (run_uuid TEXT, name TEXT, start_time INT, lifecycle_stage TEXT)")
        database.execute(
            "CREATE TABLE metrics (key TEXT, value REAL, timestamp INT, run_uuid TEXT, step INT, is_nan INT)"
        )
        database.execute("CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT)")
        for number, (name, records) in enumerate(runs.items()):
            database.execute("INSERT INTO runs VALUES (?, ?, ?, 'active')", (f"id-{name}", name, number))
            for time, record in enumerate(records):
                for key, value in record.items():
                    is_nan = value != value
                    row = (key, 0.0 if is_nan else value, time, f"id-{name}", record["step"], is_nan)
                    database.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)
            for key, value in (params or {}).items():
                database.execute("INSERT INTO params VALUES (?, ?, ?)", (key, str(value), f"id-{name}"))
    return file


def trackio(file: Path, runs: dict[str, Records]) -> Path:
    """As Trackio 0.43 writes it: bytes of JSON, "NaN" as a text, and steps that count calls."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_name TEXT, step INT, metrics TEXT)")
        for name, records in runs.items():
            for call, record in enumerate(records):
                found = {
                    renamed(k): ("NaN" if v != v else v) for k, v in record.items() if k not in ("step", "train_loss")
                }
                found |= {"train/global_step": record["step"]}
                database.execute(
                    "INSERT INTO metrics (run_name, step, metrics) VALUES (?, ?, ?)",
                    (name, call, json.dumps(found).encode()),
                )
    return file


def table(file: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]], delimiter: str = ",") -> Path:
    """Empty cells for None."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [delimiter.join(columns)]
    lines += [delimiter.join("" if cell is None else str(cell) for cell in row) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def wandb_history(file: Path, records: Records) -> Path:
    """`run.history().to_csv()`: a row each call, without the closing values, which are in the summary."""
    kept = [record for record in records if "total_flos" not in record]
    names = list(dict.fromkeys(key for record in kept for key in record if key != "step"))
    rows = [[call, call, record["step"], *(record.get(name) for name in names)] for call, record in enumerate(kept)]
    return table(file, ["", "_step", "train/global_step", *map(renamed, names)], rows)
