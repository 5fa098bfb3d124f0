"""Training once more on train and validation; estimates of time; what run records say of weights and seconds."""

import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.records.schema import RunRecord
from finetune.records.store import RunFolder, read_record
from finetune.training.estimate import estimate_seconds
from finetune.training.prepare import Prepared, prepare
from finetune.training.refit import refit_steps, refitted
from finetune.training.runner import run_seed
from finetune.training.weights import weight_statistics
from tests.conftest import write_csv
from tests.running import assert_same_weights, train

Write = Callable[..., Path]
SCHEDULED, JOINED = 18, 24  # 48 rows in batches of 8, 3 epochs; with the 16 of validation
STRONG = ["training.epochs=5"]
ROUNDED = 0.01  # seconds: how records write them


class Rates(TrainerCallback):
    """The learning rate of every step; optionally Ctrl-C at one."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.rates: list[float] = []
        self._interrupt_at = interrupt_at

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.rates.append(kwargs["optimizer"].param_groups[0]["lr"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._interrupt_at:
            raise KeyboardInterrupt


def prepared(recipe: Path, preset: str = "none", *overrides: str) -> Prepared:
    return prepare(resolve(str(recipe), preset, overrides=overrides).recipe)


def refit(
    recipe: Path, folder: Path, steps: int, *callbacks: Any, preset: str = "none", resume: bool = False
) -> RunRecord:
    overrides = STRONG if preset == "strong" else []
    return run_seed(refitted(prepared(recipe, preset, *overrides), steps), 0, RunFolder(folder), callbacks, resume)


# --- rows ------------------------------------------------------------------------------------------------------


def test_a_refit_trains_on_train_and_validation(write_recipe: Write) -> None:
    before = prepared(write_recipe())
    after = refitted(before, 5)
    assert after.data.train.texts == before.data.train.texts + before.data.validation.texts
    assert after.data.train.labels == before.data.train.labels + before.data.validation.labels
    assert after.data.train.ids == before.data.train.ids + before.data.validation.ids
    assert len(after.data.train) == 48 + 16
    assert before.data.test is not None
    assert after.data.test is before.data.test
    assert not set(after.data.train.texts) & set(before.data.test.texts)
    assert (after.rule, after.metric, after.stop_at) == (None, None, 5)


def test_the_train_probe_of_a_refit_is_the_same_rows(write_recipe: Write) -> None:
    before = prepared(write_recipe())
    probes = [found.data.measured_splits()["train_probe"].texts for found in (before, refitted(before, 5))]
    assert probes[0] == probes[1]


def test_a_refit_says_that_its_validation_was_trained_on(write_recipe: Write) -> None:
    warnings = refitted(prepared(write_recipe()), 5).warnings
    assert any("16 validation rows were trained on" in warning.why for warning in warnings)


@pytest.mark.parametrize("steps", [0, -1, JOINED + 1])
def test_steps_outside_the_schedule_are_refused(write_recipe: Write, steps: int) -> None:
    with pytest.raises(RecipeError, match=f"{steps} steps are not within the {JOINED}"):
        refitted(prepared(write_recipe()), steps)


# --- steps and learning rates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fraction", "steps"), [(1.0, JOINED), (0.5, 12), (15 / SCHEDULED, 20), (0.01, 1)]
)  # of 18 steps the first 15, as of 24 the first 20
def test_as_much_of_its_schedule_is_trained_as_was_selected(write_recipe: Write, fraction: float, steps: int) -> None:
    before = prepared(write_recipe())
    assert refit_steps(before.recipe, before.data, fraction) == steps


def test_a_refit_is_the_run_that_was_measured_for_the_results(write_recipe: Write, tmp_path: Path) -> None:
    """`auto-refit` of scripts/reproduce_results trains on a file of the rows of train and validation."""
    recipe = write_recipe()
    before = prepared(recipe)
    assert before.data.test is not None
    joined = tmp_path / "joined"
    joined.mkdir()
    splits = {"train": [before.data.train, before.data.validation], "validation": [before.data.validation]}
    for name, parts in {**splits, "test": [before.data.test]}.items():
        rows = [row for part in parts for row in zip(part.texts, part.labels, strict=True)]
        write_csv(joined / f"{name}.csv", ["text", "label"], rows)
    data = {"source": str(joined), "validation_size": None, "test_size": None}
    train(write_recipe("joined", data=data), tmp_path / "measured")
    refit(recipe, tmp_path / "refit", JOINED)
    assert_same_weights(tmp_path / "refit", tmp_path / "measured")


@pytest.mark.parametrize("steps", [1, 5, 8, 13, JOINED])  # 8 steps an epoch of 64 rows: within, at and after one
def test_a_refit_stops_after_exactly_the_steps_it_is_given_with_the_rates_of_its_schedule(
    write_recipe: Write, tmp_path: Path, steps: int
) -> None:
    recipe = write_recipe()
    whole, again = Rates(), Rates()
    refit(recipe, tmp_path / "whole", JOINED, whole)
    record = refit(recipe, tmp_path / "refit", steps, again)
    assert len(whole.rates) == JOINED
    assert again.rates == pytest.approx(whole.rates[:steps])
    assert record.selected is not None
    assert record.last is not None
    assert (record.selected.step, record.last.step, record.budget.steps_done) == (steps, steps, steps)
    assert record.history[-1].step == steps
    assert record.data.rows["train"] == 64
    assert (tmp_path / "refit" / "model" / "model.safetensors").is_file()


def test_a_refit_of_a_preset_that_selects_ships_its_last_weights(write_recipe: Write, tmp_path: Path) -> None:
    record = refit(write_recipe(), tmp_path / "refit", 23, preset="strong")
    assert record.selected is not None
    assert record.selected.step == 23
    assert record.selected.test is not None


@pytest.mark.parametrize("step", [3, 8, 11])  # before the first checkpoint, at it, between it and the end
def test_a_resumed_refit_equals_one_that_never_stopped(write_recipe: Write, tmp_path: Path, step: int) -> None:
    recipe = write_recipe()
    whole = refit(recipe, tmp_path / "whole", 13)
    with pytest.raises(KeyboardInterrupt):
        refit(recipe, tmp_path / "cut", 13, Rates(interrupt_at=step))
    resumed = refit(recipe, tmp_path / "cut", 13, resume=True)
    assert resumed.model_dump(exclude={"time"}) == whole.model_dump(exclude={"time"})
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


# --- estimates -------------------------------------------------------------------------------------------------


def test_an_estimate_is_a_positive_number_of_seconds(write_recipe: Write) -> None:
    seconds = estimate_seconds(prepared(write_recipe()), 1)
    assert seconds > 0
    assert math.isfinite(seconds)


def test_an_estimate_leaves_torchs_random_numbers_and_threads_alone(write_recipe: Write) -> None:
    found = prepared(write_recipe())
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    estimate_seconds(found, threads + 1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_an_estimate_leaves_all_other_random_numbers_alone(write_recipe: Write) -> None:
    found = prepared(write_recipe())
    random.seed(7)
    np.random.seed(7)
    expected = random.Random(7).random(), np.random.RandomState(7).random()
    estimate_seconds(found, 1)
    assert (random.random(), np.random.random()) == expected


def test_an_estimate_of_a_regression_is_made_too(write_recipe: Write, tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("text,label\n" + "".join(f"good film {i},{i}.5\n" for i in range(60)), encoding="utf-8")
    recipe = write_recipe("numbers", data={"source": str(path), "task": "regression"})
    assert estimate_seconds(prepared(recipe), 1) > 0


# --- what records say ------------------------------------------------------------------------------------------


def test_magnitudes_hold_every_weight_that_is_not_zero(write_recipe: Write, tmp_path: Path) -> None:
    record = train(write_recipe(techniques={"l1": {"strength": 0.05}}), tmp_path / "run")
    assert {"encoder", "head"} <= set(record.weights)
    for name, group in record.weights.items():
        assert len(group.magnitudes) == 40
        assert sum(group.magnitudes) == group.parameters - group.zeros, name
    parts = [group.magnitudes for name, group in record.weights.items() if name.startswith("encoder.")]
    assert np.sum(parts, axis=0).tolist() == record.weights["encoder"].magnitudes


class Holder(torch.nn.Module):
    """A model that is one tensor."""

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(values)


@pytest.mark.parametrize(
    ("value", "place"),
    [(1e-8, 0), (1e-12, 0), (1e-30, 0), (0.011, 24), (1.1, 32), (-1.1, 32), (99.0, 39), (1e6, 39)],
)
def test_a_weight_counts_in_the_bin_of_its_size_and_outside_in_the_outermost(value: float, place: int) -> None:
    magnitudes = weight_statistics(Holder(torch.tensor([value, 0.0])), {})["head"].magnitudes
    assert magnitudes == [int(number == place) for number in range(40)]


def test_magnitudes_hold_more_weights_than_float32_counts_to() -> None:
    count = 2**24 + 5
    statistics = weight_statistics(Holder(torch.full((count,), 0.01)), {})["head"]
    assert sum(statistics.magnitudes) == count


def test_the_seconds_of_a_resumed_run_include_its_earlier_legs(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe()
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", callbacks=[Rates(interrupt_at=8)])
    folder = RunFolder(tmp_path / "cut")
    left = read_record(folder.record_path)
    folder.write(left.model_copy(update={"time": left.time.model_copy(update={"seconds": 1000.0})}))
    started = time.perf_counter()
    resumed = train(recipe, tmp_path / "cut", resume=True)
    assert 1000 < resumed.time.seconds < 1000 + (time.perf_counter() - started) + ROUNDED
    assert resumed.time.resumed == 1


def test_a_run_that_was_never_interrupted_was_not_resumed(write_recipe: Write, tmp_path: Path) -> None:
    started = time.perf_counter()
    record = train(write_recipe(), tmp_path / "run")
    assert 0 < record.time.seconds < time.perf_counter() - started + ROUNDED
    assert "resumed" not in record.time.model_dump()
