"""What was trained is what is served: plain transformers, given the folder of a run, says what the run measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer, pipeline

from finetune.errors import ModelError
from finetune.models.configuration import load_tokenizer
from finetune.models.served import FILE, ServedModel, read_served
from finetune.recipe import ModelSection, resolve
from finetune.records.store import RunFolder
from finetune.training.prepare import prepare
from finetune.training.runner import run_seed
from tests.conftest import labelled_texts, save_tiny_model, write_csv
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]
PROBLEM_TYPES = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


def _long(index: int) -> str:
    """More tokens than are read, and some than the model has positions for."""
    return " the film was very" * (3 + 20 * (index % 3 == 0))


def _rows(task: str, rows: int = 60) -> list[tuple[str, str, Any]]:
    labels: dict[str, Callable[[str, int], Any]] = {
        "single_label": lambda label, index: label,
        "multi_label": lambda label, index: f"{label}|even" if index % 4 < 2 else label,
        "regression": lambda label, index: 300.5 if label == "good" else -100.25 - index,
    }
    texts = labelled_texts(rows)
    return [
        (text + _long(index) + f" {label}", text, labels[task](label, index))
        for index, (text, label) in enumerate(texts)
    ]


def _run(write_recipe: Write, tmp_path: Path, task: str, model: Path, **data: Any) -> tuple[Any, Path]:
    source = write_csv(tmp_path / f"{task}.csv", ["text", "second", "label"], _rows(task))
    section = {"source": str(source), "text": "text", "task": task, "max_length": 12, "check": False, **data}
    recipe = write_recipe(model=model, data=section, training={"epochs": 1})
    prepared = prepare(resolve(str(recipe)).recipe)
    run_seed(prepared, 0, RunFolder(tmp_path / "run"))
    return prepared, tmp_path / "run"


def _served(run: Path) -> ServedModel:
    served = read_served(ModelSection(id=str(run / "model")), str(run / "model"))
    assert served is not None
    return served


def _activation(task: str, logits: Any) -> Any:
    if task == "single_label":
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)
    return 1 / (1 + np.exp(-logits)) if task == "multi_label" else logits


CASES = [
    ("single_label", "bert", "head", False),
    ("single_label", "modernbert", "tail", False),
    ("single_label", "roberta", "head", True),
    ("multi_label", "distilbert", "head", False),
    ("multi_label", "deberta-v2", "head", True),
    ("regression", "bert", "tail", False),
    ("regression", "electra", "head", True),
    ("single_label", "mpnet", "head", False),
    ("multi_label", "albert", "tail", False),
    ("regression", "xlm-roberta", "head", False),
]


@pytest.mark.parametrize(("task", "architecture", "long_texts", "paired"), CASES)
def test_the_plain_pipeline_says_what_the_run_measured(
    task: str, architecture: str, long_texts: str, paired: bool, write_recipe: Write, tmp_path: Path
) -> None:
    model = save_tiny_model(tmp_path / architecture, architecture)
    pair = {"text_pair": "second"} if paired else {}
    prepared, run = _run(write_recipe, tmp_path, task, model, long_texts=long_texts, **pair)
    served, rows = _served(run), prepared.data.test
    assert served.pipeline_sees_the_same
    classify = pipeline("text-classification", model=str(run / "model"), device="cpu")
    assert classify.model.config.problem_type == PROBLEM_TYPES[task]
    texts = [{"text": t, "text_pair": p} for t, p in zip(rows.texts, rows.pairs, strict=True)] if paired else rows.texts
    said = classify(texts, **{**served.pipeline_arguments, "top_k": None})
    names = prepared.data.labels or ["value"]
    scores = np.array([[{each["label"]: each["score"] for each in row}[name] for name in names] for row in said])
    logits = np.load(run / "predictions.npz")["selected_test_logits"]
    np.testing.assert_allclose(scores, _activation(task, logits.astype(np.float64)), rtol=1e-4, atol=1e-5)
    if task == "single_label":
        best = classify(texts, **served.pipeline_arguments)
        assert [each["label"] for each in best] == [names[index] for index in logits.argmax(axis=1)]


def test_the_file_says_how_a_text_becomes_tokens(write_recipe: Write, tmp_path: Path, tiny_model: Path) -> None:
    template = {"text": None, "template": "{second}: {text}"}
    prepared, run = _run(
        write_recipe, tmp_path, "single_label", tiny_model, long_texts="windows", overlap=4, **template
    )
    served, record = _served(run), RunFolder(run).read()
    assert record is not None
    assert served.record == record.id
    assert served.data_fingerprint == record.data.fingerprint
    assert served.temperature == record.calibration.temperature
    assert (served.task, served.labels, served.thresholds, served.target) == (
        "single_label",
        ["bad", "good"],
        None,
        None,
    )
    assert not served.pipeline_sees_the_same, "it sees the first window alone"
    about = {
        "id": None,
        "text": None,
        "template": "{second}: {text}",
        "text_pair": None,
        "pairs": False,
        "max_length": 12,
        "long_texts": "windows",
        "overlap": 4,
        "truncation_side": "right",
        "tokenizer_limit": 64,
    }
    assert served.input.model_dump() == about
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    assert tokenizer.model_max_length == 12
    assert len(tokenizer(prepared.data.test.texts, truncation=True)["input_ids"][0]) <= 12


def test_a_saved_model_is_trained_on_with_all_its_tokens(write_recipe: Write, tmp_path: Path, tiny_model: Path) -> None:
    _, run = _run(write_recipe, tmp_path, "single_label", tiny_model, long_texts="tail")
    tokenizer = load_tokenizer(ModelSection(id=str(run / "model")))
    assert (tokenizer.model_max_length, tokenizer.truncation_side) == (64, "right")
    record = train(write_recipe("again", model=run / "model"), tmp_path / "again")  # max_length 32
    assert record.recipe["data"]["max_length"] == 32
    assert _served(tmp_path / "again").input.tokenizer_limit == 64


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    section = ModelSection(id=str(folder))
    (folder / FILE).write_text(json.dumps({"another": "program"}))
    assert load_tokenizer(section).model_max_length == 64
    (folder / FILE).write_text(json.dumps({"schema_version": 99}))
    with refuses(ModelError, match="version 99; this program reads 1"):
        load_tokenizer(section)
    (folder / FILE).write_text(json.dumps({"schema_version": 1, "task": "single_label"}))
    with refuses(ModelError, match="labels: Field required"):
        load_tokenizer(section)


def _rare(tmp_path: Path, rows: int = 120) -> Path:
    """A label that every text has or lacks, and one of 5 % of them that never reaches 0.5."""
    texts = labelled_texts(rows)
    cells = [(text + (" nasty" if i % 20 == 0 else ""), i % 2, int(i % 20 == 0)) for i, (text, _) in enumerate(texts)]
    return write_csv(tmp_path / "rare.csv", ["text", "common", "rare"], cells)


def test_rare_labels_get_a_threshold_and_a_warning(write_recipe: Write, tmp_path: Path) -> None:
    data = {"source": str(_rare(tmp_path)), "label": ["common", "rare"], "validation_size": 40, "test_size": 40}
    record = train(write_recipe(data={**data, "check": False}, training={"epochs": 2}), tmp_path / "run")
    thresholds = record.thresholds
    assert thresholds is not None
    assert thresholds.origins == {"common": "own", "rare": "default"}
    (warning,) = [text for text in record.warnings if "never predicted at 0.5" in text]
    assert "'rare' (in 2)" in warning
    assert "--set training.class_weights=balanced" in warning
    assert _served(tmp_path / "run").thresholds == thresholds.values
    arrays = np.load(tmp_path / "run" / "predictions.npz")
    logits, targets = arrays["selected_test_logits"].astype(np.float64), arrays["test_targets"]
    predicted = 1 / (1 + np.exp(-logits)) > list(thresholds.values.values())
    assert thresholds.test["exact_match"] == pytest.approx((predicted == targets).all(axis=1).mean())
