"""The straight line from the pretrained to the fine-tuned weights, and the best point on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Quality = tuple[float, ...]


class PretrainedPath:
    """Moves the encoder of a model along w₀ + α (w − w₀); the head keeps its fine-tuned weights.

    Args:
        model: With its fine-tuned weights.
        pretrained: Name -> value as loaded, for the parameters of the encoder.
    """

    def __init__(self, model: Any, pretrained: Mapping[str, Tensor]) -> None:
        self._parameters = {name: value for name, value in model.named_parameters() if name in pretrained}
        self._pretrained = pretrained
        self._tuned = {name: value.detach().clone() for name, value in self._parameters.items()}

    @torch.no_grad()
    def move_to(self, fraction: float) -> None:
        """α = fraction; 1 gives the fine-tuned weights back exactly, 0 the pretrained ones."""
        for name, parameter in self._parameters.items():
            start, end = self._pretrained[name].to(parameter.device), self._tuned[name]
            parameter.copy_(end if fraction == 1 else start + fraction * (end - start))

    def move_to_best(self, fractions: Sequence[float], quality: Callable[[], Quality]) -> float:
        """Move to the fraction with the highest `quality`, the largest of equal ones, and return it."""
        measured: list[tuple[Quality, float]] = []
        for fraction in fractions:
            self.move_to(fraction)
            measured.append((quality(), fraction))
        best = max(measured)[1]
        self.move_to(best)
        return best
