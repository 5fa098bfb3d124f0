"""Label smoothing against torch's own, with class weights, and what it must not touch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget
from finetune.techniques.label_smoothing import LabelSmoothing, smoothed_cross_entropy
from finetune.training.prepare import prepare
from tests.conftest import labelled_texts, write_csv
from tests.raising import refuses
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]


def some_logits(classes: int, rows: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    logits = 4 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (rows,), generator=generator)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("smoothing", [0.01, 0.1, 0.5, 0.99])
def test_losses_and_gradients_are_those_of_torch(classes: int, smoothing: float) -> None:
    logits, labels = some_logits(classes)
    ours, reference = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    losses = smoothed_cross_entropy(ours, labels, smoothing)
    expected = F.cross_entropy(reference, labels, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    losses.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, reference.grad, rtol=1e-10, atol=1e-12)


def test_two_classes_by_hand() -> None:
    """p = (3/4, 1/4), y = 0, ε = 0.2: q = (0.9, 0.1), so −0.9 ln(3/4) − 0.1 ln(1/4)."""
    logits = torch.tensor([[np.log(3.0), 0.0]])
    loss = smoothed_cross_entropy(logits, torch.tensor([0]), 0.2)
    assert loss.item() == pytest.approx(-0.9 * np.log(0.75) - 0.1 * np.log(0.25), rel=1e-12)


def test_the_smallest_loss_is_at_the_smoothed_target_itself() -> None:
    """Cross-entropy against q is smallest where p = q: there it is q's entropy and the gradient vanishes."""
    q = torch.tensor([0.9 + 0.1 / 4, 0.1 / 4, 0.1 / 4, 0.1 / 4], dtype=torch.float64)
    logits = q.log().unsqueeze(0).requires_grad_()
    loss = LabelSmoothing(smoothing=0.1).example_losses(logits, torch.tensor([0])).sum()
    loss.backward()
    assert loss.item() == pytest.approx(-float((q * q.log()).sum()), rel=1e-12)
    assert logits.grad.abs().max() < 1e-12


def test_huge_logits_do_not_overflow() -> None:
    losses = smoothed_cross_entropy(torch.tensor([[1e4, -1e4], [-1e4, 1e4]]), torch.tensor([0, 0]), 0.1)
    assert losses.tolist() == pytest.approx([0.05 * 2e4, 0.95 * 2e4], rel=1e-6)


# --- in a run ---------------------------------------------------------------------------------------------


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """80 texts, three good to one bad."""
    texts = [text for text, _ in labelled_texts(80)]
    return write_csv(
        tmp_path / "uneven.csv",
        ["text", "label"],
        [(text, "bad" if index % 4 == 0 else "good") for index, text in enumerate(texts)],
    )


def test_a_run_minimises_the_smoothed_loss_times_the_class_weight(
    write_recipe: Write, uneven: Path, tmp_path: Path
) -> None:
    """balanced: n / (K · rows of the class), 48 / (2 · 12) = 2 for bad, 48 / (2 · 36) = 2/3 for good."""
    recipe = write_recipe(
        data={"source": str(uneven)},
        training={"epochs": 2, "class_weights": "balanced"},
        techniques={"label_smoothing": {"smoothing": 0.2}},
    )
    spy = Spy()
    run = watch(recipe, tmp_path / "run", last=spy)
    assert run.prepared.data.labels == ["bad", "good"]
    assert len(spy.losses) == 12
    for seen in spy.losses:
        smoothed = F.cross_entropy(seen.logits, seen.labels, reduction="none", label_smoothing=0.2)
        expected = smoothed * torch.tensor([2.0, 2 / 3])[seen.labels]
        torch.testing.assert_close(seen.rows, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(seen.objective, expected.mean(), rtol=1e-5, atol=1e-6)


def test_a_run_without_class_weights_minimises_torchs_smoothed_loss(write_recipe: Write, tmp_path: Path) -> None:
    spy = Spy()
    recipe = write_recipe(training={"epochs": 1}, techniques={"label_smoothing": {}})
    run = watch(recipe, tmp_path / "run", last=spy)
    objectives = []
    for seen in spy.losses:
        expected = F.cross_entropy(seen.logits, seen.labels, label_smoothing=0.1)
        torch.testing.assert_close(seen.objective, expected, rtol=1e-5, atol=1e-6)
        objectives.append(expected.item())
    assert run.record.history[-1].objective == pytest.approx(np.mean(objectives), abs=1e-4)


def test_what_is_measured_is_the_plain_loss(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"label_smoothing": {"smoothing": 0.8}})
    run = watch(recipe, tmp_path / "run")
    stored = np.load(tmp_path / "run" / "predictions.npz")
    for split in ("train_probe", "validation"):
        logits = torch.from_numpy(stored[f"selected_{split}_logits"]).double()
        targets = torch.from_numpy(stored[f"{split}_targets"])
        plain = F.cross_entropy(logits, targets).item()
        assert getattr(run.record.selected, split)["nll"] == pytest.approx(plain, rel=1e-6)
        assert plain != pytest.approx(F.cross_entropy(logits, targets, label_smoothing=0.8).item(), rel=1e-6)


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_a_task_without_a_distribution_over_classes_is_refused(write_recipe: Write, task: str) -> None:
    recipe = write_recipe(data={"task": task}, techniques={"label_smoothing": {}})
    with refuses(RecipeError, rf"techniques\.label_smoothing: has no meaning for {task}.*=off"):
        resolve(str(recipe))


@pytest.mark.parametrize(("task", "cells"), [("regression", ("0.25", "1.5")), ("multi_label", ("a|b", "b"))])
def test_a_task_told_from_the_data_is_refused_too(
    write_recipe: Write, tmp_path: Path, task: str, cells: tuple[str, str]
) -> None:
    rows = [
        (text, f"{float(cells[index % 2]) + index / 7:.4f}" if task == "regression" else cells[index % 2])
        for index, (text, _) in enumerate(labelled_texts(80))
    ]
    source = write_csv(tmp_path / "other.csv", ["text", "label"], rows)
    recipe = write_recipe(data={"source": str(source)}, techniques={"label_smoothing": {}})
    resolved = resolve(str(recipe)).recipe
    with pytest.raises(RecipeError, match=rf"techniques\.label_smoothing: has no meaning for {task}"):
        prepare(resolved)


def test_single_label_and_a_task_not_known_yet_are_accepted() -> None:
    for task in ("single_label", None):
        assert LabelSmoothing().problems(Budget(task, 3, 5e-5, None, 0.1)) == []


@pytest.mark.parametrize("smoothing", [0.0, 1.0, -0.1])
def test_a_smoothing_outside_its_range_is_refused(smoothing: float) -> None:
    with pytest.raises(ValidationError, match="smoothing"):
        LabelSmoothing(smoothing=smoothing)
