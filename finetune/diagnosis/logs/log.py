"""What every reader turns a log into: the records of one run, with the keys of transformers' Trainer.

Keys of a record:
- `step` (optimizer steps, or evaluations where a program counts nothing else) and `epoch`;
- `loss`: the training objective since the record before, in training mode; `grad_norm`;
- `eval_NAME`, or `eval_SET_NAME` with several evaluation sets: in eval mode, on rows that were not trained on;
- `clean_NAME`: on training rows, in eval mode;
- `running_NAME`: on training rows, in training mode, while the model changed;
- `total_flos`: training has ended, so later evaluations are not part of its curve. Other keys are carried along and not
read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from finetune.diagnosis.observations import is_share
from finetune.errors import Change, OutputError, suggest
from finetune.measurement.units import count_text

Record = dict[str, Any]
# `mean`: a mean over rows since the last record, perhaps times a factor above 1, so that it bounds the training errors.
Objective = Literal["mean", "batch", "sum"]
SIDES = {
    "eval": ("eval", "evaluation", "val", "valid", "validation", "dev"),
    "train": ("train", "training", "trn"),
    "test": ("test",),
}
AVERAGES = ("epoch", "mean", "avg")  # words around a name that say over what the mean is
SCORES = {"acc": "accuracy", "f1_score": "f1"}
NAMES = {**SCORES, "nll": "loss", "nll_loss": "loss", "cross_entropy": "loss", "ce": "loss"}
CLOSING = ("train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second")  # of Trainer's training
ERROR_RATES = ("error_rate", "err_rate", "classification_error")  # 1 - accuracy
AREAS = ("auroc", "roc_auc", "auprc")  # fractions, or percent, as shares are
TIMES = ("_time", "runtime", "per_second")  # ends of keys
NOT_SCORES = ("loss", *TIMES, "epoch", "step", "_tp", "_tn", "_fp", "_fn", "_threshold")  # ends, too


@dataclass(frozen=True)
class Log:
    """One run as a program logged it.

    Attributes:
        file: File or folder that was read.
        records: In their order.
        notes: Facts to know about the numbers, as clauses.
        objective: Kind of the training losses: a mean over rows, the value of one batch, or a sum over steps.
        settings: Training arguments, by their names in transformers, where the log holds them.
        stopped: Early stopping ended the training.
        best_step: Steps after which the best checkpoint was saved, where the log names one.
        is_cut: The log ends before the training does.
        train_rows, validation_rows: Numbers of rows, where the log holds them.
        running_is_mean: The scores in training mode are means over epochs, even if the losses are not.
    """

    file: Path
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    objective: Objective = "mean"
    settings: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = False
    best_step: int | None = None
    is_cut: bool = False
    train_rows: int | None = None
    validation_rows: int | None = None
    running_is_mean: bool = False

    @property
    def has_means(self) -> bool:
        """Whether its scores in training mode say something about an epoch."""
        return self.running_is_mean or self.objective == "mean"


@dataclass(frozen=True)
class Reader:
    """A reader of one format.

    Attributes:
        name: Human-readable name of the format.
        finds: A file or folder -> what to read there; None if this format is not found. Opens few files.
        read: The result of `finds`, and the name of the run if there are several -> its log.
        has_runs: Its logs have names, one of which `read` takes.
    """

    name: str
    finds: Callable[[Path], Path | None]
    read: Callable[[Path, str | None], Log]
    has_runs: bool = False


def one_run(path: Path, runs: Mapping[str, Any], name: str | None) -> str:
    """The name of the run to read: the only one, or the requested one.

    Raises:
        OutputError: There are several and none is named, or none has this name.
    """
    if name is None:
        if len(runs) == 1:
            return next(iter(runs))
        ways = [Change(arguments={"run": each}) for each in list(runs)[:5]]
        more = "" if len(runs) <= 5 else f" The first 5 of {len(runs)}:"
        raise OutputError(f"{path}: holds {len(runs)} runs, but only one can be diagnosed.{more}", *ways)
    if name not in runs:
        why = f"{path}: no run has this name.{suggest(name, list(runs))}"
        raise OutputError(why, argument="run", found=name)
    return name


def place_of(path: Path, files: Sequence[Path]) -> Path | None:
    """The place of one format's logs in a folder: the file if there is one, the folder if there are several."""
    return (files[0] if len(files) == 1 else path) if files else None


def one_file(path: Path, files: Sequence[Path], run: str | None) -> Path:
    """Choose the log to read from several files, whose names without the suffix are the names of runs.

    If these are not unique, the whole names are used.

    Raises:
        OutputError: See `one_run`.
    """
    stems = [file.stem for file in files]
    named = {(file.stem if stems.count(file.stem) == 1 else file.name): file for file in files}
    return named[one_run(path, named, run)]


def number(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def as_float(text: str) -> float:
    """A printed number as a float; NaN for anything that is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def canonical(name: str, trainer: bool = False) -> str:
    """The record key for a name in a log; the name itself if it is not recognised.

    Args:
        name: Such as `eval/loss`, `val_acc`, `Loss/train`, `train_loss_epoch`.
        trainer: Whether transformers' Trainer wrote it, whose `train_NAME` come from `evaluate(train_rows)`.
    """
    plain = name.removeprefix("train/") if trainer else name
    if trainer and (plain in ("loss", "epoch", "grad_norm", "total_flos") or plain.endswith(CLOSING)):
        return plain
    if trainer and plain.startswith("train_"):
        return with_usual_score(f"clean_{plain.removeprefix('train_')}")
    if trainer and plain.startswith(("eval/", "eval_")):
        return with_usual_score(f"eval_{plain[5:]}")
    words = [word for word in re.split(r"[/_\-. ]+", name.lower()) if word]
    sides = [side for side, known in SIDES.items() if any(word in known for word in words)]
    if len(sides) != 1:
        return name.lower()
    known = SIDES[sides[0]]
    rest = "_".join(word for word in words if word not in known and word not in AVERAGES)
    rest = _renamed(rest)
    if not rest:
        return name.lower()
    if sides[0] == "train":
        return rest if rest in ("loss", "grad_norm") else f"running_{rest}"
    return f"{sides[0]}_{rest}"


def of_training_rows(record: Record) -> Record:
    """Records of `evaluate(train_rows, metric_key_prefix="train")`, renamed to the keys for training rows in eval
    mode."""
    return {(f"clean_{key[6:]}" if key.startswith("train_") else key): value for key, value in record.items()}


def with_usual_score(key: str) -> str:
    """`eval_acc` -> `eval_accuracy`, with the names of evaluation sets before it as they are."""
    name = next((name for name in SCORES if key.endswith(f"_{name}")), None)
    return key if name is None else f"{key.removesuffix(name)}{SCORES[name]}"


def _renamed(rest: str) -> str:
    """With the name of the score at its end in the usual words: `dataloader_idx_0_acc`, `loss_dataloader_idx_0`."""
    several = re.fullmatch(r"(.*?)_(dataloader_idx_\d+)", rest)  # Lightning
    if several:
        return f"{several[2]}_{NAMES.get(several[1], several[1])}"
    return NAMES.get(rest, rest)


def of_trainer(names: Iterable[str]) -> bool:
    """Whether names are those that transformers' Trainer gives a tracker."""
    marks = ("total_flos", "samples_per_second", "steps_per_second")
    return any(name.endswith(marks) for name in names)


def objective_of(records: Iterable[Record], trainer: bool) -> Objective:
    """Kind of a tracker's training losses: a mean if transformers wrote them or there is one per evaluation; else
    batches."""
    records = list(records)
    losses = sum("loss" in record or any(key.startswith("running_") for key in record) for record in records)
    evaluations = sum(any(key.startswith("eval_") for key in record) for record in records)
    return "mean" if trainer or losses <= evaluations + 1 else "batch"


def records_of(entries: Iterable[tuple[str, int, float]]) -> tuple[list[Record], list[str]]:
    """Single values in the order of writing -> records, and notes.

    A tracker that a resumed run writes to again holds some steps twice: the later ones count. Each key has its own
    count of steps, because some programs log training by batches and validation by epochs.

    Args:
        entries: Key, step, value.
    """
    entries = list(entries)
    kept, notes = _without_repeated_steps(entries)
    records: list[Record] = []
    for key, step, value in kept:
        if not records or step != records[-1]["step"] or key in records[-1]:
            records.append({"step": step})
        records[-1][key] = value
    return records, notes


def _without_repeated_steps(entries: list[tuple[str, int, float]]) -> tuple[list[tuple[str, int, float]], list[str]]:
    """Of each key, what is left when values of later steps are taken back whenever its steps go back."""
    last: dict[str, int] = {}
    dropped: set[int] = set()
    back: tuple[int, int] | None = None
    for index, (key, step, _) in enumerate(entries):
        if step < last.get(key, step):
            back = back or (last[key], step)
            dropped.update(i for i in range(index) if entries[i][0] == key and entries[i][1] >= step)
        last[key] = step
    if back is None:
        return entries, []
    why = (
        f"steps go back from {back[0]} to {back[1]}, as after a resume: the later values count, and "
        f"{count_text(len(dropped), 'value')} of the earlier session are left out"
    )
    return [entry for index, entry in enumerate(entries) if index not in dropped], [why]


def as_fractions(records: Iterable[Record], file: Path) -> tuple[list[Record], list[str]]:
    """The records with scores in percent converted to fractions.

    Raises:
        OutputError: A score is neither a fraction nor a percentage.
    """
    records = list(records)
    notes = []
    for name in sorted({key for record in records for key in record if _is_share(key)}):
        values = [value for value in (number(record.get(name)) for record in records) if value is not None]
        if not values or (min(values) >= 0 and max(values) <= 1):
            continue
        if min(values) < 0 or max(values) > 100:
            worst = min(values) if min(values) < 0 else max(values)
            raise OutputError(f"{file}: {name} is {worst:g}, which is neither a fraction nor a percentage.")
        notes.append(f"{name} is in percent in the log, and was divided by 100")
        records = [record | _divided(record, name) for record in records]
    return records, notes


def _divided(record: Record, name: str) -> Record:
    value = number(record.get(name))
    return {} if value is None else {name: value / 100}


def _is_share(key: str) -> bool:
    side, _, rest = key.partition("_")
    is_score = side in ("eval", "clean", "running") and not rest.endswith(NOT_SCORES)
    return is_score and (is_share(rest) or rest.endswith((*AREAS, *ERROR_RATES)))
