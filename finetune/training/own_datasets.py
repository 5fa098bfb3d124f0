"""The datasets of a user's own Trainer: task, labels, and a sample of the training rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from finetune.data.rows import Data, Rows
from finetune.data.subset import draw_probe
from finetune.errors import Change, DataError, ModelError
from finetune.models.load import PROBLEM_TYPES
from finetune.tasks import Task

LABEL_KEYS = ("labels", "label", "label_ids")  # what transformers' collators take for labels


def own_data(model: Any, train: Any, validation: Any, probe_size: int | None, seed: int) -> Data:
    """The facts about two datasets that are known without their texts.

    Args:
        model: A transformers sequence classifier, whose configuration describes the labels.
        train: Items with labels; a dataset with a length.
        validation: As `train`.
        probe_size: Rows of the train sample; None: as many as validation has.
        seed: Seed of the draw.

    Raises:
        DataError: A dataset is missing, has no length, or has no usable labels.
        ModelError: The model has no configuration with the number of labels.
    """
    train_labels, validation_labels = _labels(train, "train_dataset"), _labels(validation, "eval_dataset")
    names = _label_names(model)
    task = _task(model, train_labels[0])
    train_rows, validation_rows = (_rows(labels, names, task) for labels in (train_labels, validation_labels))
    size = min(len(train_rows), probe_size or len(validation_rows))
    return Data(
        task=task,
        labels=None if task == "regression" else names,
        train=train_rows,
        probe=draw_probe(train_rows.labels, size, task, seed, "probe_size"),
        validation=validation_rows,
        test=None,
        columns={},
        fingerprint=_fingerprint(train_labels, validation_labels, validation),
    )


def _labels(dataset: Any, name: str) -> list[Any]:
    """Of every item, as plain Python values.

    Raises:
        DataError: There are none.
    """
    if dataset is None:
        way = Change(text=f"Pass one to Trainer: {name}=…")
        raise DataError(f"the trainer has no {name}; the gap needs both training and validation rows.", way)
    if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
        why = f"{name} is a {type(dataset).__name__}, which can be read only once and in one order."
        raise DataError(why, Change(text="Pass a dataset with a length, such as a list of its items."))
    if len(dataset) == 0:
        raise DataError(f"{name} is empty.")
    key = _label_key(dataset, name)
    # A column is read at once; only a dataset that makes its items on the fly must make them all.
    is_column = key in (getattr(dataset, "column_names", None) or ())
    labels = dataset[key] if is_column else (dataset[index][key] for index in range(len(dataset)))
    return [np.asarray(label).tolist() for label in labels]


def _label_key(dataset: Any, name: str) -> str:
    item = dataset[0]
    keys = list(item.keys()) if hasattr(item, "keys") else []
    for key in LABEL_KEYS:
        if key in keys:
            return key
    found = f"keys {', '.join(map(str, keys))}" if keys else f"a {type(item).__name__}"
    why = f"the items of {name} have no labels: expected a mapping with 'labels' or 'label', found {found}."
    raise DataError(why, Change(text="Give each item a label: an int, a number, or a list of zeros and ones."))


def _label_names(model: Any) -> list[str]:
    config: Any = getattr(model, "config", None)
    if not isinstance(getattr(config, "num_labels", None), int):
        why = f"{type(model).__name__} has no config.num_labels, so it is not a sequence classifier of transformers."
        raise ModelError(why, Change(text="Build it with AutoModelForSequenceClassification."))
    names = getattr(config, "id2label", None) or {}
    return [str(names.get(index, index)) for index in range(config.num_labels)]


def _task(model: Any, label: Any) -> Task:
    """As transformers decides it: by the configuration, else by the number and kind of the labels."""
    configured = getattr(model.config, "problem_type", None)
    known: dict[Any, Task] = {problem: task for task, problem in PROBLEM_TYPES.items()}
    if configured in known:
        return known[configured]
    if configured is not None:
        why = f"model.config.problem_type is {configured!r}, which is none of {', '.join(known)}."
        raise ModelError(why, Change(text="Set it to the one that fits the labels, or to None."))
    if model.config.num_labels == 1:
        return "regression"
    return "single_label" if isinstance(label, int) else "multi_label"


def _rows(labels: Sequence[Any], names: Sequence[str], task: Task) -> Rows:
    """Rows without texts, with labels as `Rows` holds them.

    Raises:
        DataError: A label does not fit the task.
    """
    try:
        values = [_row_label(label, names, task) for label in labels]
    except (TypeError, ValueError) as error:
        expected = {
            "single_label": f"an int from 0 to {len(names) - 1}",
            "multi_label": f"a list of {len(names)} zeros and ones",
            "regression": "a number",
        }[task]
        why = f"a label does not fit the task {task}: expected {expected}: {error}."
        way = Change(text="Set model.config.num_labels and model.config.problem_type to match the labels.")
        raise DataError(why, way) from error
    return Rows([""] * len(values), None, values, [str(number) for number in range(1, len(values) + 1)])


def _row_label(label: Any, names: Sequence[str], task: Task) -> Any:
    if task == "single_label":
        if not isinstance(label, int) or not 0 <= label < len(names):
            raise ValueError(f"found {label!r}")
        return names[label]
    if task == "multi_label":
        if len(label) != len(names):
            raise ValueError(f"found {len(label)} values")
        return [name for name, value in zip(names, label, strict=True) if value]
    if isinstance(label, list):
        (label,) = label
    return float(label)


def _fingerprint(train_labels: Sequence[Any], validation_labels: Sequence[Any], validation: Any) -> str:
    """sha256 over all labels and the items of validation. Those of train may be drawn anew at every look."""
    digest = hashlib.sha256(json.dumps([train_labels, validation_labels]).encode())
    for index in range(len(validation)):
        for key, value in sorted(validation[index].items()):
            array = np.asarray(value)
            content = array.tobytes() if array.dtype != object else repr(value).encode()
            digest.update(f"{key} {len(content)} ".encode() + content)
    return digest.hexdigest()
