"""FGM: the perturbation against numpy, and whole steps of real runs against a hand-made second pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from finetune.errors import ModelError, RecipeError
from finetune.recipe import resolve
from finetune.techniques.fgm import FGM, perturbation
from tests.conftest import ARCHITECTURES, save_tiny_model
from tests.raising import refuses
from tests.running import train
from tests.techniques.passes import FREE, PassSpy, fresh_model, record_batches
from tests.techniques.watching import EMBEDDINGS, pretrained_weights, watch

Write = Callable[..., Path]


def test_each_text_moves_by_the_radius_along_its_own_gradient() -> None:
    gradient = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = gradient.numpy()
    expected = 0.7 * values / np.sqrt((values**2).sum(axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(perturbation(gradient, 0.7), expected, rtol=1e-12)


def test_tiny_gradients_count_and_none_moves_nothing() -> None:
    """The squares of 1e-30 are 0 in float32."""
    moved = perturbation(torch.tensor([[[3e-30, 4e-30]], [[0.0, 0.0]], [[3e30, 4e30]]]), 1.0)
    torch.testing.assert_close(moved, torch.tensor([[[0.6, 0.8]], [[0.0, 0.0]], [[0.6, 0.8]]]))


# --- in a run ---------------------------------------------------------------------------------------------


class _Embedded:
    """Keeps tokens and word embeddings of each pass as the encoder gets them."""

    def __init__(self, frozen: bool = False) -> None:
        self.frozen = frozen
        self.tokens: list[Tensor] = []
        self.embeddings: list[Tensor] = []
        self.gradients: dict[int, Tensor] = {}  # number of the pass -> ∂ objective / ∂ embeddings

    def __call__(self, model: Any) -> None:
        model.get_input_embeddings().register_forward_hook(self._keep)
        if self.frozen:
            model.get_input_embeddings().weight.requires_grad_(False)

    def _keep(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if module.training:
            self.tokens.append(args[0])
            number = len(self.embeddings)
            self.embeddings.append(output.detach().clone())
            if output.requires_grad:
                output.register_hook(lambda gradient: self.gradients.update({number: gradient}))


def shifts(embedded: _Embedded, clean: int, shifted: int) -> Tensor:
    """r of a pass."""
    assert torch.equal(embedded.tokens[clean], embedded.tokens[shifted])
    return embedded.embeddings[shifted] - embedded.embeddings[clean]


def assert_shifted(r: Tensor, tokens: Tensor, radius: float) -> None:
    torch.testing.assert_close(r.flatten(1).norm(dim=1), torch.full((len(r),), radius), rtol=1e-4, atol=0)
    assert r[tokens == 0].abs().max() == 0 if bool((tokens == 0).any()) else True
    assert bool((r[tokens != 0].abs().amax(dim=-1) > 0).all())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_second_pass_of_every_architecture_is_shifted_by_the_radius(
    write_recipe: Write, tmp_path: Path, architecture: str
) -> None:
    embedded = _Embedded()
    recipe = write_recipe(
        model=save_tiny_model(tmp_path / "model", architecture),
        training={"epochs": 1, "batch_size": 24},
        techniques={"fgm": {"radius": 0.3}},
    )
    watch(recipe, tmp_path / "run", last=PassSpy.on(embedded))
    assert len(embedded.embeddings) == 4  # two steps
    for step in (0, 2):
        assert bool((embedded.tokens[step] == 0).any()), "without padding this test would see none"
        assert_shifted(shifts(embedded, step, step + 1), embedded.tokens[step], 0.3)


def test_the_first_step_is_the_sum_of_the_clean_and_the_adversarial_gradient(
    write_recipe: Write, still_model: Path, tmp_path: Path
) -> None:
    """Made again by hand: ∂L/∂e through `inputs_embeds`, then both losses on the parameters."""
    batches: list[dict[str, Tensor]] = []
    spy = PassSpy.on(record_batches(batches))
    recipe = write_recipe(model=still_model, training={"epochs": 1, **FREE}, techniques={"fgm": {"radius": 0.5}})
    watch(recipe, tmp_path / "run", last=spy)
    model, labels = fresh_model(still_model), spy.losses[0].labels
    batch = {key: value for key, value in batches[0].items() if key != "input_ids"}
    embed = model.get_input_embeddings()
    e = embed(batches[0]["input_ids"]).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(inputs_embeds=e, **batch).logits, labels), e)
    r = 0.5 * gradient / gradient.flatten(1).norm(dim=1)[:, None, None]
    clean = F.cross_entropy(model(**batches[0]).logits, labels)
    shifted = F.cross_entropy(model(inputs_embeds=embed(batches[0]["input_ids"]) + r, **batch).logits, labels)
    (clean + shifted).backward()
    assert shifted.item() > clean.item() + 1e-3
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(spy.before[0].gradients[name], parameter.grad, rtol=1e-3, atol=1e-6, msg=name)
    assert spy.losses[0].objective.item() == pytest.approx(clean.item(), rel=1e-5)


def test_with_accumulation_each_micro_batch_is_shifted_by_its_own_gradient(write_recipe: Write, tmp_path: Path) -> None:
    embedded = _Embedded()
    recipe = write_recipe(training={"epochs": 1, "accumulation": 2}, techniques={"fgm": {}})
    watch(recipe, tmp_path / "run", last=PassSpy.on(embedded))
    assert [len(tokens) for tokens in embedded.tokens] == [4] * 24
    for clean in range(0, 24, 2):
        assert_shifted(shifts(embedded, clean, clean + 1), embedded.tokens[clean], FGM().radius)


def test_frozen_embeddings_are_shifted_and_stay_frozen(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    embedded = _Embedded(frozen=True)
    recipe = write_recipe(training={"epochs": 1}, techniques={"fgm": {}})
    run = watch(recipe, tmp_path / "run", last=PassSpy.on(embedded))
    assert torch.equal(run.weights[EMBEDDINGS], pretrained_weights(tiny_model)[EMBEDDINGS])
    for clean in range(0, 12, 2):
        assert_shifted(shifts(embedded, clean, clean + 1), embedded.tokens[clean], FGM().radius)


@pytest.mark.parametrize("order", [("fgm", "r_drop"), ("r_drop", "fgm")])
def test_each_pass_of_r_drop_gets_a_shift_of_its_own(
    write_recipe: Write, tmp_path: Path, order: tuple[str, str]
) -> None:
    embedded = _Embedded()
    settings: dict[str, Any] = {"fgm": {"radius": 0.5}, "r_drop": {}}
    recipe = write_recipe(training={"epochs": 1}, techniques={name: settings[name] for name in order})
    watch(recipe, tmp_path / "run", last=PassSpy.on(embedded))
    assert len(embedded.embeddings) == 4 * 6
    for first in range(0, 24, 4):
        one, two = shifts(embedded, first, first + 2), shifts(embedded, first + 1, first + 3)
        assert_shifted(one, embedded.tokens[first], 0.5)
        assert_shifted(two, embedded.tokens[first], 0.5)
        for r, gradient in ((one, embedded.gradients[first]), (two, embedded.gradients[first + 1])):
            along = F.cosine_similarity(r.flatten(1), gradient.flatten(1))
            torch.testing.assert_close(along, torch.ones(len(along)), rtol=0, atol=1e-5)
        assert not torch.allclose(one, two)


def test_padding_stays_where_it_is_even_if_mixup_shows_it(write_recipe: Write, tmp_path: Path) -> None:
    """A row is mixed with the states over its partner's padding, so that padding has a gradient there."""
    embedded = _Embedded()
    recipe = write_recipe(training={"epochs": 1}, techniques={"mixup": {"alpha": 16.0, "depth": 0.5}, "fgm": {}})
    watch(recipe, tmp_path / "run", last=PassSpy.on(embedded))
    assert any(bool((tokens == 0).any()) for tokens in embedded.tokens)
    for clean in range(0, 12, 2):
        assert_shifted(shifts(embedded, clean, clean + 1), embedded.tokens[clean], FGM().radius)


def test_both_passes_have_the_same_masks_and_noise(write_recipe: Write, tmp_path: Path) -> None:
    """With a shift of next to nothing both passes predict the same, dropout, samples of the head and all."""
    spy = PassSpy()
    recipe = write_recipe(
        training={"epochs": 1},
        techniques={
            "dropout": {"hidden": 0.3, "classifier": 0.5},
            "multi_sample_dropout": {},
            "neftune": {},
            "fgm": {"radius": 1e-9},
        },
    )
    watch(recipe, tmp_path / "run", last=spy)
    assert len(spy.losses) == 12
    for clean, shifted in zip(spy.losses[::2], spy.losses[1::2], strict=True):
        torch.testing.assert_close(clean.objective, shifted.objective, rtol=0, atol=1e-6)
    assert not torch.allclose(spy.losses[0].logits, spy.losses[2].logits)


def test_it_runs_in_bf16(write_recipe: Write, tmp_path: Path) -> None:
    embedded = _Embedded()
    recipe = write_recipe(training={"epochs": 1, "precision": "bf16"}, techniques={"fgm": {}})
    watch(recipe, tmp_path / "run", last=PassSpy.on(embedded))
    assert_shifted(shifts(embedded, 0, 1), embedded.tokens[0], FGM().radius)


def test_training_costs_twice_and_says_so(write_recipe: Write, tmp_path: Path) -> None:
    record = train(write_recipe(training={"epochs": 1}, techniques={"fgm": {}}), tmp_path / "run")
    assert record.budget.cost == 2.0


# --- refusals ---------------------------------------------------------------------------------------------


def test_a_model_without_a_padding_token_is_refused(tiny_model: Path) -> None:
    model = fresh_model(tiny_model)
    model.config.pad_token_id = None
    with refuses(ModelError, match=r"techniques\.fgm: .* pad_token_id.*--set techniques\.fgm=off"):
        FGM().prepare_model(model)


def test_a_step_has_one_second_pass(write_recipe: Write) -> None:
    with refuses(RecipeError, match="sam: conflicts with fgm: both control the second pass"):
        resolve(str(write_recipe(techniques={"fgm": {}, "sam": {}})))


@pytest.mark.parametrize("radius", [0.0, -1.0, 101.0])
def test_a_radius_outside_its_range_is_refused(radius: float) -> None:
    with pytest.raises(ValidationError, match="radius"):
        FGM(radius=radius)
