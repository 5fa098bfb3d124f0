"""The training rows that are measured like validation, and those that are trained on along a learning curve."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from finetune.data.rows import Rows, names_of
from finetune.data.strata import sample, strata
from finetune.errors import Change, DataError
from finetune.recipe import DataSection
from finetune.tasks import Task


def take_subset(section: DataSection, train: Rows, task: Task, notes: list[str]) -> Rows:
    """The first `data.subset` of the training rows in the order of `data.subset_seed`, kept in the order of the file.

    Raises:
        DataError: There are fewer training rows, or the subset is too small to hold every label.
    """
    size = section.subset
    if size is None:
        return train
    if size > len(train):
        fewer = Change(settings={"data.subset": len(train)})
        raise DataError(f"asks for {size} of {len(train)} training rows.", fewer, key="data.subset", found=size)
    chosen = nested_order(train.labels, task, section.subset_seed, size)
    notes.append(f"train: {size} of {len(train)} rows (data.subset, subset seed {section.subset_seed})")
    return train.take(sorted(chosen))


def nested_order(labels: Sequence[Any], task: Task, seed: int, size: int) -> list[int]:
    """The first `size` positions of one order of all rows, so that a larger size contains a smaller one.

    Every label comes once before proportions count. Then each row is from the stratum (class, rarest label, decile)
    that would be the first to fall a whole row behind its proportion (Tijdeman 1980): once every class is due a row, no
    class is more than one row off.

    Raises:
        DataError: `size` rows cannot hold every label.
    """
    import numpy as np

    shuffled = list(range(len(labels)))
    random.Random(seed).shuffle(shuffled)
    order = [] if task == "regression" else _one_of_each(labels, shuffled)
    if size < len(order):
        raise DataError(
            f"{size} rows cannot hold every label; {len(order)} of {len(labels)} rows can.",
            Change(settings={"data.subset": len(order)}),
            key="data.subset",
            found=size,
        )
    kinds = strata(labels, task) or [0] * len(labels)
    names = sorted(set(kinds), key=str)
    column = {name: index for index, name in enumerate(names)}
    first = set(order)
    waiting: list[list[int]] = [[] for _ in names]
    for row in reversed(shuffled):  # taken from the end
        if row not in first:
            waiting[column[kinds[row]]].append(row)
    counts = Counter(kinds)
    fraction = np.array([counts[name] for name in names]) / len(labels)
    taken = np.zeros(len(names))
    for row in order:
        taken[column[kinds[row]]] += 1
    left = np.array([len(stratum_rows) for stratum_rows in waiting])
    for rows in range(len(order) + 1, size + 1):
        due = (taken < rows * fraction - 1e-9) & (left > 0)
        if not due.any():
            due = left > 0
        stratum = int(np.argmin(np.where(due, (taken + 1) / fraction, np.inf)))
        order.append(waiting[stratum].pop())
        taken[stratum] += 1
        left[stratum] -= 1
    return order


def _one_of_each(labels: Sequence[Any], shuffled: list[int]) -> list[int]:
    """Rows that together have every label, the rarest label first."""
    names_of_row = [names_of(label) for label in labels]
    counts = Counter(name for names in names_of_row for name in names)
    first: dict[str, int] = {}
    for row in shuffled:
        for name in names_of_row[row]:
            first.setdefault(name, row)
    rows: dict[int, None] = {}  # in order, each once
    present: set[str] = set()
    for name in sorted(counts, key=lambda name: (counts[name], name)):
        if name not in present:
            rows[first[name]] = None
            present.update(names_of_row[first[name]])
    return list(rows)


def probe_positions(section: DataSection, train: Rows, validation: Rows, task: Task) -> list[int]:
    """The train sample: about as many training rows as validation has, stratified, fixed by the split seed."""
    size = min(len(train), section.probe_size or len(validation))
    return draw_probe(train.labels, size, task, section.split_seed, "data.probe_size")


def draw_probe(labels: Sequence[Any], size: int, task: Task, seed: int, key: str) -> list[int]:
    """`size` positions, ascending; stratified, unless the rows are too few for that."""
    kinds = len(set(strata(labels, task) or []))
    if 0 < kinds <= size <= len(labels) - kinds:
        return sample(labels, size, task, seed, key).rows
    return sorted(random.Random(seed).sample(range(len(labels)), size))
