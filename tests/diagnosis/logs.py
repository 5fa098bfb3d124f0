"""Small trainer_state.json files, in the form that transformers 5.23 writes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEPS = 40  # of an epoch


def closing(step: int, epoch: float) -> dict[str, Any]:
    """The record that ends a training."""
    about = {"train_loss": 0.4, "train_runtime": 9.0, "train_samples_per_second": 71.0, "train_steps_per_second": 4.4}
    return {**about, "total_flos": 1e12, "step": step, "epoch": epoch}


def history(
    objective: Sequence[float], loss: Sequence[float], accuracy: Sequence[float] | None, rows: int | None = 200
) -> list[dict[str, Any]]:
    """An evaluation each epoch, and the training loss before it."""
    records: list[dict[str, Any]] = []
    for index, (train, validation) in enumerate(zip(objective, loss, strict=True)):
        step, epoch = STEPS * (index + 1), float(index + 1)
        records.append({"loss": train, "grad_norm": 1.5, "learning_rate": 1e-5, "step": step, "epoch": epoch})
        score = {} if accuracy is None else {"eval_accuracy": accuracy[index]}
        rate = {} if rows is None else {"eval_runtime": 0.5, "eval_samples_per_second": rows / 0.5}
        records.append({"eval_loss": validation, **score, **rate, "step": step, "epoch": epoch})
    return [*records, closing(STEPS * len(loss), float(len(loss)))]


def write(folder: Path, records: Sequence[dict[str, Any]], **state: Any) -> Path:
    """The file, with what else belongs into it."""
    folder.mkdir(parents=True, exist_ok=True)
    last = max((record.get("step", 0) for record in records), default=0)
    whole = {"global_step": last, "max_steps": last, "num_train_epochs": 3, "log_history": list(records), **state}
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(whole), encoding="utf-8")  # with a bare NaN, as Trainer writes it
    return path


NAN = math.nan
