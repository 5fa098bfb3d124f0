"""The confidence penalty: entropies against scipy, the objective of real runs, and what it does to confidence."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.special import softmax
from scipy.stats import entropy

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget
from finetune.techniques.confidence_penalty import ConfidencePenalty, class_entropy, label_entropy
from tests.conftest import labelled_texts, write_csv
from tests.raising import refuses
from tests.techniques.passes import made_pass, some_logits
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_entropy_of_classes_is_scipys(classes: int) -> None:
    logits = some_logits(outputs=classes)
    np.testing.assert_allclose(class_entropy(logits), entropy(softmax(logits.numpy(), axis=1), axis=1), rtol=1e-12)


def test_the_entropy_of_labels_is_the_mean_of_two_class_entropies() -> None:
    logits = some_logits(outputs=4)
    present = 1 / (1 + np.exp(-logits.numpy()))
    expected = entropy(np.stack([present, 1 - present]), axis=0).mean(axis=1)
    np.testing.assert_allclose(label_entropy(logits), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", [class_entropy, label_entropy])
def test_gradients_are_those_of_finite_differences(kind: Callable[..., torch.Tensor]) -> None:
    assert torch.autograd.gradcheck(kind, (some_logits().requires_grad_(),))


@pytest.mark.parametrize("kind", [class_entropy, label_entropy])
def test_huge_logits_have_no_entropy_and_a_finite_gradient(kind: Callable[..., torch.Tensor]) -> None:
    logits = torch.tensor([[1e4, -1e4], [-80.0, 90.0]], requires_grad=True)
    found = kind(logits)
    found.sum().backward()
    assert found.tolist() == pytest.approx([0.0, 0.0], abs=1e-30)
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


def test_entropy_is_taken_off_with_the_weight_of_its_row() -> None:
    """Two rows of p = (½, ½) and (¾, ¼), weights 3 and 1, β = 0.5."""
    logits = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]])
    step = made_pass(logits, torch.tensor([0, 1]), row_weights=torch.tensor([3.0, 1.0]))
    objective = ConfidencePenalty(strength=0.5).train_loss(torch.tensor(2.0), step)
    quarter = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert objective.item() == pytest.approx(2.0 - 0.5 * (3 * np.log(2) + quarter) / 2, rel=1e-6)


# --- in a run ---------------------------------------------------------------------------------------------


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """80 texts, three good to one bad: even a model that learns no more is sure of something."""
    rows = [(text, "bad" if index % 4 == 0 else "good") for index, (text, _) in enumerate(labelled_texts(80))]
    return write_csv(tmp_path / "uneven.csv", ["text", "label"], rows)


def test_a_run_minimises_the_loss_minus_the_entropy(write_recipe: Write, uneven: Path, tmp_path: Path) -> None:
    """balanced weights of 36 good and 12 bad: 2/3 and 2."""
    recipe = write_recipe(
        data={"source": str(uneven)},
        training={"epochs": 1, "class_weights": "balanced"},
        techniques={"confidence_penalty": {"strength": 0.3}, "label_smoothing": {}},
    )
    first, last = Spy(), Spy()
    watch(recipe, tmp_path / "run", first=first, last=last)
    assert len(last.losses) == 6
    for before, after in zip(first.losses, last.losses, strict=True):
        entropies = entropy(softmax(after.logits.numpy(), axis=1), axis=1)
        weights = np.array([2.0, 2 / 3])[after.labels]
        expected = before.objective.item() - 0.3 * (weights * entropies).mean()
        assert after.objective.item() == pytest.approx(expected, abs=1e-6)


def test_a_model_paid_for_entropy_is_less_sure(write_recipe: Write, uneven: Path, tmp_path: Path) -> None:
    sure = {}
    for name, techniques in (("plain", {}), ("paid", {"confidence_penalty": {"strength": 1.0}})):
        recipe = write_recipe(data={"source": str(uneven)}, training={"learning_rate": 0.02}, techniques=techniques)
        watch(recipe, tmp_path / name)
        logits = np.load(tmp_path / name / "predictions.npz")["last_train_probe_logits"]
        sure[name] = float(softmax(logits, axis=1).max(axis=1).mean())
    assert sure["plain"] > 0.7
    assert sure["paid"] < sure["plain"] - 0.1


def test_multi_label_uses_the_entropy_of_each_label(write_recipe: Write, tmp_path: Path) -> None:
    rows = [(text, ("a|b", "b", "c")[index % 3]) for index, (text, _) in enumerate(labelled_texts(80))]
    source = write_csv(tmp_path / "many.csv", ["text", "label"], rows)
    recipe = write_recipe(
        data={"source": str(source), "task": "multi_label"},
        training={"epochs": 1},
        techniques={"confidence_penalty": {}},
    )
    first, last = Spy(), Spy()
    watch(recipe, tmp_path / "run", first=first, last=last)
    for before, after in zip(first.losses, last.losses, strict=True):
        present = 1 / (1 + np.exp(-after.logits.double().numpy()))
        expected = entropy(np.stack([present, 1 - present]), axis=0).mean()
        assert (before.objective - after.objective).item() == pytest.approx(0.1 * expected, abs=1e-6)


# --- refusals ---------------------------------------------------------------------------------------------


def test_regression_is_refused(write_recipe: Write) -> None:
    recipe = write_recipe(data={"task": "regression"}, techniques={"confidence_penalty": {}})
    with refuses(RecipeError, r"techniques\.confidence_penalty: has no meaning for regression.*=off"):
        resolve(str(recipe))
    for task in ("single_label", "multi_label", None):
        assert ConfidencePenalty().problems(Budget(task, 3, 5e-5, None, 0.1)) == []


@pytest.mark.parametrize("strength", [0.0, -0.1, 11.0])
def test_a_strength_outside_its_range_is_refused(strength: float) -> None:
    with pytest.raises(ValidationError, match="strength"):
        ConfidencePenalty(strength=strength)
