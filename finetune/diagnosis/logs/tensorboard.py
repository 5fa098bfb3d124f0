"""TensorBoard's event files, by its package: of transformers' Trainer, Lightning, Keras or one's own loop.

A folder with event files is a run, and several files of one folder are sessions of it. Keras writes a run into two
folders, `train` and `validation`. transformers logs its training arguments as the text `args`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.diagnosis.logs.log import Log, Reader, canonical, objective_of, of_trainer, one_run, records_of
from finetune.errors import Change, OutputError

PATTERN = "*tfevents*"
KERAS = {"train": "train_", "validation": "val_"}
ARGUMENTS = "args/text_summary"
Value = tuple[str, int, Any]  # tag, step, number or text


def _finds(path: Path) -> Path | None:
    if path.is_file():
        return path if "tfevents" in path.name else None
    return path if next(path.rglob(PATTERN), None) else None


def _read(path: Path, run: str | None) -> Log:
    """Raises OutputError where the package is missing, or several runs are there."""
    runs = {path.name: [path]} if path.is_file() else _runs(path)
    texts: dict[str, Any] = {}
    if run is None and len(runs) > 1:
        runs = {name: files for name, files in runs.items() if _has_evaluations(files)} or runs
    name = one_run(path, runs, run)
    entries: list[tuple[str, int, float]] = []
    values = [value for file in runs[name] for value in _values(file)]
    trainer = of_trainer(tag for tag, _, _ in values)
    for tag, step, value in values:
        if isinstance(value, float):
            entries.append((canonical(tag, trainer), step, value))
        else:
            texts[tag] = value
    records, notes = records_of(entries)
    return Log(path, tuple(records), tuple(notes), objective_of(records, trainer), _settings(texts))


def _runs(path: Path) -> dict[str, list[Path]]:
    """Name of a run -> its files, oldest first."""
    runs: dict[str, list[Path]] = {}
    for file in sorted(path.rglob(PATTERN), key=lambda each: each.name):
        folder = file.parent
        folder = folder.parent if folder.name in KERAS and _is_keras(folder.parent) else folder
        name = path.name if folder == path else str(folder.relative_to(path))
        runs.setdefault(name, []).append(file)
    return runs


def _is_keras(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in KERAS)


def _has_evaluations(files: list[Path]) -> bool:
    return any(canonical(tag).startswith("eval_") for file in files for tag, _, _ in _values(file))


def _values(file: Path) -> Iterator[Value]:
    """Numbers and texts of one file; of a file that is still written, or was cut, what is whole."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
        from tensorboard.util import tensor_util
    except ImportError as error:
        raise OutputError(
            f"{file}: event files are read by the package tensorboard, which is not installed.",
            Change(command='pip install "finetune[logs]"'),
        ) from error
    prefix = KERAS.get(file.parent.name, "") if _is_keras(file.parent.parent) else ""
    for event in LegacyEventFileLoader(str(file)).Load():
        for value in event.summary.value:
            tag = prefix + value.tag.removeprefix("epoch_") if prefix else value.tag
            if value.HasField("simple_value"):
                yield tag, event.step, float(value.simple_value)
            elif value.HasField("tensor"):
                array = tensor_util.make_ndarray(value.tensor)
                if array.size == 1:
                    single = array.reshape(-1)[0]
                    yield tag, event.step, single if isinstance(single, bytes) else float(single)


def _settings(texts: dict[str, Any]) -> dict[str, Any]:
    """Training arguments of transformers."""
    try:
        found = json.loads(texts.get(ARGUMENTS, b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


READER = Reader("TensorBoard event files", _finds, _read, has_runs=True)
