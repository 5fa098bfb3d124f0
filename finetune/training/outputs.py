"""Outputs of the clean model on a split, from which evaluations, final weights and soups are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from finetune.data.sorted_sets import MeasuredSet
from finetune.models.outputs import Outputs, model_outputs


def split_outputs(
    model: Any,
    split: MeasuredSet,
    collate: Callable[[list[Any]], Any],
    *,
    batch_size: int,
    device: torch.device,
    autocast: torch.dtype | None = None,
    after_batch: Callable[[], None] | None = None,
) -> Outputs:
    """Outputs for each row of a split, in order; the mean logits for a text in windows.

    Arguments as in `model_outputs`.
    """
    outputs = model_outputs(
        model, split, collate, batch_size=batch_size, device=device, autocast=autocast, after_batch=after_batch
    )
    return Outputs(split.pooled(outputs.logits), split.restore(outputs.targets))
