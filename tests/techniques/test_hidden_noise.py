"""Hidden noise (HyPe): its distribution, where it is added, and what becomes of it in bf16."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from transformers import AutoModelForSequenceClassification

from finetune.errors import ModelError
from finetune.models.layers import encoder_layers
from finetune.models.load import build_without_weights
from finetune.recipe import resolve
from finetune.techniques.hidden_noise import Distribution, HiddenNoise, noise_like
from finetune.training.prepare import prepare
from tests.conftest import ARCHITECTURES, tiny_config
from tests.raising import refuses
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
LAYERED = [name for name in ARCHITECTURES if name != "albert"]
BATCH = {
    "input_ids": torch.tensor([[2, 11, 12, 3], [2, 17, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


def build(architecture: str = "bert", **changes: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(tiny_config(architecture, **changes))


def entering(model: Any) -> list[torch.Tensor]:
    """The hidden states that enter the layers, as a hook registered after all others sees them."""
    seen: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda _module, args, kwargs: seen.append((args[0] if args else kwargs["hidden_states"]).detach()),
            with_kwargs=True,
        )
        for layer in encoder_layers(model).values()
    ]
    model(**BATCH)
    for hook in hooks:
        hook.remove()
    return seen


# --- the noise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [("normal", stats.norm(scale=0.3)), ("uniform", stats.uniform(loc=-0.3, scale=0.6))],
)
def test_noise_has_its_distribution(distribution: Distribution, expected: Any) -> None:
    torch.manual_seed(0)
    found = noise_like(torch.zeros(40, 500), 0.3, distribution).flatten().double().numpy()
    assert stats.kstest(found, expected.cdf).pvalue > 0.01
    if distribution == "uniform":
        assert abs(found).max() <= 0.3


def test_it_comes_from_torchs_generator_which_checkpoints_hold() -> None:
    for distribution in ("normal", "uniform"):
        torch.manual_seed(3)
        first = noise_like(torch.zeros(3, 4), 1.0, distribution)
        assert not torch.equal(first, noise_like(torch.zeros(3, 4), 1.0, distribution))
        torch.manual_seed(3)
        assert torch.equal(first, noise_like(torch.zeros(3, 4), 1.0, distribution))


# --- where ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", LAYERED)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_it_is_added_to_what_enters_each_layer_in_training_only(architecture: str, distribution: Distribution) -> None:
    """The first layer's input is known without noise: the difference is the noise itself."""
    plain, noisy = build(architecture).eval(), build(architecture).eval()
    HiddenNoise(sigma=0.5, distribution=distribution).prepare_model(noisy)
    with torch.no_grad():
        assert torch.equal(plain(**BATCH).logits, noisy(**BATCH).logits)
        clean = entering(plain)
        for layer in encoder_layers(noisy).values():
            layer.training = True  # the layer alone: no dropout comes between
        found = entering(noisy)
    assert len(clean) == len(found) == 2
    assert ((found[0] - clean[0]) != 0).all()
    spread = 0.5 if distribution == "normal" else 0.5 / math.sqrt(3)
    assert (found[0] - clean[0]).std().item() == pytest.approx(spread, rel=0.25)
    assert (found[1] - clean[1]).abs().max() > 0.1


def test_what_a_layer_computes_from_the_noisy_input_is_what_goes_on() -> None:
    """By hand: embeddings, then noise, layer, noise, layer."""
    model = build(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    HiddenNoise(sigma=0.2).prepare_model(model)
    torch.manual_seed(7)
    found = model.bert(**BATCH).last_hidden_state
    model.eval()
    torch.manual_seed(7)
    mask = torch.zeros(2, 1, 4, 4).masked_fill(BATCH["attention_mask"][:, None, None, :] == 0, float("-inf"))
    hidden = model.bert.embeddings(BATCH["input_ids"])
    for layer in model.bert.encoder.layer:
        hidden = layer(hidden + 0.2 * torch.randn(2, 4, 16), mask)
    torch.testing.assert_close(hidden, found, rtol=0, atol=1e-5)


def test_each_pass_draws_anew_and_gradients_reach_the_embeddings() -> None:
    model = build(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    HiddenNoise(sigma=0.1).prepare_model(model)
    first, second = model(**BATCH).logits, model(**BATCH).logits
    assert not torch.equal(first, second)
    first.sum().backward()
    assert model.bert.embeddings.word_embeddings.weight.grad.abs().max() > 0


@pytest.mark.parametrize("architecture", ["albert"])
def test_layers_that_share_their_weights_are_refused(architecture: str) -> None:
    with refuses(ModelError, match=r"techniques\.hidden_noise: .*albert.*techniques\.hidden_noise=off"):
        HiddenNoise().prepare_model(build(architecture))


def test_a_model_without_weights_is_prepared_too() -> None:
    HiddenNoise().prepare_model(build_without_weights(tiny_config("bert")))


# --- bf16 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", LAYERED)
def test_hidden_states_are_fp32_in_bf16_passes_so_that_no_noise_is_rounded_away_where_it_is_added(
    architecture: str,
) -> None:
    """1e-5 beside 1 is lost in bf16, whose numbers are 2⁻⁸ apart there."""
    model = build(architecture).eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        clean = entering(model)
        HiddenNoise(sigma=1e-5).prepare_model(model)
        for layer in encoder_layers(model).values():
            layer.training = True
        found = entering(model)
    assert {hidden.dtype for hidden in (*clean, *found)} == {torch.float32}
    moved = found[0] - clean[0]
    assert (moved != 0).float().mean() > 0.99
    assert moved.std().item() == pytest.approx(1e-5, rel=0.3)


# --- settings and runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"sigma": 0.0}, {"sigma": -1.0}, {"sigma": 1.5}, {"distribution": "cauchy"}])
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HiddenNoise(**settings)


def test_dropout_beside_it_is_warned_of_with_what_turns_it_off(write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={"hidden_noise": {}}))
    (warning,) = [problem for problem in prepare(resolve(recipe).recipe).warnings if "hidden_noise" in problem.key]
    assert warning.key == "techniques.hidden_noise.sigma"
    assert "own dropout of 0.1" in warning.why
    switches = [f"{key}={value}" for change in warning.changes for key, value in change.settings.items()]
    assert sorted(switches) == ["techniques.dropout.attention=0", "techniques.dropout.hidden=0"]
    off = prepare(resolve(recipe, overrides=switches).recipe).warnings
    assert not [problem for problem in off if "hidden_noise" in problem.key]


def test_without_dropout_nothing_is_said(write_recipe: Write, still_model: Path) -> None:
    recipe = str(write_recipe(model=still_model, techniques={"hidden_noise": {}}))
    assert not [problem for problem in prepare(resolve(recipe).recipe).warnings if "hidden_noise" in problem.key]


def test_a_run_trains_on_noise_and_measures_without(write_recipe: Write, still_model: Path, tmp_path: Path) -> None:
    training = {"learning_rate": 1e-12}
    plain, noisy = Spy(), Spy()
    one = watch(write_recipe("plain", still_model, training=training), tmp_path / "plain", last=plain)
    recipe = write_recipe(model=still_model, training=training, techniques={"hidden_noise": {"sigma": 0.3}})
    two = watch(recipe, tmp_path / "noisy", last=noisy)
    apart = [float((a.logits - b.logits).abs().max()) for a, b in zip(plain.losses, noisy.losses, strict=True)]
    assert min(apart) > 1e-4
    for a, b in zip(one.record.history, two.record.history, strict=True):
        assert a.validation["nll"] == pytest.approx(b.validation["nll"], rel=1e-6)
