"""What a Trainer prints while it trains, as a file: by its own callback, and as versions before 5 printed it."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path
from typing import Any

import pytest
from transformers import PrinterCallback, TrainerState, TrainingArguments
from transformers.trainer_callback import TrainerControl

from finetune import diagnose
from finetune.errors import OutputError
from finetune.records.diagnosis import Diagnosis
from tests.diagnosis.logs import history

OVERFITTED = history([0.6, 0.2, 0.02], [0.50, 0.75, 1.1], [0.77, 0.77, 0.76])
TEST_ROWS = {"eval_loss": 1.4, "eval_accuracy": 0.70, "eval_runtime": 0.5, "eval_samples_per_second": 400, "epoch": 3.0}
BAR = " 33%|███▎      | 40/120 [00:01<00:02, 31.9it/s]\r"


def logged(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a callback is given: without the step."""
    return [{key: value for key, value in record.items() if key != "step"} for record in records]


def read(file: Path, text: str) -> Diagnosis:
    file.write_text(text, encoding="utf-8")
    return diagnose(file.parent).diagnosis


def test_what_the_callback_prints_is_read_as_the_state_is(tmp_path: Path) -> None:
    text, state = io.StringIO(), TrainerState(is_local_process_zero=True)
    arguments, control = TrainingArguments(output_dir=str(tmp_path / "out"), use_cpu=True), TrainerControl()
    with contextlib.redirect_stdout(text):
        for record in logged([*OVERFITTED, TEST_ROWS]):
            text.write(BAR)
            PrinterCallback().on_log(arguments, state, control, logs=record)
    found = read(tmp_path / "train.log", f"Some weights were newly initialized\n{text.getvalue()}")
    assert found.verdict == "overfits"
    assert found.validation is not None
    assert (found.validation.mean, found.validation_rows) == (0.76, 200)
    assert any("1 evaluation after the end of training left out" in note for note in found.notes)
    assert found.test is not None
    assert found.test.mean == 0.70


def test_numbers_that_are_printed_as_numbers_and_a_clean_training_score(tmp_path: Path) -> None:
    clean = {"train_loss": 0.4, "train_accuracy": 0.78, "train_runtime": 1.0, "epoch": 3.0}
    found = read(tmp_path / "train.out", "\n".join(map(str, logged([*OVERFITTED, clean]))))
    assert found.train is not None
    assert found.train.mean == 0.78
    assert not found.at_least


def test_of_two_runs_in_a_file_the_later_one_counts(tmp_path: Path) -> None:
    healthy = history([0.6, 0.3, 0.25], [0.5, 0.3, 0.28], [0.88, 0.92, 0.93])
    found = read(tmp_path / "train.log", "\n".join(map(str, logged([*OVERFITTED, *healthy]))))
    assert found.verdict == "no sign of overfitting"
    assert any("epochs go back from 3 to 1" in note for note in found.notes)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_nan_is_a_divergence_and_a_cut_line_is_left_out(tmp_path: Path, broken: float) -> None:
    records = logged(OVERFITTED)
    records[2] |= {"loss": broken, "grad_norm": broken}
    assert read(tmp_path / "train.txt", "\n".join(map(str, records)) + "\n{'loss': 0.1, 'ep").verdict == "diverged"


@pytest.mark.parametrize("epoch", ["'nan'", "inf", "'soon'", "None", "True"])
def test_an_epoch_that_is_no_number_is_named(tmp_path: Path, epoch: str) -> None:
    with pytest.raises(OutputError, match=r"out\.log: a record has the epoch .*, which is not a number"):
        read(tmp_path / "out.log", f"{{'eval_loss': 0.6, 'eval_accuracy': 0.7, 'epoch': {epoch}}}\n")
