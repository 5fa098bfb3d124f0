"""Multi-sample dropout: one pass of the encoder, K of the head, and the gradient of their mean."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from finetune.errors import ModelError
from finetune.recipe import resolve
from finetune.techniques.multi_sample_dropout import MultiSampleDropout
from finetune.training.prepare import prepare
from tests.conftest import ARCHITECTURES, save_tiny_model
from tests.raising import refuses
from tests.running import train
from tests.techniques.passes import FREE, PassSpy, made_pass, plain, some_logits
from tests.techniques.watching import watch

Write = Callable[..., Path]


def test_the_loss_is_the_mean_over_samples_and_the_pass_is_the_first() -> None:
    heads = [some_logits(seed=seed) for seed in range(4)]
    labels = torch.arange(6) % 3
    weights = torch.tensor([1.0, 2.0, 0.5] * 2, dtype=torch.float64)
    step = made_pass(heads[0], labels, heads=heads[1:], row_weights=weights)
    changed = MultiSampleDropout(samples=4).change_pass(step)
    expected = sum(plain(head, labels) for head in heads) / 4 * weights
    torch.testing.assert_close(changed.example_losses(changed.logits), expected)
    torch.testing.assert_close(changed.example_losses(changed.logits), expected)  # asked twice: the same samples
    torch.testing.assert_close(changed.example_losses(heads[2]), plain(heads[2], labels) * weights)


# --- in a run ---------------------------------------------------------------------------------------------


class _Counting:
    """Counts passes of encoder and classifier in training, and keeps what leaves the head's dropout."""

    def __init__(self) -> None:
        self.encoder = 0
        self.dropped: list[Tensor] = []

    def __call__(self, model: Any) -> None:
        model.base_model.encoder.register_forward_hook(self._count)
        model.dropout.register_forward_hook(self._keep)

    def _count(self, module: Any, _args: Any, _output: Any) -> None:
        self.encoder += module.training

    def _keep(self, module: Any, _args: Any, output: Tensor) -> None:
        if module.training:
            self.dropped.append(output.detach())


def test_the_gradient_is_the_mean_over_independent_masks_of_one_encoder_pass(
    write_recipe: Write, tmp_path: Path
) -> None:
    """dL/dW = 1/(K B) Σ_k Σ_i (p_ik − onehot(y_i)) x_ikᵀ, from what left the dropout."""
    counting = _Counting()
    spy = PassSpy.on(counting)
    recipe = write_recipe(
        training={"epochs": 1, **FREE},
        techniques={"dropout": {"classifier": 0.5}, "multi_sample_dropout": {"samples": 3}},
    )
    watch(recipe, tmp_path / "run", last=spy)
    steps = len(spy.before)
    assert counting.encoder == steps == 6
    assert len(counting.dropped) == 3 * steps
    for index, (seen, passed) in enumerate(zip(spy.before, spy.losses, strict=True)):
        samples = [x.double().numpy() for x in counting.dropped[3 * index : 3 * index + 3]]
        masks = [x == 0 for x in samples]
        assert not any(np.array_equal(masks[a], masks[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
        weight, bias = (seen.values[f"classifier.{part}"].double().numpy() for part in ("weight", "bias"))
        right = np.eye(2)[passed.labels]
        gradient, objective = np.zeros_like(weight), 0.0
        for x in samples:
            powers = np.exp(x @ weight.T + bias)
            p = powers / powers.sum(axis=1, keepdims=True)
            gradient += (p - right).T @ x / (3 * len(x))
            objective -= np.log((p * right).sum(axis=1)).mean() / 3
        np.testing.assert_allclose(seen.gradients["classifier.weight"], gradient, rtol=1e-4, atol=1e-7)
        assert passed.objective.item() == pytest.approx(objective, rel=1e-5)


def test_each_pass_of_r_drop_is_averaged_over_masks_of_its_own(write_recipe: Write, tmp_path: Path) -> None:
    counting = _Counting()
    spy = PassSpy.on(counting)
    recipe = write_recipe(
        training={"epochs": 1},
        techniques={"r_drop": {"strength": 1e-9}, "multi_sample_dropout": {"samples": 3}},
    )
    watch(recipe, tmp_path / "run", last=spy)
    assert (counting.encoder, len(counting.dropped)) == (12, 36)
    for index, seen in enumerate(spy.losses):
        weight, bias = (spy.before[index].values[f"classifier.{part}"] for part in ("weight", "bias"))
        logits = [x @ weight.T + bias for x in counting.dropped[6 * index : 6 * index + 6]]
        expected = torch.stack([plain(of, seen.labels) for of in logits]).mean()
        torch.testing.assert_close(seen.objective, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_samples_of_every_architecture_differ(write_recipe: Write, tmp_path: Path, architecture: str) -> None:
    spy = PassSpy()
    recipe = write_recipe(
        model=save_tiny_model(tmp_path / "model", architecture),
        training={"epochs": 1, "batch_size": 24},
        techniques={"dropout": {"classifier": 0.4}, "multi_sample_dropout": {}},
    )
    watch(recipe, tmp_path / "run", last=spy)
    step = spy.passes[-1]
    step.model.train()
    again = [step.head_forward() for _ in range(2)]
    assert again[0].shape == step.logits.shape
    assert not torch.equal(*again)


def test_it_runs_in_bf16(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(training={"epochs": 1, "precision": "bf16"}, techniques={"multi_sample_dropout": {}})
    assert train(recipe, tmp_path / "run").status == "finished"


# --- refusals ---------------------------------------------------------------------------------------------


def test_a_head_that_drops_nothing_is_refused_before_training(write_recipe: Write, tiny_model: Path) -> None:
    """Dropout elsewhere does not help: only the head is repeated."""
    techniques = {"dropout": {"hidden": 0.2, "classifier": 0.0}, "multi_sample_dropout": {}}
    recipe = str(write_recipe(techniques=techniques))
    with refuses(ModelError, match=r"techniques\.multi_sample_dropout: .*--set techniques\.dropout\.classifier=0\.3"):
        prepare(resolve(recipe).recipe)
    assert prepare(resolve(recipe, overrides=["techniques.dropout.classifier=0.3"]).recipe)


@pytest.mark.parametrize("samples", [1, 0, 65])
def test_a_number_of_samples_outside_its_range_is_refused(samples: int) -> None:
    with pytest.raises(ValidationError, match="samples"):
        MultiSampleDropout(samples=samples)
