"""The strata that are kept in proportion when rows are drawn: classes, sets of labels, or the range of a number."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from finetune.errors import DataError
from finetune.tasks import Task

ENOUGH = 4  # rows of a multi-label stratum, so that it can reach three splits
QUANTILES = 10  # bins that stand for classes when numbers are stratified
# Iterative stratification is a loop over rows, and reads the whole indicator matrix once a label: seconds below these.
MOST_ROWS = 50_000
MOST_READS = 2_000_000_000  # rows × labels²

# What `strata` keeps in proportion, in words.
STRATIFIED: dict[Task, str] = {
    "single_label": "stratified by class",
    "multi_label": "stratified by rarest label",
    "regression": "stratified by value",
}
ITERATIVE = "iteratively stratified by label"


class Drawn(NamedTuple):
    """Positions of rows, ascending, and a description of how they were drawn."""

    rows: list[int]
    how: str


def sample(labels: Sequence[Any], size: int, task: Task, seed: int, key: str) -> Drawn:
    """Draw `size` positions, stratified where task and rows allow it.

    In multi-label data each label keeps a row that is not drawn, as long as there are enough rows.

    Raises:
        DataError: Not every class can be on both sides.
    """
    import numpy as np
    from sklearn.model_selection import train_test_split  # slow to import; asked for only when data is split

    if size >= len(labels):
        return Drawn(list(range(len(labels))), "all rows")
    if is_iterative(labels, task):
        return Drawn(_sample_label_sets(labels, size, seed), ITERATIVE)
    kinds = strata(labels, task)
    how = STRATIFIED[task]
    if kinds is not None:
        kinds = _join_singles(kinds)
    else:
        how = "at random: few rows" if task == "regression" else "at random: one row of rare labels"
    needed = len(set(kinds or []))
    if task == "multi_label" and not needed <= size <= len(labels) - needed:
        kinds, needed, how = None, 0, "at random: more labels than rows to draw"
    if not needed <= size <= len(labels) - needed:
        raise DataError(
            f"{size} of {len(labels)} rows cannot be drawn so that both sides have all {needed} classes. Ask for "
            f"{needed} to {len(labels) - needed} rows.",
            key=key,
            found=size,
        )
    positions = np.arange(len(labels))  # eight bytes each; a range would become a list of objects
    _, chosen = train_test_split(positions, test_size=size, stratify=kinds, random_state=seed)
    return Drawn(sorted(chosen.tolist()), how)


def strata(labels: Sequence[Any], task: Task) -> list[Any] | None:
    """A stratum per row: its class, its rarest label, or its decile. None: too few rows."""
    if task == "single_label":
        return list(labels)
    if task == "multi_label":
        return _rarest_labels(labels)
    if len(labels) < 10 * QUANTILES:
        return None
    order = sorted(range(len(labels)), key=lambda index: labels[index])
    bins = [0] * len(labels)
    for rank, index in enumerate(order):
        bins[index] = rank * QUANTILES // len(labels)
    return bins


def is_iterative(labels: Sequence[Any], task: Task) -> bool:
    """Whether label sets are few enough to be stratified label by label (Sechidis et al. 2011)."""
    if task != "multi_label" or not len(labels) <= MOST_ROWS:
        return False
    different = len({name for names in labels for name in names})
    return different > 0 and len(labels) * different**2 <= MOST_READS


def label_matrix(labels: Sequence[list[str]]) -> Any:
    """Indicator matrix, shape (rows, labels + 1): the last column marks rows without any label."""
    import numpy as np

    column = {name: index for index, name in enumerate(sorted({name for names in labels for name in names}))}
    matrix = np.zeros((len(labels), len(column) + 1), dtype=bool)
    for row, names in enumerate(labels):
        matrix[row, [column[name] for name in names] or [len(column)]] = True
    return matrix


def _sample_label_sets(labels: Sequence[list[str]], size: int, seed: int) -> list[int]:
    """Iterative stratification. It misses the size by a few rows, which are corrected where that disturbs least."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    cut = MultilabelStratifiedShuffleSplit(1, test_size=size, train_size=len(labels) - size, random_state=seed)
    _, drawn = next(cut.split(labels, label_matrix(labels)))
    chosen = set(drawn.tolist())
    names = [row or [""] for row in labels]  # "" stands for no label
    counts = Counter(name for row in names for name in row)
    taken = Counter(name for row in chosen for name in names[row])

    def disturbance(row: int, step: int) -> float:
        """Change in the chi-square of drawn against expected labels when the row is added (1) or removed (-1)."""
        chi_square = 0.0
        for name in names[row]:
            expected = counts[name] * size / len(labels)
            chi_square += (1 + 2 * step * (taken[name] - expected)) / expected
        return chi_square

    def move(row: int, step: int) -> None:
        (chosen.add if step > 0 else chosen.remove)(row)
        for name in names[row]:
            taken[name] += step

    for row in sorted(chosen):
        if any(taken[name] == counts[name] for name in labels[row]):
            move(row, -1)
    while len(chosen) > size:
        move(min(sorted(chosen), key=lambda row: disturbance(row, -1)), -1)
    while len(chosen) < size:
        rest = [row for row in range(len(labels)) if row not in chosen]
        spare = [row for row in rest if all(counts[name] - taken[name] > 1 for name in labels[row])]
        move(min(spare or rest, key=lambda row: disturbance(row, 1)), 1)
    return sorted(chosen)


def _rarest_labels(labels: Sequence[list[str]]) -> list[str] | None:
    """The rarest label of each row, so that rare labels reach every split; those too rare share a stratum."""
    counts = Counter(name for names in labels for name in names)
    rarest = [min(names, key=lambda name: (counts[name], name), default="") for names in labels]
    sizes = Counter(rarest)
    merged = [name if sizes[name] >= ENOUGH else "" for name in rarest]
    return merged if Counter(merged)[""] != 1 else None


def _join_singles(kinds: list[Any]) -> list[Any]:
    """A stratum of one row cannot be on both sides: such rows share one, or join the largest if there is only one."""
    sizes = Counter(kinds)
    singles = {kind for kind, rows in sizes.items() if rows == 1}
    if not singles:
        return kinds
    shared = sizes.most_common(1)[0][0] if len(singles) == 1 else min(singles, key=str)
    return [shared if kind in singles else kind for kind in kinds]
