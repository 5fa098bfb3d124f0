"""R-Drop: divergences against scipy, the objective of real runs from both passes, and models that drop nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import rel_entr, softmax

from finetune.errors import ModelError
from finetune.recipe import resolve
from finetune.techniques.r_drop import RDrop, class_divergence, label_divergence
from finetune.training.prepare import prepare
from tests.conftest import labelled_texts, save_tiny_model, write_csv
from tests.raising import refuses
from tests.running import train
from tests.techniques.passes import PassSpy, made_pass, plain, some_logits
from tests.techniques.watching import watch

Write = Callable[..., Path]


def symmetric_kl(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """½ (KL(p‖q) + KL(q‖p)) over the last axis."""
    return 0.5 * (rel_entr(p, q).sum(axis=-1) + rel_entr(q, p).sum(axis=-1))


def bernoulli(logits: torch.Tensor) -> NDArray[np.float64]:
    present = 1 / (1 + np.exp(-logits.double().numpy()))
    return np.stack([present, 1 - present], axis=-1)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_divergence_of_classes_is_scipys(classes: int) -> None:
    first, second = some_logits(outputs=classes), some_logits(outputs=classes, seed=1)
    expected = symmetric_kl(softmax(first.numpy(), axis=1), softmax(second.numpy(), axis=1))
    np.testing.assert_allclose(class_divergence(first, second), expected, rtol=1e-10)


def test_the_divergence_of_labels_is_the_mean_over_two_class_divergences() -> None:
    first, second = some_logits(outputs=4), some_logits(outputs=4, seed=1)
    expected = symmetric_kl(bernoulli(first), bernoulli(second)).mean(axis=1)
    np.testing.assert_allclose(label_divergence(first, second), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", [class_divergence, label_divergence])
def test_equal_predictions_are_not_apart_and_huge_ones_stay_finite(kind: Callable[..., torch.Tensor]) -> None:
    logits = some_logits().requires_grad_()
    same = kind(logits, logits.detach())
    same.sum().backward()
    assert logits.grad is not None
    assert same.tolist() == [0.0] * 6
    assert logits.grad.abs().max() == 0
    far = torch.tensor([[1e4, -1e4]], requires_grad=True)
    kind(far, -far.detach()).sum().backward()
    assert far.grad is not None
    assert bool(torch.isfinite(far.grad).all())


def test_the_objective_averages_two_losses_and_adds_what_they_differ_by() -> None:
    """Class weights count for both; both passes are differentiated."""
    logits, again = some_logits().requires_grad_(), some_logits(seed=1).requires_grad_()
    labels, weights = torch.arange(6) % 3, torch.tensor([1.0, 2.0, 0.5] * 2, dtype=torch.float64)
    step = made_pass(logits, labels, again=again, row_weights=weights)
    objective = RDrop(strength=3.0).train_loss(step.example_losses(logits).mean(), step)
    both = 0.5 * (plain(logits, labels) + plain(again, labels)).detach().numpy()
    apart = symmetric_kl(softmax(logits.detach().numpy(), axis=1), softmax(again.detach().numpy(), axis=1))
    assert objective.item() == pytest.approx(float((weights.numpy() * (both + 3.0 * apart)).mean()), rel=1e-12)

    def of(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        made = made_pass(first, labels, again=second, row_weights=weights)
        return RDrop(strength=3.0).train_loss(made.example_losses(first).mean(), made)

    assert torch.autograd.gradcheck(of, (logits, again))


def test_regression_squares_the_difference() -> None:
    logits, again = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.5], [0.0]])
    step = made_pass(logits, torch.tensor([1.0, 1.0]), again=again)
    objective = RDrop(strength=2.0).train_loss(torch.tensor(0.5), step)  # losses 0, 1 and ¼, 1
    assert objective.item() == pytest.approx(0.5 + 0.5 * (0.625 - 0.5) + 2.0 * (0.25 + 4.0) / 2)


# --- in a run ---------------------------------------------------------------------------------------------


def test_a_run_minimises_it_with_class_weights_and_smoothed_targets(write_recipe: Write, tmp_path: Path) -> None:
    """balanced weights of 36 good and 12 bad: 2/3 and 2. The two passes of a step differ by their masks."""
    texts = [text for text, _ in labelled_texts(80)]
    rows = [(text, "bad" if index % 4 == 0 else "good") for index, text in enumerate(texts)]
    source = write_csv(tmp_path / "uneven.csv", ["text", "label"], rows)
    recipe = write_recipe(
        data={"source": str(source)},
        training={"epochs": 1, "class_weights": "balanced"},
        techniques={"r_drop": {"strength": 5.0}, "label_smoothing": {"smoothing": 0.2}},
    )
    spy = PassSpy()
    run = watch(recipe, tmp_path / "run", last=spy)
    assert len(spy.passes) == 2 * len(spy.losses) == 12
    for one, two, seen in zip(spy.passes[::2], spy.passes[1::2], spy.losses, strict=True):
        first, second = one.logits.detach(), two.logits.detach()
        assert not torch.equal(first, second)
        weights = torch.tensor([2.0, 2 / 3])[seen.labels]
        losses = [
            F.cross_entropy(logits, seen.labels, reduction="none", label_smoothing=0.2) for logits in (first, second)
        ]
        apart = symmetric_kl(softmax(first.double().numpy(), axis=1), softmax(second.double().numpy(), axis=1))
        expected = (weights * (0.5 * (losses[0] + losses[1]) + 5.0 * torch.from_numpy(apart))).mean()
        assert seen.objective.item() == pytest.approx(expected.item(), rel=1e-5)
    assert run.record.budget.cost == 2.0


def test_a_strong_one_makes_two_passes_agree(write_recipe: Write, tmp_path: Path) -> None:
    apart = {}
    for strength in (1e-6, 30.0):
        spy = PassSpy()
        recipe = write_recipe(
            training={"epochs": 3, "learning_rate": 0.02},
            techniques={"dropout": {"hidden": 0.2}, "r_drop": {"strength": strength}},
        )
        watch(recipe, tmp_path / f"run-{strength}", last=spy)
        pairs = zip(spy.passes[-12::2], spy.passes[-11::2], strict=True)
        apart[strength] = np.mean([class_divergence(one.logits, two.logits).mean().item() for one, two in pairs])
    assert apart[30.0] < 0.3 * apart[1e-6]


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_run_with_their_own_divergence(write_recipe: Write, tmp_path: Path, task: str) -> None:
    cells = ("a|b", "b", "c") if task == "multi_label" else ("0.5", "1.25", "-2.0")
    rows = [(text, cells[index % 3]) for index, (text, _) in enumerate(labelled_texts(80))]
    source = write_csv(tmp_path / "other.csv", ["text", "label"], rows)
    recipe = write_recipe(
        data={"source": str(source), "task": task}, training={"epochs": 1}, techniques={"r_drop": {"strength": 2.0}}
    )
    spy = PassSpy()
    watch(recipe, tmp_path / "run", last=spy)
    for one, two, seen in zip(spy.passes[::2], spy.passes[1::2], spy.losses, strict=True):
        first, second = one.logits.detach(), two.logits.detach()
        losses = 0.5 * (plain(first, seen.labels) + plain(second, seen.labels)).mean().item()
        if task == "multi_label":
            apart = symmetric_kl(bernoulli(first), bernoulli(second)).mean()
        else:
            apart = float(((first - second) ** 2).mean())
        assert seen.objective.item() == pytest.approx(losses + 2.0 * apart, rel=1e-5)


def test_it_runs_in_bf16(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(training={"epochs": 1, "precision": "bf16"}, techniques={"r_drop": {}})
    assert train(recipe, tmp_path / "run").status == "finished"


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_a_model_that_drops_nothing_is_refused_before_training(
    write_recipe: Write, still_model: Path, tmp_path: Path, architecture: str
) -> None:
    """ModernBERT comes without dropout."""
    model = still_model if architecture == "bert" else save_tiny_model(tmp_path / "model", architecture)
    recipe = str(write_recipe(model=model, techniques={"r_drop": {}}))
    with refuses(ModelError, match=r"techniques\.r_drop: every dropout .* is 0.*techniques\.dropout\.hidden=0\.1"):
        prepare(resolve(recipe).recipe)
    assert prepare(resolve(recipe, overrides=["techniques.dropout.hidden=0.1"]).recipe)


@pytest.mark.parametrize("strength", [0.0, -1.0, 101.0])
def test_a_strength_outside_its_range_is_refused(strength: float) -> None:
    with pytest.raises(ValidationError, match="strength"):
        RDrop(strength=strength)
