"""`--profile`: looks at the steps it says, and changes nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.data.train_set import TrainSet
from finetune.recipe import resolve
from finetune.records.profile import RunProfile
from finetune.records.schema import RunRecord
from finetune.records.store import RunFolder
from finetune.training.phases import PROFILING, Stopwatch
from finetune.training.prepare import Prepared, prepare
from finetune.training.profile import OperationProfile
from finetune.training.runner import run_seed
from tests.interrupting import InterruptAt, timeless
from tests.running import assert_same_weights, train

Write = Callable[..., Path]


def profiled(recipe: Path, folder: Path, *overrides: str) -> tuple[RunRecord, OperationProfile, Prepared]:
    prepared = prepare(resolve(str(recipe), overrides=overrides).recipe)
    stopwatch = Stopwatch()
    looking = OperationProfile(prepared, stopwatch)
    return run_seed(prepared, 0, RunFolder(folder), [looking], stopwatch=stopwatch), looking, prepared


def written(recipe: Path, folder: Path, *overrides: str) -> RunProfile:
    record, looking, _ = profiled(recipe, folder, *overrides)
    return looking.write(record, folder / "profile")


def test_a_profiled_run_learns_bit_for_bit_what_another_learns(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"dropout": {"hidden": 0.2, "attention": 0.2}})
    plain = train(recipe, tmp_path / "plain")
    record, looking, _ = profiled(recipe, tmp_path / "profiled")
    assert not looking.is_empty
    assert timeless(record) == timeless(plain)
    assert_same_weights(tmp_path / "plain", tmp_path / "profiled")
    one, two = (np.load(tmp_path / name / "predictions.npz") for name in ("plain", "profiled"))
    assert all(np.array_equal(one[name], two[name]) for name in one.files)
    assert PROFILING in record.time.phases
    assert PROFILING not in plain.time.phases


@pytest.mark.parametrize(
    ("batch_size", "steps", "first", "count"),
    [(2, 16, 4, 10), (16, 2, 2, 1)],
)
def test_steps_of_one_epoch_are_looked_at_after_a_warm_up(
    write_recipe: Write, tmp_path: Path, batch_size: int, steps: int, first: int, count: int
) -> None:
    recipe = write_recipe(data={"train_size": 32}, training={"batch_size": batch_size, "epochs": 2, "warmup": 0.0})
    found = written(recipe, tmp_path / "run")
    assert found.training is not None
    assert prepare(resolve(str(recipe)).recipe).budget.steps_per_epoch == steps
    assert (found.training.first, found.training.count) == (first, count)


def test_a_step_consists_of_the_products_of_its_shapes(write_recipe: Write, tmp_path: Path) -> None:
    """Twice as many texts in a step are twice as many multiply-adds, and a step computes three times a forward pass."""
    recipe = write_recipe(data={"train_size": 32}, training={"epochs": 1, "kernels": "plain"})
    small = written(recipe, tmp_path / "small", "training.batch_size=4", "training.eval_batch_size=4")
    large = written(recipe, tmp_path / "large", "training.batch_size=8", "training.eval_batch_size=8")
    for found in (small, large):
        assert found.training is not None
        assert found.evaluation is not None
        assert found.training.groups["matrix products"] > 0
        assert found.training.groups["optimizer and clipping"] > 0
        assert "optimizer and clipping" not in found.evaluation.groups
        assert sum(found.training.groups.values()) <= found.training.milliseconds
    assert small.training is not None
    assert large.training is not None
    ratio = large.training.products.multiply_adds / small.training.products.multiply_adds
    assert ratio == pytest.approx(2, rel=0.25)  # but for padding
    assert small.evaluation is not None
    assert small.training.products.multiply_adds == pytest.approx(3 * small.evaluation.products.multiply_adds, rel=0.25)


@pytest.mark.parametrize(
    ("kernels", "evaluation"),
    [("plain", "fp32"), ("fast", "bf16")],
)
def test_the_precision_is_the_one_that_was_computed_in(
    write_recipe: Write, tmp_path: Path, kernels: str, evaluation: str
) -> None:
    """Of the first evaluation, whatever is measured after it: what ships in fp32."""
    training = {"epochs": 1, "kernels": kernels, "precision": "bf16"}
    found = written(write_recipe(data={"train_size": 32}, training=training), tmp_path / "run")
    assert found.training is not None
    assert found.evaluation is not None
    assert (found.training.precision, found.evaluation.precision) == ("bf16", evaluation)


def test_the_files_hold_what_is_returned_and_a_timeline_of_each_part(write_recipe: Write, tmp_path: Path) -> None:
    found = written(write_recipe(), tmp_path / "run")
    folder = tmp_path / "run" / "profile"
    assert RunProfile.model_validate_json((folder / "profile.json").read_text(encoding="utf-8")) == found
    for part in ("training", "evaluation"):
        with gzip.open(folder / f"trace-{part}.json.gz", "rt", encoding="utf-8") as file:
            names = {event.get("name") for event in json.load(file)["traceEvents"]}
        assert "aten::addmm" in names
        assert any(str(name).startswith("Optimizer.step") for name in names) == (part == "training")


@pytest.mark.parametrize("grouped", [True, False])
def test_padding_is_that_of_the_first_epochs_batches(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grouped: bool
) -> None:
    from finetune.training import trainer

    seen: list[tuple[int, int]] = []
    fetch = trainer.RegularizedTrainer.get_batch_samples

    def watched(self: Any, *arguments: Any) -> Any:
        batches, nothing = fetch(self, *arguments)
        seen.extend((int(batch["attention_mask"].sum()), batch["attention_mask"].numel()) for batch in batches)
        return batches, nothing

    monkeypatch.setattr(trainer.RegularizedTrainer, "get_batch_samples", watched)
    recipe = write_recipe(training={"epochs": 1, "group_by_length": grouped})
    found = written(recipe, tmp_path / "run")
    texts, places = (sum(part) for part in zip(*seen, strict=True))
    assert found.padding.present == pytest.approx(1 - texts / places)
    if grouped:
        assert found.padding.grouped == found.padding.present
    else:
        assert found.padding.grouped < found.padding.present
    prepared = prepare(resolve(str(recipe)).recipe)
    assert texts == sum(TrainSet(prepared.data.train, prepared.encoder, {}, 0).lengths)


def test_a_run_that_stops_early_leaves_no_profiler_behind(write_recipe: Write, tmp_path: Path) -> None:
    import torch

    prepared = prepare(resolve(str(write_recipe(training={"batch_size": 2}))).recipe)
    looking = OperationProfile(prepared, Stopwatch())
    with pytest.raises(KeyboardInterrupt):
        run_seed(prepared, 0, RunFolder(tmp_path / "run"), [looking, InterruptAt(5)])
    looking.close()
    assert not torch.autograd._profiler_enabled()


def test_where_nothing_was_trained_there_is_nothing_to_see(write_recipe: Write) -> None:
    looking = OperationProfile(prepare(resolve(str(write_recipe())).recipe), Stopwatch())
    looking.close()
    assert looking.is_empty
