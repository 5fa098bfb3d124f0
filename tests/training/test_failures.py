"""What the user is told to change when a run ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.errors import RunFailed
from finetune.recipe import resolve
from finetune.training.failures import explain

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("training", "changes"),
    [
        ({"batch_size": 8}, {"training.accumulation": 2}),
        ({"batch_size": 8, "accumulation": 4}, {"training.accumulation": 8}),
        ({"batch_size": 8, "accumulation": 8}, {"data.max_length": 8}),  # micro-batches of one row cannot be halved
    ],
)
def test_out_of_memory_advises_what_the_recipe_accepts(
    training: dict[str, Any], changes: dict[str, int], write_recipe: Write, tmp_path: Path
) -> None:
    recipe = resolve(str(write_recipe(training=training, data={"max_length": 16}))).recipe
    told = explain(torch.OutOfMemoryError("no room"), recipe, tmp_path)
    assert isinstance(told, RunFailed)
    (change,) = told.problems[0].changes
    assert change.settings == changes
    further = [f"{key}={value}" for key, value in changes.items()]
    assert resolve(str(write_recipe(training=training, data={"max_length": 16})), overrides=further).recipe
