"""What is made of the records of a log: the training loss of an evaluation, and which scores are fractions."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from finetune import diagnose
from finetune.diagnosis.logs.log import Log, Record, number
from finetune.diagnosis.logs.observe import observe_log
from finetune.diagnosis.observations import Numbers, is_share
from tests.diagnosis.logs import write


class Counted(dict[str, Any]):
    """A record that counts how often its training loss is read."""

    reads = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counted.reads += key == "loss"
        return super().get(key, default)


def test_the_training_loss_of_an_evaluation_is_found_in_one_pass() -> None:
    """Up to the evaluation, or later at its step, since some programs write it after; against that in words."""
    rng = random.Random(3)
    records: list[Record] = []
    for step in range(300):
        rows: list[Record] = [{"loss": rng.choice([rng.random(), float("nan")])} for _ in range(rng.randrange(3))]
        rows += [{"eval_loss": rng.random()}] if rng.random() < 0.5 else []
        rng.shuffle(rows)
        records += [Counted(row | {"step": step}) for row in rows]
    Counted.reads = 0
    points = observe_log(Log(Path("log"), tuple(records)), Numbers()).curve
    assert Counted.reads <= 10 * len(records)
    evaluated = [(place, record["step"]) for place, record in enumerate(records) if "eval_loss" in record]
    assert len(points) == len(evaluated)
    for point, (at, step) in zip(points, evaluated, strict=True):
        heard = [
            number(entry.get("loss")) for place, entry in enumerate(records) if place <= at or entry["step"] == step
        ]
        assert point.objective == next((loss for loss in reversed(heard) if loss is not None), None)


@pytest.mark.parametrize("name", ["top5_accuracy", "recall_macro", "f1score", "cats_score", "exact_match"])
def test_a_share_is_told_by_its_name(name: str) -> None:
    assert is_share(name)


@pytest.mark.parametrize("name", ["mcc", "macro_auc", "roc_auc", "pearson", "perplexity"])
def test_what_is_no_share_of_right_answers_is_none(name: str) -> None:
    assert not is_share(name)


def test_what_only_begins_like_a_score_is_no_percentage(tmp_path: Path) -> None:
    """Values of an evaluation set, and the threshold of sentence-transformers, which is a distance."""
    records = [
        {"eval_recall_set_loss": 1.5, "eval_recall_set_runtime": 300.0, "eval_recall_set_accuracy": score, "step": step}
        for step, score in enumerate([80.0, 82.0, 84.0])
    ]
    found = diagnose(write(tmp_path, records), evaluation="recall_set").diagnosis
    assert [note for note in found.notes if "percent" in note] == [
        "eval_recall_set_accuracy is in percent in the log, and was divided by 100"
    ]
    distances = [{"eval_accuracy_threshold": 130.0, "eval_accuracy": 0.8, "step": step} for step in range(3)]
    assert diagnose(write(tmp_path, distances)).diagnosis.score == "accuracy"
