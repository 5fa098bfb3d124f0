"""Facts about a finished run, for techniques that report what they did in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from finetune.techniques.budget import Budget
from finetune.techniques.parameters import WeightNames

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """A run that has ended.

    Attributes:
        budget: Epochs, steps and learning rates of the run.
        classes: Number of classes of a single-label task; None for other tasks.
        names: Parameters by what may be done to them.
        weights: Name -> value, of the weights that are exported; not of those that a technique has merged or replaced.
        pretrained: Name -> value as loaded, for the parameters of the encoder.
        parameters: Number in the model, and how many of them training could change.
        dropout: Kind -> probability in the checkpoint and in the run, for kinds that have a single one in each.
        epochs: Epochs trained.
        selected_epoch: Epoch of the exported weights.
        share: Fraction of the fine-tuned weights, if they were interpolated with the pretrained ones.
        stopped: Whether early stopping ended the run; None if no rule watched validation.
    """

    budget: Budget
    classes: int | None
    names: WeightNames
    weights: Mapping[str, Tensor]
    pretrained: Mapping[str, Tensor]
    parameters: tuple[int, int]
    epochs: float
    selected_epoch: float
    dropout: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    share: float | None = None
    stopped: bool | None = None

    def of(self, names: Iterable[str]) -> list[str]:
        """The names that are among the weights, sorted."""
        return sorted(name for name in names if name in self.weights)

    def count(self, names: Iterable[str]) -> int:
        """Number of weights (scalars)."""
        return sum(self.weights[name].numel() for name in self.of(names))

    def zeros(self, names: Iterable[str]) -> int:
        """Number of weights that are exactly 0."""
        return sum(int((self.weights[name] == 0).sum()) for name in self.of(names))

    def unmoved(self, names: Iterable[str]) -> int:
        """Number of weights that still have exactly their loaded value."""
        return sum(int((self.weights[name].cpu() == self.pretrained[name].cpu()).sum()) for name in self.of(names))

    def norm(self, names: Iterable[str]) -> float:
        """‖w‖₂ at the end."""
        return _norm(self.weights[name] for name in self.of(names))

    def norm_before(self, names: Iterable[str]) -> float:
        """‖w‖₂ of the same weights as loaded."""
        return _norm(self.pretrained[name] for name in self.of(names))

    def distance(self, names: Iterable[str]) -> float:
        """‖w − pretrained‖₂."""
        return _norm(self.weights[name].cpu() - self.pretrained[name].cpu() for name in self.of(names))


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.detach().double().square().sum()) for tensor in tensors))


def norm_change(run: Outcome, names: frozenset[str]) -> str | None:
    """`encoder norm 23.9 → 13.0`, for pretrained weights; None if there are none among the names."""
    encoder = frozenset(run.of(names & run.names.pretrained))
    if not encoder:
        return None
    before, after = run.norm_before(encoder), run.norm(encoder)
    return f"encoder norm {before:.4g} → {after:.4g}{_percent(after / before - 1) if before else ''}"


def _percent(change: float) -> str:
    """` (−0.71 %)`, ` (+560 %)`: two digits, or all before the point."""
    percent = 100 * change
    digits = f"{percent:+.2g}" if abs(percent) < 99.5 else f"{percent:+,.0f}"
    return f" ({digits} %)".replace("-", "−")


def trained_part(run: Outcome) -> str:
    """`3 of 24.5 M parameters trained (12.3 %)`."""
    everything, trained = run.parameters
    return f"{trained:,} of {everything:,} parameters trained ({100 * trained / everything:.2g} %)"
