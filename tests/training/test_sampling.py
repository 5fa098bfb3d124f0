"""Balanced sampling in a run: which rows are trained on, and what it does not go with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.training.prepare import prepare
from tests.conftest import labelled_texts, write_csv
from tests.interrupting import interrupted_and_resumed, timeless
from tests.raising import refuses
from tests.running import assert_same_weights, train
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]


@pytest.fixture
def imbalanced(tmp_path: Path, write_recipe: Write) -> Path:
    texts = labelled_texts(160)
    rows = [*(row for row in texts if row[1] == "good"), *[row for row in texts if row[1] == "bad"][:10]]
    source = write_csv(tmp_path / "imbalanced.csv", ["text", "label"], rows)
    return write_recipe(
        data={"source": str(source), "check": False, "validation_size": 10, "test_size": 10},
        training={"sampling": "balanced", "epochs": 2},
    )


def test_a_run_sees_all_classes_equally_often(imbalanced: Path, tmp_path: Path) -> None:
    spy = Spy()
    run = watch(imbalanced, tmp_path / "run", last=spy)
    rows = len(run.prepared.data.train)
    counts = Counter(label for step in spy.losses for label in step.labels.tolist())
    assert sum(counts.values()) == 2 * rows, "as many rows an epoch as there are"
    assert abs(counts[0] - counts[1]) <= 1


def test_a_resumed_run_draws_what_it_would_have_drawn(imbalanced: Path, tmp_path: Path) -> None:
    whole = train(imbalanced, tmp_path / "whole")
    resumed = interrupted_and_resumed(imbalanced, tmp_path / "resumed", whole.budget.steps_per_epoch + 1)
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "resumed", tmp_path / "whole")


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_rows_without_a_single_class_cannot_be_balanced(write_recipe: Write, task: str) -> None:
    with pytest.raises(RecipeError, match=rf"training\.sampling: balanced has no meaning for {task}"):
        resolve(str(write_recipe()), overrides=[f"data.task={task}", "training.sampling=balanced"])


def test_sampling_and_weights_would_count_rare_classes_twice(write_recipe: Write) -> None:
    overrides = ["training.sampling=balanced", "training.class_weights=balanced"]
    with refuses(RecipeError, r"training\.sampling: .*--set training\.class_weights=none"):
        resolve(str(write_recipe()), overrides=overrides)


@pytest.mark.parametrize("key", ["sampling", "class_weights"])
def test_correcting_what_is_even_already_is_said(write_recipe: Write, key: str) -> None:
    recipe = resolve(str(write_recipe(data={"check": False})), overrides=[f"training.{key}=balanced"]).recipe
    (warning,) = [problem for problem in prepare(recipe).warnings if problem.key == f"training.{key}"]
    assert "24 training rows" in warning.why
