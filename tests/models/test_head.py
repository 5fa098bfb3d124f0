"""Starting from a checkpoint that has a head: each row is kept for the class that it was trained for, or none is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from finetune.errors import ModelError
from finetune.kernels.head import output_map
from finetune.models.head import HeadStart
from finetune.models.load import find_head, load_config, load_model
from finetune.recipe import ModelSection
from finetune.tasks import Task
from tests.conftest import ARCHITECTURES, labelled_texts, save_tiny_model, write_csv
from tests.raising import refusal
from tests.running import train

Write = Callable[..., Path]
CLASSES = ["angry", "calm", "glad"]


def _classifier(folder: Path, names: list[str] | None, architecture: str = "bert", **settings: Any) -> Path:
    """A checkpoint with a head for these classes; None: for one number."""
    labels = (
        {} if names is None else {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
    )
    config = AutoConfig.from_pretrained(save_tiny_model(folder, architecture), num_labels=len(names or "1"))
    config.update({**labels, **settings})
    torch.manual_seed(5)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def _start(folder: Path, task: Task, labels: list[str] | None, head: Any = "auto") -> HeadStart:
    return find_head(ModelSection(id=str(folder), head=head), task, labels)


def _loaded(
    folder: Path, labels: list[str] | None, task: Task = "single_label", seed: int = 0, head: Any = "auto"
) -> Any:
    section = ModelSection(id=str(folder), head=head)
    return load_model(section, load_config(section, task, labels), seed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_go_with_their_names_in_every_architecture(architecture: str, tmp_path: Path) -> None:
    folder = _classifier(tmp_path / architecture, CLASSES, architecture)
    old = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    new = _loaded(folder, ["glad", "angry", "calm"]).eval()
    ids = torch.tensor([[2, 11, 12, 3]])
    torch.testing.assert_close(new(input_ids=ids).logits, old(input_ids=ids).logits[:, [2, 0, 1]])
    other = _loaded(folder, ["x", "y", "z"])
    again = _loaded(folder, ["x", "y", "z"])
    drawn = {seed: output_map(_loaded(folder, ["x", "y", "z"], seed=seed)).weight for seed in (0, 1)}
    assert torch.equal(output_map(other).weight, output_map(again).weight)
    assert not torch.equal(drawn[0], drawn[1]), "each seed has a head of its own"
    assert not torch.equal(drawn[0], output_map(old).weight)
    # What is not the output map stays as it was trained.
    names = {name for name, value in other.named_parameters() if not torch.equal(value, old.get_parameter(name))}
    assert all(other.get_parameter(name).shape[0] == 3 for name in names)


def test_a_new_head_is_one_that_an_encoder_would_get(tmp_path: Path) -> None:
    """Of the same distribution: standard deviation 0.02, bias 0."""
    output = output_map(_loaded(_classifier(tmp_path / "wide", CLASSES, hidden_size=16), ["x", "y", "z"]))
    assert 0.01 < output.weight.std() < 0.03
    assert not output.bias.any()


@pytest.mark.parametrize(
    ("names", "labels", "kind", "rows"),
    [
        (CLASSES, CLASSES, "kept", (0, 1, 2)),
        (CLASSES, ["glad", "angry", "calm"], "reordered", (2, 0, 1)),
        (["POSITIVE", "Negative"], ["negative", "positive"], "reordered", (1, 0)),
        (["Yes", "yes"], ["yes", "Yes"], "reordered", (1, 0)),
        (["Yes", "yes"], ["YES", "yes"], "new", None),
        (["LABEL_0", "LABEL_1"], ["1", "0"], "reordered", (1, 0)),
        (["LABEL_0", "LABEL_1"], ["LABEL_1", "LABEL_0"], "reordered", (1, 0)),
        (["LABEL_0", "LABEL_1"], ["bad", "good"], "new", None),
        (CLASSES, ["angry", "calm", "sad"], "new", None),
        (CLASSES, ["angry", "calm"], "new", None),
        (["angry", "calm"], CLASSES, "new", None),
    ],
)
def test_names_decide(names: list[str], labels: list[str], kind: str, rows: Any, tmp_path: Path) -> None:
    start = _start(_classifier(tmp_path / "model", names), "single_label", labels)
    assert (start.kind, start.rows) == (kind, rows)
    said = " ".join([*start.notes, *(problem.for_command_line() for problem in start.warnings)])
    assert start.kind == "kept" or all(name in said for name in (*names, *labels)), "both lists are said"
    assert bool(start.warnings) == (kind == "new" or "LABEL_" in names[0]), "what is lost or assumed is a warning"
    if names[0] == "LABEL_0" and labels == ["bad", "good"]:
        assert "do not say what the classes are" in said
        assert "--set model.head=kept" in said


MULTI = {"problem_type": "multi_label_classification"}


@pytest.mark.parametrize(
    ("names", "settings", "task", "labels", "kind"),
    [
        (CLASSES, MULTI, "multi_label", ["calm", "glad", "angry"], "reordered"),
        (CLASSES, MULTI, "single_label", CLASSES, "new"),
        (CLASSES, {}, "multi_label", CLASSES, "new"),
        (CLASSES, {}, "regression", None, "new"),
        (None, {}, "regression", None, "kept"),
        (None, {"problem_type": "regression"}, "regression", None, "kept"),
        (None, {}, "single_label", ["a", "b"], "new"),
        (["a"], MULTI, "multi_label", ["a"], "kept"),
        (["a"], MULTI, "regression", None, "new"),
    ],
)
def test_tasks_decide(names: Any, settings: Any, task: Task, labels: Any, kind: str, tmp_path: Path) -> None:
    folder = _classifier(tmp_path / "model", names, **settings)
    start = _start(folder, task, labels)
    assert start.kind == kind
    assert bool(start.warnings) == (kind == "new")
    if kind == "new":
        assert "predicts" in start.warnings[0].why
        assert "cannot keep it" in refusal(ModelError, _start, folder, task, labels, "kept")
    old = output_map(AutoModelForSequenceClassification.from_pretrained(folder)).weight
    new = output_map(_loaded(folder, labels, task)).weight
    assert torch.equal(new.sort(0)[0], old.sort(0)[0]) == (kind != "new")


def test_the_recipe_may_say_what_is_kept(tmp_path: Path) -> None:
    folder = _classifier(tmp_path / "model", ["LABEL_0", "LABEL_1"])
    old = output_map(AutoModelForSequenceClassification.from_pretrained(folder)).weight
    assert torch.equal(output_map(_loaded(folder, ["bad", "good"], head="kept")).weight, old)
    assert not torch.equal(output_map(_loaded(folder, ["LABEL_0", "LABEL_1"], head="new")).weight, old)
    assert "2 outputs" in refusal(ModelError, _start, folder, "single_label", CLASSES, "kept")
    encoder = save_tiny_model(tmp_path / "encoder")
    assert "--set model.head=auto" in refusal(ModelError, _start, encoder, "single_label", CLASSES, "kept")
    assert _start(encoder, "single_label", CLASSES) == HeadStart(None), "an encoder alone is nothing to talk about"


def test_the_head_of_another_kind_of_model_is_not_taken_for_one_of_texts(tmp_path: Path) -> None:
    """A token classifier calls its map by the same name."""
    folder = save_tiny_model(tmp_path / "tagger")
    tagger = AutoModelForTokenClassification.from_pretrained(folder, num_labels=2)
    tagger.save_pretrained(folder)
    assert not torch.equal(output_map(_loaded(folder, ["bad", "good"])).weight, tagger.classifier.weight)


def test_another_order_of_the_same_classes_measures_the_same(write_recipe: Write, tmp_path: Path) -> None:
    rows = [(text, label if index % 3 else "odd") for index, (text, label) in enumerate(labelled_texts(90))]
    source = str(write_csv(tmp_path / "three.csv", ["text", "label"], rows))
    train(write_recipe(data={"source": source}), tmp_path / "first")
    again = write_recipe(
        "again",
        model=tmp_path / "first" / "model",
        data={"source": source, "labels": ["odd", "bad", "good"]},
        training={"learning_rate": 1e-9, "epochs": 1},
    )
    record = train(again, tmp_path / "second")
    first, second = (np.load(tmp_path / run / "predictions.npz") for run in ("first", "second"))
    np.testing.assert_allclose(second["selected_test_logits"], first["selected_test_logits"][:, [2, 0, 1]], atol=1e-5)
    assert record.model.head == "reordered"
    assert not any("head" in warning for warning in record.warnings)
