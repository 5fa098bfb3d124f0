"""`training.learning_rate: auto` before anything is trained: values, folds, problems, and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from finetune.data.folds import cut_folds
from finetune.data.labels import count_labels, drop_change
from finetune.data.rows import Data, Rows
from finetune.errors import Change, Problem, shorten
from finetune.measurement.units import listed
from finetune.recipe import (
    DEFAULT_RATE,
    FOLDS,
    RATES,
    Recipe,
    find_budget_problems,
    is_auto,
    with_min_steps,
    with_rate,
)
from finetune.techniques import Budget, TrainingPlan, has_hook
from finetune.techniques.rates import HEAD, TOP_LAYER, part_budget
from finetune.training.budgets import budget_for, plan_budget

NAMED = 5  # classes in a message
FIXED = Change(settings={"training.learning_rate": DEFAULT_RATE})


@dataclass(frozen=True)
class Fit:
    """One training of the choice.

    Attributes:
        rate: Learning rate.
        fold: Number of the fold, from 0.
        left_out: Positions of the training rows that it is measured on; it is trained on the others.
    """

    rate: float
    fold: int
    left_out: Sequence[int]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.rate:g}-fold{self.fold}"

    @property
    def title(self) -> str:
        return f"learning rate {self.rate:g}, fold {self.fold + 1}"


def plan_fits(data: Data, seed: int) -> tuple[list[Fit], str]:
    """All trainings of a choice, value by value, and a description of how the folds were cut.

    Rows of one group are in one fold. The folds depend on the seed and the rows alone: presets share them.
    """
    folds, how = cut_folds(data.train, fold_count(data.train, data), data.task, seed)
    measured = [left_out for left_out in folds if left_out]  # of a few large groups, one may be empty
    return [Fit(rate, number, left_out) for rate in RATES for number, left_out in enumerate(measured)], how


def fold_count(rows: Rows, data: Data) -> int:
    """Three, or two if a class has two rows or there are two groups; less than two if folds are impossible."""
    units = len(rows) // 2 if rows.groups is None else len(set(rows.groups))
    fewest = min(count_labels(rows).values()) if data.task == "single_label" else FOLDS
    return min(FOLDS, units, fewest)


def fixing_techniques(recipe: Recipe, budget: Budget) -> list[str]:
    """Techniques that set the learning rate of all trained weights, whatever the recipe's rate; empty if the recipe's
    rate has an effect.
    """
    if budget.steps is None:
        return []
    techniques = recipe.techniques.values()
    ends = [replace(budget, learning_rate=rate) for rate in (RATES[0], RATES[-1])]
    for part in (TOP_LAYER, HEAD):
        low, high = (part_budget(techniques, part, end).learning_rates() for end in ends)
        if not all(math.isclose(*pair) for pair in zip(low, high, strict=True)):
            return []
    return [
        name
        for name, technique in recipe.techniques.items()
        if has_hook([technique], TrainingPlan.schedule, TrainingPlan.rate_factor)
    ]


def _is_open(recipe: Recipe, data: Data) -> bool:
    """Whether there is a learning rate to choose."""
    return is_auto(recipe) and not fixing_techniques(recipe, plan_budget(recipe, data))


def nothing_to_choose(fixing: Sequence[str]) -> str:
    """Why, in words."""
    return f"nothing to choose: the learning rate of all trained weights is set by {listed(fixing)}"


def rate_problems(recipe: Recipe, data: Data) -> list[Problem]:
    """Why folds of these rows could not be made or trained."""
    if not _is_open(recipe, data):
        return []
    rows, key = data.train, "training.learning_rate"
    if data.task == "single_label":
        alone = sorted(name for name, count in count_labels(rows).items() if count < 2)
        if alone:
            why = (
                "auto trains on folds of the training rows, which requires 2 rows per class; these classes have one: "
                f"{shorten(alone, NAMED)}."
            )
            return [Problem(why, key, found="auto", changes=(FIXED, drop_change(alone)))]
    count = fold_count(rows, data)
    if count < 2:
        what = f"{len(rows)} training rows" if rows.groups is None else "training rows of a single group (data.group)"
        why = f"auto trains on folds of the training rows, and {what} cannot be cut into any."
        return [Problem(why, key, found="auto", changes=(FIXED,))]
    kept = len(rows) - math.ceil(len(rows) / count)
    part = with_min_steps(recipe, kept)  # at every rate
    problems = find_budget_problems(part, budget_for(part, data.task, kept))
    of_run = {problem.key for problem in find_budget_problems(recipe, plan_budget(recipe, data))}
    place = f"In the folds that choose training.learning_rate, {kept} of {len(rows)} training rows:"
    return [
        replace(problem, why=f"{place} {problem.why}", changes=(FIXED, *problem.changes))
        for problem in problems
        if problem.key not in of_run  # which says it for the run itself
    ]


def fold_recipe(recipe: Recipe, rate: float, rows: int) -> Recipe:
    """The recipe with this learning rate, on this many of its training rows.

    Techniques are those of the whole run: settings that depend on the number of rows are not looked up again. Epochs
    are the same, or more if `training.min_steps` requires it. Trackers log the run alone.
    """
    untold = recipe.model_copy(update={"training": recipe.training.model_copy(update={"report_to": []})})
    return with_min_steps(with_rate(untold, rate), rows)


def row_passes(recipe: Recipe, data: Data) -> float:
    """Forward passes of rows in a whole run, including the choice of a learning rate; a training step counts three,
    because its backward pass costs two.
    """
    measured = len(data.probe) + len(data.validation)
    own = recipe.training.epochs * (3.0 * len(data.train) + measured) + len(data.test or ())
    return own + sum(passes for passes, _ in _fit_costs(recipe, data))


def choice_steps(recipe: Recipe, data: Data) -> int:
    """Optimizer steps of the choice, without early stopping; 0 if there is nothing to choose."""
    return sum(steps for _, steps in _fit_costs(recipe, data))


def _fit_costs(recipe: Recipe, data: Data) -> list[tuple[float, int]]:
    """Forward passes and optimizer steps of each training of the choice."""
    if not _is_open(recipe, data):
        return []
    rows, count = len(data.train), fold_count(data.train, data)
    costs = []
    for fold in range(max(0, count)):
        left_out = rows // count + (fold < rows % count)
        part = fold_recipe(recipe, DEFAULT_RATE, rows - left_out)
        passes = part.training.epochs * (3.0 * (rows - left_out) + left_out)
        costs += [(passes, budget_for(part, data.task, rows - left_out).steps or 0)] * len(RATES)
    return costs


@dataclass(frozen=True)
class RatePlanned:
    """Plan of the choice of a learning rate.

    Attributes:
        text: Description.
        steps: Optimizer steps that it takes; 0 if there is nothing to choose.
    """

    text: str
    steps: int

    @property
    def level(self) -> Literal["note", "warning"]:
        """Level of the note: a setting without effect is a warning."""
        return "note" if self.steps else "warning"


def choice_plan(recipe: Recipe, data: Data) -> RatePlanned | None:
    """Plan of the choice of the learning rate; None if the recipe gives one."""
    if not is_auto(recipe):
        return None
    budget = plan_budget(recipe, data)
    fixing = fixing_techniques(recipe, budget)
    if fixing:
        return RatePlanned(f"auto has {nothing_to_choose(fixing)}", 0)
    count, steps = fold_count(data.train, data), choice_steps(recipe, data)
    text = (
        f"will be chosen from {', '.join(f'{rate:g}' for rate in RATES)}: {count} folds of {len(data.train)} training "
        f"rows, {steps:,} optimizer steps before the {budget.steps or 0:,} of the run"
    )
    return RatePlanned(text, steps)
