"""The recipe file of a tune: what it is read as is what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import finetune
from finetune.workflows.tuned import recipe_text

TECHNIQUES: list[dict[str, Any]] = [
    {},
    {"l2_sp": {"strength": 3.0, "total_pull": None}, "dropout": {"classifier": 0.07}},
    {"ema": {"decay": 0.98}, "weight_decay": {"total_shrink": 0.0213}, "llrd": {"decay": 0.913}},
]


@pytest.mark.parametrize("techniques", TECHNIQUES, ids=lambda found: "+".join(found) or "none")
def test_it_is_read_as_what_was_trained(tmp_path: Path, techniques: dict[str, Any]) -> None:
    overrides = {"training.learning_rate": 1.23e-4, "data.subset": 150, "model.pooling": "cls", "training.min_steps": 7}
    recipe = finetune.load_recipe("tweets", preset={"trial-3": techniques}, overrides=overrides)
    path = tmp_path / "tuned.yaml"
    path.write_text(recipe_text(recipe, "finetune tune tweets", "trial-3"), encoding="utf-8")
    read = finetune.load_recipe(path)
    assert {**read.to_dict(), "name": "", "preset": ""} == {**recipe.to_dict(), "name": "", "preset": ""}
    assert path.read_text(encoding="utf-8").startswith("# Tuned: the settings of trial-3\n")
