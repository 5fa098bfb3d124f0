"""Assignment of rows to steps and processes, so that N processes take exactly the same steps as one."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from finetune.data.train_set import Collator, TrainSet
from finetune.training.draws import Draws


class StepBatches(Sampler[list[int]]):
    """Cuts each shuffled epoch into optimizer steps, and each step into micro-batches and processes.

    A step is `batch_size` consecutive rows of the epoch's permutation, whatever the number of processes and
    micro-batches; its parts differ by at most one row. The last step of an epoch takes what is left, in fewer
    micro-batches if need be. If it holds fewer rows than there are processes, every process computes all of them: the
    average of equal gradients is the gradient.

    The permutation is the one that accelerate's seedable sampler draws, so that one process without accumulation
    sees the batches of a plain Trainer. With `classes`, it shuffles the draws of `balanced_draws` instead.

    Args:
        rows: Rows per epoch.
        batch_size: Rows per step.
        accumulation: Micro-batches per step.
        rank: Rank of this process.
        world: Number of processes.
        seed: Seed of the permutations, to which the epoch is added.
        lengths: Tokens of each row, to put texts of similar length into one step; None keeps the permutation.
        classes: Class of each row, for epochs with equally frequent classes; None takes every row once.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        accumulation: int,
        rank: int,
        world: int,
        seed: int,
        lengths: Sequence[int] | None = None,
        classes: Sequence[Hashable] | None = None,
    ) -> None:
        self._rows = rows
        self._classes = classes
        self._lengths = lengths
        self._batch_size = batch_size
        self._accumulation = accumulation
        self._rank = rank
        self._world = world
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        """Micro-batches of this process in an epoch."""
        full, left = divmod(self._rows, self._batch_size)
        return full * self._accumulation + (self._micro_batches(left) if left else 0)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order: list[int] = torch.randperm(self._rows, generator=generator).tolist()
        if self._classes is not None:
            drawn = balanced_draws(self._classes, self._epoch, self._seed)
            order = [drawn[position] for position in order]
        if self._lengths is not None:
            order = group_by_length(order, self._lengths, self._batch_size, generator)
        for start in range(0, self._rows, self._batch_size):
            yield from self._parts(order[start : start + self._batch_size])

    def _micro_batches(self, rows: int) -> int:
        return max(1, min(self._accumulation, rows // self._world))

    def _parts(self, rows: list[int]) -> Iterator[list[int]]:
        if len(rows) < self._world:
            yield rows
            return
        parts = self._micro_batches(len(rows)) * self._world
        for part in range(self._rank, parts, self._world):
            yield rows[share(len(rows), part, parts)]


def share(rows: int, part: int, parts: int) -> slice:
    """The rows of one of `parts` parts, whose sizes differ by at most one row."""
    return slice(math.ceil(part * rows / parts), math.ceil((part + 1) * rows / parts))


def balanced_draws(classes: Sequence[Hashable], epoch: int, seed: int) -> list[int]:
    """As many draws as rows, with all classes equally frequent to within one, in the epoch and in all epochs so far.

    Each class is an endless sequence of permutations of its rows, of which an epoch takes the next part: no row is
    repeated before all rows of its class were drawn. Any epoch can be drawn without the earlier ones, so a resumed run
    sees the same draws.

    Args:
        classes: Class of each row.
        epoch: Number of the epoch, from 0.
        seed: Seed of the permutations.

    Returns:
        Positions of rows, the classes taking turns.
    """
    members: dict[Hashable, list[int]] = {}
    for row, name in enumerate(classes):
        members.setdefault(name, []).append(row)
    count, rows = len(members), len(classes)
    drawn = [0] * rows
    for index, of_class in enumerate(members.values()):
        # Counted over all epochs, draw d is of class d mod K; it is this class's draw number d // K.
        places = range((index - epoch * rows) % count, rows, count)
        before = (epoch * rows + places.start) // count
        draws = Draws(len(of_class), seed, index).part(before, len(places))
        for place, (_, member) in zip(places, draws, strict=True):
            drawn[place] = of_class[member]
    return drawn


def group_by_length(
    order: Sequence[int], lengths: Sequence[int], batch_size: int, generator: torch.Generator
) -> list[int]:
    """Reorder so that each batch holds texts of similar length; batches stay in random order, an incomplete one last.

    Only rows within a window of 50 batches are sorted together (transformers' own choice), so the composition of
    batches changes from epoch to epoch.
    """
    window = 50 * batch_size
    batches = []
    for start in range(0, len(order), window):
        rows = sorted(order[start : start + window], key=lambda row: lengths[row])
        batches += [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    incomplete = [batch for batch in batches if len(batch) < batch_size]
    complete = [batch for batch in batches if len(batch) == batch_size]
    shuffled = torch.randperm(len(complete), generator=generator).tolist()
    return [row for index in shuffled for row in complete[index]] + [row for batch in incomplete for row in batch]


class StepLoader(DataLoader[Any]):
    """The training loader: Trainer calls `set_epoch`, which reshuffles and draws the epoch's augmented texts."""

    def __init__(self, train: TrainSet, batches: StepBatches, collator: Collator, pin_memory: bool) -> None:
        super().__init__(train, batch_sampler=batches, collate_fn=collator, pin_memory=pin_memory)
        self._train = train
        self._batches = batches

    def set_epoch(self, epoch: int) -> None:
        self._batches.set_epoch(epoch)
        self._train.set_epoch(epoch)
