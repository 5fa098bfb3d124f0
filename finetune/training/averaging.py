"""A running average of the trained weights, which is measured, selected and saved once it exists."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FILE = "average.safetensors"


class WeightAverage:
    """Holds the average of some parameters, in fp32. Empty until the first fraction above 0.

    Args:
        parameters: Name -> parameter, as trained.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = dict(parameters)
        self._average: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, fraction: float) -> None:
        """average ← average + fraction · (weights − average); the first update takes the weights as they are."""
        if fraction <= 0:
            return
        for name, parameter in self._parameters.items():
            if name in self._average and fraction < 1:
                self._average[name].lerp_(parameter.detach(), fraction)
            else:
                self._average[name] = parameter.detach().clone()

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Inside, the model holds the average; afterwards its own weights again. Without an average nothing happens."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def replace_weights(self) -> None:
        """Put the average into the model for good."""
        self._swap()
        self._average.clear()

    def _swap(self) -> None:
        for name, value in self._average.items():
            parameter = self._parameters[name]
            self._average[name], parameter.data = parameter.data, value

    def copy_to_host(self) -> WeightAverage:
        """A copy of the current average, in main memory."""
        copy = WeightAverage(self._parameters)
        copy._average = {name: value.to("cpu", copy=True) for name, value in self._average.items()}
        return copy

    def applied_to(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights, with averaged ones replaced by their average; empty without an average."""
        return {**weights, **self._average} if self._average else {}

    def size(self) -> int:
        """Size in bytes."""
        return sum(value.nbytes for value in self._average.values())

    def save(self, folder: Path) -> None:
        """Write the average into a checkpoint; nothing without an average."""
        if self._average:
            save_file({name: value.contiguous() for name, value in self._average.items()}, folder / FILE)

    def restore(self, folder: Path) -> None:
        """Read the average from a checkpoint; one that was written before averaging began has none."""
        path = folder / FILE
        if path.is_file():
            device = next(iter(self._parameters.values())).device
            self._average = load_file(path, device=str(device))
