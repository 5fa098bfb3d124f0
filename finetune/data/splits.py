"""Who is in train, validation and test, and who is in the train probe. Seeded by `data.split_seed` alone."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from finetune.data.labels import drop_advice
from finetune.data.rows import Rows
from finetune.errors import DataError
from finetune.recipe import DataSection

ENOUGH = 4  # rows of a multi-label stratum, so that it can reach three splits
QUANTILES = 10  # bins that stand for classes when numbers are stratified


def holdout_size(rows: int) -> int:
    """Rows of a held-out split when the recipe names none: a tenth to a fifth, about 500 in between."""
    return max(1, round(rows * max(0.1, min(0.2, 500 / rows))))


def make_splits(section: DataSection, tables: dict[str, Rows], task: str, notes: list[str]) -> dict[str, Rows]:
    """Complete the splits: take test, then validation from the rows that came without them, then thin out train.

    Raises:
        DataError: There are too few rows, or a class is too rare to be in every split.
    """
    splits = {
        name: _thin_out(rows, getattr(section, f"{name}_size"), task, section.split_seed, f"data.{name}_size")
        for name, rows in tables.items()
        if name not in ("all", "train")
    }
    pool = tables["all"] if "all" in tables else tables["train"]
    if section.folds is not None:
        pool, splits["test"] = _take_fold(section, pool, splits, task, notes)
    wanted = [name for name in ("test", "validation") if name not in splits]
    if "all" not in tables and "test" in wanted and section.test_size is None:
        wanted.remove("test")  # files were given for the other splits: do not invent a test split from train
    if wanted:
        _check_rare_classes(pool, task, len(wanted) + 1)
    total = len(pool)
    default = max(holdout_size(total), len(set(pool.labels)) if task == "single_label" else 1)
    for name in wanted:
        size = _rows_of(getattr(section, f"{name}_size"), total, default, f"data.{name}_size")
        pool, splits[name] = split_off(pool, size, task, section.split_seed, f"data.{name}_size")
        notes.append(f"{name}: {len(splits[name])} rows split off ({_how(task)}, split seed {section.split_seed})")
    pool = _thin_out(pool, section.train_size, task, section.split_seed, "data.train_size")
    return {"train": pool, **splits}


def _take_fold(
    section: DataSection, pool: Rows, splits: dict[str, Rows], task: str, notes: list[str]
) -> tuple[Rows, Rows]:
    """Return (the other folds, the fold that is test), stratified; at most `data.test_size` rows of the fold.

    Raises:
        DataError: There is a test split already, or a class is too rare to be in every fold.
    """
    from sklearn.model_selection import KFold, StratifiedKFold  # slow to import; asked for only when data is split

    assert section.folds is not None, "asked for only with folds"
    assert section.fold is not None, "checked with the recipe"
    if "test" in splits:
        raise DataError(
            "data.folds: the data has a test split of its own, and folds would make another. Leave --folds out, or "
            "pass one file with all rows: --data FILE"
        )
    if section.folds > len(pool):
        raise DataError(f"data.folds: {section.folds} folds of {len(pool)} rows. Type: --folds {min(5, len(pool))}")
    _check_rare_classes(pool, task, max(section.folds, 3))
    strata = _strata(pool.labels, task)
    if strata is not None and min(Counter(strata).values()) < section.folds:
        strata = None  # never classes: those were checked
    kind = KFold if strata is None else StratifiedKFold
    cut = kind(section.folds, shuffle=True, random_state=section.split_seed).split(range(len(pool)), strata)
    rest, taken = list(cut)[section.fold]
    size = section.test_size
    fold = pool.take(sorted(taken.tolist()))
    if size is not None:
        wanted = _rows_of(size, len(pool), len(fold), "data.test_size")
        fold = _thin_out(fold, min(wanted, len(fold)), task, section.split_seed, "data.test_size")
    notes.append(
        f"test: {len(fold)} rows of fold {section.fold} of {section.folds} ({_how(task)}, split seed "
        f"{section.split_seed})"
    )
    return pool.take(sorted(rest.tolist())), fold


def _thin_out(rows: Rows, size: float | None, task: str, seed: int, key: str) -> Rows:
    """A stratified part of a split that came with the data; all of it when no size is asked for."""
    wanted = _rows_of(size, len(rows), len(rows), key)
    return rows if wanted == len(rows) else rows.take(sample(rows.labels, wanted, task, seed, key))


def split_off(rows: Rows, size: int, task: str, seed: int, key: str) -> tuple[Rows, Rows]:
    """Return (the rest, `size` rows), stratified by class or by quantile of the target; order of rows is kept.

    Raises:
        DataError: There are not enough rows.
    """
    if size >= len(rows):
        raise DataError(f"{key}: {size} rows are wanted but only {len(rows)} are left. Ask for fewer.")
    chosen = sample(rows.labels, size, task, seed, key)
    taken = set(chosen)
    rest = [index for index in range(len(rows)) if index not in taken]
    return rows.take(rest), rows.take(chosen)


def sample(labels: Sequence[Any], size: int, task: str, seed: int, key: str) -> list[int]:
    """`size` positions, ascending, stratified where the task allows it.

    Raises:
        DataError: Not every class can be on both sides.
    """
    from sklearn.model_selection import train_test_split  # slow to import; asked for only when data is split

    if size >= len(labels):
        return list(range(len(labels)))
    strata = _strata(labels, task)
    if strata is not None and min(Counter(strata).values()) < 2:
        strata = None  # only where splits came with the data: checked before making our own
    needed = len(set(strata or []))
    if task == "multi_label" and not needed <= size <= len(labels) - needed:
        strata, needed = None, 0  # more labels than rows to draw: at random
    if not needed <= size <= len(labels) - needed:
        raise DataError(
            f"{key}: {size} of {len(labels)} rows cannot be drawn so that all {needed} classes are on both sides. "
            f"Ask for {needed} to {len(labels) - needed}."
        )
    _, chosen = train_test_split(range(len(labels)), test_size=size, stratify=strata, random_state=seed)
    return sorted(chosen)


def probe_positions(section: DataSection, train: Rows, validation: Rows, task: str) -> list[int]:
    """The train probe: about as many training rows as validation has, stratified, fixed by the split seed."""
    size = min(len(train), section.probe_size or len(validation))
    strata = len(set(_strata(train.labels, task) or []))
    if 0 < strata <= size <= len(train) - strata:
        return sample(train.labels, size, task, section.split_seed, "data.probe_size")
    return sorted(random.Random(section.split_seed).sample(range(len(train)), size))


def deduplicate(rows: Rows, dropped: Counter[str]) -> Rows:
    """Keep the first row of each text; where copies disagree about the label, keep none of them."""
    labels_of: dict[tuple[str, str], set[str]] = {}
    keys = [rows.text_key(index) for index in range(len(rows))]
    for key, label in zip(keys, rows.labels, strict=True):
        labels_of.setdefault(key, set()).add(repr(sorted(label) if isinstance(label, list) else label))
    seen: set[tuple[str, str]] = set()
    keep = []
    for index, key in enumerate(keys):
        if len(labels_of[key]) > 1:
            dropped["same text, different labels"] += 1
        elif key in seen:
            dropped["duplicate text"] += 1
        else:
            seen.add(key)
            keep.append(index)
    return rows.take(keep)


def drop_leaks(splits: dict[str, Rows], dropped: Counter[str]) -> dict[str, Rows]:
    """Leave out of train what validation or test holds, and of validation what test holds."""
    kept: dict[str, Rows] = {}
    held: set[tuple[str, str]] = set()
    for name in ("test", "validation", "train", "all"):
        if name in splits:
            rows = splits[name]
            keys = [rows.text_key(index) for index in range(len(rows))]
            keep = [index for index, key in enumerate(keys) if key not in held]
            dropped[f"{name} text also in a later split"] += len(rows) - len(keep)
            kept[name] = rows.take(keep)
            held.update(keys)
    return kept


def count_leaks(seen: Rows, measured: Rows) -> int:
    """Rows of `measured` whose text is also in `seen`."""
    texts = {seen.text_key(index) for index in range(len(seen))}
    return sum(measured.text_key(index) in texts for index in range(len(measured)))


def _strata(labels: Sequence[Any], task: str) -> list[Any] | None:
    """What is kept in proportion: the class, or the tenth of the range of ranks; None for multi-label."""
    if task == "single_label":
        return list(labels)
    if task == "regression" and len(labels) >= 10 * QUANTILES:
        order = sorted(range(len(labels)), key=lambda index: labels[index])
        bins = [0] * len(labels)
        for rank, index in enumerate(order):
            bins[index] = rank * QUANTILES // len(labels)
        return bins
    if task == "multi_label":
        return _rarest_labels(labels)
    return None


def _rarest_labels(labels: Sequence[list[str]]) -> list[str] | None:
    """Each row stands for its rarest label, so that rare labels reach every split; too rare ones share a stratum."""
    counts = Counter(name for names in labels for name in names)
    rarest = [min(names, key=lambda name: (counts[name], name), default="") for names in labels]
    sizes = Counter(rarest)
    merged = [name if sizes[name] >= ENOUGH else "" for name in rarest]
    return merged if Counter(merged)[""] != 1 else None


def _how(task: str) -> str:
    return {
        "single_label": "stratified by class",
        "regression": "stratified by size",
        "multi_label": "stratified by rarest label",
    }[task]


def _check_rare_classes(rows: Rows, task: str, parts: int) -> None:
    if task != "single_label":
        return
    rare = {name: count for name, count in sorted(Counter(rows.labels).items()) if count < parts}
    if rare:
        shown = ", ".join(f"{name} ({count})" for name, count in list(rare.items())[:10])
        raise DataError(
            f"data.label: classes with fewer than {parts} rows cannot be in every one of {parts} splits: {shown}. Add "
            f"rows, give your own validation and test files, or leave them out: {drop_advice(list(rare)[:10])}"
        )


def _rows_of(size: float | None, available: int, default: int, key: str) -> int:
    if size is None:
        return default
    rows = round(size * available) if size < 1 else int(size)
    if rows < 1 or rows > available:
        raise DataError(f"{key}: {size} asks for {rows} rows of {available}.")
    return rows
