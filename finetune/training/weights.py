"""What training did to the weights: size, distance from where they started, exact zeros."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from finetune.records.schema import WeightGroup

MAGNITUDE_EDGES = torch.linspace(-8, 2, 41)  # of log10 |w|; what lies outside counts in the outermost bin
_LAYER = re.compile(r"\.(?:layer|layers|albert_layer_groups)\.(\d+)\.")


def weight_statistics(model: Any, pretrained: Mapping[str, Tensor]) -> dict[str, WeightGroup]:
    """Statistics of encoder and head as a whole, and of the encoder's parts (embeddings, each layer, other)."""
    members: dict[str, list[str]] = {}
    parameters = dict(model.named_parameters())
    for name in parameters:
        if name in pretrained:
            members.setdefault("encoder", []).append(name)
            members.setdefault(_part(name), []).append(name)
        else:
            members.setdefault("head", []).append(name)
    return {group: _statistics(names, parameters, pretrained) for group, names in members.items()}


def _part(name: str) -> str:
    layer = _LAYER.search(name)
    if layer:
        return f"encoder.layer.{layer.group(1)}"
    return "encoder.embeddings" if "embeddings" in name else "encoder.other"


def _statistics(names: list[str], parameters: Mapping[str, Tensor], pretrained: Mapping[str, Tensor]) -> WeightGroup:
    values = [parameters[name].detach().double().cpu() for name in names]
    known = all(name in pretrained for name in names)
    moves = (
        [value - pretrained[name].double().cpu() for name, value in zip(names, values, strict=True)] if known else []
    )
    return WeightGroup(
        parameters=sum(value.numel() for value in values),
        norm=_norm(values),
        distance=_norm(moves) if known else None,
        zeros=sum(int((value == 0).sum()) for value in values),
        unmoved=sum(int((move == 0).sum()) for move in moves) if known else None,
        magnitudes=torch.stack([_magnitudes(value) for value in values]).sum(0).tolist(),
    )


def _magnitudes(values: Tensor) -> Tensor:
    """Histogram of log10 |w| over MAGNITUDE_EDGES, exact zeros left out."""
    logs = values[values != 0].abs().log10().float().clamp(MAGNITUDE_EDGES[0] + 1e-6, MAGNITUDE_EDGES[-1] - 1e-6)
    # Counts are float32 and stop at 2**24 a bin; embeddings of large vocabularies have more weights than that.
    parts = logs.flatten().split(2**22)
    return sum((torch.histogram(part, MAGNITUDE_EDGES).hist.long() for part in parts), torch.zeros(40).long())


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.square().sum() for tensor in tensors]).sum().sqrt())
