"""A worker runs many cells: what one does to the process must not be seen in the record of another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.experiments.executors.execution import Preparations, execute
from finetune.experiments.jobs import Task
from finetune.recipe import Recipe, resolve
from finetune.records.store import RunFolder
from tests.techniques.settings import settings_of

# What draws random numbers, changes modules or gradients, keeps weights, or prepares texts of its own.
TOUCHING = [
    "dropout",
    "mixout",
    "neftune",
    "sam",
    "ema",
    "freeze",
    "lora",
    "r_drop",
    "layer_drop",
    "mixup",
    "reinit",
    "multi_sample_dropout",
    "token_masking",
    "aeda",
    "early_stopping",
]


@pytest.fixture
def recipes(write_recipe: Callable[..., Path]) -> list[Recipe]:
    """A plain cell of two seeds, and one of each technique."""
    training = {"epochs": 2}
    data = {"train_size": 32}
    plain = write_recipe("none", data=data, training=training)
    found = [resolve(str(plain), None, seeds=[seed]).recipe for seed in (0, 1)]
    for name in TOUCHING:
        path = write_recipe(name, data=data, training=training, techniques={name: settings_of(name)})
        found.append(resolve(str(path), None, seeds=[0]).recipe)
    return found


def run(recipe: Recipe, folder: Path, prepared_for: Preparations) -> dict[str, Any]:
    """What a cell leaves, but for how long it took."""
    event = execute(Task("0", "train", recipe, folder, {}), prepared_for, lambda _: None)
    assert event.kind == "finished", event.message
    record = RunFolder(folder).read()
    assert record is not None
    assert record.recipe["training"]["seeds"] == [record.seed] == recipe.training.seeds
    return {
        "record": record.model_dump(exclude={"time"}),
        "predictions": RunFolder(folder).predictions.read_bytes(),
        "model": (RunFolder(folder).model / "model.safetensors").read_bytes(),
    }


def test_a_cell_is_the_same_alone_and_after_any_other(recipes: list[Recipe], tmp_path: Path) -> None:
    """Forwards, then backwards: the second time each cell comes after others, and after most of them twice."""
    prepared_for = Preparations()
    first = [run(recipe, tmp_path / f"forth-{number}", prepared_for) for number, recipe in enumerate(recipes)]
    for number in reversed(range(len(recipes))):
        again = run(recipes[number], tmp_path / f"back-{number}", prepared_for)
        for what, value in first[number].items():
            assert again[what] == value, f"{recipes[number].name}: {what}"
    alone = run(recipes[0], tmp_path / "alone", Preparations())
    assert alone == first[0]
    assert len({cell["predictions"] for cell in first}) > len(TOUCHING), "each technique does something"
