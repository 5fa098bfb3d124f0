"""Whole models with kernels: the same figures, the same files; and models that must be left alone."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.kernels.head import output_map
from finetune.kernels.install import install_kernels
from finetune.models.dropout import dropout_sites
from finetune.techniques.layer_drop import LayerDrop
from tests.running import assert_same_weights, train
from tests.techniques.models import loaded, tiny_folder

Write = Callable[..., Path]
FIRST_TOKEN = ["bert", "roberta", "xlm-roberta", "camembert", "electra"]
OTHERS = ["distilbert", "mpnet", "modernbert", "deberta-v2", "albert"]


def still(architecture: str) -> Any:
    """A tiny model without dropout, so that both ways can be compared."""
    model = loaded(tiny_folder(architecture))
    for module in model.modules():
        if isinstance(getattr(module, "p", None), float):
            module.p = 0.0
        for name, value in vars(module).items():
            if name.endswith("dropout") and isinstance(value, float):
                setattr(module, name, 0.0)
    return model


def batch() -> dict[str, Any]:
    ids = torch.tensor([[2, 11, 12, 13, 14, 3], [2, 17, 18, 3, 0, 0]])
    seen = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    return {"input_ids": ids, "attention_mask": seen}


def logits_and_gradients(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    logits = model(**batch()).logits
    model.zero_grad()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    return logits.detach(), {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("architecture", FIRST_TOKEN + OTHERS)
def test_logits_and_gradients_are_those_of_the_plain_model(architecture: str, training: bool) -> None:
    plain, fast = still(architecture).train(training), still(architecture).train(training)
    installed = install_kernels(fast, is_read_elsewhere=False, bf16=False)
    assert ("first_token" in installed) == (architecture in FIRST_TOKEN)
    (one, plain_gradients), (two, fast_gradients) = logits_and_gradients(plain), logits_and_gradients(fast)
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6)
    for name, gradient in plain_gradients.items():
        found = fast_gradients.get(name, torch.zeros_like(gradient))
        assert torch.allclose(found, gradient, rtol=1e-4, atol=1e-6), name
    assert any(gradient.abs().max() > 1e-4 for gradient in plain_gradients.values())


@pytest.mark.parametrize("architecture", FIRST_TOKEN + OTHERS)
def test_in_bf16_logits_are_fp32_and_all_is_nearer_to_the_exact(architecture: str) -> None:
    """Far from 0, as numbers may be: bf16 has steps of 1/2 there."""
    exact, plain, fast = (still(architecture).train() for _ in range(3))
    for model in (exact, plain, fast):
        with torch.no_grad():
            head = output_map(model)
            assert head is not None
            head.bias.add_(100.0)
    assert "fp32_logits" in install_kernels(fast, is_read_elsewhere=False, bf16=True)
    expected, expected_gradients = logits_and_gradients(exact)
    with torch.autocast("cpu", torch.bfloat16):
        (one, plain_gradients), (two, fast_gradients) = logits_and_gradients(plain), logits_and_gradients(fast)
    assert one.dtype == torch.bfloat16
    assert two.dtype == torch.float32
    assert (two - expected).abs().max() < 0.02
    assert (two - expected).abs().max() < (one.float() - expected).abs().max()

    def error(gradients: dict[str, torch.Tensor]) -> float:
        errors = (gradients.get(name, torch.zeros(1)) - value for name, value in expected_gradients.items())
        return math.sqrt(sum(float(error.square().sum()) for error in errors))

    assert error(fast_gradients) < error(plain_gradients)


def test_the_last_layer_has_no_other_token_to_be_misread() -> None:
    model = loaded(tiny_folder("bert"))
    install_kernels(model, is_read_elsewhere=False, bf16=False)
    assert model.base_model(**batch()).last_hidden_state.shape[1] == 1


def test_all_tokens_are_computed_where_something_else_may_read_them() -> None:
    read_by_own_code = loaded(tiny_folder("bert"))
    assert "first_token" not in install_kernels(read_by_own_code, is_read_elsewhere=True, bf16=False)
    with_layers_that_rest = loaded(tiny_folder("bert"), LayerDrop(probability=0.5))
    assert "first_token" not in install_kernels(with_layers_that_rest, is_read_elsewhere=False, bf16=False)
    for model in (read_by_own_code, with_layers_that_rest):
        assert model.base_model(**batch()).last_hidden_state.shape[1] == 6


def test_every_dropout_is_still_seen_with_its_probability() -> None:
    plain, fast = loaded(tiny_folder("bert")), loaded(tiny_folder("bert"))
    install_kernels(fast, is_read_elsewhere=False, bf16=False)
    assert dropout_sites(fast) == dropout_sites(plain)
    assert dropout_sites(plain)


def test_a_run_is_the_same_up_to_rounding_where_nothing_is_random(
    write_recipe: Write, still_model: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(model=still_model, training={"learning_rate": 0.001})
    fast = train(recipe, tmp_path / "fast")
    plain = train(recipe, tmp_path / "plain", overrides=["training.kernels=plain"])
    assert fast.model.kernels == ["dropout", "attention", "first_token"]
    assert plain.model.kernels == []
    assert_same_weights(tmp_path / "fast", tmp_path / "plain", tolerance=1e-5)
    for one, two in zip(fast.history, plain.history, strict=True):
        assert one.validation["nll"] == pytest.approx(two.validation["nll"], rel=1e-4)
        assert one.objective == pytest.approx(two.objective, rel=1e-4)


def test_what_is_saved_is_the_plain_model(write_recipe: Write, tmp_path: Path) -> None:
    for kernels in ("fast", "plain"):
        train(write_recipe(), tmp_path / kernels, overrides=[f"training.kernels={kernels}"])
    configs = [json.loads((tmp_path / kind / "model" / "config.json").read_text()) for kind in ("fast", "plain")]
    assert configs[0] == configs[1]
    assert configs[0]["architectures"] == ["BertForSequenceClassification"]
