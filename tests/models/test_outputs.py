"""Measuring a model: every item once, in order, and nothing is left changed."""

from typing import Any

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch import nn
from torch.utils.data import BatchSampler, SequentialSampler

from finetune.models.outputs import _batches, model_outputs


class Output:
    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits


class Classifier(nn.Module):
    """Two logits of a number, and what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(1, 2)
        self.dropout = nn.Dropout(0.5)
        self.seen: list[tuple[int, bool, bool, torch.dtype]] = []

    def forward(self, value: torch.Tensor) -> Output:
        logits = self.dropout(self.map(value))
        self.seen.append((len(value), self.training, torch.is_grad_enabled(), logits.dtype))
        torch.rand(3)  # a model may draw, in eval mode, too
        return Output(logits)


def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    return {
        "value": torch.tensor([[item["value"]] for item in items]),
        "labels": torch.tensor([item["label"] for item in items]),
    }


ITEMS = [{"value": float(row), "label": row % 3} for row in range(11)]


def measured(model: Classifier, **settings: Any) -> Any:
    return model_outputs(model, ITEMS, collate, batch_size=4, device=torch.device("cpu"), **settings)


def test_outputs_are_those_of_the_clean_model_in_the_order_of_the_items() -> None:
    model = Classifier()
    logits, targets = measured(model)
    with torch.no_grad():
        expected = model.map(torch.arange(11.0)[:, None]).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-6)
    assert logits.dtype == np.float32
    assert targets.tolist() == [row % 3 for row in range(11)]
    assert model.seen == [(rows, False, False, torch.float32) for rows in (4, 4, 3)]


def test_random_streams_and_modes_stay_as_they_were() -> None:
    model = Classifier()
    model.dropout.eval()
    state = torch.get_rng_state()
    measured(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.training, model.map.training, model.dropout.training) == (True, True, False)


def test_modes_are_restored_after_an_error() -> None:
    def without_labels(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {"value": torch.zeros(len(items), 1)}

    model = Classifier()
    with pytest.raises(KeyError, match="labels"):
        model_outputs(model, ITEMS, without_labels, batch_size=4, device=torch.device("cpu"))
    assert model.training
    assert model.dropout.training


def test_autocast_rounds_and_logits_are_float32_all_the_same() -> None:
    model = Classifier()
    plain, rounded = measured(model), measured(model, autocast=torch.bfloat16)
    assert model.seen[-1][3] == torch.bfloat16
    assert rounded.logits.dtype == np.float32
    assert not np.array_equal(plain.logits, rounded.logits)
    np.testing.assert_allclose(plain.logits, rounded.logits, rtol=0.05, atol=0.05)


def test_a_watcher_is_told_of_every_batch() -> None:
    told: list[int] = []
    model = Classifier()
    measured(model, after_batch=lambda: told.append(len(model.seen)))
    assert told == [1, 2, 3]


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 16, 23, 24])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_compute_the_batches_that_accelerate_gives_them(rows: int, world: int) -> None:
    """So that numbers are the same to the last bit whoever cuts the batches."""
    for rank in range(world):
        sampler = BatchSampler(SequentialSampler(range(rows)), batch_size=4, drop_last=False)
        expected = list(BatchSamplerShard(sampler, world, rank)) if world > 1 else list(sampler)
        assert _batches(rows, 4, rank, world) == expected
