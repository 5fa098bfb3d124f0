"""Two real processes on a CPU: they join, take the steps of one, and one of them writes and prints."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from finetune.records.store import read_record
from tests.cli.invoking import invoke
from tests.running import TORCHRUN, assert_same_weights, finetune, python, run_in_two_processes, train

Write = Callable[..., Path]


@pytest.fixture
def recipe(write_recipe: Write, still_model: Path) -> Path:
    """45 rows in batches of 8 leave an incomplete step of 5; no dropout, so that passes can be compared."""
    return write_recipe(
        model=still_model,
        data={"train_size": 45, "validation_size": 15, "test_size": 15},
        training={"learning_rate": 0.001},
    )


EQUAL: dict[str, list[str]] = {
    "plain": [],
    "accumulated": ["training.accumulation=2"],
    "short": ["training.batch_size=44"],  # leaves one row for two processes in each epoch's last step
    "stopped": ["training.epochs=8", "techniques.early_stopping.patience=1", "techniques.early_stopping.min_delta=0.5"],
}
# So few steps teach nothing: that it has begun to learn is planted, so that patience counts.
LEARNED = """
import sys
from finetune.cli.app import app
from finetune.training import building
building.beats_trivial = lambda *_: True
app(sys.argv[1:], standalone_mode=False)
"""


def test_two_processes_give_the_numbers_of_one(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.training.building.beats_trivial", lambda *_: True)
    script = tmp_path / "learned.py"
    script.write_text(LEARNED, encoding="utf-8")
    settings = {name: [part for text in given for part in ("--set", text)] for name, given in EQUAL.items()}
    done = run_in_two_processes(
        *(
            (script, "run", recipe, "--output", tmp_path / "two" / name, "--json", *more)
            for name, more in settings.items()
        )
    )
    for name, given in EQUAL.items():
        train(recipe, tmp_path / "one" / name, overrides=[text for text in given if "accumulation" not in text])
        one, two = (read_record(tmp_path / number / name / "run.json") for number in ("one", "two"))
        assert (two.status, two.budget.processes) == ("finished", 2), name
        assert_same_weights(tmp_path / "one" / name, tmp_path / "two" / name, tolerance=5e-6)
        for a, b in zip(one.history, two.history, strict=True):
            assert a.step == b.step, name
            assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-3), name
            assert a.objective == pytest.approx(b.objective, rel=1e-4), name
            assert a.validation["nll"] == pytest.approx(b.validation["nll"], rel=1e-4), name
        first, second = (np.load(tmp_path / number / name / "predictions.npz") for number in ("one", "two"))
        assert {key: len(first[key]) for key in first} == {key: len(second[key]) for key in second}, name
        np.testing.assert_allclose(
            first["selected_test_logits"], second["selected_test_logits"], atol=1e-4, err_msg=name
        )
    stopped = read_record(tmp_path / "two" / "stopped" / "run.json")
    assert stopped.last is not None
    assert stopped.last.epoch < 8, "both processes stopped early"
    assert stopped.budget.early_stopping is not None
    assert stopped.budget.early_stopping.stopped
    printed = json.loads("[" + done.stdout.replace("]\n[", "],[") + "]")
    assert [records[0]["status"] for records in printed] == ["finished"] * len(EQUAL), "the main process alone prints"
    assert done.stderr.count("epoch 3/3") == len(EQUAL) - 1


CHOOSING = """
import sys
from finetune.cli.app import app
from finetune.recipe import checks
from finetune.training import rate_decision, rate_folds
for module in (rate_folds, rate_decision, checks):
    module.RATES = (5e-5, 0.001)
rate_folds.FOLDS = 2
app(["run", *sys.argv[1:]], standalone_mode=False)
"""


def test_two_processes_choose_a_learning_rate_together(recipe: Path, tmp_path: Path) -> None:
    """Two values on two folds, which one process gives the same scores."""
    script = tmp_path / "choosing.py"
    script.write_text(CHOOSING, encoding="utf-8")
    changes = ("training.learning_rate=auto", "training.epochs=1", "data.check=false")
    options = [part for change in changes for part in ("--set", change)]
    run_in_two_processes((script, recipe, "--output", tmp_path / "two", "--json", *options))
    alone = finetune(recipe, "--output", tmp_path / "one", "--json", *options, launcher=(str(script),))
    assert alone.returncode == 0, alone.stderr
    one, two = (read_record(tmp_path / number / "run.json") for number in ("one", "two"))
    assert (one.budget.processes, two.budget.processes) == (1, 2)
    assert one.budget.learning_rate == two.budget.learning_rate
    assert two.budget.learning_rate is not None
    assert two.budget.learning_rate.steps == 2 * 2 * 3
    assert_same_weights(tmp_path / "one", tmp_path / "two", tolerance=5e-6)


def test_launch_passes_everything_to_accelerate_and_runs_every_seed(recipe: Path, tmp_path: Path) -> None:
    options = ("--preset", "light", "--set", "training.epochs=1", "--seed", 1, "--seed", 2)
    run = finetune("run", recipe, "--launch", 2, "--output", tmp_path / "two", "--json", *options)
    assert run.returncode == 0, run.stderr
    printed = [(record["status"], record["seed"], record["preset"]) for record in json.loads(run.stdout)]
    assert printed == [("finished", 1, "light"), ("finished", 2, "light")]
    for seed in (1, 2):
        record = read_record(tmp_path / "two" / f"seed-{seed}" / "run.json")
        assert (record.budget.processes, record.seed) == (2, seed)
        assert (record.preset, record.recipe["training"]["epochs"]) == ("light", 1)
    assert "default" not in run.stderr, "accelerate must have nothing left to choose"


def test_an_error_of_two_processes_is_said_once(recipe: Path, tmp_path: Path) -> None:
    """By torchrun itself, which has things to say of its own when a process fails."""
    run = python(*TORCHRUN, "finetune", "run", recipe, "--output", tmp_path / "two", "--set", "data.text=nothing")
    assert run.returncode != 0
    assert run.stderr.count("error: ") == 1
    assert not (tmp_path / "two").exists()


def test_more_micro_batches_than_rows_per_process_are_refused(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.training.prepare.world_size", lambda: 2)
    options = ("--set", "training.batch_size=4", "--set", "training.accumulation=4")
    run = invoke("run", recipe, "--output", tmp_path / "two", *options)
    assert run.exit_code == 2
    assert "training.accumulation: 4 micro-batches in each of 2 processes" in run.stderr
    assert not (tmp_path / "two").exists()
