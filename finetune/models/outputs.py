"""Items -> logits of a classifier: the function with which training, estimates and predictions measure a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Outputs(NamedTuple):
    """Predictions of a model for some rows, and their targets.

    Attributes:
        logits: (rows, outputs), float32.
        targets: (rows,) classes, (rows, outputs) zeros and ones, or (rows,) numbers.
    """

    logits: NDArray[Any]
    targets: NDArray[Any]


def model_outputs(
    model: nn.Module,
    items: Any,
    collate: Callable[[list[Any]], Any],
    *,
    batch_size: int,
    device: torch.device,
    autocast: torch.dtype | None = None,
    after_batch: Callable[[], None] | None = None,
) -> Outputs:
    """Logits and targets of all items, in their order, in eval mode and without gradients.

    If several processes of a run have joined (torch.distributed), each computes a part of the batches and all get the
    whole result. The random state and the mode of every module are kept, so measuring does not change training.

    Args:
        model: A sequence classifier on `device`, not wrapped for several processes.
        items: A dataset with a length whose rows `collate` takes.
        collate: A list of items -> a batch: a mapping of tensors, with `labels`.
        batch_size: Items per batch, in each process.
        device: Device of the model.
        autocast: Compute in this precision if torch's autocast allows it; None: in that of the weights.
        after_batch: Called after each batch.

    Raises:
        KeyError: A batch has no `labels`.
        ValueError: There are no items.
    """
    rank, world = _processes()
    batches = DataLoader(
        items,
        batch_sampler=_batches(len(items), batch_size, rank, world),
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else the loader draws a number from the stream that training draws from
    )
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    # Around all batches: autocast converts the weights once.
    with (
        torch.random.fork_rng(devices=[]),
        _eval_mode(model),
        torch.no_grad(),
        torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None),
    ):
        for batch in batches:
            features = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
            targets.append(features.pop("labels"))
            logits.append(model(**features).logits.float())
            if after_batch is not None:
                after_batch()
    return Outputs(*(_gathered(values, len(items), batch_size, world) for values in (logits, targets)))


def _processes() -> tuple[int, int]:
    """The number of this process, and how many have joined."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _batches(rows: int, batch_size: int, rank: int, world: int) -> list[list[int]]:
    """Positions of each batch of this process.

    Processes take turns. Of several, each has as many batches as the others, all of the same size: the last ones are
    filled up with rows from the start, which are computed twice and dropped again.
    """
    if world == 1:
        return [list(range(start, min(start + batch_size, rows))) for start in range(0, rows, batch_size)]
    at_once = world * batch_size
    filled = -(-rows // at_once) * at_once
    return [
        [position % rows for position in range(start, start + batch_size)]
        for start in range(rank * batch_size, filled, at_once)
    ]


def _gathered(parts: list[Tensor], rows: int, batch_size: int, world: int) -> NDArray[Any]:
    """The values of all rows in their order, from the batches of every process."""
    values = torch.cat(parts)
    if world > 1:
        values = values.contiguous()
        received = [torch.empty_like(values) for _ in range(world)]
        torch.distributed.all_gather(received, values)
        # (processes, turns × batch, …) -> (turns, processes, batch, …)
        turns = torch.stack(received).unflatten(1, (-1, batch_size)).transpose(0, 1)
        values = turns.flatten(0, 2)[:rows]
    return np.asarray(values.cpu().numpy())


@contextlib.contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Every module is in eval mode inside, and in its own again afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
