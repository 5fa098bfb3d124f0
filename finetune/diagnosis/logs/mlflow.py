"""Stores of MLflow: folders (`mlruns`, its experiments and runs) and SQLite (`mlflow.db`).

A metric of a folder is a file with a line `time value step` each. In SQLite a NaN is stored as 0 with `is_nan` set. An
evaluation after `train()` of transformers' Trainer lands in a run of its own, without parameters, and left RUNNING.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from finetune.diagnosis.logs.log import Log, Reader, canonical, objective_of, of_trainer, one_run, records_of
from finetune.diagnosis.logs.sqlite import has_columns, rows_of
from finetune.errors import OutputError

RUN, DATABASE, FOLDER = "meta.yaml", "mlflow.db", "mlruns"
TABLES = {"runs": ("run_uuid", "name", "lifecycle_stage"), "metrics": ("run_uuid", "key", "value", "step", "is_nan")}
Metric = tuple[str, int, int, float]  # name, time in ms, step, value


@dataclass(frozen=True)
class _Run:
    name: str
    metrics: Callable[[], list[Metric]]
    params: Callable[[], dict[str, str]]


def _finds(path: Path) -> Path | None:
    if path.is_file():
        return path if has_columns(path, **TABLES) else None
    if _is_run(path) or any(_run_folders(path)):
        return path
    if (path / DATABASE).is_file() and has_columns(path / DATABASE, **TABLES):
        return path / DATABASE
    return path / FOLDER if (path / FOLDER).is_dir() and any(_run_folders(path / FOLDER)) else None


def _is_run(folder: Path) -> bool:
    return (folder / RUN).is_file() and (folder / "metrics").is_dir()


def _run_folders(folder: Path) -> list[Path]:
    return [each for each in sorted((*folder.glob("*"), *folder.glob("*/*"))) if _is_run(each)]


def _read(path: Path, run: str | None) -> Log:
    runs = _of_database(path) if path.is_file() else _of_folder(path)
    notes: list[str] = []
    if run is None and len(runs) > 1:
        trained = {key: each for key, each in runs.items() if _has_training(each)}
        if trained and len(trained) < len(runs):
            left_out = ", ".join(each.name for key, each in runs.items() if key not in trained)
            notes.append(
                f"runs without a training loss, such as an evaluation after training, are left out: {left_out}"
            )
            runs = trained
    by_name = _by_name(runs)
    chosen = runs[run] if run in runs else by_name[one_run(path, by_name, run)]
    metrics = sorted(chosen.metrics(), key=lambda metric: metric[1:3])
    trainer = of_trainer(metric[0] for metric in metrics)
    records, more = records_of((canonical(name, trainer), step, value) for name, _, step, value in metrics)
    return Log(path, tuple(records), (*notes, *more), objective_of(records, trainer), chosen.params())


def _by_name(runs: dict[str, _Run]) -> dict[str, _Run]:
    """By their names, and by their ids where names repeat."""
    names = [run.name for run in runs.values()]
    return {(run.name if names.count(run.name) == 1 else key): run for key, run in runs.items()}


def _has_training(run: _Run) -> bool:
    return any(canonical(name, trainer=True) == "loss" or canonical(name) == "loss" for name, *_ in run.metrics())


def _of_folder(path: Path) -> dict[str, _Run]:
    folders = [path] if _is_run(path) else _run_folders(path)
    found = {}
    for folder in folders:
        about = _meta(folder / RUN)
        if about.get("lifecycle_stage", "active") == "active":
            name = str(about.get("run_name") or folder.name)
            found[folder.name] = _Run(name, lambda at=folder: _metrics(at), lambda at=folder: _params(at))  # type: ignore[misc]
    if not found:
        raise OutputError(f"{path}: all runs of this store are deleted.")
    return found


def _meta(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise OutputError(f"{file}: cannot be read as YAML: {error}.") from error
    return found if isinstance(found, dict) else {}


def _metrics(folder: Path) -> list[Metric]:
    found: list[Metric] = []
    for file in sorted(path for path in (folder / "metrics").rglob("*") if path.is_file()):
        name = file.relative_to(folder / "metrics").as_posix()
        for line in file.read_text(encoding="utf-8").splitlines():
            cells = line.split()
            if len(cells) >= 2:  # a last line may be cut
                found.append((name, int(cells[0]), int(float(cells[2])) if len(cells) > 2 else 0, float(cells[1])))
    return found


def _params(folder: Path) -> dict[str, str]:
    files = [path for path in (folder / "params").rglob("*") if path.is_file()]
    return {file.relative_to(folder / "params").as_posix(): file.read_text(encoding="utf-8") for file in files}


def _of_database(file: Path) -> dict[str, _Run]:
    query = "SELECT run_uuid, name FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time"
    metrics = "SELECT key, timestamp, step, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY timestamp"
    params = "SELECT key, value FROM params WHERE run_uuid = ?"
    runs = {
        key: _Run(
            name or key,
            lambda key=key: [(n, t, s, float("nan") if bad else v) for n, t, s, v, bad in rows_of(file, metrics, key)],  # type: ignore[misc]
            lambda key=key: dict(rows_of(file, params, key)),  # type: ignore[misc]
        )
        for key, name in rows_of(file, query)
    }
    if not runs:
        raise OutputError(f"{file}: this store holds no run.")
    return runs


READER = Reader("MLflow store (mlruns or mlflow.db)", _finds, _read, has_runs=True)
