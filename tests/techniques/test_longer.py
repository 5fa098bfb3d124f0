"""Longer: the run really has that many epochs, and its schedule spans all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget
from finetune.techniques.longer import Longer
from tests.running import assert_same_weights, train
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("epochs", "factor", "expected"), [(3, 2.0, 6), (10, 1.1, 11), (1, 1.1, 2), (5, 1.5, 8), (3, 6.7, 20), (4, 2, 8)]
)
def test_epochs_are_multiplied_and_at_least_one_more(epochs: int, factor: float, expected: int) -> None:
    assert Longer(factor=factor).epochs(epochs) == expected


def test_a_run_has_that_many_epochs_one_schedule_over_them_and_is_that_of_as_many_written(
    write_recipe: Write, tmp_path: Path
) -> None:
    spy, kernels = Spy(), {"kernels": "plain"}  # a technique that is not ours changes the kernels
    run = watch(write_recipe(techniques={"longer": {}}, training=kernels), tmp_path / "longer", first=spy)
    assert [evaluation.epoch for evaluation in run.record.history] == [1, 2, 3, 4, 5, 6]
    assert run.record.budget.steps == run.record.budget.steps_done == 36
    assert run.record.techniques["longer"].effect == "6 epochs"
    rates = [0.005 * step / 4 for step in range(4)] + [0.005 * (36 - step) / 32 for step in range(4, 36)]
    assert [seen.rate for seen in spy.after] == pytest.approx(rates)
    train(write_recipe(training={"epochs": 6, **kernels}), tmp_path / "six")
    assert_same_weights(tmp_path / "longer", tmp_path / "six")


def test_other_techniques_see_the_longer_run(write_recipe: Write, tmp_path: Path) -> None:
    """Only in more than 4 epochs can training go on for 4 at least; a third of them is for the head."""
    patient = {"early_stopping": {"patience": 2, "min_epochs": 4}}
    with pytest.raises(RecipeError, match="min_epochs: 4 of 3 epochs"):
        resolve(str(write_recipe(techniques=patient)))
    techniques = {**patient, "longer": {}, "head_first": {"epochs_alone": 0.34}}
    record = train(write_recipe(techniques=techniques), tmp_path / "run")
    assert record.techniques["head_first"].effect == "head alone for 2 of 6 epochs"


@pytest.mark.parametrize("factor", [1.0, 0.5, 1000.0, True, "2"])
def test_settings_outside_their_range_are_refused(factor: Any) -> None:
    with pytest.raises(ValidationError, match="factor"):
        Longer(factor=factor)


def test_the_cost_is_the_factor() -> None:
    budget = Budget(None, 6, 1e-4, None, 0.1)
    assert Longer().training_cost(budget) == Longer.cost == 2.0
    assert Longer(factor=3.5).training_cost(budget) == 3.5
