"""The built-in scores, and the user's own `evaluate` modules."""

from pathlib import Path

import numpy as np
import pytest

from finetune.errors import RecipeError
from finetune.measurement.modules import Meter
from finetune.measurement.scores import compute_scores
from finetune.own_code import allow

OWN_METRIC = """
import datasets
import evaluate


class Hits(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="hits", citation="", inputs_description="",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions, references):
        return {"NAME": RESULT}
"""


def _write_metric(
    folder: Path, name: str = "hits", result: str = "sum(a == b for a, b in zip(predictions, references))"
) -> str:
    path = folder / "own_metric.py"
    path.write_text(OWN_METRIC.replace("NAME", name).replace("RESULT", result), encoding="utf-8")
    allow([str(path)])
    return str(path)


def test_the_meter_returns_what_the_plain_function_returns() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 3, 40)
    assert Meter("single_label", []).measure(logits, targets) == compute_scores("single_label", logits, targets)


def test_a_users_module_is_measured_beside_the_built_in(tmp_path: Path) -> None:
    meter = Meter("single_label", [_write_metric(tmp_path)])
    scores = meter.measure(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 1, 1]))
    assert scores["hits"] == 2
    assert scores["accuracy"] == pytest.approx(2 / 3)


def test_a_users_module_may_not_take_a_name_that_is_measured(tmp_path: Path) -> None:
    meter = Meter("single_label", [_write_metric(tmp_path, name="accuracy")])
    with pytest.raises(RecipeError, match="'accuracy' is measured already"):
        meter.measure(np.eye(2), np.array([0, 1]))


def test_a_users_module_that_fails_is_named(tmp_path: Path) -> None:
    meter = Meter("single_label", [_write_metric(tmp_path, result="1 / 0")])
    with pytest.raises(RecipeError, match=r"own_metric\.py.*ZeroDivisionError"):
        meter.measure(np.eye(2), np.array([0, 1]))


def test_a_missing_module_is_refused_before_anything_runs() -> None:
    with pytest.raises(RecipeError, match=r"no evaluate module at 'nowhere\.py'"):
        Meter("single_label", ["nowhere.py"])
