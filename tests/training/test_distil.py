"""A student of an ensemble: what it learns, by which loss, and that it can be cut off and taken up again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification

from finetune.data.rows import Rows
from finetune.errors import OutputError, RecipeError
from finetune.experiments.jobs import KINDS, Task
from finetune.measurement.scores import softmax
from finetune.recipe import resolve
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from finetune.techniques import Technique
from finetune.techniques.focal import Focal, focal_binary_cross_entropy, focal_cross_entropy
from finetune.techniques.label_smoothing import LabelSmoothing
from finetune.training.distil import FILE, distilled, student_rows, teacher_targets
from finetune.training.objective import Objective
from finetune.training.prepare import Prepared, prepare
from finetune.training.runner import run_seed
from tests.conftest import labelled_texts, write_csv
from tests.interrupting import InterruptAt, timeless
from tests.raising import refuses
from tests.running import assert_same_weights, clean_items

TASKS = ("single_label", "multi_label", "regression")


def source(task: str, folder: Path) -> Path:
    rows: list[tuple[str, Any]] = list(labelled_texts(60))
    if task == "multi_label":
        rows = [(text, f"{label}|even" if index % 4 < 2 else label) for index, (text, label) in enumerate(rows)]
    if task == "regression":
        rows = [(text, (2.5 if label == "good" else 0.5) + index % 3) for index, (text, label) in enumerate(rows)]
    return write_csv(folder / f"{task}.csv", ["text", "label"], rows)


def prepared_for(task: str, folder: Path, model: Path, preset: Any = "none", epochs: int = 1) -> Prepared:
    recipe = {
        "model": {"id": str(model)},
        "data": {
            "source": str(source(task, folder)),
            "task": task,
            "validation_size": 12,
            "test_size": 12,
            "max_length": 32,
        },
        "training": {"epochs": epochs, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32"},
    }
    return prepare(resolve(recipe, preset, overrides=["data.check=false", "data.train_size=24"]).recipe)


Ensemble = tuple[Prepared, list[RunFolder]]


@pytest.fixture(scope="module")
def ensembles(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[[str], Ensemble]:
    """Task -> what was prepared, and two runs of it."""
    made: dict[str, Ensemble] = {}

    def ensemble(task: str) -> Ensemble:
        if task not in made:
            folder = tmp_path_factory.mktemp(task)
            prepared = prepared_for(task, folder, tiny_model)
            members = [RunFolder(folder / f"seed{seed}") for seed in (0, 1)]
            for seed, member in enumerate(members):
                run_seed(prepared, seed, member)
            made[task] = prepared, members
        return made[task]

    return ensemble


Make = Callable[[str], Ensemble]


def by_hand(prepared: Prepared, members: list[RunFolder]) -> np.ndarray[Any, Any]:
    """The mean prediction for the training rows, text by text, with plain transformers."""
    found = []
    for member in members:
        model = AutoModelForSequenceClassification.from_pretrained(member.model).eval()
        items = clean_items(prepared.encoder, prepared.data.train)
        with torch.no_grad():
            logits = torch.cat([model(input_ids=torch.tensor([item["input_ids"]])).logits for item in items])
        if prepared.data.task == "regression":
            found.append(logits[:, 0])
        else:
            found.append(logits.softmax(-1) if prepared.data.task == "single_label" else logits.sigmoid())
    return torch.stack(found).mean(dim=0).numpy()


# --- what is learned -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_student_learns_the_mean_prediction_of_the_members(task: str, ensembles: Make, tmp_path: Path) -> None:
    (prepared, members), folder = ensembles(task), RunFolder(tmp_path / "student")
    rows = student_rows(prepared.data)
    targets = teacher_targets(prepared, rows, members, folder)
    np.testing.assert_allclose(targets, by_hand(prepared, members), atol=1e-5)
    with np.load(folder.path / FILE) as kept:
        np.testing.assert_array_equal(kept["targets"], targets)
        assert kept["rows"].tolist() == prepared.data.train.ids

    student = distilled(prepared, rows, targets, 2)
    assert student.data.fingerprint != prepared.data.fingerprint
    assert student.measured is prepared.measured
    assert (student.rule, student.metric, student.keeps_split) == (prepared.rule, prepared.metric, True)
    record = run_seed(student, 0, folder)
    assert isinstance(record, FinishedRecord)
    assert record.history[-1].step == prepared.budget.steps
    assert any("the mean predictions of 2 runs of this recipe" in warning for warning in record.warnings)
    model = AutoModelForSequenceClassification.from_pretrained(folder.model).eval()
    assert model.config.problem_type is not None


def test_texts_without_labels_are_learned_too(ensembles: Make, tmp_path: Path) -> None:
    prepared, members = ensembles("single_label")
    texts = [text for text, _ in labelled_texts(10, start=500)]
    rows = student_rows(prepared.data, Rows(texts, None, [None] * 10, list(map(str, range(1, 11)))))
    assert rows.ids[-1] == "unlabelled 10"
    targets = teacher_targets(prepared, rows, members, RunFolder(tmp_path / "student"))
    known = len(prepared.data.train)
    assert targets.shape == (known + 10, 2)
    student = distilled(prepared, rows, targets, 2)
    assert student.data.train.texts[known:] == texts
    labels = prepared.data.labels
    assert labels is not None
    assert student.data.train.labels[known:] == [labels[place] for place in targets[known:].argmax(axis=1)]
    assert student.data.train.labels[:known] == prepared.data.train.labels
    assert student.budget.steps_per_epoch == -(-(known + 10) // 8)
    record = run_seed(student, 0, RunFolder(tmp_path / "student"))
    assert record.data.rows["train"] == known + 10
    assert not RunFolder(tmp_path / "student").split.exists(), "its rows are no split of the data"


def test_the_job_reads_the_unlabelled_texts_of_the_data(ensembles: Make, tmp_path: Path) -> None:
    prepared, members = ensembles("single_label")
    texts = Rows([text for text, _ in labelled_texts(10, start=500)], None, [None] * 10, list(map(str, range(10))))
    more = replace(prepared, data=replace(prepared.data, unlabelled=texts))
    task = Task("key", "distil", prepared.recipe, tmp_path / "student", {}, tuple(member.path for member in members))
    KINDS["distil"].run(task, lambda _: more, [])
    with np.load(tmp_path / "student" / FILE) as kept:
        assert kept["targets"].shape == (len(prepared.data.train) + 10, 2)
    assert (tmp_path / "student" / "model" / "model.safetensors").is_file()


def test_warnings_of_a_student_are_those_of_its_own_rows(tmp_path: Path, tiny_model: Path) -> None:
    """24 rows in batches of 8 are 150 steps, and with 120 further texts 900: no longer few."""
    pool = write_csv(tmp_path / "pool.csv", ["text"], [(text,) for text, _ in labelled_texts(120, start=500)])
    recipe = prepared_for("single_label", tmp_path, tiny_model).recipe
    of_pool = recipe.data.model_copy(update={"unlabelled": str(pool)})
    of_50 = recipe.training.model_copy(update={"epochs": 50})
    prepared = prepare(recipe.model_copy(update={"data": of_pool, "training": of_50}))
    assert {"data.unlabelled", "training.epochs"} <= {problem.key for problem in prepared.warnings}
    rows = student_rows(prepared.data, prepared.data.unlabelled)
    student = distilled(prepared, rows, np.full((len(rows), 2), 0.5, np.float32), 2)
    assert student.budget.steps == 900
    assert not {"data.unlabelled", "training.epochs"} & {problem.key for problem in student.warnings}
    alone = distilled(prepared, student_rows(prepared.data), np.full((24, 2), 0.5, np.float32), 2)
    assert {"data.unlabelled", "training.epochs"} <= {problem.key for problem in alone.warnings}


# --- the loss --------------------------------------------------------------------------------------------------

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -0.3]])
SOFT = torch.tensor([[0.7, 0.1, 0.2], [0.2, 0.5, 0.3]])


def losses(techniques: list[Technique], weights: torch.Tensor | None = None) -> torch.Tensor:
    return Objective(None, "single_label", techniques, weights)._example_losses(LOGITS, SOFT)


def test_the_plain_loss_is_the_cross_entropy_with_the_probabilities() -> None:
    torch.testing.assert_close(losses([]), F.cross_entropy(LOGITS, SOFT, reduction="none"))


def test_class_weights_weight_the_loss_of_each_class() -> None:
    weights = torch.tensor([0.5, 1.0, 1.5])
    expected = -(SOFT * weights * LOGITS.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(losses([], weights), expected)
    objective = Objective(None, "single_label", [], weights)
    torch.testing.assert_close(objective._row_weights(SOFT), (SOFT * weights).sum(-1))


def test_smoothing_smooths_the_probabilities() -> None:
    smooth = 0.8 * SOFT + 0.2 / 3
    expected = F.cross_entropy(LOGITS, smooth, reduction="none")
    torch.testing.assert_close(losses([LabelSmoothing(smoothing=0.2)]), expected)


def test_another_loss_is_averaged_over_the_classes() -> None:
    classes = [focal_cross_entropy(LOGITS, torch.full((2,), label), 2.0) for label in range(3)]
    expected = sum(SOFT[:, label] * value for label, value in enumerate(classes))
    torch.testing.assert_close(losses([Focal(gamma=2.0)]), expected)


def test_the_focal_loss_of_a_probable_label_is_the_mean_over_both_values() -> None:
    ones = torch.ones_like(LOGITS)
    for label in range(3):  # one label at a time: the loss is a mean over labels
        logits, soft = LOGITS[:, [label]], SOFT[:, [label]]
        present = focal_binary_cross_entropy(logits, ones[:, [label]], 2.0)
        absent = focal_binary_cross_entropy(logits, 0 * ones[:, [label]], 2.0)
        expected = soft[:, 0] * present + (1 - soft[:, 0]) * absent
        torch.testing.assert_close(focal_binary_cross_entropy(logits, soft, 2.0), expected)


def test_hard_probabilities_train_what_labels_train(tiny_model: Path, tmp_path: Path) -> None:
    prepared = prepared_for("single_label", tmp_path, tiny_model, {"mine": {"label_smoothing": {}, "mixup": {}}})
    rows = student_rows(prepared.data)
    hard = np.eye(2, dtype=np.float32)[[prepared.encoder.target(label) for label in rows.labels]]
    run_seed(prepared, 3, RunFolder(tmp_path / "labels"))
    run_seed(distilled(prepared, rows, hard, 2), 3, RunFolder(tmp_path / "hard"))
    assert_same_weights(tmp_path / "labels", tmp_path / "hard", tolerance=1e-5)


# --- cut off, and bad input ------------------------------------------------------------------------------------


def test_a_resumed_student_equals_one_that_never_stopped(tiny_model: Path, tmp_path: Path) -> None:
    prepared = prepared_for("single_label", tmp_path, tiny_model, epochs=2)
    rows = student_rows(prepared.data)
    targets = softmax(np.random.default_rng(0).normal(size=(len(rows), 2))).astype(np.float32)
    student = distilled(prepared, rows, targets, 2)
    whole = run_seed(student, 0, RunFolder(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_seed(student, 0, RunFolder(tmp_path / "cut"), [InterruptAt(4)])
    resumed = run_seed(student, 0, RunFolder(tmp_path / "cut"), resume=True)
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_kept_targets_are_learned_again_even_where_the_members_are_gone(ensembles: Make, tmp_path: Path) -> None:
    prepared, _ = ensembles("single_label")
    rows, folder = student_rows(prepared.data), RunFolder(tmp_path / "student")
    folder.path.mkdir()
    kept = np.full((len(rows), 2), 0.5, dtype=np.float32)
    np.savez(folder.path / FILE, rows=np.array(rows.ids), targets=kept)
    np.testing.assert_array_equal(teacher_targets(prepared, rows, [], folder), kept)
    with refuses(OutputError, match="holds the targets of other rows"):
        teacher_targets(prepared, rows.take(range(5)), [], folder)
    (folder.path / FILE).write_bytes(b"damaged")
    with refuses(OutputError, match=r"targets\.npz: cannot be read.*Delete"):
        teacher_targets(prepared, rows, [], folder)


def test_fewer_than_two_and_failed_members_are_refused(ensembles: Make, tmp_path: Path) -> None:
    prepared, (member, _) = ensembles("single_label")
    rows, folder = student_rows(prepared.data), RunFolder(tmp_path / "student")
    with refuses(RecipeError, match=r"from the models of 2 seeds or more, and there is 1\. Try: --seeds"):
        teacher_targets(prepared, rows, [member], folder)
    failed, record = RunFolder(tmp_path / "seed1"), member.read()
    assert record is not None
    failed.write(record.model_copy(update={"status": "failed"}))
    with refuses(OutputError, match="seed1: this run is failed"):
        teacher_targets(prepared, rows, [member, failed], folder)
    with refuses(OutputError, match="never: this run was never started"):
        teacher_targets(prepared, rows, [member, RunFolder(tmp_path / "never")], folder)
    assert not (folder.path / FILE).exists()
