"""LayerDrop: how often a layer is skipped, what then goes on, and that every parameter keeps a gradient."""

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
from finetune.techniques.layer_drop import LayerDrop, kept_or_skipped
from finetune.training.checkpoints import MARKER
from tests.conftest import ARCHITECTURES, tiny_config
from tests.raising import refuses
from tests.running import train
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
LAYERED = [name for name in ARCHITECTURES if name != "albert"]
BATCH = {
    "input_ids": torch.tensor([[2, 11, 12, 3], [2, 17, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
}
NO_DROPOUT: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def build(architecture: str = "bert", probability: float | None = None, **changes: Any) -> Any:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(tiny_config(architecture, **changes))
    if probability is not None:
        LayerDrop(probability=probability).prepare_model(model)
    return model


def first_tensor(found: Any) -> torch.Tensor:
    return found[0] if isinstance(found, tuple) else found


class Flow:
    """What enters and leaves each layer, seen by hooks that come after all others."""

    def __init__(self, model: Any) -> None:
        self.entered: list[torch.Tensor] = []
        self.left: list[torch.Tensor] = []
        self._hooks: list[Any] = []
        for layer in encoder_layers(model).values():
            self._hooks.append(layer.register_forward_hook(self._see, with_kwargs=True))

    def _see(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        self.entered.append((args[0] if args else kwargs["hidden_states"]).detach())
        self.left.append(first_tensor(output).detach())

    def skipped(self) -> list[bool]:
        return [torch.equal(one, two) for one, two in zip(self.entered, self.left, strict=True)]


# --- the choice -------------------------------------------------------------------------------------------------


def test_a_skipped_layer_hands_on_what_it_was_given_exactly() -> None:
    hidden, output = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    assert torch.equal(kept_or_skipped(hidden, output, torch.tensor(True)), hidden)
    assert torch.equal(kept_or_skipped(hidden, output, torch.tensor(False)), output)


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_what_is_not_used_cannot_spoil_what_is(bad: float) -> None:
    hidden, output = torch.ones(2, 3, requires_grad=True), torch.full((2, 3), bad, requires_grad=True)
    found = kept_or_skipped(hidden, output, torch.tensor(True))
    found.sum().backward()
    assert found.tolist() == [[1.0] * 3] * 2
    assert hidden.grad is not None
    assert output.grad is not None
    assert (hidden.grad.tolist(), output.grad.tolist()) == ([[1.0] * 3] * 2, [[0.0] * 3] * 2)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
def test_each_layer_is_skipped_with_its_probability_and_on_its_own(probability: float) -> None:
    model = build(probability=probability, **NO_DROPOUT).train()
    torch.manual_seed(1)
    flow = Flow(model)
    passes = 400
    with torch.no_grad():
        for _ in range(passes):
            model(**BATCH)
    first, second = flow.skipped()[::2], flow.skipped()[1::2]
    for layer in (first, second):
        assert stats.binomtest(sum(layer), passes, probability).pvalue > 0.01
    both = sum(a and b for a, b in zip(first, second, strict=True))
    assert stats.binomtest(both, passes, probability**2).pvalue > 0.01


def test_it_draws_from_torchs_generator_which_checkpoints_hold() -> None:
    model = build(probability=0.5, **NO_DROPOUT).train()
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append([model(**BATCH).logits for _ in range(8)])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))
    assert len({str(logits.tolist()) for logits in found[0]}) > 2


# --- in a model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", LAYERED)
def test_every_architecture_skips_and_every_parameter_keeps_a_gradient(architecture: str) -> None:
    """Both layers skipped: the head sits on the embeddings. Several processes need a gradient of each parameter."""
    model = build(architecture, probability=0.999999).train()
    plain = build(architecture).train()
    torch.manual_seed(0)
    flow = Flow(model)
    model(**BATCH).logits.sum().backward()
    plain(**BATCH).logits.sum().backward()
    assert flow.skipped() == [True, True]
    usual = {name for name, value in plain.named_parameters() if value.grad is not None}
    ours = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert ours.keys() == usual
    layers = tuple(encoder_layers(model))
    in_layers = [grad for name, grad in ours.items() if name.startswith(layers)]
    assert in_layers
    assert not any(grad.any() for grad in in_layers)
    assert all(bool(grad.isfinite().all()) for grad in ours.values())
    assert any(grad.any() for name, grad in ours.items() if "embeddings" in name)


@pytest.mark.parametrize("architecture", LAYERED)
def test_measurement_uses_all_layers(architecture: str) -> None:
    plain, dropping = build(architecture).eval(), build(architecture, probability=0.999999).eval()
    with torch.no_grad():
        assert torch.equal(plain(**BATCH).logits, dropping(**BATCH).logits)


def test_a_pass_that_skips_nothing_is_the_plain_pass() -> None:
    plain, dropping = build(**NO_DROPOUT).train(), build(probability=1e-9, **NO_DROPOUT).train()
    assert torch.equal(plain(**BATCH).logits, dropping(**BATCH).logits)


def test_bf16_passes_skip_too() -> None:
    model = build(probability=0.999999, **NO_DROPOUT).train()
    flow = Flow(model)
    with torch.autocast("cpu", torch.bfloat16):
        model(**BATCH).logits.float().sum().backward()
    assert flow.skipped() == [True, True]


def test_layers_that_share_their_weights_are_refused() -> None:
    with refuses(ModelError, match=r"techniques\.layer_drop: .*albert.*techniques\.layer_drop=off"):
        build("albert", probability=0.1)


def test_a_model_without_weights_is_prepared_too() -> None:
    LayerDrop().prepare_model(build_without_weights(tiny_config("bert")))


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1])
def test_values_out_of_range_are_refused(probability: float) -> None:
    with pytest.raises(ValidationError):
        LayerDrop(probability=probability)


# --- in a run ---------------------------------------------------------------------------------------------------


def test_a_run_skips_layers_and_measures_with_all(write_recipe: Write, still_model: Path, tmp_path: Path) -> None:
    training = {"learning_rate": 1e-12}
    plain, dropping = Spy(), Spy()
    one = watch(write_recipe("plain", still_model, training=training), tmp_path / "plain", last=plain)
    recipe = write_recipe(model=still_model, training=training, techniques={"layer_drop": {"probability": 0.5}})
    two = watch(recipe, tmp_path / "dropping", last=dropping)
    apart = [float((a.logits - b.logits).abs().max()) for a, b in zip(plain.losses, dropping.losses, strict=True)]
    changed = sum(found > 1e-7 for found in apart)
    assert stats.binomtest(changed, len(apart), 0.75).pvalue > 0.01  # neither layer skipped: a quarter of the passes
    for a, b in zip(one.record.history, two.record.history, strict=True):
        assert a.validation["nll"] == pytest.approx(b.validation["nll"], rel=1e-6)


def test_it_goes_with_other_noise(write_recipe: Write, tmp_path: Path) -> None:
    techniques = {
        "layer_drop": {"probability": 0.5},
        "hidden_noise": {"sigma": 0.1},
        "neftune": {},
        "r_drop": {},
        "fgm": {},
    }
    record = train(write_recipe(techniques=techniques, training={"epochs": 1}), tmp_path / "run")
    assert record.status == "finished"
    assert not list((tmp_path / "run").rglob(MARKER))
