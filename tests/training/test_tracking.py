"""Experiment trackers: told of what the record holds, by names that stay, and without a trace in the run."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from finetune.errors import RecipeError
from finetune.experiments.jobs import Job, task_of
from finetune.experiments.keys import run_key
from finetune.recipe import resolve
from finetune.records.comparison import JobEntry
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from finetune.training.prepare import prepare
from finetune.training.refit import refitted
from finetune.training.runner import run_seed
from finetune.training.tracking import trackers
from finetune.training.tracking.starting import tracker_notes
from finetune.workflows.asking import Request
from finetune.workflows.folders import check_same_run
from tests.conftest import labelled_texts, write_csv
from tests.interrupting import InterruptAt, timeless
from tests.raising import refuses
from tests.running import assert_same_weights, train

Write = Callable[..., Path]
Series = dict[str, list[tuple[int, float]]]  # name of a value -> step and value, as the tracker has them
STEPS = [6, 12, 18]  # ends of epochs
REAL = [name for name in ("tensorboard", "mlflow", "trackio") if trackers.TRACKERS[name].is_installed()]
MISSING = "{} is too large for the test extra: pip install {}"
STORES = [
    pytest.param(name, marks=pytest.mark.skipif(name not in REAL, reason=MISSING.format(name, name)))
    for name in ("tensorboard", "mlflow", "trackio")
]


class Tracked(NamedTuple):
    """The same run without and with trackers; the second was interrupted in its third epoch, and resumed."""

    folder: Path
    plain: FinishedRecord
    told: FinishedRecord
    status: str  # of MLflow, while the run was interrupted


def set_trackers(*names: str) -> list[str]:
    return [f"training.report_to=[{', '.join(names)}]"]


def run(recipe: Path, folder: Path, names: list[str], callbacks: Any = (), resume: bool = False) -> FinishedRecord:
    prepared = prepare(resolve(str(recipe), "light", overrides=set_trackers(*names)).recipe)
    return run_seed(prepared, 0, RunFolder(folder), list(callbacks), resume, group="compare-reviews")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Tracked]:
    folder = tmp_path_factory.mktemp("tracked")
    recipe = folder / "recipe.yaml"
    reviews = write_csv(folder / "reviews.csv", ["text", "label"], labelled_texts(80))
    sections = {
        "model": {"id": str(tiny_model)},
        "data": {"source": str(reviews), "validation_size": 16, "test_size": 16, "max_length": 32},
        "training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32"},
    }
    recipe.write_text(json.dumps(sections), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))
        plain = run(recipe, folder / "plain", [])
        with pytest.raises(KeyboardInterrupt):
            run(recipe, folder / "told", REAL, callbacks=[InterruptAt(15)])
        status = _mlflow_run(folder).info.status if "mlflow" in REAL else ""
        yield Tracked(folder, plain, run(recipe, folder / "told", REAL, resume=True), status)


def _mlflow_run(folder: Path) -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("compare-reviews")
    [found] = client.search_runs([experiment.experiment_id])
    return found


def read_tensorboard(folder: Path) -> tuple[Series, Mapping[str, Any]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "told" / "tensorboard")).Reload()
    series = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}
    text = events.Tensors("args/text_summary")[0].tensor_proto.string_val[0].decode()
    return {name.replace("/", "_", 1): values for name, values in series.items()}, json.loads(text)


def read_mlflow(folder: Path) -> tuple[Series, Mapping[str, Any]]:
    from mlflow import MlflowClient

    client, found = MlflowClient(f"sqlite:///{folder}/mlflow.db"), _mlflow_run(folder)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "told")
    assert found.data.tags["finetune.preset"] == "light"
    assert found.data.tags["finetune.group"] == "compare-reviews"
    series = {
        name if name.startswith(("eval_", "test_")) else f"train_{name}": [
            (each.step, each.value) for each in client.get_metric_history(found.info.run_id, name)
        ]
        for name in found.data.metrics
    }
    return series, found.data.params


def read_trackio(folder: Path) -> tuple[Series, Mapping[str, Any]]:
    from trackio.sqlite_storage import SQLiteStorage

    assert SQLiteStorage.get_runs("finetune") == ["told"]
    series: Series = {}
    for row in SQLiteStorage.get_logs("finetune", "told"):
        for name, value in row.items():
            if name.startswith(("eval/", "test/", "train/")):
                series.setdefault(name.replace("/", "_", 1), []).append((row["train/global_step"], value))
    config = SQLiteStorage.get_run_config("finetune", "told")
    assert config["_Group"] == "compare-reviews"
    return series, config


READERS = {"tensorboard": read_tensorboard, "mlflow": read_mlflow, "trackio": read_trackio}


def test_trackers_leave_no_trace_in_the_run(tracked: Tracked) -> None:
    assert timeless(tracked.told) == timeless(tracked.plain)
    assert_same_weights(tracked.folder / "told", tracked.folder / "plain")
    assert "report_to" not in tracked.told.recipe["training"]


@pytest.mark.parametrize("name", STORES)
def test_a_store_holds_what_the_record_holds_also_after_a_resume(tracked: Tracked, name: str) -> None:
    """By the tracker's own reader: one run, whose values are those of the record, under the documented names."""
    series, settings = READERS[name](tracked.folder)
    for evaluation in tracked.told.history:
        train, validation = evaluation.train_probe, evaluation.validation
        expected = {
            "eval_accuracy": validation["accuracy"],
            "eval_loss": validation["nll"],
            "eval_train_accuracy": train["accuracy"],
            "eval_gap_accuracy": train["accuracy"] - validation["accuracy"],
            "eval_gap_loss": validation["nll"] - train["nll"],
            "train_epoch": evaluation.epoch,
            "train_loss": evaluation.objective,
        }
        for key, value in expected.items():
            told = {found for step, found in series[key] if step == evaluation.step}
            assert {round(each, 5) for each in told} == {round(value, 5)}, (key, evaluation.step)
    assert sorted({step for step, _ in series["eval_gap_loss"]}) == STEPS
    selected = tracked.told.selected
    [(step, value)] = series["test_accuracy"]
    assert (step, value) == (18, pytest.approx(selected.test["accuracy"]))
    [(_, value)] = series["eval_selected_gap_loss"]
    assert value == pytest.approx(selected.gap["nll"].value, abs=1e-6)
    [(_, value)] = series["eval_selected_epoch"]
    assert value == selected.epoch
    assert (settings["preset"], str(settings["seed"])) == ("light", "0")
    assert float(settings["training.learning_rate"]) == 0.005
    assert "data.source" not in settings
    assert settings["model.id"] == Path(tracked.told.recipe["model"]["id"]).name, "folders of a machine are not told"


def test_tensorboard_shows_each_step_once_after_a_resume(tracked: Tracked) -> None:
    """What came after the last checkpoint is measured again, and not shown twice."""
    series, _ = read_tensorboard(tracked.folder)
    assert [step for step, _ in series["eval_accuracy"]] == STEPS


@pytest.mark.skipif("mlflow" not in REAL, reason=MISSING.format("mlflow", "mlflow"))
def test_mlflow_knows_that_a_run_was_interrupted(tracked: Tracked) -> None:
    assert tracked.status == "KILLED"


def test_a_resumed_run_whose_training_is_over_tells_what_is_measured(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe()
    with monkeypatch.context() as patch:
        patch.setattr("finetune.training.runner.Run.measure", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "told", ["tensorboard"])
    run(recipe, tmp_path / "told", ["tensorboard"], resume=True)
    series, _ = read_tensorboard(tmp_path)
    assert [step for step, _ in series["eval_accuracy"]] == STEPS
    assert [step for step, _ in series["test_accuracy"]] == [18]


# --- trackers that fail ----------------------------------------------------------------------------------------


class Broken:
    """A callback that disturbs what it can, and fails in a method."""

    def __init__(self, fails_in: str, heard: list[str]) -> None:
        self.fails_in, self.heard = fails_in, heard

    def __getattr__(self, method: str) -> Callable[..., None]:
        def hear(*_: Any, **__: Any) -> None:
            random.seed(1337)
            np.random.seed(1337)
            torch.manual_seed(1337)
            self.heard.append(method)
            sys.stdout.write("noise on standard output")
            if method == self.fails_in:
                raise ConnectionError("the server is gone\nand more")

        return hear


@pytest.mark.parametrize("method", ["on_train_begin", "on_log", "on_train_end"])
def test_a_tracker_that_fails_ends_no_run_and_changes_none(
    write_recipe: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
) -> None:
    heard: list[str] = []

    class Fake(trackers.Tracker):
        def callback(self, run: Any, step: int) -> Any:
            return Broken(method, heard)

        def end(self, callback: Any, how: str) -> None:
            heard.append(how)

    monkeypatch.setitem(trackers.TRACKERS, "dvclive", Fake("dvclive", "json", "dvclive", {}))
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(training={"epochs": 2})
    plain, told = run(recipe, tmp_path / "plain", []), run(recipe, tmp_path / "told", ["dvclive"])
    assert_same_weights(tmp_path / "told", tmp_path / "plain")
    assert told.selected == plain.selected
    [warning] = set(told.warnings) - set(plain.warnings)
    assert warning == (
        "training.report_to: dvclive failed: ConnectionError: the server is gone. The run goes on without it"
    )
    assert heard.count(method) == 1
    assert heard[-1] == "finished"  # closed all the same: it would take in the next run of this process
    assert "noise" not in capsys.readouterr().out


def test_variables_of_the_environment_are_of_the_tracker_alone_and_those_of_the_user_go_before(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str | None, str | None]] = []

    class Fake(trackers.Tracker):
        def callback(self, run: Any, step: int) -> Any:
            seen.append((os.environ.get("MADE_UP_MODE"), os.environ.get("MADE_UP_NAME")))
            return Broken("", [])

        def environment(self, run: Any) -> dict[str, str]:
            return {"MADE_UP_NAME": run.name}

    monkeypatch.setenv("MADE_UP_MODE", "online")
    monkeypatch.setitem(trackers.TRACKERS, "swanlab", Fake("swanlab", "json", "", {"MADE_UP_MODE": "offline"}))
    train(write_recipe(training={"epochs": 1}), tmp_path / "told", overrides=set_trackers("swanlab"))
    assert seen == [("online", "told")]
    assert "MADE_UP_NAME" not in os.environ


def test_of_a_refit_neither_validation_nor_gap_is_told(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: set[str] = set()

    class Listening(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            told.update(kwargs["logs"])

    class Fake(trackers.Tracker):
        def callback(self, run: Any, step: int) -> Any:
            return Listening()

    monkeypatch.setitem(trackers.TRACKERS, "swanlab", Fake("swanlab", "json", "", {}))
    recipe = resolve(str(write_recipe(training={"epochs": 1})), "none", overrides=set_trackers("swanlab")).recipe
    run_seed(refitted(prepare(recipe), 5), 0, RunFolder(tmp_path / "refit"))
    assert {"eval_train_accuracy", "eval_selected_train_loss", "test_accuracy", "loss"} <= told
    assert told.isdisjoint({"eval_accuracy", "eval_loss", "eval_gap_accuracy", "eval_selected_accuracy"})
    assert not any("gap" in name for name in told)


def test_trackio_continues_only_a_run_that_it_was_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is added when a run is resumed, a run of the same name is one of another folder."""
    begun: list[dict[str, Any]] = []

    class Callback:
        _trackio = SimpleNamespace(init=lambda **given: begun.append(given))

    monkeypatch.setattr("transformers.integrations.integration_utils.TrackioCallback", Callback)
    told = SimpleNamespace(run_name="told", to_dict=dict)
    for ids in ({}, {"tensorboard": "tensorboard"}, {"trackio": "told"}):
        run = trackers.TrackedRun(tmp_path / "told", None, {}, ids)
        trackers.TRACKERS["trackio"].callback(run, 6).setup(told, None, None)
    assert [each["resume"] for each in begun] == ["never", "never", "allow"]


# --- before training -------------------------------------------------------------------------------------------


def test_a_tracker_that_is_not_installed_is_an_error_before_training(
    write_recipe: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("mlflow", "wandb") else found(name))
    recipe = resolve(str(write_recipe()), None, overrides=set_trackers("wandb", "tensorboard", "mlflow")).recipe
    with refuses(RecipeError, match=r'report_to: wandb is not installed. Try: pip install "finetune\[wandb\]"'):
        prepare(recipe)
    with refuses(RecipeError, match="mlflow is not installed"):
        prepare(recipe)


def test_an_unknown_tracker_is_an_error_and_one_may_stand_alone(write_recipe: Write) -> None:
    recipe = str(write_recipe())
    with refuses(RecipeError, match=r"training\.report_to.*tensorboard"):
        resolve(recipe, None, overrides=["training.report_to=[tensorbord]"])
    for text, names in (("tensorboard", ["tensorboard"]), ("none", []), ("[]", [])):
        assert resolve(recipe, None, overrides=[f"training.report_to={text}"]).recipe.training.report_to == names


def test_trackers_are_in_no_key_and_in_no_folder_name_and_can_be_added_when_a_run_is_resumed(
    write_recipe: Write, tmp_path: Path
) -> None:
    path = write_recipe(training={"epochs": 1})
    plain, told = (
        resolve(str(path), None, overrides=added).recipe for added in ([], set_trackers("tensorboard", "mlflow"))
    )
    assert run_key(plain, 0, "data", "model") == run_key(told, 0, "data", "model")
    train(path, tmp_path / "run")
    check_same_run(RunFolder(tmp_path / "run"), told, 0)
    assert Request(overrides=set_trackers("mlflow")).changed() == []


def test_the_runs_of_an_experiment_are_a_group(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    recipe = resolve(str(write_recipe()), None, overrides=set_trackers("tensorboard", "mlflow")).recipe
    entry = JobEntry(variant="none", seed=0, fold=None, key="k", folder="cells/none-seed0-k", code="c")
    assert task_of(Job(entry, recipe), tmp_path / "compare-tweets", {}).group == "compare-tweets"
    assert tracker_notes(recipe, Path("runs/compare-tweets"), "compare-tweets") == [
        "training.report_to: tensorboard (tensorboard --logdir runs/compare-tweets)",
        "training.report_to: mlflow (mlflow ui, experiment compare-tweets)",
    ]
