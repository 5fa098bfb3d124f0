"""Layer-wise learning-rate decay: each parameter's rate, in every step and every architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import PrivateAttr, ValidationError

from finetune.errors import ModelError
from finetune.techniques import Budget, Part, StepView
from finetune.techniques.llrd import LLRD
from tests.raising import refuses
from tests.running import train
from tests.techniques.models import tiny_folder, without_weights
from tests.techniques.watching import Spy, pretrained_weights, watch

Write = Callable[..., Path]
BUDGET = Budget("single_label", epochs=3, learning_rate=0.005, steps_per_epoch=6, warmup=0.1)


class RateSpy(Spy):
    """Writes down the learning rate of every parameter in every step."""

    _rates: list[dict[str, float]] = PrivateAttr(default_factory=list)

    @property
    def rates(self) -> list[dict[str, float]]:
        return self._rates

    def after_optimizer_step(self, step: StepView) -> None:
        self._rates.append({name: step.learning_rate_of(value) for name, value in step.parameters.items()})


def test_factors_by_depth() -> None:
    """Twelve layers: the embeddings have depth 0, the top layer 12, what follows and the head 13."""
    technique = LLRD(decay=0.9)
    expected = {0: 0.9**12, 1: 0.9**11, 11: 0.9, 12: 1.0, 13: 1.0}
    for depth, factor in expected.items():
        assert technique.rate_factor(Part(depth, 12, False), BUDGET) == pytest.approx(factor)
    assert technique.rate_factor(Part(13, 12, True), BUDGET) == 1.0
    for depth, factor in expected.items():
        assert LLRD(decay=0.9, top=2).rate_factor(Part(depth, 12, False), BUDGET) == pytest.approx(2 * factor)


def test_twice_the_rate_at_the_top_is_twice_the_recipe_s_rate(write_recipe: Write, tmp_path: Path) -> None:
    """Bit for bit, as the factor is a power of two."""
    technique = {"llrd": {"decay": 0.5, "top": 2.0}}
    by_top = watch(write_recipe(techniques=technique), tmp_path / "top").weights
    technique = {"llrd": {"decay": 0.5}}
    by_rate = watch(write_recipe(techniques=technique, training={"learning_rate": 0.01}), tmp_path / "rate").weights
    assert by_top.keys() == by_rate.keys()
    assert all(torch.equal(by_top[name], by_rate[name]) for name in by_top)


@pytest.mark.parametrize(
    ("architecture", "factors"),
    [
        (
            "bert",
            {
                "bert.embeddings.": 0.25,
                "bert.encoder.layer.0.": 0.5,
                "bert.encoder.layer.1.": 1.0,
                "bert.pooler.": 1.0,
                "classifier.": 1.0,
            },
        ),
        (
            "deberta-v2",
            {
                "deberta.embeddings.": 0.25,
                "deberta.encoder.rel_embeddings.": 0.25,
                "deberta.encoder.conv.": 0.25,
                "deberta.encoder.layer.0.": 0.5,
                "deberta.encoder.layer.1.": 1.0,
                "pooler.": 1.0,
                "classifier.": 1.0,
            },
        ),
        (
            "modernbert",
            {
                "model.embeddings.": 0.25,
                "model.layers.0.": 0.5,
                "model.layers.1.": 1.0,
                "model.final_norm.": 1.0,
                "head.": 1.0,
                "classifier.": 1.0,
            },
        ),
    ],
)
def test_every_parameter_of_a_run_has_the_rate_of_its_depth(
    write_recipe: Write, tmp_path: Path, architecture: str, factors: dict[str, float]
) -> None:
    spy = RateSpy()
    recipe = write_recipe(model=tiny_folder(architecture), techniques={"llrd": {"decay": 0.5}})
    watch(recipe, tmp_path / "run", last=spy)
    plain = [0.005 * step / 2 for step in range(2)] + [0.005 * (18 - step) / 16 for step in range(2, 18)]
    assert len(spy.rates) == 18
    for rate, rates in zip(plain, spy.rates, strict=True):
        for name, found in rates.items():
            (factor,) = (value for start, value in factors.items() if name.startswith(start))
            assert found == pytest.approx(rate * factor), name


def test_lower_layers_move_less_than_in_plain_training(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    runs = {
        name: watch(write_recipe(techniques=techniques), tmp_path / name).weights
        for name, techniques in {"plain": {}, "llrd": {"llrd": {"decay": 0.2}}}.items()
    }
    anchors = pretrained_weights(tiny_model)
    moves = {
        run: {name: float((weights[name] - start).norm()) for name, start in anchors.items()}
        for run, weights in runs.items()
    }
    for name in anchors:
        if name.endswith("key.bias"):
            continue
        if name.startswith(("bert.embeddings.", "bert.encoder.layer.0.")):
            assert moves["llrd"][name] < 0.5 * moves["plain"][name], name
        else:
            assert moves["llrd"][name] > 0.5 * moves["plain"][name], name


def test_it_multiplies_with_the_rate_of_adapters(write_recipe: Write, tmp_path: Path) -> None:
    spy = RateSpy()
    techniques = {"lora": {"learning_rate": 0.02}, "llrd": {"decay": 0.5}}
    watch(write_recipe(techniques=techniques), tmp_path / "run", last=spy)
    peaks = {name: max(rates[name] for rates in spy.rates) for name in spy.rates[0]}
    for name, peak in peaks.items():
        assert peak == pytest.approx(0.01 if ".layer.0." in name else 0.02), name
    assert any(".layer.0." in name for name in peaks)


def test_weights_stay_the_same_where_nothing_of_the_encoder_trains(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"freeze": {"layers": 1.0}, "llrd": {}})
    with refuses(ModelError, match=r"techniques\.llrd: would have no effect"):
        train(recipe, tmp_path / "run")


def test_the_rates_of_an_average_step_are_used_by_the_optimizer(write_recipe: Write, tmp_path: Path) -> None:
    """With SGD-like certainty: the first AdamW step of a weight is its learning rate times the sign of its gradient."""
    before, after = Spy(), Spy()
    recipe = write_recipe(techniques={"llrd": {"decay": 0.5}}, training={"warmup": 0.0})
    watch(recipe, tmp_path / "run", first=before, last=after)
    name = "bert.embeddings.LayerNorm.weight"
    start, done = before.before[0].values[name], after.after[0].values[name]
    expected = -0.25 * 0.005 * before.before[0].gradients[name].sign()
    torch.testing.assert_close(done - start, expected, rtol=1e-2, atol=1e-6)


def test_shared_layers_are_refused() -> None:
    with refuses(ModelError, match=r"techniques\.llrd: architecture 'albert' shares .*llrd=off"):
        without_weights(tiny_folder("albert"), LLRD())


def test_the_effect_shows_what_is_left_for_the_embeddings() -> None:
    assert LLRD(decay=0.9).effect(BUDGET) == (
        "learning rate of the embeddings × 0.531 below 6 layers, × 0.282 below 12 layers"
    )
    assert (
        LLRD(decay=0.9, top=2)
        .effect(BUDGET)
        .startswith("learning rate of head and top layer × 2, learning rate of the embeddings × 1.06 below 6 layers")
    )


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5, -0.5, True])
def test_settings_outside_their_range_are_refused(decay: Any) -> None:
    with pytest.raises(ValidationError, match="decay"):
        LLRD(decay=decay)
