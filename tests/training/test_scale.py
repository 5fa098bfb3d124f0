"""Numbers are learned with mean 0 and deviation 1, whatever their unit, and said in the unit of the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from finetune.advice.learning import is_degenerate
from finetune.diagnosis.run_records import diagnose_run
from finetune.errors import DataError, OutputError
from finetune.recipe import resolve
from finetune.records.schema import FinishedRecord, TargetScale
from finetune.records.store import RunFolder, read_record
from finetune.training.prepare import prepare
from finetune.training.record import has_scale
from finetune.training.refit import refitted
from finetune.training.runner import run_seed
from finetune.training.scale import (
    can_hold_scale,
    put_into_head,
    scale_warnings,
    take_out_of_head,
    target_scale,
)
from tests.conftest import labelled_texts, write_csv
from tests.interrupting import interrupted_and_resumed, timeless
from tests.raising import refuses
from tests.running import assert_same_weights, train

Write = Callable[..., Path]


def _value(index: int, label: str) -> float:
    return (1.0 if label == "good" else -1.0) + (index % 7) / 10


@pytest.fixture
def priced(tmp_path: Path, write_recipe: Write, still_model: Path) -> Callable[..., Path]:
    """A recipe whose targets are unit · value + zero."""

    def write(unit: float = 1.0, zero: float = 0.0, rows: int = 80, **sections: Any) -> Path:
        name = f"prices-{unit:g}-{zero:g}"
        values = [(text, unit * _value(i, label) + zero) for i, (text, label) in enumerate(labelled_texts(rows))]
        source = write_csv(tmp_path / f"{name}.csv", ["text", "label"], values)
        data = {"source": str(source), "task": "regression", "check": False, **sections.pop("data", {})}
        return write_recipe(name, **{"model": still_model, "data": data, **sections})

    return write


def _outputs(run: Path, name: str = "selected_test_logits") -> Any:
    return np.load(run / "predictions.npz")[name][:, 0].astype(np.float64)


TECHNIQUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "ema": {"ema": {"decay": 0.9}},
    "swa": {"swa": {}},
    "wise_ft": {"wise_ft": {}},
    "head_start": {"head_start": {}},
    "lora": {"lora": {}},
    "r_drop": {"r_drop": {}, "mixup": {}, "dropout": {"hidden": 0.1}},
    "stopped": {"early_stopping": {"patience": 2, "metric": "score"}},
}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_the_unit_of_the_targets_changes_the_unit_of_the_outputs_alone(
    name: str, priced: Callable[..., Path], tmp_path: Path
) -> None:
    """And the saved model says so to plain transformers, whatever was averaged, merged or interpolated before."""
    techniques = {"techniques": TECHNIQUES[name]}
    train(priced(**techniques), tmp_path / "one")
    record = train(priced(250.0, 500.0, **techniques), tmp_path / "two")
    one, two = _outputs(tmp_path / "one"), _outputs(tmp_path / "two")
    assert two == pytest.approx(250 * one + 500, abs=1.0)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "two" / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "two" / "model")
    texts = prepare(resolve(str(priced(250.0, 500.0))).recipe).data.test.texts
    with torch.no_grad():
        said = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits[:, 0]
    np.testing.assert_allclose(said, two, atol=0.01)
    assert record.target == TargetScale(**target_scale(_train_targets(priced(250.0, 500.0)))._asdict())
    assert record.selected.validation["rmse"] == pytest.approx(record.selected.validation["mse"] ** 0.5)


def _train_targets(recipe: Path) -> list[float]:
    return list(prepare(resolve(str(recipe)).recipe).data.train.labels)


def test_prices_are_learned(priced: Callable[..., Path], tmp_path: Path) -> None:
    record = train(priced(250.0, 500.0, training={"epochs": 25}), tmp_path / "run")
    assert record.selected.test["r2"] > 0.8
    assert record.selected.gap["r2"].low is not None
    assert record.selected.gap["spearman"].low is not None
    assert not is_degenerate(record)


def test_a_resumed_run_is_the_run(priced: Callable[..., Path], tmp_path: Path) -> None:
    recipe = priced(250.0, 500.0, techniques={"ema": {"decay": 0.9}})
    whole = train(recipe, tmp_path / "whole")
    resumed = interrupted_and_resumed(recipe, tmp_path / "resumed", 8)
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "resumed", tmp_path / "whole")


def test_a_run_of_a_version_that_did_not_scale_is_not_resumed(
    priced: Callable[..., Path], tmp_path: Path, write_recipe: Write
) -> None:
    prepared, folder = prepare(resolve(str(priced())).recipe), RunFolder(tmp_path / "run")
    record = run_seed(prepared, 0, folder)
    assert has_scale(prepared, record)
    folder.write(record.model_copy(update={"target": None, "status": "interrupted"}))
    with refuses(OutputError, match="Start a new run"):
        run_seed(prepared, 0, folder, resume=True)
    classes = prepare(resolve(str(write_recipe())).recipe)
    assert (classes.scale, has_scale(classes, record)) == (None, False)


def test_a_refit_scales_by_the_rows_that_it_trains_on(priced: Callable[..., Path], tmp_path: Path) -> None:
    prepared = refitted(prepare(resolve(str(priced(10.0))).recipe), 6)
    assert prepared.scale == target_scale(prepared.data.train.labels)
    record = run_seed(prepared, 0, RunFolder(tmp_path / "refit"))
    assert record.target is not None
    assert (record.target.mean, record.target.sd) == prepared.scale


def test_a_head_that_predicts_numbers_goes_on_from_where_it_was(priced: Callable[..., Path], tmp_path: Path) -> None:
    train(priced(250.0, 500.0), tmp_path / "first")
    still = {"learning_rate": 1e-9, "epochs": 1}
    recipe = priced(250.0, 500.0, model=tmp_path / "first" / "model", data={"train_size": 20}, training=still)
    record = train(recipe, tmp_path / "second")
    assert record.model.head == "kept"
    np.testing.assert_allclose(_outputs(tmp_path / "second"), _outputs(tmp_path / "first"), atol=0.01)


def test_what_is_put_into_a_head_can_be_taken_out(still_model: Path) -> None:
    scale = target_scale([100.0, 900.0, 300.0])
    assert scale == pytest.approx((1300 / 3, np.std([100.0, 900.0, 300.0])))
    model = AutoModelForSequenceClassification.from_pretrained(still_model, num_labels=1).eval()
    ids = torch.tensor([[2, 11, 12, 3], [2, 16, 20, 3]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        put_into_head(model, scale)
        torch.testing.assert_close(model(input_ids=ids).logits, scale.mean + scale.sd * before)
        assert scale.restored(before.numpy()) == pytest.approx(model(input_ids=ids).logits.numpy())
        take_out_of_head(model, scale)
        torch.testing.assert_close(model(input_ids=ids).logits, before, atol=1e-4, rtol=0)
    torch.testing.assert_close(scale.scaled(torch.tensor([scale.mean + scale.sd])), torch.tensor([1.0]))


def test_targets_that_cannot_be_learned_or_told_apart_are_named(priced: Callable[..., Path]) -> None:
    with refuses(DataError, match=r"data\.label: every training row has the value 0\.1: there is nothing to learn"):
        target_scale([0.1] * 7)
    with pytest.raises(DataError, match="there is nothing to learn"):
        prepare(resolve(str(priced(0.0, 5.5))).recipe)
    (warning,) = scale_warnings(target_scale([1e8, 1e8 + 1]), True)
    assert "Subtract a constant" in warning.why
    assert scale_warnings(target_scale([100.0, 900.0]), True) == []
    (warning,) = scale_warnings(target_scale([100.0, 900.0]), False)
    assert "Rescale them" in warning.why
    assert scale_warnings(target_scale([1.0, 3.0]), False) == []


@pytest.mark.parametrize("bias", [True, False])
def test_a_head_without_a_bias_cannot_hold_a_scale(bias: bool) -> None:
    model = torch.nn.Module()
    model.base_model_prefix, model.config = "encoder", SimpleNamespace(num_labels=1)
    model.encoder, model.score = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1, bias=bias)
    assert can_hold_scale(model) == bias


def test_errors_that_are_not_below_those_of_the_mean_are_no_learning(
    priced: Callable[..., Path], tmp_path: Path
) -> None:
    """However well the predictions correlate: Pearson 0.99, and no word of overfitting."""
    train(priced(training={"epochs": 1}), tmp_path / "run")
    record = read_record(tmp_path / "run" / "run.json")
    assert isinstance(record, FinishedRecord)

    def measured(baselines: list[Any], **validation: float | None) -> FinishedRecord:
        selected = record.selected.model_copy(update={"validation": {**record.selected.validation, **validation}})
        data = record.data.model_copy(update={"baselines": baselines})
        return record.model_copy(update={"selected": selected, "data": data})

    mean = SimpleNamespace(name="mean", scores={"validation": {"mse": 4.0}})
    for bad in (
        measured([mean], mse=4.0, pearson=0.99, r2=0.01),
        measured([], mse=4.0, pearson=0.99, r2=-0.2),
        measured([mean], mse=3.9, pearson=0.99, r2=0.0),
        measured([mean], mse=3.0, pearson=None, r2=0.2),
    ):
        assert is_degenerate(bad)
        assert "Did not learn" in diagnose_run(bad)
    assert "RMSE 2.000 is not below 2.000" in diagnose_run(measured([mean], mse=4.0, pearson=0.99, r2=0.01))
    assert not is_degenerate(measured([mean], mse=3.0, pearson=0.9, r2=0.2))
    assert not is_degenerate(measured([], mse=3.0, pearson=0.9, r2=0.2))
