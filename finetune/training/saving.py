"""Results that a finished run saves: the model, and the logits of every row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finetune.atomic import replaced_file, replaced_folder
from finetune.data.rows import Rows
from finetune.data.tokens import Encoder
from finetune.models.outputs import Outputs
from finetune.models.served import FILE, ServedModel
from finetune.training.disk import SMALL, writing_to


def save_model(model: Any, encoder: Encoder, served: ServedModel, folder: Path) -> None:
    """Save model and tokenizer as plain transformers loads them, with a description of inputs and outputs. A kill
    leaves the whole folder or none.

    Raises:
        DiskFull: There is no room.
    """
    size = sum(value.nbytes for value in model.state_dict().values()) + SMALL
    with writing_to(folder.parent, size), replaced_folder(folder) as partial:
        model.save_pretrained(partial)
        encoder.save_tokenizer(partial)
        (partial / FILE).write_text(served.model_dump_json(indent=2) + "\n", encoding="utf-8")


def save_predictions(arrays: Mapping[str, Any], path: Path) -> None:
    """Replace the file in one step.

    Raises:
        DiskFull: There is no room.
    """
    size = sum(np.asarray(array).nbytes for array in arrays.values()) + SMALL
    with writing_to(path.parent, size), replaced_file(path) as partial:
        np.savez_compressed(partial, **arrays)


def prediction_arrays(rows: Mapping[str, Rows], outputs: Mapping[str, Mapping[str, Outputs]]) -> dict[str, Any]:
    """Content of predictions.npz: row numbers, names and targets of each split, and its logits at each checkpoint.

    Args:
        rows: Split -> its rows; names are kept if `data.id` gives any.
        outputs: "selected" and "last" -> split -> outputs; one logit vector per row.
    """
    arrays: dict[str, Any] = {}
    for name, part in rows.items():
        arrays[f"{name}_rows"] = np.array(part.ids)
        if part.names is not None:
            arrays[f"{name}_ids"] = np.array(part.names)
        arrays[f"{name}_targets"] = outputs["selected"][name].targets
    for checkpoint, splits in outputs.items():
        arrays |= {f"{checkpoint}_{name}_logits": split.logits for name, split in splits.items()}
    return arrays
