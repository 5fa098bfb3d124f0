"""Folds of the training rows (`data.folds_of: train`): settings are chosen on them, and test is not used."""

from collections import Counter

from finetune.data.copies import drop_leaks
from finetune.data.folds import cut_folds
from finetune.data.rows import Rows
from finetune.errors import Change, DataError
from finetune.recipe import DataSection
from finetune.tasks import Task


def take_inner_fold(
    section: DataSection, train: Rows, task: Task, notes: list[str], dropped: Counter[str]
) -> dict[str, Rows]:
    """Split -> rows: a fold of the training rows as validation, the other folds as train.

    Args:
        section: Gives the number of folds, and the fold.
        train: All training rows; groups stay together.
        task: Used to keep classes in proportion.
        notes, dropped: Extended with what was done.

    Raises:
        DataError: There are fewer rows, or groups, than folds.
    """
    assert section.folds is not None, "checked with the recipe"
    assert section.fold is not None, "checked with the recipe"
    units = len(train) if train.groups is None else len(set(train.groups))
    if units < 2 or units < section.folds:
        what = "training rows" if train.groups is None else f"groups of '{section.group}' in the training rows"
        fewer = [Change(arguments={"folds": units})] if units > 1 else []
        raise DataError(f"{units} {what} cannot fill {section.folds} folds.", *fewer, key="data.folds")
    folds, how = cut_folds(train, section.folds, task, section.split_seed)
    held_out = set(folds[section.fold])
    if not held_out:
        raise DataError(
            f"fold {section.fold} of {section.folds} is empty: a few groups of '{section.group}' hold most rows.",
            Change(arguments={"folds": section.folds - 1}),
            key="data.folds",
        )
    kept = [row for row in range(len(train)) if row not in held_out]
    rows = {"train": train.take(kept), "validation": train.take(folds[section.fold])}
    if section.drop_leaks:
        rows = drop_leaks(rows, dropped, notes)
    notes.append(
        f"validation: {len(rows['validation'])} of {len(train)} training rows, fold {section.fold} of {section.folds} "
        f"({how}, split seed {section.split_seed}); the data's own validation and test rows are left out"
    )
    return rows
