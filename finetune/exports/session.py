"""An exported model that is called like a model of transformers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from finetune.exports.base import Run


class Answer(NamedTuple):
    """The output, with the attribute name of transformers."""

    logits: Tensor


class Session(nn.Module):
    """A module without parameters.

    Args:
        run: The result of `Format.open`.
        config: Configuration of transformers.
    """

    def __init__(self, run: Run, config: Any) -> None:
        super().__init__()
        self._run = run
        self.config = config

    def forward(self, **inputs: Tensor) -> Answer:
        """(batch, length) of each input -> logits, (batch, outputs)."""
        return Answer(torch.from_numpy(self._run({name: value.numpy() for name, value in inputs.items()})))
