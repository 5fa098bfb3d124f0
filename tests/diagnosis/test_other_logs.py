"""Logs of Lightning, Keras, fastai, spaCy, flair, simpletransformers: what their numbers are, and what they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune import diagnose
from finetune.errors import OutputError
from finetune.records.diagnosis import Diagnosis
from tests.cli.invoking import invoke
from tests.diagnosis.logs import closing, write
from tests.diagnosis.writers import HEALTHY, TEST_ROWS, table
from tests.raising import refuses

ROWS = {"validation_size": 200}
KERAS = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss")
KERAS_ROWS = [[0, 0.80, 0.6, 0.77, 0.5], [1, 0.93, 0.2, 0.77, 0.75], [2, 0.99, 0.02, 0.76, 1.1]]
SPACY = """ℹ Pipeline: ['tok2vec', 'textcat']
E    #       LOSS TOK2VEC  LOSS TEXTCAT  CATS_SCORE  SCORE
---  ------  ------------  ------------  ----------  ------
  0       0          0.00          0.25       33.00    0.33
  0     200          0.00         35.10       70.00    0.70
  1     400          0.00         12.00       82.00    0.82
  1     600          0.00          3.00       74.00    0.74
  2     800          0.00          1.20       71.50    0.71
"""
FLAIR = "EPOCH\tTIMESTAMP\tLEARNING_RATE\tTRAIN_LOSS\t{}DEV_LOSS\tDEV_PRECISION\tDEV_RECALL\tDEV_F1\tDEV_ACCURACY\n"
FLAIR_LOG = """2026-01-01 10:00:00,000 Corpus: 800 train + 100 dev + 100 test sentences
2026-01-01 10:00:00,000 Train:  800 sentences
2026-01-01 10:00:00,000         (train_with_dev={dev}, train_with_test=False)
2026-01-01 10:00:01,000 epoch 1 - iter 10/100 - loss 0.91 - time (sec): 1.00 - samples/sec: 40.00 - lr: 0.000010
2026-01-01 10:00:02,000 EPOCH 1 done: loss 0.6000 - lr: 0.000020
2026-01-01 10:00:03,000 DEV : loss 0.50 - f1-score (micro avg)  0.77
2026-01-01 10:00:04,000 TEST : loss 9.00 - f1-score (micro avg)  0.11
2026-01-01 10:00:05,000 EPOCH 2 done: loss 0.2000 - lr: 0.000010
2026-01-01 10:00:06,000 DEV : loss 0.75 - f1-score (micro avg)  0.77
2026-01-01 10:00:07,000 EPOCH 3 done: loss 0.0200 - lr: 0.000000
2026-01-01 10:00:08,000 DEV : loss 1.10 - f1-score (micro avg)  0.76
"""


def of(path: Path, **numbers: Any) -> Diagnosis:
    return diagnose(path, **numbers).diagnosis


def text(file: Path, content: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    return file


def lightning(folder: Path, name: str = "train_loss_epoch", batch: str = "train_loss_step") -> Path:
    """Lightning 2.6: rows of one kind each, steps from 0, the first one 49."""
    rows: list[list[Any]] = []
    for epoch, (train, accuracy, loss) in enumerate([(0.6, 0.77, 0.5), (0.2, 0.77, 0.75), (0.02, 0.76, 1.1)]):
        last = 60 * (epoch + 1) - 1
        rows += [[epoch, last - 10, None, 0.0001, None, None], [epoch, last, None, None, accuracy, loss]]
        rows += [[epoch, last, train, None, None, None]]
    return table(folder / "metrics.csv", ["epoch", "step", name, batch, "val_acc", "val_loss"], rows)


def test_lightning_means_of_an_epoch_count_and_single_batches_do_not(tmp_path: Path) -> None:
    found = of(lightning(tmp_path / "lightning_logs" / "version_0"), **ROWS)
    assert found.verdict == "overfits"
    assert found.train is not None
    assert found.train.mean == pytest.approx(0.9856, abs=1e-3)  # of 0.02, not of 0.0001
    assert of(tmp_path, **ROWS).text == found.text
    plain = of(lightning(tmp_path / "b", "train_loss", "other"), **ROWS)  # one batch's loss bounds nothing
    assert plain.train is None
    lightning(tmp_path / "lightning_logs" / "version_1")
    with refuses(OutputError, match="holds 2 runs"):
        of(tmp_path)
    assert of(tmp_path, run="version_1", **ROWS).text == found.text


def test_lightning_score_of_an_epoch_counts_beside_the_losses_of_batches(tmp_path: Path) -> None:
    """`train_acc` with on_step and on_epoch, `train_loss` on_step alone, and a validation every second epoch."""
    rows: list[list[Any]] = []
    for epoch, (score, train) in enumerate([(0.72, 0.70), (None, 0.90), (0.75, 0.97), (None, 0.99), (0.74, 0.995)]):
        last = 60 * (epoch + 1) - 1
        rows += [[epoch, last - 10, 0.3, 0.5, None, None, None], [epoch, last, None, None, train, None, None]]
        rows += [] if score is None else [[epoch, last, None, None, None, score, 0.55]]
    columns = ["epoch", "step", "train_loss", "train_acc_step", "train_acc_epoch", "val_acc", "val_loss"]
    found = of(table(tmp_path / "metrics.csv", columns, rows), **ROWS)
    assert found.verdict == "overfits"
    assert found.train is not None
    assert found.train.mean == 0.995  # neither 0.5 nor what a loss of 0.3 bounds


def test_lightning_with_two_validation_sets_asks_for_one(tmp_path: Path) -> None:
    columns = ["epoch", "step", "val_loss/dataloader_idx_0", "val_acc/dataloader_idx_0", "val_loss/dataloader_idx_1"]
    file = table(tmp_path / "metrics.csv", columns, [[0, 9, 0.5, 0.7, 0.9], [1, 19, 0.4, 0.8, 0.9]])
    with refuses(OutputError, match="has 2 evaluation sets"):
        of(file)
    assert of(file, evaluation="dataloader_idx_0").validation is not None


def test_keras_scores_of_training_mode_are_a_lower_bound(tmp_path: Path) -> None:
    found = of(table(tmp_path / "log.csv", KERAS, KERAS_ROWS), **ROWS)
    assert found.verdict == "overfits"
    assert found.train is not None
    assert found.train.mean == 0.99
    assert any("measured in training mode" in note for note in found.notes)


@pytest.mark.parametrize(
    ("running", "further", "expected"),
    [
        (0.87, {}, "no sign of overfitting"),  # dropout costs that much in training mode
        (0.60, {}, "validation above training"),
        (0.60, {"techniques": ["dropout"]}, "no sign of overfitting"),
    ],
)
def test_keras_scores_of_training_mode_far_below_validation(
    tmp_path: Path, running: float, further: dict[str, Any], expected: str
) -> None:
    rows = [[epoch, running, 0.5, 0.93 + epoch / 500, 0.4] for epoch in range(4)]
    found = of(table(tmp_path / "log.csv", KERAS, rows), **ROWS, **further)
    assert found.verdict == expected
    if expected == "validation above training":
        assert "strong dropout" in found.text


def test_keras_that_appends_counts_epochs_anew_and_we_go_on(tmp_path: Path) -> None:
    found = of(table(tmp_path / "log.csv", KERAS, [*KERAS_ROWS, *KERAS_ROWS]), **ROWS)
    assert any("holds 2 fits" in note for note in found.notes)
    assert "epoch 1" in found.text  # the lowest loss


def test_keras_history_as_json(tmp_path: Path) -> None:
    columns = zip(KERAS, zip(*KERAS_ROWS, strict=True), strict=True)
    history = {name: values for name, values in columns if name != "epoch"}
    (tmp_path / "history.json").write_text(json.dumps(history), encoding="utf-8")
    assert of(tmp_path, **ROWS).verdict == "overfits"


def test_a_decimal_comma_and_a_cut_row(tmp_path: Path) -> None:
    rows = [[str(cell).replace(".", ",") for cell in row] for row in KERAS_ROWS]
    file = table(tmp_path / "log.csv", KERAS, rows, ";")
    file.write_text(file.read_text(encoding="utf-8") + "3;0,99", encoding="utf-8")
    found = of(file, **ROWS)
    assert found.verdict == "overfits"
    assert any("the last row is cut (2 of 5 cells)" in note for note in found.notes)


def test_percent_is_divided_and_nonsense_refused(tmp_path: Path) -> None:
    percent = [[epoch, 100 * train, loss, 100 * score, other] for epoch, train, loss, score, other in KERAS_ROWS]
    found = of(table(tmp_path / "log.csv", KERAS, percent), **ROWS)
    assert found.verdict == "overfits"
    assert "eval_accuracy is in percent in the log, and was divided by 100" in found.notes
    with refuses(OutputError, match="neither a fraction nor a percentage"):
        of(table(tmp_path / "log.csv", KERAS, [[0, 0.5, 0.6, 150, 0.5]]))


def test_fastai_scores_without_a_prefix_are_of_validation(tmp_path: Path) -> None:
    columns = ["epoch", "train_loss", "valid_loss", "accuracy", "time"]
    rows = [[epoch, row[2], row[4], row[3], "00:02"] for epoch, row in enumerate(KERAS_ROWS)]
    found = of(table(tmp_path / "history.csv", columns, rows), **ROWS)
    assert found.verdict == "overfits"
    assert found.validation is not None
    assert found.validation.mean == 0.76


def test_a_table_of_ones_own_is_read_by_its_names(tmp_path: Path) -> None:
    columns = ["epoch", "train_loss", "valid_loss", "train_acc", "valid_acc"]
    rows = [[epoch, row[2], row[4], row[1], row[3]] for epoch, row in enumerate(KERAS_ROWS)]
    found = of(table(tmp_path / "mine.csv", columns, rows), **ROWS)
    assert found.verdict == "overfits"
    assert found.validation is not None
    assert (found.score, found.validation.mean) == ("accuracy", 0.76)


def test_spacy_scores_are_in_percent_and_its_sums_are_no_losses(tmp_path: Path) -> None:
    found = of(text(tmp_path / "train.log", SPACY), **ROWS)
    assert found.verdict == "overfits"  # 82 -> 71.5
    assert found.validation is not None
    assert found.validation.mean == pytest.approx(0.715)
    assert found.train is None
    level = SPACY.replace("82.00    0.82", "71.00    0.71").replace("74.00    0.74", "70.00    0.70")
    flat = of(text(tmp_path / "a" / "train.log", level.replace("33.00    0.33", "70.00    0.70")), **ROWS)
    assert (flat.verdict, "its loss is not in the log" in flat.text) == ("cannot tell", True)
    entries = []
    for i, score in enumerate([33.0, 70.0, 82.0, 74.0, 71.5]):
        scores = {"cats_score": score, "speed": 9000.0}
        entries.append(
            {"epoch": 0, "step": 200 * i, "losses": {"cat": 50 / (i + 1)}, "scores": scores, "score": score / 100}
        )
    lines = "\n".join(map(json.dumps, entries))
    cut = of(text(tmp_path / "b" / "log.jsonl", f'{lines}\n{{"epoch": 1, "st'), **ROWS)
    assert cut.verdict == "overfits"
    assert "the last line is cut and is left out" in cut.notes


def test_flair_compares_dev_with_the_training_sample_only(tmp_path: Path) -> None:
    rows = [(0.6, 0.5, 0.77), (0.2, 0.75, 0.77), (0.02, 1.1, 0.76)]
    plain = [f"{e}\t10:00:00\t0.0000\t{t}\t{d}\t{a}\t{a}\t{a}\t{a}" for e, (t, d, a) in enumerate(rows, 1)]
    found = of(text(tmp_path / "loss.tsv", FLAIR.format("") + "\n".join(plain)), **ROWS)
    assert found.verdict == "overfits"
    sample = "TRAIN_SAMPLE_LOSS\tTRAIN_SAMPLE_ACCURACY\t"
    clean = [
        f"{e}\t10:00:00\t0.0000\t9.0\t0.4\t0.86\t{d}\t{a}\t{a}\t{a}\t{a}"
        for e, (_, d, a) in enumerate([(0, 0.5, 0.84)] * 3)
    ]
    text(tmp_path / "b" / "training.log", FLAIR_LOG.format(dev="False"))
    measured = of(text(tmp_path / "b" / "loss.tsv", FLAIR.format(sample) + "\n".join(clean)))
    assert measured.train is not None
    assert measured.train.mean == 0.86
    assert (measured.train_rows, measured.validation_rows) == (800, 100)


def test_flair_training_log_alone_and_dev_that_was_trained_on(tmp_path: Path) -> None:
    found = of(text(tmp_path / "training.log", FLAIR_LOG.format(dev="False")))
    assert found.validation is not None
    assert found.validation.mean == 0.76  # of dev: test is not read
    assert found.verdict == "overconfident"  # the loss rises; nothing bounds the F1 of training rows
    trained = of(text(tmp_path / "b" / "training.log", FLAIR_LOG.format(dev="True")))
    assert any("train_with_dev" in note for note in trained.notes)


def test_simpletransformers_last_batch_bounds_nothing_and_equal_rows_are_one(tmp_path: Path) -> None:
    columns = ["global_step", "train_loss", "mcc", "accuracy", "f1_score", "tp", "tn", "fp", "fn", "eval_loss"]
    rows = [[40 * (i + 1), row[2], 0.5, row[3], 0.7, 80, 74, 26, 20, row[4]] for i, row in enumerate(KERAS_ROWS)]
    file = table(tmp_path / "outputs" / "training_progress_scores.csv", columns, [*rows, rows[-1]])
    found = of(file.parent)
    assert found.validation_rows == 200
    assert found.train is None
    assert found.verdict == "overconfident"  # the loss rises, the accuracy does not fall
    assert not any("left out" in note for note in found.notes)


def test_setfit_is_told_apart_and_so_is_a_log_without_evaluation(tmp_path: Path) -> None:
    pairs = [
        {"embedding_loss": 0.2, "step": 10},
        {"eval_embedding_loss": 0.3, "eval_embedding_runtime": 1.0, "step": 10},
    ]
    with refuses(OutputError, match="a log of SetFit's pairs"):
        of(write(tmp_path / "a", pairs))
    with refuses(OutputError, match="the log has no evaluation"):
        of(table(tmp_path / "b" / "log.csv", ("epoch", "loss"), [[0, 0.5], [1, 0.4]]))
    with refuses(OutputError, match="has a header and no rows"):
        of(table(tmp_path / "c" / "log.csv", KERAS, []))


def test_of_a_folder_of_several_runs_each_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, HEALTHY)
    found = invoke("diagnose", tmp_path)
    assert found.exit_code == 2
    assert f"holds 2 runs, but only one can be diagnosed. Try: finetune diagnose {tmp_path / 'a'}" in found.stderr


def test_two_losses_of_eval_mode_are_compared_and_no_others(tmp_path: Path) -> None:
    clean = {"train_accuracy": 0.94, "train_loss": 0.1, "train_runtime": 1.0, "step": 160, "epoch": 4.0}
    assert of(write(tmp_path / "a", [*HEALTHY, clean])).verdict == "overconfident"
    assert of(write(tmp_path / "b", HEALTHY)).verdict == "no sign of overfitting"


def test_a_scale_that_cannot_be_is_said(tmp_path: Path) -> None:
    """S1: two processes and accumulation over two batches: training losses times 4, evaluation losses times 2."""
    factors = {"loss": 4.0, "eval_loss": 2.0}
    records = [{key: value * factors.get(key, 1.0) for key, value in record.items()} for record in HEALTHY]
    records.insert(0, {"eval_loss": 1.384, "eval_accuracy": 0.5, "step": 0})
    notes = of(write(tmp_path / "a", records), classes=2).notes
    assert any(note.startswith("the first training loss is 2.400") for note in notes)
    assert any(note.startswith("the first validation loss is 1.384") for note in notes)
    assert not any(note.startswith("the first") for note in of(write(tmp_path / "b", HEALTHY), classes=2).notes)


def test_max_steps_and_best_of_the_state_are_not_believed(tmp_path: Path) -> None:
    """S7 and S9: under max_steps the state's epochs are rounded, and eval_steps is 500 whatever was used."""
    state = {"num_train_epochs": 1, "eval_steps": 500, "best_metric": None, "max_steps": 160}
    found = of(write(tmp_path, [*HEALTHY, TEST_ROWS], **state))
    assert found.verdict == "no sign of overfitting"
    again = [*HEALTHY[:-1], closing(160, 4.0) | {"train_loss": 0.0, "train_runtime": 0.0002}]  # S5: resumed when done
    assert of(write(tmp_path / "b", again)).verdict == "no sign of overfitting"


@pytest.mark.parametrize(
    ("accuracy", "rows"), [("0,98", "1,000"), ("98%", "1.000"), ("98 %", "1 000"), ("98,0 %", "1000"), (".98", "1'000")]
)
def test_numbers_are_read_as_they_are_written_elsewhere(accuracy: str, rows: str) -> None:
    others = ["--validation-accuracy", "0.75", "--validation-size", "200", "--json"]
    found = invoke("diagnose", "--train-accuracy", accuracy, "--train-size", rows, *others)
    plain = invoke("diagnose", "--train-accuracy", "0.98", "--train-size", "1000", *others)
    assert found.exit_code == 0
    assert found.stdout == plain.stdout


@pytest.mark.parametrize(
    ("option", "typed", "complaint"),
    [
        ("--train-accuracy", "high", "is not a number, such as 0.98"),
        ("--train-accuracy", "98", "looks like a percentage"),
        ("--train-loss", "98%", "is not a number"),
        ("--train-size", "1k", "is not a whole number, such as 1000"),
        ("--train-size", "1.5", "is not a whole number"),
    ],
)
def test_what_is_no_number_is_refused(option: str, typed: str, complaint: str) -> None:
    found = invoke("diagnose", option, typed)
    assert found.exit_code == 2
    assert complaint in " ".join(found.stderr.replace("│", " ").split())


CARD = """# tweets

### Training results

| Training Loss | Epoch | Step | Validation Loss | Accuracy | F1 |
|:-------------:|:-----:|:----:|:---------------:|:--------:|:--:|
| No log        | 1.0   | 63   | 0.5             | 0.74     | 0.7 |
| 0.3           | 2.0   | 126  | 0.5             | 0.76     | 0.7 |
| 0.05          | 3.0   | 189  | 0.8             | 0.75     | 0.7 |

### Framework versions
"""
NOTEBOOK = "Epoch,Training Loss,Validation Loss,Accuracy\n1,No log,0.5,0.74\n2,0.3,0.5,0.76\n3,0.05,0.8,0.75\n"


@pytest.mark.parametrize(("name", "text"), [("README.md", CARD), ("table.csv", NOTEBOOK)])
def test_the_table_of_results_of_a_model_card_or_notebook(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = of(tmp_path, **ROWS)
    assert found.verdict == "overfits"
    assert found.validation is not None
    assert found.validation.mean == 0.75
    assert any("at least 96.4 %" in note for note in found.notes)


def test_a_table_of_results_without_rows_is_refused(tmp_path: Path) -> None:
    for name, lines in (("README.md", CARD.splitlines()[:6]), ("table.csv", NOTEBOOK.splitlines()[:1])):
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
        with refuses(OutputError, match="no rows"):
            of(tmp_path / name)


def test_every_surface_reads_a_log(tmp_path: Path) -> None:
    table(tmp_path / "log.csv", KERAS, KERAS_ROWS)
    found = invoke("diagnose", tmp_path, "--validation-size", "200", "--json", "--fail-on", "overfits")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["verdict"] == "overfits"
    assert "Overfits" in diagnose(tmp_path, **ROWS)._repr_html_()
    assert "Training    accuracy at least 99.0 %" in invoke("diagnose", tmp_path, "--validation-size", "200").stdout
    assert invoke("diagnose", tmp_path, "--techniques", "dropuot").exit_code == 2


def test_what_was_on_makes_a_low_training_score_too_much_regularization() -> None:
    numbers = {"train_accuracy": 0.70, "validation_accuracy": 0.69, "train_size": 1000, "validation_size": 200}
    assert diagnose(**numbers).diagnosis.verdict == "underfits"
    found = diagnose(**numbers, techniques=["dropout", "l2"]).diagnosis
    assert found.verdict == "over-regularized"
    assert "dropout and l2" in found.text
