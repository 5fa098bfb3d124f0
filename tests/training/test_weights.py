"""Statistics of weights: the fast counts equal those that the definition gives, bit for bit."""

from collections.abc import Iterable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from finetune.records.schema import WeightGroup
from finetune.training.weights import MAGNITUDE_EDGES, _smallest_reaching, weight_statistics

ENCODER = [
    "encoder.embeddings.word",
    "encoder.layer.0.weight",
    "encoder.layer.0.bias",
    "encoder.layer.1.weight",
    "encoder.pooler.weight",
]


class Model:
    """Named weights: embeddings, two layers and a pooler of the encoder, and a head."""

    def __init__(self, values: list[Tensor]) -> None:
        self._parameters = dict(zip([*ENCODER, "head"], values, strict=True))

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]:
        return self._parameters.items()


GROUPS = {
    "encoder": ENCODER,
    "encoder.embeddings": ["encoder.embeddings.word"],
    "encoder.layer.0": ["encoder.layer.0.weight", "encoder.layer.0.bias"],
    "encoder.layer.1": ["encoder.layer.1.weight"],
    "encoder.other": ["encoder.pooler.weight"],
    "head": ["head"],
}


def by_definition(model: Model, pretrained: Mapping[str, Tensor]) -> dict[str, WeightGroup]:
    """Everything in float64, a logarithm for each weight, each group by itself."""
    parameters = dict(model.named_parameters())
    found = {}
    for group, names in GROUPS.items():
        values = [parameters[name].detach().double() for name in names]
        moves = [
            value - pretrained[name].double() for name, value in zip(names, values, strict=True) if group != "head"
        ]
        found[group] = WeightGroup(
            parameters=sum(value.numel() for value in values),
            norm=norm(values),
            distance=norm(moves) if moves else None,
            zeros=sum(int((value == 0).sum()) for value in values),
            unmoved=sum(int((move == 0).sum()) for move in moves) if moves else None,
            magnitudes=torch.stack([histogram(value) for value in values]).sum(0).tolist(),
        )
    return found


def norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.square().sum() for tensor in tensors]).sum().sqrt())


def histogram(values: Tensor) -> Tensor:
    logs = values[values != 0].abs().log10().float()
    inside = logs.clamp(MAGNITUDE_EDGES[0] + 1e-6, MAGNITUDE_EDGES[-1] - 1e-6)
    return torch.histogram(inside, MAGNITUDE_EDGES).hist.long()


def neighbours(values: Tensor, reach: int) -> Tensor:
    """Each positive float32 with the `reach` numbers on either side of it."""
    steps = torch.arange(-reach, reach + 1, dtype=torch.int32)
    return (values.view(torch.int32)[:, None] + steps).view(torch.float32).flatten()


AT_EDGES = neighbours((10.0 ** MAGNITUDE_EDGES.double()).float(), 200)
ODD = torch.tensor([0.0, -0.0, 1e-45, -1e-45, 1e-40, 1.1754944e-38, 1e-30, 99.9, 100.0, 123.0, -1e6, 3e38, -3.4e38])


def assert_as_defined(values: list[Tensor], starts: list[Tensor]) -> None:
    model = Model(values)
    pretrained = dict(zip(ENCODER, [start.clone() for start in starts], strict=True))
    before = {name: value.clone() for name, value in pretrained.items()}
    found = weight_statistics(model, pretrained)
    assert found == by_definition(model, before)
    assert all(torch.equal(pretrained[name], value) for name, value in before.items())


@pytest.mark.parametrize("seed", range(3))
def test_random_weights_of_all_sizes(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        sizes = 10.0 ** (torch.rand(*shape, generator=generator) * 14 - 10)
        return sizes * torch.randn(*shape, generator=generator).sign()

    shapes = [(500, 300), (64, 64), (64,), (65, 1009), (2**16 + 3,), (3, 64)]
    values = [draw(*shape) for shape in shapes]
    starts = []
    for value in values[:-1]:
        stays = torch.rand(value.shape, generator=generator) < 0.3
        starts.append(torch.where(stays, value, draw(*value.shape)))
    assert_as_defined(values, starts)


def test_weights_at_the_edges_of_the_bins_zeros_denormals_and_huge_ones() -> None:
    values = [AT_EDGES, -AT_EDGES, ODD, torch.zeros(7), torch.tensor(0.5), torch.cat([AT_EDGES, ODD])]
    assert_as_defined(values, [torch.zeros_like(value) for value in values[:-1]])


def test_a_bin_starts_where_the_rounded_logarithm_reaches_its_edge() -> None:
    edges = MAGNITUDE_EDGES[1:-1]
    smallest = torch.from_numpy(_smallest_reaching(edges))
    below = torch.from_numpy(np.nextafter(smallest.numpy(), np.float32(0)))
    assert (smallest.double().log10().float() >= edges).all()
    assert (below.double().log10().float() < edges).all()
