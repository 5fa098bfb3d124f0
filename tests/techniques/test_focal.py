"""Focal loss against the formula in numpy, at the ends of float32, and in real runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import ValidationError

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget
from finetune.techniques.focal import Focal, focal_binary_cross_entropy, focal_cross_entropy
from tests.conftest import labelled_texts, write_csv
from tests.raising import refuses
from tests.techniques.passes import some_logits
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
GAMMAS = [0.3, 1.0, 2.0, 5.0]


def by_definition(right: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """−(1 − p)^γ log p."""
    return -((1 - right) ** gamma) * np.log(right)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_losses_are_the_definition(classes: int, gamma: float) -> None:
    logits = some_logits(outputs=classes)
    labels = torch.arange(len(logits)) % classes
    powers = np.exp(logits.numpy())
    right = (powers / powers.sum(axis=1, keepdims=True))[np.arange(len(logits)), labels]
    np.testing.assert_allclose(focal_cross_entropy(logits, labels, gamma), by_definition(right, gamma), rtol=1e-10)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_multi_label_losses_are_the_mean_of_the_definition_over_labels(gamma: float) -> None:
    logits = some_logits(outputs=4)
    labels = (some_logits(outputs=4, seed=1) > 0).double()
    present = 1 / (1 + np.exp(-logits.numpy()))
    right = np.where(labels == 1, present, 1 - present)
    expected = by_definition(right, gamma).mean(axis=1)
    np.testing.assert_allclose(focal_binary_cross_entropy(logits, labels, gamma), expected, rtol=1e-10)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gradients_are_those_of_finite_differences(gamma: float) -> None:
    logits = some_logits().requires_grad_()
    labels = torch.arange(6) % 3
    assert torch.autograd.gradcheck(lambda of: focal_cross_entropy(of, labels, gamma), (logits,))
    targets = F.one_hot(labels, 3).double()
    assert torch.autograd.gradcheck(lambda of: focal_binary_cross_entropy(of, targets, gamma), (logits,))


def test_three_quarters_by_hand() -> None:
    """p = ¾, γ = 2: (¼)² · −ln ¾."""
    logits = torch.tensor([[np.log(3.0), 0.0]])
    loss = Focal().example_losses(logits, torch.tensor([0]))
    assert loss is not None
    assert loss.item() == pytest.approx(-np.log(0.75) / 16, rel=1e-6)


@pytest.mark.parametrize("gamma", [1e-6, 0.3, 2.0])
@pytest.mark.parametrize("size", [20.0, 100.0, 1e4])
def test_sure_rows_right_or_wrong_have_finite_losses_and_gradients_in_float32(gamma: float, size: float) -> None:
    """1 − p rounds to 0 there, and 0^γ has no derivative for γ < 1."""
    logits = torch.tensor([[size, 0.0, 0.0], [0.0, size, 0.0]], requires_grad=True)
    losses = focal_cross_entropy(logits, torch.tensor([0, 0]), gamma)
    losses.sum().backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(losses).all() & torch.isfinite(logits.grad).all())
    assert losses[1].item() == pytest.approx(size, rel=1e-5)  # a wrong row loses as much as ever
    assert logits.grad[1].tolist() == pytest.approx([-1.0, 1.0, 0.0], abs=1e-5)
    binary = torch.tensor([[size, -size]], requires_grad=True)
    found = focal_binary_cross_entropy(binary, torch.tensor([[1.0, 1.0]]), gamma)
    found.sum().backward()
    assert binary.grad is not None
    assert bool(torch.isfinite(found).all() & torch.isfinite(binary.grad).all())


def test_sure_rows_keep_their_tiny_loss_exactly() -> None:
    """In float32 1 − p has no digits left at p = 1 − 2e-9; the loss is still 2e-9 ** 3."""
    loss = focal_cross_entropy(torch.tensor([[20.0, 0.0]]), torch.tensor([0]), 2.0)
    left = 1 / (1 + np.exp(20.0))
    assert loss.item() == pytest.approx(left**2 * -np.log1p(-left), rel=1e-4)


def test_a_small_gamma_nears_the_plain_loss() -> None:
    logits, labels = some_logits(), torch.arange(6) % 3
    torch.testing.assert_close(
        focal_cross_entropy(logits, labels, 1e-9), F.cross_entropy(logits, labels, reduction="none")
    )


# --- in a run ---------------------------------------------------------------------------------------------


def test_a_run_minimises_the_focal_loss_times_the_class_weight(write_recipe: Write, tmp_path: Path) -> None:
    """balanced weights of 36 good and 12 bad: 2/3 and 2."""
    texts = [text for text, _ in labelled_texts(80)]
    rows = [(text, "bad" if index % 4 == 0 else "good") for index, text in enumerate(texts)]
    source = write_csv(tmp_path / "uneven.csv", ["text", "label"], rows)
    recipe = write_recipe(
        data={"source": str(source)},
        training={"epochs": 1, "class_weights": "balanced"},
        techniques={"focal": {"gamma": 1.5}},
    )
    spy = Spy()
    watch(recipe, tmp_path / "run", last=spy)
    assert len(spy.losses) == 6
    for seen in spy.losses:
        right = seen.logits.double().softmax(dim=1).gather(1, seen.labels[:, None])[:, 0].numpy()
        expected = by_definition(right, 1.5) * np.array([2.0, 2 / 3])[seen.labels]
        np.testing.assert_allclose(seen.rows, expected, rtol=1e-5)
        assert seen.objective.item() == pytest.approx(expected.mean(), rel=1e-5)


def test_a_run_on_several_labels_minimises_the_binary_form(write_recipe: Write, tmp_path: Path) -> None:
    rows = [(text, ("a|b", "b", "c")[index % 3]) for index, (text, _) in enumerate(labelled_texts(80))]
    source = write_csv(tmp_path / "many.csv", ["text", "label"], rows)
    recipe = write_recipe(
        data={"source": str(source), "task": "multi_label"}, training={"epochs": 1}, techniques={"focal": {}}
    )
    spy = Spy()
    watch(recipe, tmp_path / "run", last=spy)
    for seen in spy.losses:
        present = seen.logits.double().sigmoid().numpy()
        right = np.where(seen.labels == 1, present, 1 - present)
        np.testing.assert_allclose(seen.rows, by_definition(right, 2.0).mean(axis=1), rtol=1e-5)


def test_what_is_measured_is_the_plain_loss(write_recipe: Write, tmp_path: Path) -> None:
    run = watch(write_recipe(training={"epochs": 1}, techniques={"focal": {}}), tmp_path / "run")
    stored = np.load(tmp_path / "run" / "predictions.npz")
    logits = torch.from_numpy(stored["selected_validation_logits"]).double()
    nll = F.cross_entropy(logits, torch.from_numpy(stored["validation_targets"])).item()
    assert run.record.selected is not None
    assert run.record.selected.validation["nll"] == pytest.approx(nll, rel=1e-6)


# --- refusals ---------------------------------------------------------------------------------------------


def test_regression_is_refused(write_recipe: Write) -> None:
    recipe = write_recipe(data={"task": "regression"}, techniques={"focal": {}})
    with refuses(RecipeError, r"techniques\.focal: has no meaning for regression.*techniques\.focal=off"):
        resolve(str(recipe))
    for task in ("single_label", "multi_label", None):
        assert Focal().problems(Budget(task, 3, 5e-5, None, 0.1)) == []


def test_two_losses_of_a_row_are_refused(write_recipe: Write) -> None:
    recipe = write_recipe(techniques={"label_smoothing": {}, "focal": {}})
    with pytest.raises(RecipeError, match="focal: conflicts with label_smoothing: both control the targets"):
        resolve(str(recipe))


@pytest.mark.parametrize("gamma", [0.0, -1.0, 11.0])
def test_a_gamma_outside_its_range_is_refused(gamma: float) -> None:
    with pytest.raises(ValidationError, match="gamma"):
        Focal(gamma=gamma)
