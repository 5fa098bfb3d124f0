"""Which metric of a log is the score: one of which higher values are better, whatever else is logged beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune import diagnose
from finetune.diagnosis.logs.scores import rises
from finetune.errors import OutputError
from tests.diagnosis.logs import closing, history, write

FALLING = (0.89, 0.74, 0.71, 0.70)


def logged(folder: Path, objective: list[float], loss: list[float], **metrics: list[Any]) -> Path:
    """The state of a Trainer whose evaluations hold these metrics, in this order."""
    records = history(objective, loss, None, rows=400)
    evaluations = [record for record in records if "eval_loss" in record]
    for index, record in enumerate(evaluations):
        record.update({f"eval_{name}": values[index] for name, values in metrics.items()})
    return write(folder, records)


@pytest.mark.parametrize("name", ["rmse", "mse", "mean_absolute_error", "error", "perplexity", "entropy", "wer", "ece"])
def test_an_error_that_falls_is_an_improvement(tmp_path: Path, name: str) -> None:
    file = logged(tmp_path, [0.9, 0.6, 0.5, 0.45], [0.8, 0.55, 0.5, 0.49], **{name: list(FALLING)})
    found = diagnose(file).diagnosis
    assert found.verdict == "cannot tell"
    assert any(note.startswith(f"lower values of {name} are better") for note in found.notes)


def test_losses_are_judged_beside_an_error(tmp_path: Path) -> None:
    file = logged(tmp_path, [0.9, 0.4, 0.2, 0.1], [0.8, 0.45, 0.6, 0.75], rmse=[0.9, 0.67, 0.77, 0.87])
    assert diagnose(file).diagnosis.verdict == "overfits"
    with pytest.raises(OutputError, match="higher values are better"):
        diagnose(file, metric="rmse")


@pytest.mark.parametrize("first", ["entropy", "num_tokens", "ece", "hamming_loss", "support", "jit_compilation_time"])
def test_what_is_logged_before_the_score_is_not_taken_for_it(tmp_path: Path, first: str) -> None:
    file = logged(
        tmp_path, [0.6, 0.3, 0.2], [0.5, 0.4, 0.39], **{first: [1.9, 1.5, 1.4], "mean_token_accuracy": [0.8, 0.9, 0.9]}
    )
    assert diagnose(file).diagnosis.score == "mean_token_accuracy"


def test_scores_of_each_class_are_not_the_score(tmp_path: Path) -> None:
    """As seqeval and classification_report give them: a dict for each class, then numbers over all."""
    each = [{"f1": 0.5, "number": 9}] * 3
    numbers = {f"overall_{name}": [0.6, 0.7, 0.71] for name in ("precision", "recall", "f1", "accuracy")}
    found = diagnose(logged(tmp_path, [0.6, 0.3, 0.2], [0.5, 0.4, 0.39], LOC=each, **numbers)).diagnosis
    assert found.score == "overall_f1"
    assert found.validation is not None
    assert found.validation.mean == 0.71


def test_a_rate_is_a_score_unless_it_is_known_to_be_none(tmp_path: Path) -> None:
    assert [name for name in ("hit_rate", "success_rate", "learning_rate", "error_rate") if rises(name)] == [
        "hit_rate",
        "success_rate",
    ]
    file = logged(tmp_path, [0.6, 0.3, 0.2], [0.5, 0.4, 0.39], hit_rate=[0.6, 0.7, 0.71])
    assert diagnose(file, metric="hit_rate").diagnosis.score == "hit_rate"


def test_an_error_rate_is_asked_for_as_accuracy(tmp_path: Path) -> None:
    file = logged(tmp_path, [0.6, 0.3, 0.2], [0.5, 0.4, 0.39], error_rate=[0.4, 0.3, 0.29])
    with pytest.raises(OutputError, match=r"an error rate is read as an accuracy, 1 − error rate"):
        diagnose(file, metric="error_rate")


def test_an_unknown_score_is_used_and_said(tmp_path: Path) -> None:
    found = diagnose(logged(tmp_path, [0.6, 0.3, 0.2], [0.5, 0.4, 0.39], zing=[1.0, 2.0, 2.1])).diagnosis
    assert found.score == "zing"
    assert "zing is not known to this program: its higher values are taken to be better" in found.notes


@pytest.mark.parametrize("percent", [1, 100])
def test_the_error_rate_of_fastai_is_an_accuracy(tmp_path: Path, percent: int) -> None:
    """Its vision and text examples log error_rate: it falls while the model learns."""
    rates = [0.30, 0.20, 0.12, 0.08, 0.075]
    rows = [f"{i},{0.6 / (i + 1):.3f},{0.5 - 0.06 * i:.3f},{percent * rate:g},00:07" for i, rate in enumerate(rates)]
    file = tmp_path / "history.csv"
    file.write_text("\n".join(["epoch,train_loss,valid_loss,error_rate,time", *rows]), encoding="utf-8")
    found = diagnose(file, validation_size=300).diagnosis
    assert found.score == "accuracy"
    assert found.validation is not None
    assert found.validation.mean == pytest.approx(0.925)
    assert found.verdict != "overfits"
    assert "the error rate of the log is read as an accuracy: 1 − error rate" in found.notes


def test_f1_of_known_rows_is_not_said_to_lack_them(tmp_path: Path) -> None:
    records = [{**record} for record in history([0.6, 0.3, 0.1], [0.5, 0.5, 0.6], None, rows=400)]
    for record in records:
        record.update({"eval_f1": 0.67} if "eval_loss" in record else {})
    records[1]["eval_f1"] = 0.6
    train = {"train_f1": 0.98, "train_loss": 0.05, "train_runtime": 4.0, "step": 120, "epoch": 3.0}
    found = diagnose(write(tmp_path, [*records, train])).diagnosis
    assert found.verdict == "overfits"
    assert "no interval of f1 is known" in found.text
    assert "number of rows" not in found.text


def test_epochs_have_two_digits(tmp_path: Path) -> None:
    records = [
        {"eval_loss": 1.0, "eval_accuracy": 0.3 + 0.1 * i, "step": 50 * i, "epoch": 50 * i / 120} for i in range(1, 6)
    ]
    assert (
        "at epoch 1.25, 80.0 % at epoch 2.08"
        in diagnose(write(tmp_path, [*records, closing(250, 2.08)])).diagnosis.text
    )


def test_evaluation_sets_are_named_where_none_is_meant(tmp_path: Path) -> None:
    records = [{"eval_dev_loss": 1.0, "eval_ood_loss": 1.2, "step": 1, "epoch": 1.0}]
    with pytest.raises(OutputError, match=r"no evaluation set has this name. The log has: dev, ood"):
        diagnose(write(tmp_path, records), evaluation="devel")


@pytest.mark.parametrize(
    "name", ["f1_macro", "roc_auc", "cohen_kappa", "exact_match", "pearsonr", "map", "top5_accuracy"]
)
def test_scores_rise(name: str) -> None:
    assert rises(name)
