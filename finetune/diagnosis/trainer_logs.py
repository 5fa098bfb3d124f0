"""Observations from what transformers' Trainer leaves behind: trainer_state.json, of a checkpoint or of the whole run.

What its numbers mean was seen with transformers 5.23:
- `loss` is the mean objective since the last log, in training mode, with label smoothing; under gradient accumulation
  and in several processes it is a multiple of the mean over rows. `eval_loss` is one in several processes, too. So the
  two are never subtracted here.
- After `train()`, `evaluate()` appends: on the training rows a record of `train_*` keys without `total_flos`, which is
  the one clean score of the training rows; on test rows a second `eval_*` at the last step, which is no evaluation of
  validation.
- A NaN loss is logged as 0.0 unless `logging_nan_inf_filter` is off; the gradient norm stays NaN.
- With `save_total_limit` and `load_best_model_at_end` the last state on disk may be that of an early checkpoint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune.diagnosis.observations import Numbers, Observed, Point, accuracy_estimate, gap_estimate
from finetune.diagnosis.trend import noise, objective_rose
from finetune.errors import Change, OutputError
from finetune.measurement.units import count_text, number_text, percent_text, scale
from finetune.records.diagnosis import Estimate

STATE = "trainer_state.json"
SCORES = ("accuracy", "f1", "macro_f1", "f1_macro", "micro_f1", "matthews_correlation", "mcc", "pearson", "spearmanr")
NOT_SCORES = ("loss", "_time", "runtime", "per_second")  # ends of keys
LEAST_LOSS_OF_AN_ERROR = math.log(2)  # the right class of a wrongly classified text has a probability of at most a half


def find_state(path: Path) -> Path | None:
    """The file itself, or the one below a folder with the longest history; None where there is none."""
    if path.is_file():
        return path if path.suffix == ".json" else None
    found = [file for file in (path / STATE, *path.glob(f"checkpoint-*/{STATE}")) if file.is_file()]
    return max(found, key=lambda file: (len(_history(file)), file.parent == path), default=None)


def observe_state(path: Path, numbers: Numbers, evaluation: str | None = None, metric: str | None = None) -> Observed:
    """What a trainer_state.json says.

    Args:
        path: The file, or the folder of a Trainer.
        numbers: What the user adds; goes before what is read.
        evaluation: Name of the evaluation set, where there are several (`eval_NAME_loss`).
        metric: Name of the score, without `eval_`.

    Raises:
        OutputError: It cannot be read, holds no evaluation, or several to choose from.
    """
    file = find_state(path)
    if file is None:
        raise OutputError(f"{path}: no {STATE} is there.")
    state, history = _state(file), _history(file)
    prefix = _prefix(history, evaluation, file)
    score = _score_name(history, prefix, metric, file)
    kept, notes = _of_validation(history, prefix)
    points = _points(history, kept, prefix, score)
    train = _clean_training_score(history, score)
    rows = numbers.validation_size or _rows_of(kept[-1], prefix)
    if numbers.validation_size is None and rows is not None:
        notes.append(f"validation has about {rows} rows, by rate and time in the log; --validation-size corrects it")
    log = _Log(file, state, history, points, notes)
    observed = Observed(
        source=str(file),
        score=score or "accuracy",
        train_rows=numbers.train_size,
        validation_rows=rows,
        classes=numbers.classes,
        chance=numbers.majority if numbers.majority is not None else 1 / numbers.classes if numbers.classes else None,
        epochs=points[-1].epoch,
        curve=tuple(points),
        diverged=_divergence(history),
        stopped_early=log.stopped_on_purpose(),
        notes=(*notes, *log.notes_on_the_end()),
    )
    return _with_scores(observed, numbers, train)


@dataclass(frozen=True)
class _Log:
    file: Path
    state: dict[str, Any]
    history: list[dict[str, Any]]
    points: list[Point]
    notes: list[str]

    def stopped_on_purpose(self) -> bool:
        callbacks = self.state.get("stateful_callbacks") or {}
        control = (callbacks.get("TrainerControl") or {}).get("args") or {}
        return "EarlyStoppingCallback" in callbacks and bool(control.get("should_training_stop"))

    def notes_on_the_end(self) -> list[str]:
        step, planned = self.state.get("global_step"), self.state.get("max_steps")
        closed = any("train_runtime" in record and "total_flos" in record for record in self.history)
        if not isinstance(step, int) or not isinstance(planned, int) or planned <= 0 or step >= planned:
            return []
        if self.stopped_on_purpose():
            return [f"early stopping ended the training at step {step} of {planned}"]
        if closed:
            return [f"the training ended at step {step} of {planned}"]
        return [
            f"the log ends at step {step} of {planned}: of a checkpoint, most likely; later steps are not in it "
            "(trainer.save_state() writes them all)"
        ]


def _state(file: Path) -> dict[str, Any]:
    try:
        state = json.loads(file.read_text(encoding="utf-8"))  # takes the bare NaN that Trainer writes
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError(f"{file}: cannot be read as JSON: {error}.") from error
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise OutputError(f"{file}: has no log_history, so it is not the state of a Trainer.")
    return state


def _history(file: Path) -> list[dict[str, Any]]:
    try:
        return [record for record in _state(file)["log_history"] if isinstance(record, dict)]
    except OutputError:
        return []


def _prefix(history: Sequence[dict[str, Any]], evaluation: str | None, file: Path) -> str:
    """`eval_`, or that of one of several evaluation sets."""
    losses = {key for record in history for key in record if key.startswith("eval_") and key.endswith("_loss")}
    names = sorted(key.removeprefix("eval_").removesuffix("loss").rstrip("_") for key in losses)
    several = [name for name in names if name]
    if evaluation is not None:
        if evaluation not in several:
            raise OutputError(f"{file}: no evaluation set has this name.", argument="evaluation", found=evaluation)
        return f"eval_{evaluation}_"
    if not losses and not any(key.startswith("eval_") for record in history for key in record):
        if any("embedding_loss" in record for record in history):
            why = "this is a log of SetFit's pairs: its losses are of embeddings, and say nothing about the classifier."
            raise OutputError(f"{file}: {why}", Change(text="Measure the classifier on train and validation."))
        why = "no evaluation is in the log, so nothing is known of new texts."
        raise OutputError(f"{file}: {why}", Change(text='Train with eval_strategy="epoch" and a metric.'))
    if several and "" not in names:
        ways = [Change(arguments={"evaluation": name}) for name in several]
        raise OutputError(f"{file}: has {len(several)} evaluation sets.", *ways)
    return "eval_"


def _score_name(history: Sequence[dict[str, Any]], prefix: str, metric: str | None, file: Path) -> str | None:
    names = [
        key.removeprefix(prefix)
        for key in dict.fromkeys(key for record in history for key in record)
        if key.startswith(prefix) and not key.endswith(NOT_SCORES)
    ]
    if metric is not None:
        if metric not in names:
            known = f" The log has: {', '.join(names)}." if names else " The log has losses only."
            raise OutputError(f"{file}: no score has this name.{known}", argument="metric", found=metric)
        return metric
    return next((name for name in SCORES if name in names), names[0] if names else None)


def _of_validation(history: Sequence[dict[str, Any]], prefix: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The evaluations of validation: a second one at the same step, after training, is of other rows."""
    ended = next((index for index, record in enumerate(history) if "total_flos" in record), len(history))
    kept: list[dict[str, Any]] = []
    left_out = 0
    for index, record in enumerate(history):
        if not any(key.startswith(prefix) for key in record):
            continue
        if kept and index > ended and record.get("step") == kept[-1].get("step"):
            left_out += 1
        else:
            kept.append(record)
    if not left_out:
        return kept, []
    what = count_text(left_out, "evaluation")
    return kept, [f"{what} after the end of training left out: of test rows, most likely"]


def _points(
    history: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]], prefix: str, score: str | None
) -> list[Point]:
    points = []
    for record in kept:
        step = int(record.get("step", 0))
        before = [entry["loss"] for entry in history if _is_number(entry.get("loss")) and entry.get("step", 0) <= step]
        points.append(
            Point(
                step=step,
                epoch=record.get("epoch"),
                score=_number(record.get(f"{prefix}{score}")),
                loss=_number(record.get(f"{prefix}loss")),
                objective=before[-1] if before else None,
            )
        )
    return points


def _clean_training_score(history: Iterable[dict[str, Any]], score: str | None) -> float | None:
    """Of `trainer.evaluate(train_rows, metric_key_prefix="train")`."""
    for record in reversed(list(history)):
        if "train_runtime" in record and "total_flos" not in record and _is_number(record.get(f"train_{score}")):
            return float(record[f"train_{score}"])
    return None


def _divergence(history: Sequence[dict[str, Any]]) -> str:
    for record in history:
        norm, loss = record.get("grad_norm"), record.get("loss")
        where = f"at step {record.get('step')}"
        if isinstance(norm, float) and not math.isfinite(norm):
            return f"the gradient was not finite {where}"
        if isinstance(loss, float) and not math.isfinite(loss):
            return f"the training loss was not finite {where}"
        if loss == 0.0 and not norm:
            return f"the training loss is exactly 0 {where}, as a NaN is logged"
    losses = [record["loss"] for record in history if _is_number(record.get("loss"))]
    if objective_rose(losses):
        lowest = number_text(min(losses), 3)
        return f"the training loss fell to {lowest} and came back to {number_text(losses[-1], 3)}"
    return ""


def _with_scores(observed: Observed, numbers: Numbers, measured: float | None) -> Observed:
    """With the last validation score, and the best that is known of the training score."""
    last = next((point.score for point in reversed(observed.curve) if point.score is not None), None)
    value = numbers.validation_accuracy if numbers.validation_accuracy is not None else last
    if value is None:
        missing = "a validation score: the log has losses only (compute_metrics of the Trainer gives one)"
        return replace(observed, missing=(missing,))
    unit, rows = scale(observed.score), observed.validation_rows
    known = numbers.train_accuracy if numbers.train_accuracy is not None else measured
    train_rows = numbers.train_size
    is_proportion = observed.score == "accuracy" and rows is not None
    validation = accuracy_estimate(value, rows) if is_proportion and rows else Estimate(mean=value)
    if known is not None:
        gap = gap_estimate(known, train_rows, value, rows) if is_proportion and rows else Estimate(mean=known - value)
        return replace(observed, train=Estimate(mean=known), validation=validation, gap=gap)
    missing = f'the training {unit.name} in eval mode: trainer.evaluate(train_rows, metric_key_prefix="train")'
    objective = observed.curve[-1].objective
    least = None if objective is None else 1 - objective / LEAST_LOSS_OF_AN_ERROR
    if observed.score != "accuracy" or least is None or least - value <= noise(rows):
        return replace(observed, validation=validation, missing=(missing,))
    note = (
        f"the training accuracy is at least {percent_text(least, 1)}: the last training loss is "
        f"{number_text(objective, 3)}, and each error costs at least ln 2 (of cross-entropy; accumulation, several "
        "processes and smoothing only raise it)"
    )
    gap = gap_estimate(least, train_rows, value, rows) if rows else Estimate(mean=least - value)
    return replace(
        observed,
        train=Estimate(mean=least),
        validation=validation,
        gap=gap,
        is_at_least=True,
        notes=(*observed.notes, note),
        missing=(missing,),
    )


def _rows_of(record: dict[str, Any], prefix: str) -> int | None:
    """Rows that an evaluation had, from its rate and its time."""
    rate, time = _number(record.get(f"{prefix}samples_per_second")), _number(record.get(f"{prefix}runtime"))
    if rate is None or time is None:
        return None
    rows = round(rate * time)
    return rows if rows > 0 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and _is_number(value) else None
