"""Statistics of the weights after training: size, distance from their initial values, exact zeros."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.models.layers import constant_names
from finetune.records.schema import WeightGroup

MAGNITUDE_EDGES = torch.linspace(-8, 2, 41)  # of log10 |w|; what lies outside counts in the outermost bin
_PIECE = 2**16  # weights


def _smallest_reaching(edges: Tensor) -> NDArray[np.float32]:
    """For each edge the smallest float32 whose log10, rounded to float32, is not below it."""
    # A few neighbours of 10^edge round to the same logarithm. Seen as integers, floats of one sign are in order.
    near = (10.0 ** edges.double()).float().view(torch.int32)
    neighbours = (near[:, None] + torch.arange(-32, 33, dtype=torch.int32)).view(torch.float32)
    reaches = neighbours.double().log10().float() >= edges[:, None]
    smallest: NDArray[np.float32] = neighbours[torch.arange(len(edges)), reaches.int().argmax(1)].numpy()
    return smallest


_SMALLEST = _smallest_reaching(MAGNITUDE_EDGES[1:-1])
_LAYER = re.compile(r"\.(?:layer|layers|albert_layer_groups)\.(\d+)\.")


def weight_statistics(model: Any, pretrained: Mapping[str, Tensor]) -> dict[str, WeightGroup]:
    """Statistics of encoder and head as a whole, and of the encoder's parts (embeddings, each layer, other).

    Constants of an added pooling layer are not counted; its trainable weights count as head.
    """
    members: dict[str, list[str]] = {}
    constants = constant_names(model)
    parameters = {name: value for name, value in model.named_parameters() if name not in constants}
    for name in parameters:
        if name in pretrained:
            members.setdefault("encoder", []).append(name)
            members.setdefault(_part(name), []).append(name)
        else:
            members.setdefault("head", []).append(name)
    facts = {name: _facts(value, pretrained.get(name)) for name, value in parameters.items()}
    return {group: _group([facts[name] for name in names]) for group, names in members.items()}


def _part(name: str) -> str:
    layer = _LAYER.search(name)
    if layer:
        return f"encoder.layer.{layer.group(1)}"
    return "encoder.embeddings" if "embeddings" in name else "encoder.other"


@dataclass(frozen=True)
class _Facts:
    """Of one tensor, computed once: it is a member of two groups.

    Attributes:
        count: Number of its weights.
        zeros: Weights that are exactly 0.
        squares: Sum of w², float64.
        magnitudes: Counts in the bins of MAGNITUDE_EDGES.
        moved: Sum of squares of w − pretrained, and how many are exactly 0; None where nothing was pretrained.
    """

    count: int
    zeros: int
    squares: Tensor
    magnitudes: NDArray[np.int64]
    moved: tuple[Tensor, int] | None


def _facts(parameter: Tensor, start: Tensor | None) -> _Facts:
    values = parameter.detach().cpu()
    moved = None
    if start is not None:
        move = start.detach().cpu().double().sub_(values)
        unmoved = move.numel() - int(torch.count_nonzero(move))
        moved = move.square_().sum(), unmoved
        del move  # in float64 a table of words is the largest tensor of all: one of them at a time
    zeros = values.numel() - int(torch.count_nonzero(values))
    return _Facts(values.numel(), zeros, values.double().square_().sum(), _magnitudes(values), moved)


def _group(facts: list[_Facts]) -> WeightGroup:
    moves = [fact.moved for fact in facts if fact.moved is not None]
    all_pretrained = len(moves) == len(facts)
    return WeightGroup(
        parameters=sum(fact.count for fact in facts),
        norm=_root_of_sum([fact.squares for fact in facts]),
        distance=_root_of_sum([squares for squares, _ in moves]) if all_pretrained else None,
        zeros=sum(fact.zeros for fact in facts),
        unmoved=sum(unmoved for _, unmoved in moves) if all_pretrained else None,
        magnitudes=np.sum([fact.magnitudes for fact in facts], axis=0).tolist(),
    )


def _magnitudes(values: Tensor) -> NDArray[np.int64]:
    """Histogram of log10 |w| over MAGNITUDE_EDGES, exact zeros left out."""
    flat = values.flatten().numpy()
    reaching = np.zeros(len(_SMALLEST), dtype=np.int64)
    # Pieces that stay in the processor's cache: 39 comparisons there cost less than one logarithm or binary search.
    for start in range(0, len(flat), _PIECE):
        piece = np.abs(flat[start : start + _PIECE])
        reaching += [np.count_nonzero(piece >= smallest) for smallest in _SMALLEST]
    return -np.diff(reaching, prepend=np.count_nonzero(flat), append=0)


def _root_of_sum(squares: list[Tensor]) -> float:
    return float(torch.stack(squares).sum().sqrt())
