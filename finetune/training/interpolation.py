"""The straight line from the pretrained to the fine-tuned weights, and the best place on it."""

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
    def go_to(self, share: float) -> None:
        """α = share; 1 gives the fine-tuned weights back exactly, 0 the pretrained ones."""
        for name, parameter in self._parameters.items():
            start, end = self._pretrained[name].to(parameter.device), self._tuned[name]
            parameter.copy_(end if share == 1 else start + share * (end - start))

    def go_to_best(self, shares: Sequence[float], quality: Callable[[], Quality]) -> float:
        """Go where `quality`, asked at each share, is highest; of equal ones to the largest share. Returns it."""
        found: list[tuple[Quality, float]] = []
        for share in shares:
            self.go_to(share)
            found.append((quality(), share))
        best = max(found)[1]
        self.go_to(best)
        return best
