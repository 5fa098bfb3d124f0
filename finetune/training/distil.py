"""Distillation: one student is trained on the predictions of an ensemble of finished runs for the training rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.data.rows import Data, Rows
from finetune.data.sorted_sets import MeasuredSet
from finetune.data.train_set import Collator
from finetune.errors import Change, OutputError, Problem
from finetune.measurement.ensemble import mean_predictions
from finetune.records.predictions import read_arrays
from finetune.records.store import RunFolder
from finetune.training.members import device, load_member, read_members
from finetune.training.outputs import split_outputs
from finetune.training.prepare import Prepared, with_training_rows
from finetune.training.run_warnings import unlabelled_warnings
from finetune.training.saving import save_predictions

FILE = "targets.npz"
Targets = NDArray[np.float32]


def student_rows(data: Data, unlabelled: Rows | None = None) -> Rows:
    """The rows that a student is trained on: the training rows, and further texts without labels.

    Args:
        data: Data of the members.
        unlabelled: Further texts, whose labels are not read: placeholders stand for them until the ensemble has
            predicted these texts.
    """
    train = data.train
    if unlabelled is None or not len(unlabelled):
        return train
    placeholder: Any = 0.0 if data.labels is None else data.labels[0] if data.task == "single_label" else []
    return Rows(
        [*train.texts, *unlabelled.texts],
        None if train.pairs is None or unlabelled.pairs is None else [*train.pairs, *unlabelled.pairs],
        [*train.labels, *[placeholder] * len(unlabelled)],
        [*train.ids, *(f"unlabelled {number}" for number in unlabelled.ids)],
    )


def teacher_targets(prepared: Prepared, rows: Rows, members: Sequence[RunFolder], folder: RunFolder) -> Targets:
    """Predictions of the ensemble for the student's rows: mean probabilities of the members, or mean numbers.

    They are kept in the student's folder, so that a resumed student learns the same targets.

    Args:
        prepared: Preparation of the members: task, tokenizer, and how texts are cut.
        rows: From `student_rows`; predicted clean, in eval mode and fp32.
        members: Finished runs with their models.
        folder: Folder of the student.

    Returns:
        (rows, outputs), or (rows,) for regression.

    Raises:
        OutputError: A member has not finished, its model is missing, or the kept targets belong to other rows.
        RecipeError: There are fewer than two members.
    """
    path = folder.path / FILE
    if path.is_file():
        return _read_targets(path, rows)
    read_members(members, "distil")
    split = MeasuredSet(rows, prepared.encoder)
    collate, batch_size = Collator(prepared.tokenizer), prepared.recipe.training.eval_batch_size
    logits = [
        split_outputs(load_member(member), split, collate, batch_size=batch_size, device=device()).logits
        for member in members
    ]
    targets = mean_predictions(prepared.data.task, logits).astype(np.float32)
    folder.path.mkdir(parents=True, exist_ok=True)
    save_predictions({"rows": np.array(rows.ids), "targets": targets}, path)
    return targets


def _read_targets(path: Path, rows: Rows) -> Targets:
    again = Change(text=f"Delete {path.parent} and type the command again.")
    try:
        arrays = read_arrays(path, {})
    except OutputError as error:
        raise OutputError([replace(problem, changes=(again,)) for problem in error.problems]) from error
    kept, targets = (arrays.get(name, np.zeros(0)) for name in ("rows", "targets"))
    if kept.tolist() != rows.ids or len(targets) != len(rows):
        raise OutputError(f"{path}: holds the targets of other rows.", again)
    return np.asarray(targets, dtype=np.float32)


def distilled(prepared: Prepared, rows: Rows, targets: Targets, members: int) -> Prepared:
    """Prepare the student's run: the recipe of its members, on soft targets instead of labels.

    Validation selects as it did for the members, by its true labels; all splits are measured on their true labels, too.

    Args:
        prepared: Preparation of the members.
        rows: From `student_rows`.
        targets: From `teacher_targets`.
        members: Number of members.
    """
    data, more = prepared.data, len(rows) - len(prepared.data.train)
    if more:
        first = len(data.train)
        labels = [*rows.labels[:first], *(_label(data, target) for target in targets[first:])]
        data = replace(data, train=replace(rows, labels=labels))
        prepared = _without_unread(with_training_rows(prepared, data))
    # Its own fingerprint: the same texts with other targets.
    digest = hashlib.sha256(f"soft targets of {data.fingerprint}\n".encode() + targets.tobytes())
    data = replace(data, fingerprint=digest.hexdigest())
    about = f"distil: trained on the mean predictions of {members} runs of this recipe for {len(rows)} texts"
    return replace(
        prepared,
        data=data,
        soft_targets=targets,
        keeps_split=not more,
        warnings=[*prepared.warnings, Problem(f"{about}, {more} of them without labels" if more else about)],
    )


def _without_unread(prepared: Prepared) -> Prepared:
    """Without the warning that nothing reads the unlabelled texts: the student does."""
    unread = unlabelled_warnings(prepared.recipe)
    return replace(prepared, warnings=[problem for problem in prepared.warnings if problem not in unread])


def _label(data: Data, target: NDArray[np.float32]) -> Any:
    """What the ensemble predicts, as a label: for what counts classes, such as balanced sampling."""
    if data.labels is None:
        return float(target)
    if data.task == "multi_label":
        return [name for name, probability in zip(data.labels, target, strict=True) if probability > 0.5]
    return data.labels[int(target.argmax())]
