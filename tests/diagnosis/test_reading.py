"""Reading a log, whatever the format: damaged ones, names of runs, several in a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finetune import diagnose
from finetune.diagnosis.logs.registry import read_log
from finetune.errors import OutputError
from tests.diagnosis import writers
from tests.diagnosis.logs import write
from tests.diagnosis.test_other_logs import FLAIR_LOG, KERAS, KERAS_ROWS, SPACY, lightning, text
from tests.diagnosis.writers import HEALTHY, OVERFITS, table
from tests.raising import refuses

FASTAI = ("epoch", "train_loss", "valid_loss", "accuracy", "time")
SPACY_LINE = {"epoch": 0, "step": 1, "losses": {"cat": 1.0}, "scores": {"cats_score": 80.0}, "score": 0.8}


def mlflow(folder: Path, damage: bytes, file: str = "metrics/eval_loss") -> Path:
    run = writers.mlflow_folder(folder / "mlruns", "a", HEALTHY)
    with (run / file).open("ab") as stream:
        stream.write(damage)
    return folder


def trackio(folder: Path, metrics: str | None) -> Path:
    file = writers.trackio(folder / "p.db", {"a": HEALTHY})
    with writers.closing(writers.sqlite3.connect(file)) as database, database:
        database.execute("UPDATE metrics SET metrics = ? WHERE id = 3", (metrics,))
    return file


DAMAGED: dict[str, Callable[[Path], Path]] = {
    "mlflow, a line of no numbers": lambda folder: mlflow(folder, b"1700000000000 high 3\n"),
    "mlflow, metrics of other bytes": lambda folder: mlflow(folder, b"\xff\xfe 1 2\n"),
    "mlflow, about of other bytes": lambda folder: mlflow(folder, b"\xff\xfe", "meta.yaml"),
    "trackio, cut": lambda folder: trackio(folder, '{"train/loss": 0.'),
    "trackio, NULL": lambda folder: trackio(folder, None),
    "spacy": lambda folder: text(folder / "log.jsonl", json.dumps(SPACY_LINE | {"losses": None})),
    "lightning": lambda folder: table(folder / "metrics.csv", ["epoch", "step", "val_acc"], [[0, "nan", 0.8]]),
    "keras": lambda folder: table(folder / "log.csv", KERAS, [*KERAS_ROWS, [3, '"' + 200_000 * "0"]]),
    "trainer, step": lambda folder: text(
        folder / "trainer_state.json", json.dumps({"log_history": [{"eval_loss": 0.5, "step": "a"}]})
    ),
    "trainer, epoch": lambda folder: write(folder, [{"eval_loss": 0.5, "step": 1, "epoch": "a"}]),
}


@pytest.fixture
def limit_of_cells() -> Iterator[None]:
    """What Python begins with; reading data raises it for the process."""
    before = csv.field_size_limit(1 << 17)
    yield
    csv.field_size_limit(before)


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.usefixtures("limit_of_cells")
def test_a_damaged_log_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    path = DAMAGED[name](tmp_path)
    with pytest.raises(OutputError, match=r"cannot be read as|which is not a number") as caught:
        diagnose(path)
    assert str(tmp_path) in str(caught.value)


def fastai(file: Path, score: float = 0.76) -> Path:
    return table(file, FASTAI, [[0, 0.6, 0.5, 0.77, "00:02"], [1, 0.2, 0.6, score, "00:02"]])


ONE_RUN: dict[str, Callable[[Path], Path]] = {
    "trainer": lambda folder: write(folder, HEALTHY),
    "flair": lambda folder: text(folder / "training.log", FLAIR_LOG.format(dev="False")),
    "simpletransformers": lambda folder: table(
        folder / "training_progress_scores.csv", ["global_step", "train_loss", "acc", "eval_loss"], [[9, 0.5, 0.8, 0.4]]
    ),
    "keras": lambda folder: table(folder / "log.csv", KERAS, KERAS_ROWS),
    "fastai": lambda folder: fastai(folder / "history.csv"),
    "spacy": lambda folder: text(folder / "train.log", SPACY),
    "lightning": lambda folder: lightning(folder / "version_0"),
}


@pytest.mark.parametrize("name", ONE_RUN)
def test_a_run_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    path = ONE_RUN[name](tmp_path)
    assert read_log(path) is not None
    with pytest.raises(OutputError, match=r"no run has this name|none to choose") as caught:
        read_log(path, "other")
    assert "--run other" in caught.value.for_command_line()


SEVERAL: dict[str, Callable[[Path, bool], Path]] = {
    "fastai": lambda stem, good: fastai(stem.with_suffix(".csv"), 0.91 if good else 0.61),
    "keras": lambda stem, good: table(
        stem.with_suffix(".csv"), KERAS, [[0, 0.8, 0.6, 0.7, 0.5], [1, 0.9, 0.5, 0.91 if good else 0.61, 0.5]]
    ),
    "spacy": lambda stem, good: text(
        stem.with_suffix(".jsonl"), json.dumps(SPACY_LINE | {"scores": {"cats_score": 91.0 if good else 61.0}})
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_logs_of_a_format_one_is_named(tmp_path: Path, name: str) -> None:
    for stem in ("bad", "good"):
        SEVERAL[name](tmp_path / stem, stem == "good")
    with pytest.raises(OutputError, match="holds 2 runs, but only one can be diagnosed") as caught:
        diagnose(tmp_path)
    assert "--run bad, or --run good" in caught.value.for_command_line()
    found = diagnose(tmp_path, run="good").diagnosis
    assert found.validation is not None
    assert found.validation.mean == pytest.approx(0.91)


def test_files_of_one_name_are_told_by_their_endings(tmp_path: Path) -> None:
    table(tmp_path / "log.csv", KERAS, KERAS_ROWS)
    text(tmp_path / "log.json", json.dumps({"loss": [0.6, 0.5], "val_loss": [0.5, 0.4]}))
    with refuses(OutputError, match="log.json"):
        diagnose(tmp_path)
    found = read_log(tmp_path, "log.csv")
    assert found is not None
    assert found.file == tmp_path / "log.csv"


def test_of_several_databases_of_trackio_the_files_are_named(tmp_path: Path) -> None:
    for name, records in (("a b", HEALTHY), ("c", OVERFITS)):
        writers.trackio(tmp_path / f"{name}.db", {"first": records})
    with pytest.raises(OutputError, match="holds 2 databases of Trackio") as caught:
        diagnose(tmp_path)
    said = caught.value.for_command_line()
    assert f"finetune diagnose '{tmp_path / 'a b.db'}', or finetune diagnose {tmp_path / 'c.db'}" in said


def test_several_logs_of_other_formats_beside_the_one_that_is_read_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        writers.wandb_history(tmp_path / f"{name}.csv", HEALTHY)
        table(tmp_path / f"keras-{name}.csv", KERAS, KERAS_ROWS)
    found = diagnose(tmp_path, run="a").diagnosis
    assert any("also there, and not read: Keras" in note for note in found.notes)
