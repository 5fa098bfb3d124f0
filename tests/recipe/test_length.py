"""`training.min_steps`: with few rows the epochs are raised, and all that counts epochs with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.recipe import Recipe, longer_note, resolve, with_min_steps
from finetune.records.facts import FEW_STEPS
from finetune.records.store import read_record
from finetune.techniques.early_stopping import EarlyStopping
from finetune.techniques.head_first import HeadFirst
from tests.cli.invoking import invoke
from tests.interrupting import InterruptAt
from tests.running import train

Write = Callable[..., Path]


def recipe_of(min_steps: int = 200, epochs: int = 10, **techniques: Any) -> Recipe:
    training = {"epochs": epochs, "min_steps": min_steps}
    return Recipe.model_validate(
        {"name": "r", "model": {"id": "m"}, "data": {"source": "d.csv"}, "training": training},
    ).model_copy(update={"techniques": techniques})


@pytest.mark.parametrize(
    ("rows", "epochs"),
    [(10, 100), (100, 29), (1000, 10)],  # batches of 16: 1 step an epoch, capped; 7 steps, 203 in all; 63 steps, 630
)
def test_epochs_are_raised_to_the_fewest_steps_and_not_above_100(rows: int, epochs: int) -> None:
    raised = with_min_steps(recipe_of(), rows)
    assert raised.training.epochs == epochs
    assert with_min_steps(raised, rows) is raised


@pytest.mark.parametrize(("min_steps", "epochs"), [(0, 10), (1, 10), (1000, 150)])
def test_enough_epochs_stay_as_they_are(min_steps: int, epochs: int) -> None:
    recipe = recipe_of(min_steps, epochs)
    assert with_min_steps(recipe, 10) is recipe
    assert longer_note(recipe, recipe, 10) is None


def test_what_was_raised_is_said() -> None:
    recipe = recipe_of()
    assert longer_note(recipe, with_min_steps(recipe, 100), 100) == (
        "100 training rows: 29 epochs instead of 10, 203 optimizer steps instead of 70 (training.min_steps is 200)"
    )
    assert longer_note(recipe, with_min_steps(recipe, 10), 10) == (
        "10 training rows: 100 epochs instead of 10, 100 optimizer steps instead of 10 (training.min_steps is 200, "
        "limited to 100 epochs)"
    )


def test_what_counts_epochs_is_stretched_with_them() -> None:
    recipe = recipe_of(early_stopping=EarlyStopping(patience=3, min_epochs=5), head_first=HeadFirst(epochs_alone=2))
    techniques = with_min_steps(recipe, 100).techniques
    stopping, head = techniques["early_stopping"], techniques["head_first"]
    assert isinstance(stopping, EarlyStopping)
    assert isinstance(head, HeadFirst)
    assert (stopping.patience, stopping.min_epochs, head.epochs_alone) == (9, 14, 6)  # × 2.9


@pytest.mark.parametrize("epochs", [2, 3, 7])
def test_stretched_early_stopping_can_still_stop(epochs: int) -> None:
    raised = with_min_steps(recipe_of(epochs=epochs, early_stopping=EarlyStopping(patience=epochs - 1)), 30)
    stopping = raised.techniques["early_stopping"]
    assert isinstance(stopping, EarlyStopping)
    assert stopping.patience < raised.training.epochs


def test_a_run_that_was_made_longer_is_resumed_and_not_with_other_settings(write_recipe: Write, tmp_path: Path) -> None:
    settings = {"training": {"epochs": 2, "min_steps": 24}, "techniques": {"early_stopping": {"patience": 1}}}
    recipe = write_recipe(**settings)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", callbacks=[InterruptAt(9)])
    changed = write_recipe("changed", **{**settings, "techniques": {}})
    refused = invoke("run", changed, "-o", tmp_path / "run", "--resume")
    assert refused.exit_code == 2
    assert "techniques.early_stopping" in refused.stderr
    resumed = invoke("run", recipe, "-o", tmp_path / "run", "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert read_record(tmp_path / "run" / "run.json").recipe["training"]["epochs"] == 4


def test_a_run_and_a_comparison_say_it_and_train_as_long(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 rows in batches of 8: 6 steps an epoch."""
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(training={"epochs": 1, "min_steps": 10})
    note = "48 training rows: 2 epochs instead of 1, 12 optimizer steps instead of 6 (training.min_steps is 10)"
    done = invoke("run", recipe, "--preset", "none", "-o", "run")
    assert done.exit_code == 0, done.stderr
    assert note in done.stderr
    record = read_record(tmp_path / "run" / "run.json")
    assert (len(record.history), record.budget.steps) == (2, 12)
    (tmp_path / "mine.yaml").write_text('{"l2": {}}', encoding="utf-8")
    planned = invoke("compare", recipe, "--presets", "none,mine.yaml", "--seeds", "1", "--dry-run", "--json")
    assert planned.exit_code == 0, planned.stderr
    assert f"note: {note}" in planned.stderr
    plan = invoke("run", recipe, "--preset", "none", "--dry-run", "--json")
    described = json.loads(plan.stdout)
    assert described["budget"]["steps"] == 12
    assert described["data"]["notes"].count(note) == 1


FLOORED: dict[str, Any] = {
    "model": {"id": "m"},
    "data": {"source": "d.csv"},
    "training": {"epochs": 10, "min_steps": 200},
}


@pytest.mark.parametrize(
    ("recipe", "overrides", "expected"),
    [
        (FLOORED, {"training.epochs": 3}, (3, 0)),
        (FLOORED, ["training.epochs=3"], (3, 0)),
        (FLOORED, {"training.epochs": 3, "training.min_steps": 50}, (3, 50)),
        (FLOORED, {"training.batch_size": 8}, (10, 200)),
        ({**FLOORED, "training": {}}, {"training.epochs": 3}, (3, 0)),
    ],
)
def test_epochs_that_are_set_for_a_run_are_not_raised_by_the_floor_of_the_recipe(
    recipe: dict[str, Any], overrides: Any, expected: tuple[int, int]
) -> None:
    training = resolve(recipe, overrides=overrides).recipe.training
    assert (training.epochs, training.min_steps) == expected


def test_it_is_shown_what_dropped_the_floor() -> None:
    assert resolve(FLOORED, overrides=["training.epochs=3"]).origins["training.min_steps"] == "--set training.epochs"
    unfloored = {**FLOORED, "training": {}}
    assert resolve(unfloored, overrides=["training.epochs=3"]).origins["training.min_steps"] == "default"


def test_the_floor_of_the_template_is_what_a_run_warns_below() -> None:
    """Else a run that was raised to its floor would be told that it is too short."""
    assert resolve("your-data", data="x.csv").recipe.training.min_steps == FEW_STEPS
