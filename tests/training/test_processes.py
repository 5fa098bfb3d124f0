"""Two real processes on a CPU: they join, take the steps of one, and one of them writes and prints."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from finetune.records.store import read_record
from tests.running import assert_same_weights, finetune, train

Write = Callable[..., Path]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m", "finetune"]


@pytest.fixture
def recipe(write_recipe: Write, still_model: Path) -> Path:
    """45 rows in batches of 8 leave an incomplete step of 5; no dropout, so that passes can be compared."""
    return write_recipe(
        model=still_model,
        data={"train_size": 45, "validation_size": 15, "test_size": 15},
        training={"learning_rate": 0.001},
    )


@pytest.mark.parametrize("overrides", [[], ["training.accumulation=2"], ["training.batch_size=44"]])
def test_torchrun_gives_the_numbers_of_one_process(recipe: Path, tmp_path: Path, overrides: list[str]) -> None:
    """Batch 44 leaves one row for two processes in each epoch's last step."""
    one = train(recipe, tmp_path / "one", overrides=[text for text in overrides if "accumulation" not in text])
    options = [part for text in overrides for part in ("--set", text)]
    run = finetune("run", recipe, "--output", tmp_path / "two", "--json", *options, launcher=TORCHRUN)
    assert run.returncode == 0, run.stderr
    two = read_record(tmp_path / "two" / "run.json")
    assert two.budget["processes"] == 2
    assert_same_weights(tmp_path / "one", tmp_path / "two", tolerance=5e-6)
    for a, b in zip(one.history, two.history, strict=True):
        assert a.step == b.step
        assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-3)
        assert a.objective == pytest.approx(b.objective, rel=1e-4)
        assert a.validation["nll"] == pytest.approx(b.validation["nll"], rel=1e-4)
    first, second = (np.load(tmp_path / name / "predictions.npz") for name in ("one", "two"))
    assert {key: len(first[key]) for key in first} == {key: len(second[key]) for key in second}
    np.testing.assert_allclose(first["selected_test_logits"], second["selected_test_logits"], atol=1e-4)


def test_only_the_main_process_prints(recipe: Path, tmp_path: Path) -> None:
    run = finetune("run", recipe, "--output", tmp_path / "two", "--json", launcher=TORCHRUN)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)[0]["status"] == "finished"
    assert run.stderr.count("epoch 3/3") == 1


def test_launch_passes_everything_to_accelerate_and_runs_every_seed(recipe: Path, tmp_path: Path) -> None:
    options = ("--preset", "light", "--set", "training.epochs=4", "--seed", 1, "--seed", 2)
    run = finetune("run", recipe, "--launch", 2, "--output", tmp_path / "two", "--json", *options)
    assert run.returncode == 0, run.stderr
    for seed in (1, 2):
        record = read_record(tmp_path / "two" / f"seed-{seed}" / "run.json")
        assert (record.budget["processes"], record.seed) == (2, seed)
        assert (record.preset, record.recipe["training"]["epochs"]) == ("light", 4)
    assert "default" not in run.stderr, "accelerate must have nothing left to choose"


def test_two_processes_stop_early_together(recipe: Path, tmp_path: Path) -> None:
    options = (
        "--set",
        "training.epochs=8",
        "--set",
        "techniques.early_stopping.patience=1",
        "--set",
        "techniques.early_stopping.min_delta=0.5",
    )
    run = finetune("run", recipe, "--output", tmp_path / "two", *options, launcher=TORCHRUN)
    assert run.returncode == 0, run.stderr
    record = read_record(tmp_path / "two" / "run.json")
    assert record.last is not None
    assert record.last.epoch < 8
    one = train(recipe, tmp_path / "one", overrides=[text for text in options if text != "--set"])
    assert one.last is not None
    assert one.last.epoch == record.last.epoch


def test_an_error_of_two_processes_is_said_once(recipe: Path, tmp_path: Path) -> None:
    run = finetune("run", recipe, "--output", tmp_path / "two", "--set", "data.text=nothing", launcher=TORCHRUN)
    assert run.returncode != 0
    assert run.stderr.count("error: ") == 1
    assert not (tmp_path / "two").exists()


def test_more_micro_batches_than_rows_per_process_are_refused(recipe: Path, tmp_path: Path) -> None:
    options = ("--set", "training.batch_size=4", "--set", "training.accumulation=4")
    run = finetune("run", recipe, "--output", tmp_path / "two", *options, launcher=TORCHRUN)
    assert run.returncode != 0
    assert "training.accumulation: 4 parts in each of 2 processes" in run.stderr
    assert not (tmp_path / "two").exists()
