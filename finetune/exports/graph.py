"""A classifier of transformers -> its graph in ONNX, by torch's exporter."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from finetune.errors import ModelError, first_line

MOST_IN_ONE_FILE = 1_500_000_000  # bytes; a file of this format holds less than 2 GB


def write_graph(model: Any, batch: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write the graph for batches of any number of texts of any length.

    Args:
        model: A sequence classifier of transformers, in eval mode, on the CPU, with transformers' own modules.
        batch: Its inputs, for at least two texts with at least two tokens: (texts, tokens) each.
        path: The .onnx file. Weights of a very large model go into files beside it, whose names start with its name.

    Raises:
        ModelError: Torch cannot export this architecture.
    """
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    weights = sum(value.numel() * value.element_size() for value in model.parameters())
    try:
        with _quiet_export(), torch.no_grad():
            torch.onnx.export(
                model,
                (),
                path,
                kwargs=dict(batch),
                input_names=list(batch),
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(batch, sizes),
                dynamo=True,
                external_data=weights > MOST_IN_ONE_FILE,
                verbose=False,
            )
    except (RuntimeError, NotImplementedError, ValueError, TypeError, AssertionError) as error:
        cause = error.__cause__ or error
        why = f"architecture '{model.config.model_type}' cannot be exported by torch.onnx: {first_line(cause)}."
        raise ModelError(why, argument="model", found=str(model.config.name_or_path)) from error


@contextlib.contextmanager
def _quiet_export() -> Iterator[None]:
    """Inside, the exporter tells nothing of its steps, nor of packages that it could use."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
