"""What a finished run leaves behind: the model, and the logits of every row."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finetune.data.tokens import Encoder
from finetune.models.outputs import Outputs
from finetune.training.disk import SMALL, writing_to


def save_model(model: Any, encoder: Encoder, folder: Path) -> None:
    """Model and tokenizer as plain transformers loads them. A kill leaves the whole folder or none.

    Raises:
        DiskFull: There is no room.
    """
    partial = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    size = sum(value.nbytes for value in model.state_dict().values()) + SMALL
    with writing_to(folder.parent, size):
        model.save_pretrained(partial)
        encoder.save_tokenizer(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)


def save_predictions(arrays: Mapping[str, Any], path: Path) -> None:
    """Replace the file in one step.

    Raises:
        DiskFull: There is no room.
    """
    partial = path.parent / ".predictions.partial.npz"
    with writing_to(path.parent, sum(np.asarray(array).nbytes for array in arrays.values()) + SMALL):
        np.savez_compressed(partial, **arrays)
        partial.replace(path)


def prediction_arrays(rows: Mapping[str, list[str]], outputs: Mapping[str, Mapping[str, Outputs]]) -> dict[str, Any]:
    """What predictions.npz holds: row numbers and targets of each split, and its logits at each checkpoint.

    Args:
        rows: Split -> number of each of its rows in their source.
        outputs: "selected" and "last" -> split -> outputs; one logit vector per row.
    """
    arrays: dict[str, Any] = {}
    for name, numbers in rows.items():
        arrays[f"{name}_rows"] = np.array(numbers)
        arrays[f"{name}_targets"] = outputs["selected"][name].targets
    for checkpoint, splits in outputs.items():
        arrays |= {f"{checkpoint}_{name}_logits": split.logits for name, split in splits.items()}
    return arrays
