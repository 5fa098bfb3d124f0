"""Logs of TensorBoard, MLflow, Trackio and W&B: the same run gives the same verdict, and no trap changes it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune import diagnose
from finetune.errors import OutputError
from tests.diagnosis import writers
from tests.diagnosis.logs import NAN, history
from tests.diagnosis.writers import HEALTHY, OVERFITS, TEST_ROWS, Records
from tests.raising import refuses

WRITERS: dict[str, Callable[[Path, Records], Path]] = {
    "tensorboard": lambda folder, records: writers.tensorboard(folder / "runs" / "a", writers.values(records)),
    "mlruns": lambda folder, records: writers.mlflow_folder(folder / "mlruns", "a", records).parents[1],
    "mlflow.db": lambda folder, records: writers.mlflow_database(folder / "mlflow.db", {"a": records}),
    "trackio": lambda folder, records: writers.trackio(folder / "p.db", {"a": records}),
    "wandb": lambda folder, records: writers.wandb_history(folder / "history.csv", records),
}
TRACKERS = pytest.mark.parametrize("tracker", WRITERS)


@TRACKERS
def test_a_run_is_read_as_from_its_trainer_state(tmp_path: Path, tracker: str) -> None:
    found = diagnose(WRITERS[tracker](tmp_path, OVERFITS)).diagnosis
    assert found.verdict == "overfits"
    assert found.validation_rows == 200
    assert found.gap is not None
    assert found.gap.mean == pytest.approx(0.2256, abs=1e-3)
    assert diagnose(tmp_path).diagnosis.text == found.text  # the folder it lies in is enough


@TRACKERS
def test_a_test_evaluation_after_training_is_left_out(tmp_path: Path, tracker: str) -> None:
    found = diagnose(WRITERS[tracker](tmp_path, [*HEALTHY, TEST_ROWS])).diagnosis
    assert found.verdict == "no sign of overfitting"
    assert any("1 evaluation after the end" in note for note in found.notes)


@pytest.mark.parametrize("tracker", [name for name in WRITERS if name != "wandb"])  # whose CSV leaves the cell empty
def test_a_nan_is_a_divergence_however_it_is_stored(tmp_path: Path, tracker: str) -> None:
    records = [dict(record) for record in HEALTHY]
    records[4]["loss"] = NAN
    assert diagnose(WRITERS[tracker](tmp_path, records)).diagnosis.verdict == "diverged"


@TRACKERS
def test_accumulation_and_processes_change_no_verdict(tmp_path: Path, tracker: str) -> None:
    """Training losses times 8, evaluation losses times 2."""
    factors = {"loss": 8.0, "eval_loss": 2.0}
    records = [{key: value * factors.get(key, 1) for key, value in record.items()} for record in HEALTHY]
    assert diagnose(WRITERS[tracker](tmp_path, records)).diagnosis.verdict == "no sign of overfitting"


@pytest.mark.parametrize("tracker", ["tensorboard", "mlruns", "mlflow.db"])
def test_of_a_resumed_run_the_later_values_count(tmp_path: Path, tracker: str) -> None:
    """The first session has gone wrong after step 80, and was resumed there."""
    broken = history([0.6, 0.4, 0.1, 0.1], [0.5, 0.42, 1.9, 2.0], [0.85, 0.90, 0.60, 0.60])[:-1]
    found = diagnose(WRITERS[tracker](tmp_path, [*broken, *HEALTHY[4:]])).diagnosis
    assert found.verdict == "no sign of overfitting"
    assert any("as after a resume" in note for note in found.notes)


@pytest.mark.parametrize("tracker", ["tensorboard", "mlruns"])
def test_arguments_that_the_tracker_keeps_are_used(tmp_path: Path, tracker: str) -> None:
    arguments = {"gradient_accumulation_steps": 4, "label_smoothing_factor": 0.1, "weight_decay": 0.01}
    if tracker == "tensorboard":
        writers.tensorboard(tmp_path, writers.values(HEALTHY), arguments)
    else:
        writers.mlflow_folder(tmp_path, "a", HEALTHY, arguments)
    found = diagnose(tmp_path).diagnosis
    assert any("may be 4 times the mean" in note for note in found.notes)
    assert any("label smoothing of 0.1" in note for note in found.notes)
    assert all(step.technique != "label_smoothing" for step in found.plan)


def test_of_several_runs_one_is_named(tmp_path: Path) -> None:
    for number, records in (("good", HEALTHY), ("bad", OVERFITS)):
        writers.tensorboard(tmp_path / "tb" / number, writers.values(records))
        writers.mlflow_folder(tmp_path / "mlruns", number, records)
    writers.mlflow_database(tmp_path / "mlflow.db", {"good": HEALTHY, "bad": OVERFITS})
    writers.trackio(tmp_path / "p.db", {"good": HEALTHY, "bad": OVERFITS})
    for name in ("tb", "mlruns", "mlflow.db", "p.db"):
        with refuses(OutputError, match="holds 2 runs, but only one can be diagnosed"):
            diagnose(tmp_path / name)
        with refuses(OutputError, match="no run has this name. Did you mean"):
            diagnose(tmp_path / name, run="goood")
        assert diagnose(tmp_path / name, run="good").diagnosis.verdict == "no sign of overfitting"
        assert diagnose(tmp_path / name, run="bad").diagnosis.verdict == "overfits"


@pytest.mark.parametrize("kind", ["mlruns", "mlflow.db"])
def test_an_evaluation_in_a_run_of_its_own_is_not_the_run(tmp_path: Path, kind: str) -> None:
    """MLflow 3.17: `evaluate()` after `train()` opens a second run with a made-up name."""
    if kind == "mlruns":
        writers.mlflow_folder(tmp_path / kind, "trained", HEALTHY)
        writers.mlflow_folder(tmp_path / kind, "merry-fox", [TEST_ROWS])
    else:
        writers.mlflow_database(tmp_path / kind, {"trained": HEALTHY, "merry-fox": [TEST_ROWS]})
    found = diagnose(tmp_path / kind).diagnosis
    assert found.verdict == "no sign of overfitting"
    assert any("merry-fox" in note for note in found.notes)


def test_a_loop_of_ones_own_may_count_training_by_batches_and_validation_by_epochs(tmp_path: Path) -> None:
    entries = []
    for epoch, (loss, accuracy) in enumerate([(0.5, 75), (0.45, 80), (0.8, 74), (1.2, 68)]):
        entries += [("Loss/train", epoch * 5 + batch, 0.4 / (epoch + 1)) for batch in range(5)]
        entries += [("Loss/val", epoch, loss), ("Acc/val", epoch, accuracy)]
    found = diagnose(writers.tensorboard(tmp_path, entries)).diagnosis
    assert found.verdict == "overfits"
    assert "eval_accuracy is in percent in the log, and was divided by 100" in found.notes


def test_a_batch_of_ones_own_loop_bounds_nothing(tmp_path: Path) -> None:
    """The last batch is right by chance; a value for each evaluation is a mean."""
    for batches, known in ((5, False), (1, True)):
        entries = []
        for epoch in range(4):
            entries += [("train/acc", epoch * batches + batch, 1.0) for batch in range(batches)]
            entries += [("train/loss", epoch * batches + batch, 0.01) for batch in range(batches)]
            entries += [("val/acc", epoch * batches + batches - 1, 0.86 + epoch / 1000)]
        found = diagnose(writers.tensorboard(tmp_path / str(batches), entries), validation_size=200).diagnosis
        assert (found.train is not None) == known


@TRACKERS
def test_a_clean_training_score_is_used(tmp_path: Path, tracker: str) -> None:
    """`trainer.evaluate(train_rows, metric_key_prefix="train")`."""
    clean = {"train_accuracy": 0.99, "train_runtime": 1.0, "step": 160, "epoch": 4.0}
    found = diagnose(WRITERS[tracker](tmp_path, [*HEALTHY, clean])).diagnosis
    assert found.train is not None
    assert (found.train.mean, found.at_least) == (pytest.approx(0.99), False)


def test_of_keras_two_folders_are_one_run(tmp_path: Path) -> None:
    rows = zip([0.6, 0.2, 0.02], [0.5, 0.75, 1.1], [0.77, 0.77, 0.76], strict=True)
    for step, (train, loss, accuracy) in enumerate(rows):
        writers.tensorboard(tmp_path / "train", [("epoch_loss", step, train), ("epoch_accuracy", step, 0.9)])
        values = [("epoch_loss", step, loss), ("epoch_accuracy", step, accuracy)]
        writers.tensorboard(tmp_path / "validation", values)
    found = diagnose(tmp_path).diagnosis
    assert found.verdict == "overfits"
    assert found.train is not None


def test_an_event_file_that_was_cut_is_read_up_to_there(tmp_path: Path) -> None:
    folder = writers.tensorboard(tmp_path, writers.values(OVERFITS))
    file = next(folder.iterdir())
    file.write_bytes(file.read_bytes()[:-200])
    assert diagnose(folder).diagnosis.verdict == "overfits"


def test_without_tensorboard_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    with pytest.raises(OutputError) as caught:
        diagnose(tmp_path)
    assert 'pip install "finetune[logs]"' in caught.value.for_command_line()


def test_charts_of_wandb_are_put_together(tmp_path: Path) -> None:
    """ "Export CSV" of a chart: one metric, with the least and greatest value beside it."""
    for metric, values in (
        ("eval/loss", [0.5, 0.75, 1.1]),
        ("eval/accuracy", [0.77, 0.77, 0.76]),
        ("train/loss", [0.6, 0.2, 0.02]),
    ):
        columns = ["train/global_step", f"run 1 - {metric}", f"run 1 - {metric}__MIN", f"run 1 - {metric}__MAX"]
        rows = [[40 * (i + 1), value, value, value] for i, value in enumerate(values)]
        writers.table(tmp_path / f"wandb_export_{metric.replace('/', '_')}.csv", columns, rows)
    found = diagnose(tmp_path, validation_size=200).diagnosis
    assert found.verdict == "overfits"
    assert found.gap is not None


def test_rows_that_wandb_has_sampled_are_said(tmp_path: Path) -> None:
    rows = [[i, i, i, 0.5, 0.4, 0.8] for i in range(500)]
    columns = ["", "_step", "train/global_step", "train/loss", "eval/loss", "eval/accuracy"]
    found = diagnose(writers.table(tmp_path / "h.csv", columns, rows)).diagnosis
    assert any("scan_history()" in note for note in found.notes)


def test_what_else_lies_there_is_said(tmp_path: Path) -> None:
    writers.trackio(tmp_path / "p.db", {"a": HEALTHY})
    writers.wandb_history(tmp_path / "history.csv", OVERFITS)
    found = diagnose(tmp_path).diagnosis
    assert found.verdict == "overfits"
    assert any("also there, and not read: Trackio database" in note for note in found.notes)
