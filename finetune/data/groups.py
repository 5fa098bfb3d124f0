"""Splits that keep groups (one author, one patient) whole."""

import random
import warnings
from collections import Counter
from typing import Any

from finetune.data.labels import count_labels
from finetune.data.rows import Rows
from finetune.data.strata import STRATIFIED, Drawn, strata
from finetune.errors import Change, DataError
from finetune.tasks import Task

MOST_TRIALS = 200_000  # groups × parts that are balanced by class, about 20 µs each; with more, parts are random


def draw_groups(rows: Rows, size: int, task: Task, seed: int, key: str) -> Drawn:
    """Draw whole groups with about `size` rows; every class keeps a group that is not drawn. Returns positions.

    Raises:
        DataError: No choice of groups comes near the size.
    """
    assert rows.groups is not None, "asked for only with data.group"
    different = len(set(rows.groups))
    parts, how = group_folds(rows, max(2, min(round(len(rows) / size), different)), task, seed)
    counts = count_labels(rows) if task != "regression" else Counter()
    able = [part for part in parts if task == "regression" or not _takes_all(counts, count_labels(rows.take(part)))]
    chosen = min(able, key=lambda part: abs(len(part) - size), default=[])
    if not size / 2 <= len(chosen) <= 1.5 * size:
        largest, members = Counter(rows.groups).most_common(1)[0]
        nearest = f"the nearest size of whole groups is {len(chosen)}" if chosen else "no whole groups can be drawn"
        raise DataError(
            f"{size} rows cannot be drawn from {different} groups (data.group), the largest with {members} rows "
            f"({largest!r}): {nearest}.",
            Change(settings={key: len(chosen) or max(members, len(rows) // different)}),
            Change(settings={"data.group": None}, note="splits groups"),
            key=key,
            found=size,
        )
    return Drawn(chosen, how)


def group_folds(rows: Rows, parts: int, task: Task, seed: int) -> tuple[list[list[int]], str]:
    """Cut rows into parts of about equal size that share no group; positions ascending, and a description of the
    method.

    Classes (rarest labels, tenths of the range) are kept in proportion as far as groups allow.
    """
    assert rows.groups is not None, "asked for only with data.group"
    names = sorted(set(rows.groups))
    if len(names) * parts > MOST_TRIALS:
        return _random_folds(rows.groups, names, parts, seed), "not stratified: many groups"
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import; asked for only when data is split

    kinds: list[Any] | None = strata(rows.labels, task)
    how = f"{STRATIFIED[task]} as far as groups allow"
    if kinds is None or Counter(kinds).most_common(1)[0][1] < parts:
        kinds, how = [0] * len(rows), "not stratified: few rows"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that classes with few rows are not in every part
        cut = StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(kinds, kinds, rows.groups)
        return [sorted(part.tolist()) for _, part in cut], how


def _random_folds(groups: list[str], names: list[str], parts: int, seed: int) -> list[list[int]]:
    """Shuffled groups, one after the other into the part that has the fewest rows."""
    members: dict[str, list[int]] = {name: [] for name in names}
    for row, name in enumerate(groups):
        members[name].append(row)
    random.Random(seed).shuffle(names)
    folds: list[list[int]] = [[] for _ in range(parts)]
    for name in names:
        min(folds, key=len).extend(members[name])
    return [sorted(fold) for fold in folds]


def _takes_all(counts: Counter[str], taken: Counter[str]) -> bool:
    return any(count == counts[name] for name, count in taken.items())
