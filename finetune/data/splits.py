"""Which rows are in train, validation and test. Seeded by `data.split_seed` alone."""

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

from finetune.data.counts import held_out_note
from finetune.data.folds import cut_folds
from finetune.data.groups import draw_groups
from finetune.data.labels import count_labels
from finetune.data.numbers import NO_SIGN, number_style
from finetune.data.rows import Rows, names_of
from finetune.data.spellings import one_spelling, same_spellings
from finetune.data.strata import Drawn, sample
from finetune.errors import Change, DataError, shorten
from finetune.recipe import DataSection
from finetune.tasks import Task

SHOWN = 10  # names in a message
OWN_FILES = Change(settings={"data.validation": "FILE", "data.test": "FILE"}, note="splits of your own")


def holdout_size(rows: int) -> int:
    """Rows of a held-out split when the recipe names none: a tenth to a fifth, about 500 in between."""
    return max(1, round(rows * max(0.1, min(0.2, 500 / rows))))


def make_splits(
    section: DataSection, tables: dict[str, Rows], task: Task, notes: list[str], warnings: list[str]
) -> dict[str, Rows]:
    """Complete the splits: take test, then validation from the rows that came without them. Train is what is left.

    Raises:
        DataError: There are too few rows or groups to split, or sizes do not fit.
    """
    splits = {
        name: thin_out(section, rows, name, task) for name, rows in tables.items() if name not in ("all", "train")
    }
    pool = tables["all"] if "all" in tables else tables["train"]
    folds = section.folds if section.folds_of is None else None  # those of the training rows are cut later
    if folds is not None:
        _check_folds(folds, pool, splits)
    missing = [name for name in ("test", "validation") if name not in splits]
    if "all" not in tables and "test" in missing and section.test_size is None and folds is None:
        missing.remove("test")  # files were given for the other splits: do not invent a test split from train
    if not missing:
        warnings += _idle_warnings(section)
        return {"train": pool, **splits}
    parts = len(missing) + 1 if folds is None else max(folds, 3)
    # Positions in the pool that may be held out; rows of labels that are too rare for it are trained on.
    free = range(len(pool)) if section.order_by else _measurable(section, pool, task, parts, notes)
    kept = [] if len(free) == len(pool) else _without(range(len(pool)), free)
    if folds is not None:
        fold, chosen = _take_fold(section, pool.take(free), task, notes)
        splits["test"] = pool.take([free[row] for row in chosen])
        free = _without(free, fold)
        missing.remove("test")
    total = len(free) + len(kept)
    classes = len(set(map(pool.labels.__getitem__, free))) if task == "single_label" else 1
    default = max(holdout_size(total), classes)
    for name in missing:
        size = _rows_of(getattr(section, f"{name}_size"), total, default, f"data.{name}_size")
        chosen = _draw(section, pool.take(free), name, size, task, notes)
        splits[name] = pool.take([free[row] for row in chosen])
        free = _without(free, chosen)
    return {"train": pool.take(sorted([*free, *kept]) if kept else free), **splits}


def thin_out(section: DataSection, rows: Rows, name: str, task: Task) -> Rows:
    """A stratified part of a split, as large as the recipe says; all of it when the recipe names no size."""
    key = f"data.{name}_size"
    size = _rows_of(getattr(section, f"{name}_size"), len(rows), len(rows), key)
    return rows if size == len(rows) else rows.take(sample(rows.labels, size, task, section.split_seed, key).rows)


def _draw(section: DataSection, rows: Rows, name: str, size: int, task: Task, notes: list[str]) -> list[int]:
    """Positions of a held-out split, ascending; how it was drawn goes to `notes`.

    Raises:
        DataError: There are not enough rows, groups or moments in time.
    """
    key, seed = f"data.{name}_size", section.split_seed
    if size >= len(rows):
        raise DataError(f"{size} rows are asked for, and only {len(rows)} are left.", key=key, found=size)
    if section.order_by is not None:
        chosen = _draw_last(section, rows, size, key)
        manner = f"the last by '{section.order_by}', asked for {size}; rows with the same value stay together"
    elif rows.groups is not None:
        chosen, how = draw_groups(rows, size, task, seed, key)
        whole = len({rows.groups[row] for row in chosen})
        manner = f"{whole} whole groups of '{section.group}', asked for {size} rows; {how}, split seed {seed}"
    else:
        chosen, how = sample(rows.labels, size, task, seed, key)
        manner = f"{how}, split seed {seed}"
    if getattr(section, f"{name}_size") is None:
        manner += f"; {key} is not set: a tenth to a fifth of the rows"
    notes.append(held_out_note(name, len(chosen), manner))
    return chosen


def _draw_last(section: DataSection, rows: Rows, size: int, key: str) -> list[int]:
    assert rows.order is not None, "asked for only with data.order_by"
    order = rows.order
    ranked = sorted(range(len(rows)), key=lambda row: order[row])
    start = len(rows) - size
    while start > 0 and order[ranked[start - 1]] == order[ranked[start]]:
        start -= 1
    if start == 0:
        later = sum(value > order[ranked[0]] for value in order)
        other = Change(settings={"data.order_by": "COLUMN"}, note="a column with more different values")
        if later == 0:
            raise DataError(
                f"all {len(rows)} rows have the same value in '{section.order_by}', so none is earlier or later.",
                other,
                key="data.order_by",
                found=section.order_by,
            )
        raise DataError(
            f"{size} rows are asked for from the end of '{section.order_by}' (data.order_by), but only {later} of "
            f"{len(rows)} rows come after its first value.",
            Change(settings={key: later}),
            other,
            key=key,
            found=size,
        )
    return sorted(ranked[start:])


def _check_folds(folds: int, pool: Rows, splits: dict[str, Rows]) -> None:
    if "test" in splits:
        raise DataError(
            "the data has its own test split, and folds would make another. Run without folds, or use one file with "
            "all rows.",
            Change(arguments={"data": "FILE"}),
            key="data.folds",
            found=folds,
        )
    if folds > len(pool):
        fewer = Change(arguments={"folds": min(5, len(pool))})
        raise DataError(f"{len(pool)} rows cannot fill {folds} folds.", fewer, key="data.folds", found=folds)


def _take_fold(section: DataSection, rows: Rows, task: Task, notes: list[str]) -> tuple[list[int], list[int]]:
    """Positions of the fold, and of the test split: the fold, or the part of it that `data.test_size` asks for."""
    fold, how = _fold_rows(section, rows, task)
    chosen, size, key = fold, section.test_size, "data.test_size"
    if size is not None:
        kept = min(_rows_of(size, len(rows), len(fold), key), len(fold))
        part = sample([rows.labels[row] for row in fold], kept, task, section.split_seed, key)
        chosen = [fold[row] for row in part.rows]
    manner = how if section.group is None else f"whole groups of '{section.group}'; {how}"
    notes.append(
        f"test: {len(chosen)} rows of fold {section.fold} of {section.folds} ({manner}, split seed "
        f"{section.split_seed})"
    )
    return fold, chosen


def _fold_rows(section: DataSection, rows: Rows, task: Task) -> Drawn:
    """Positions of the fold, stratified where task and rows allow it."""
    assert section.folds is not None, "asked for only with folds"
    assert section.fold is not None, "checked with the recipe"
    folds, how = cut_folds(rows, section.folds, task, section.split_seed)
    return Drawn(folds[section.fold], how)


def _measurable(section: DataSection, pool: Rows, task: Task, parts: int, notes: list[str]) -> Sequence[int]:
    """Positions of rows that may be held out: their labels have enough rows (or groups) for every split.

    Raises:
        DataError: There are too few of them, or of one class only.
    """
    whole: Sequence[str | int] = pool.groups or range(len(pool))  # what a split takes whole
    different = len(set(pool.groups)) if pool.groups else len(pool)
    if different < parts:
        what = f"groups of '{section.group}'" if pool.groups else "rows"
        raise DataError(
            f"{different} {what} cannot fill {parts} splits. Add more.",
            OWN_FILES,
            key=f"data.{'group' if pool.groups else 'source'}",
        )
    if task == "regression":
        return range(len(pool))
    sizes = count_labels(pool) if pool.groups is None else _groups_with(pool.labels, pool.groups, parts)
    rare = sorted(name for name, size in sizes.items() if size < parts)
    if not rare:
        return range(len(pool))
    lacking = set(rare)
    fixed = {unit for label, unit in zip(pool.labels, whole, strict=True) if not lacking.isdisjoint(names_of(label))}
    free = [row for row, unit in enumerate(whole) if unit not in fixed]
    what = "groups" if pool.groups else "rows"
    shown = shorten([f"{name} ({sizes[name]})" for name in rare], SHOWN)
    left = {name for row in free for name in names_of(pool.labels[row])}
    if len({whole[row] for row in free}) < parts or len(left) < (2 if task == "single_label" else 1):
        raise DataError(
            f"classes with fewer than {parts} {what} cannot be in each of {parts} splits, and too few others are left "
            f"to measure: {shown}. Add {what}.",
            *_other_labels(section, pool, task),
            OWN_FILES,
            key="data.label",
        )
    notes.append(f"classes with fewer than {parts} {what} stay in training, and are not measured: {shown}")
    return free


def _groups_with(labels: Sequence[Any], groups: Sequence[str], most: int) -> dict[str, int]:
    """Label -> how many groups have it, counted up to `most`."""
    holders: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        for name in names_of(label):
            members = holders.setdefault(name, set())
            if len(members) < most:
                members.add(group)
    return {name: len(members) for name, members in holders.items()}


def _other_labels(section: DataSection, pool: Rows, task: Task) -> list[Change]:
    """Ways to have fewer classes: they are numbers, or spellings of others."""
    if task != "single_label":
        return []
    style = number_style(pool.labels)
    numbers = sum(style.read(name) is not None for name in pool.labels)
    as_numbers = Change(settings={"data.task": "regression"}, note="predicts the number")
    counts = Counter(pool.labels)
    groups = same_spellings(counts)
    ways = [as_numbers] if 2 * numbers > len(pool) and (style.sign == NO_SIGN or style.is_amount) else []
    return [*ways, *([one_spelling(section, counts, groups)] if groups and not ways else [])]


def _idle_warnings(section: DataSection) -> list[str]:
    return [
        f"data.{key}: has no effect, as validation and test came with the data ('{name}' splits nothing)"
        for key in ("group", "order_by")
        if (name := getattr(section, key)) is not None
    ]


def _without(positions: Sequence[int], taken: Sequence[int]) -> Sequence[int]:
    """`positions` without those at the indices `taken`."""
    gone = set(taken)
    return array("q", (position for index, position in enumerate(positions) if index not in gone))


def _rows_of(size: float | None, available: int, default: int, key: str) -> int:
    if size is None:
        return default
    rows = round(size * available) if size < 1 else int(size)
    if rows < 1 or rows > available:
        raise DataError(f"{size} asks for {rows} rows, and there are {available}.", key=key, found=size)
    return rows
