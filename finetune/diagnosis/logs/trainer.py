"""Logs of transformers' Trainer: trainer_state.json, of a checkpoint or of the whole run.

What its numbers mean was seen with transformers 5.23:
- `loss` is the mean objective since the last log, in training mode, with label smoothing; under gradient accumulation
  and in several processes it is a multiple of the mean over rows. `eval_loss` is one in several processes, too. So the
  two are never subtracted.
- After `train()`, `evaluate()` appends: on the training rows a record of `train_*` keys without `total_flos`, which is
  the one clean score of the training rows; on test rows a second `eval_*` at the last step, which is no evaluation of
  validation.
- `num_train_epochs`, `eval_steps` and `best_*` of the state are not what they seem under max_steps or without
  load_best_model_at_end, and `train_loss` after a resume is of the last session: none of them is used.
- `best_model_checkpoint` is set by load_best_model_at_end, and by metric_for_best_model alone. That its weights are the
  final ones is seen only by an evaluation that is repeated after training; `evaluate(train_rows)` is of them then.
- With `save_total_limit` and `load_best_model_at_end` the last state on disk may be that of an early checkpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.diagnosis.logs.log import Log, Reader, Record, number, of_training_rows, with_usual_score
from finetune.errors import Change, OutputError

STATE = "trainer_state.json"


def _finds(path: Path) -> Path | None:
    """The file itself, or the one below a folder with the longest history."""
    if path.is_file():
        return path if path.name.endswith(STATE) or (path.suffix == ".json" and _history(path)) else None
    found = [file for file in (path / STATE, *path.glob(f"checkpoint-*/{STATE}")) if file.is_file()]
    return max(found, key=lambda file: (len(_history(file)), file.parent == path), default=None)


def _read(path: Path, run: str | None) -> Log:
    state, history = _state(path), _history(path)
    if any("embedding_loss" in record for record in history):
        why = "this is a log of SetFit's pairs: its losses are of embeddings, and say nothing about the classifier."
        raise OutputError(f"{path}: {why}", Change(text="Measure the classifier on train and validation rows."))
    stopped = _stopped_on_purpose(state)
    notes, is_cut = _end(state, history, stopped)
    records = tuple(_record(record, path) for record in history)
    return Log(path, records, tuple(notes), stopped=stopped, best_step=_best_step(state), is_cut=is_cut)


def _best_step(state: dict[str, Any]) -> int | None:
    """By the name of its folder: the path is that of the machine that trained."""
    name = re.search(r"checkpoint-(\d+)[/\\]*$", str(state.get("best_model_checkpoint") or ""))
    return int(name[1]) if name else None


def _record(record: Record, file: Path) -> Record:
    """With the clean scores of the training rows under their own names.

    Raises:
        OutputError: Its step or epoch is no number.
    """
    for name in ("step", "epoch"):
        if record.get(name) is not None and number(record[name]) is None:
            raise OutputError(f"{file}: a record has the {name} {record[name]!r}, which is not a number.")
    if "train_runtime" in record and "total_flos" not in record:
        record = of_training_rows(record)
    return {with_usual_score(key): value for key, value in record.items()}


def _stopped_on_purpose(state: dict[str, Any]) -> bool:
    callbacks = state.get("stateful_callbacks") or {}
    control = (callbacks.get("TrainerControl") or {}).get("args") or {}
    return "EarlyStoppingCallback" in callbacks and bool(control.get("should_training_stop"))


def _end(state: dict[str, Any], history: Sequence[Record], stopped: bool) -> tuple[list[str], bool]:
    """Notes, and whether the log ends before the training."""
    step, planned = state.get("global_step"), state.get("max_steps")
    closed = any("train_runtime" in record and "total_flos" in record for record in history)
    if not isinstance(step, int) or not isinstance(planned, int) or planned <= 0 or step >= planned:
        return [], False
    if stopped:
        return [f"early stopping ended the training at step {step} of {planned}"], False
    if closed:
        return [f"the training ended at step {step} of {planned}"], False
    note = (
        f"the log ends at step {step} of {planned}: it is most likely that of a checkpoint; later steps are missing "
        "(trainer.save_state() writes them all)"
    )
    return [note], True


def _state(file: Path) -> dict[str, Any]:
    try:
        state = json.loads(file.read_text(encoding="utf-8"))  # takes the bare NaN that Trainer writes
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError(f"{file}: cannot be read as JSON: {error}.") from error
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise OutputError(f"{file}: has no log_history, so it is not the state of a Trainer.")
    return state


def _history(file: Path) -> list[Record]:
    try:
        return [record for record in _state(file)["log_history"] if isinstance(record, dict)]
    except OutputError:
        return []


READER = Reader("transformers Trainer (trainer_state.json)", _finds, _read)
