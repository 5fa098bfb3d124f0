"""Which rows meet in which step, for any number of processes and micro-batches."""

import itertools
from collections import Counter

import pytest
import torch

from finetune.training.batches import StepBatches, balanced_draws, group_by_length


def _steps(rows: int, batch_size: int, accumulation: int, world: int, epoch: int = 0) -> list[list[list[list[int]]]]:
    """Step -> process -> micro-batch -> rows, grouped the way Trainer does it: `accumulation` at a time."""
    by_rank = []
    for rank in range(world):
        batches = StepBatches(rows, batch_size, accumulation, rank, world, seed=5)
        batches.set_epoch(epoch)
        found = list(batches)
        assert len(found) == len(batches)
        by_rank.append([found[start : start + accumulation] for start in range(0, len(found), accumulation)])
    assert len({len(steps) for steps in by_rank}) == 1, "all processes take the same number of steps"
    return [list(parts) for parts in zip(*by_rank, strict=True)]


@pytest.mark.parametrize(("rows", "batch_size"), [(40, 8), (37, 8), (33, 8), (5, 8), (16, 16)])
@pytest.mark.parametrize(("accumulation", "world"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (1, 3)])
def test_every_layout_takes_the_steps_of_one_process(rows: int, batch_size: int, accumulation: int, world: int) -> None:
    plain = [step[0][0] for step in _steps(rows, batch_size, 1, 1)]
    layout = _steps(rows, batch_size, accumulation, world)
    assert len(layout) == len(plain)
    for step, expected in zip(layout, plain, strict=True):
        seen = [row for process in step for part in process for row in part]
        copies = world if len(expected) < world else 1  # too few rows: every process computes all of them
        assert sorted(seen) == sorted(expected * copies)


def test_parts_of_a_step_differ_by_at_most_one_row() -> None:
    for step in _steps(37, 8, 3, 2):
        sizes = [len(part) for process in step for part in process]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1


def test_an_epoch_holds_every_row_once_and_the_next_is_shuffled_anew() -> None:
    first, second = ([step[0][0] for step in _steps(37, 8, 1, 1, epoch)] for epoch in (0, 1))
    assert sorted(itertools.chain(*first)) == list(range(37))
    assert sorted(itertools.chain(*second)) == list(range(37))
    assert first != second


def test_grouping_by_length_keeps_every_row_and_puts_like_lengths_together() -> None:
    lengths = [row % 50 for row in range(403)]
    order = torch.randperm(403, generator=torch.Generator().manual_seed(0)).tolist()
    grouped = group_by_length(order, lengths, 8, torch.Generator().manual_seed(0))
    assert sorted(grouped) == list(range(403))

    def spread(rows: list[int]) -> float:
        batches = [rows[start : start + 8] for start in range(0, 400, 8)]
        return sum(max(lengths[r] for r in batch) - min(lengths[r] for r in batch) for batch in batches) / 50

    assert spread(grouped) < spread(order) / 10


def test_grouping_leaves_batches_in_random_order_and_the_incomplete_one_last() -> None:
    lengths = list(range(403))
    grouped = group_by_length(lengths, lengths, 8, torch.Generator().manual_seed(0))
    starts = [grouped[start] for start in range(0, 400, 8)]
    assert starts != sorted(starts)
    assert sorted(grouped[-3:]) == grouped[-3:]
    assert len(set(grouped[-3:])) == 3


CLASSES = ["rare"] * 3 + ["common"] * 20 + ["some"] * 8  # 31 rows, three classes


def _draws(epochs: int, seed: int = 0) -> list[list[int]]:
    return [balanced_draws(CLASSES, epoch, seed) for epoch in range(epochs)]


def test_balanced_epochs_hold_all_classes_equally_often() -> None:
    """To within one, in each epoch and in all so far; an epoch keeps its number of rows."""
    total: Counter[str] = Counter()
    for rows in _draws(9):
        assert len(rows) == len(CLASSES)
        counts = Counter(CLASSES[row] for row in rows)
        total += counts
        for held in (counts, total):
            assert max(held.values()) - min(held.values()) <= 1


def test_no_row_comes_again_before_all_of_its_class_were_there() -> None:
    drawn = list(itertools.chain(*_draws(9)))
    for name in set(CLASSES):
        members = [row for row, found in enumerate(CLASSES) if found == name]
        of_class = [row for row in drawn if CLASSES[row] == name]
        for start in range(0, len(of_class) - len(members) + 1, len(members)):
            assert sorted(of_class[start : start + len(members)]) == members


def test_an_epoch_of_balanced_draws_does_not_depend_on_those_before_it() -> None:
    epochs = _draws(4)
    assert balanced_draws(CLASSES, 3, 0) == epochs[3]
    assert len({tuple(rows) for rows in epochs}) == 4
    assert balanced_draws(CLASSES, 3, 1) != epochs[3]


@pytest.mark.parametrize(("accumulation", "world"), [(2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("lengths", [None, list(range(31))])
def test_balanced_steps_are_the_same_for_any_layout(accumulation: int, world: int, lengths: list[int] | None) -> None:
    def rows(accumulation: int, rank: int, world: int) -> list[int]:
        batches = StepBatches(31, 8, accumulation, rank, world, 5, lengths, CLASSES)
        batches.set_epoch(2)
        return list(itertools.chain(*batches))

    plain = rows(1, 0, 1)
    assert sorted(plain) == sorted(balanced_draws(CLASSES, 2, 5)), "shuffled, and nothing else"
    assert plain != balanced_draws(CLASSES, 2, 5)
    assert sorted(itertools.chain(*(rows(accumulation, rank, world) for rank in range(world)))) == sorted(plain)
