"""Folds that are measured in turn: with whole groups where there are any, stratified if there are enough rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

from finetune.data.groups import group_folds
from finetune.data.rows import Rows
from finetune.data.strata import ITERATIVE, STRATIFIED, is_iterative, label_matrix, strata
from finetune.tasks import Task


def cut_folds(rows: Rows, parts: int, task: Task, seed: int) -> tuple[list[list[int]], str]:
    """Positions of each fold, ascending, and a description of how they were drawn."""
    from sklearn.model_selection import KFold, StratifiedKFold  # slow to import; asked for only when data is split

    if rows.groups is not None:
        return group_folds(rows, parts, task, seed)
    kinds: Any = strata(rows.labels, task)
    kind: Any = StratifiedKFold
    how = STRATIFIED[task]
    if is_iterative(rows.labels, task):
        from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

        kind, kinds, how = MultilabelStratifiedKFold, label_matrix(rows.labels), ITERATIVE
    elif kinds is None or min(Counter(kinds).values()) < parts:
        kind, kinds, how = KFold, None, "at random: few rows"  # never classes: those with fewer rows are not measured
    cut = kind(n_splits=parts, shuffle=True, random_state=seed).split(range(len(rows)), kinds)
    return [sorted(taken.tolist()) for _, taken in cut], how
