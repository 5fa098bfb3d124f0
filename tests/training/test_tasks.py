"""Every architecture and every task, end to end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from finetune.data.load import load_data
from finetune.errors import ModelError, OutputError
from finetune.recipe import resolve
from finetune.recipe.library import preset_names
from finetune.records.schema import RunRecord
from finetune.training.plan import describe_plan
from finetune.training.prepare import check_run, fitted_recipe, prepare
from tests.conftest import labelled_texts, name_pooling, save_tiny_model, write_csv, write_jsonl
from tests.interrupting import InterruptAt
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]


# One for each way to say where dropout is; all architectures train in tests/techniques/test_contract_together.py.
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "deberta-v2", "modernbert", "mpnet", "albert"])
def test_an_architecture_trains_with_the_strong_preset(architecture: str, write_recipe: Write, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / architecture, architecture)
    overrides = ["training.epochs=5", "data.train_size=24"]
    if architecture == "albert":  # its layers share their weights: what treats them apart is refused by name
        with refuses(ModelError, match=r"techniques\.llrd=off"):
            train(write_recipe(model=model), tmp_path / "refused", "strong", overrides)
        overrides += ["techniques.llrd=off", "techniques.freeze=off"]
    record = train(write_recipe(model=model), tmp_path / "run", "strong", overrides)
    assert record.status == "finished"
    assert record.weights["encoder"].distance > 0.1, "the encoder moved"
    assert {0.2, 0.4} <= set(record.model.dropout.values())
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")


def _finished(record: RunRecord, score: str, at_least: float) -> None:
    assert record.status == "finished"
    assert record.selected is not None
    assert record.selected.train_probe[score] > at_least, "the task is learnable"


def test_text_pairs(write_recipe: Write, tmp_path: Path) -> None:
    rows = [("movie", text, label) for text, label in labelled_texts(60)]
    source = write_csv(tmp_path / "pairs.csv", ["first", "second", "verdict"], rows)
    columns = {"source": str(source), "text": "first", "text_pair": "second", "label": "verdict"}
    record = train(write_recipe(data=columns, training={"epochs": 15}), tmp_path / "run", "none")
    _finished(record, "accuracy", 0.8)
    assert record.data.columns == {"text": "first", "text_pair": "second", "label": "verdict"}


@pytest.mark.parametrize("mode", ["mean_tokens", "cls_token"])
def test_pairs_are_read_by_their_first_token_unless_told(mode: str, write_recipe: Write, tmp_path: Path) -> None:
    """A sentence encoder was trained to pool single texts; its mean of two at once never had to say anything."""
    model = name_pooling(save_tiny_model(tmp_path / "encoder"), mode)
    rows = [("movie", text, label) for text, label in labelled_texts(60)]
    source = write_csv(tmp_path / "pairs.csv", ["first", "second", "verdict"], rows)
    pairs = {"source": str(source), "text": "first", "text_pair": "second", "label": "verdict"}
    single = {"source": str(source), "text": "second", "label": "verdict"}
    mean = mode == "mean_tokens"

    def pooling(columns: dict[str, str], *overrides: str) -> tuple[str, bool]:
        recipe = resolve(str(write_recipe(model=model, data=columns)), "none", overrides=overrides).recipe
        prepared = prepare(recipe)
        return prepared.pooling.kind, any(
            note.startswith("model.pooling: cls, because") for note in prepared.data.notes
        )

    assert pooling(pairs) == ("cls", mean)
    resolved = resolve(str(write_recipe(model=model, data=pairs)), "none", overrides=["data.train_size=12"])
    shown = describe_plan(resolved)["values"]["model.pooling"]
    assert shown == ({"value": "cls", "origin": "the data"} if mean else {"value": "auto", "origin": "default"})
    assert pooling(single) == ("mean" if mean else "cls", False)
    assert pooling(pairs, "model.pooling=mean") == ("mean", False)


def test_pairs_need_no_pooling_that_the_architecture_lacks(write_recipe: Write, tmp_path: Path) -> None:
    model = name_pooling(save_tiny_model(tmp_path / "encoder", "mpnet"))
    rows = [("movie", text, label) for text, label in labelled_texts(60)]
    source = str(write_csv(tmp_path / "pairs.csv", ["first", "second", "label"], rows))
    for columns, warned in (({"text": "first", "text_pair": "second"}, False), ({"text": "second"}, True)):
        recipe = resolve(str(write_recipe(model=model, data={"source": source, **columns}))).recipe
        prepared = prepare(recipe)
        assert prepared.pooling.kind == "cls"
        assert any("trained with mean pooling" in warning.why for warning in prepared.warnings) == warned


def test_a_run_that_read_another_token_is_not_resumed(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(model=name_pooling(save_tiny_model(tmp_path / "encoder")))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", callbacks=[InterruptAt(9)])
    with refuses(OutputError, match=r"something else than cls \(model.pooling\).*Start a new run"):
        train(recipe, tmp_path / "run", overrides=["model.pooling=cls"], resume=True)


def test_multi_label_from_delimited_cells(write_recipe: Write, tmp_path: Path) -> None:
    rows = [
        (text, f"{label}|{'even' if index % 4 < 2 else 'odd'}")
        for index, (text, label) in enumerate(labelled_texts(80))
    ]
    source = write_csv(tmp_path / "multi.csv", ["text", "label"], rows)
    recipe = write_recipe(data={"source": str(source)}, training={"epochs": 20})
    record = train(recipe, tmp_path / "run")
    _finished(record, "micro_f1", 0.7)
    assert record.data.labels == ["bad", "even", "good", "odd"]
    assert np.load(tmp_path / "run" / "predictions.npz")["validation_targets"].shape == (16, 4)


def test_multi_label_from_json_lists_with_rows_without_any_label(write_recipe: Write, tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": [label] if index % 5 else []} for index, (text, label) in enumerate(labelled_texts(80))
    ]
    source = write_jsonl(tmp_path / "multi.jsonl", rows)
    record = train(write_recipe(data={"source": str(source)}), tmp_path / "run")
    assert record.data.task == "multi_label"
    assert sum(record.data.rows[split] for split in ("train", "validation", "test")) == 80


def test_regression(write_recipe: Write, tmp_path: Path) -> None:
    rows = [(text, 1.5 if label == "good" else -0.5) for text, label in labelled_texts(80)]
    source = write_csv(tmp_path / "numbers.csv", ["text", "label"], rows)
    recipe = write_recipe(data={"source": str(source)}, training={"epochs": 8})
    record = train(recipe, tmp_path / "run", "light")
    _finished(record, "pearson", 0.5)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    assert model.config.num_labels == 1
    assert model.config.problem_type == "regression"


LABELS: dict[str, Callable[[str, int], object]] = {
    "single_label": lambda label, _: label,
    "multi_label": lambda label, index: f"{label}|{'even' if index % 4 < 2 else 'odd'}",
    "regression": lambda label, index: index / 7 if label == "good" else -index / 7,
}


@pytest.mark.parametrize("task", LABELS)
def test_every_preset_suits_every_task(task: str, write_recipe: Write, tmp_path: Path) -> None:
    """What a task does not have, such as classes that exclude each other, a preset leaves out by its own rules."""
    rows = [(text, LABELS[task](label, index)) for index, (text, label) in enumerate(labelled_texts(80))]
    recipe = write_recipe(
        data={"source": str(write_csv(tmp_path / "rows.csv", ["text", "label"], rows)), "task": task},
        training={"epochs": 10},
    )
    data = load_data(resolve(str(recipe)).recipe.data)
    for preset in preset_names():
        fitted = fitted_recipe(resolve(str(recipe), preset).recipe, data)
        check_run(fitted, data)
        smooths = preset in ("medium", "strong") and task == "single_label"
        assert ("label_smoothing" in fitted.techniques) == smooths


def test_bf16_measures_numbers_far_from_zero_while_training(write_recipe: Write, tmp_path: Path) -> None:
    """bf16 has steps of 1/2 at 100: outputs rounded to them would be half a standard deviation off."""
    rows = [(text, 101.0 if label == "good" else 99.0) for text, label in labelled_texts(80)]
    source = write_csv(tmp_path / "numbers.csv", ["text", "label"], rows)
    recipe = write_recipe(
        data={"source": str(source), "task": "regression"},
        training={"epochs": 4, "precision": "bf16"},
        techniques={"early_stopping": {"patience": 2, "min_delta": 0.5, "metric": "mse"}},
    )
    record = train(recipe, tmp_path / "run")
    assert record.last is not None
    assert "fp32_logits" in record.model.kernels
    assert record.history[-1].validation["mse"] == pytest.approx(record.last.validation["mse"], rel=0.01)
    outputs = np.load(tmp_path / "run" / "predictions.npz")["last_validation_logits"]
    assert len(np.unique(outputs)) > 4


def test_without_a_test_file_the_score_is_called_optimistic(write_recipe: Write, tmp_path: Path) -> None:
    train_file = write_csv(tmp_path / "a.csv", ["text", "label"], labelled_texts(40))
    validation = write_csv(tmp_path / "b.csv", ["text", "label"], labelled_texts(16, start=100))
    data = {
        "source": str(train_file),
        "validation": str(validation),
        "validation_size": None,
        "test_size": None,
    }
    record = train(write_recipe(data=data), tmp_path / "run")
    assert record.selected is not None
    assert record.selected.test is None
    assert any("optimistic" in warning for warning in record.warnings)


def test_many_classes_and_a_class_that_validation_lacks(write_recipe: Write, tmp_path: Path) -> None:
    rows = [(f"{text} w{index % 7}", f"class {index % 7}") for index, (text, _) in enumerate(labelled_texts(70))]
    train_file = write_csv(tmp_path / "a.csv", ["text", "label"], rows)
    validation = write_csv(tmp_path / "b.csv", ["text", "label"], [row for row in rows if row[1] != "class 3"][:12])
    data = {
        "source": str(train_file),
        "validation": str(validation),
        "validation_size": None,
        "test_size": None,
    }
    record = train(write_recipe(data=data), tmp_path / "run")
    assert record.data.classes["validation"]["class 3"] == 0
    (missing,) = [finding for finding in record.data.findings if "missing" in finding.figures]
    assert "no examples of class 'class 3'" in missing.text
    assert missing.figures == {"missing": 1, "classes": 7}


def test_weights_are_described_and_exact_zeros_counted(write_recipe: Write, tmp_path: Path) -> None:
    techniques = ["techniques.l1.strength=2", "techniques.l1.target=head"]
    record = train(write_recipe(), tmp_path / "run", overrides=techniques)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    zeros = sum(int((value == 0).sum()) for name, value in model.named_parameters() if name.startswith("classifier"))
    assert record.weights["head"].zeros == zeros > 0
    encoder = torch.cat([value.flatten() for name, value in model.named_parameters() if name.startswith("bert")])
    assert record.weights["encoder"].norm == pytest.approx(encoder.norm().item(), rel=1e-4)
    assert record.weights["encoder"].distance > 0
    assert {"encoder.embeddings", "encoder.layer.0", "encoder.layer.1", "head"} <= set(record.weights)


def test_total_shrink_is_what_the_weights_lose(write_recipe: Write, tmp_path: Path, still_model: Path) -> None:
    """With a learning rate so small that the loss moves nothing, half the shrink is all that happens."""
    recipe = write_recipe(model=still_model, training={"learning_rate": 1e-9})
    train(recipe, tmp_path / "run", overrides=["techniques.weight_decay.total_shrink=0.5"])
    before = AutoModelForSequenceClassification.from_pretrained(still_model).bert.encoder.layer[0].output.dense.weight
    after = (
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
        .bert.encoder.layer[0]
        .output.dense.weight
    )
    torch.testing.assert_close(after, before * 0.5, rtol=1e-3, atol=1e-6)
