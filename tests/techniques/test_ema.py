"""EMA: the bias-corrected share, its two ways of being asked for, and what it refuses. In runs: test_averaging.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.techniques import TECHNIQUES, Budget
from finetune.techniques.ema import EMA, corrected_rate
from finetune.training.prepare import prepare
from tests.raising import typed
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]


def budget(steps_per_epoch: int | None = 64, epochs: int = 10) -> Budget:
    return Budget("single_label", epochs, 5e-5, steps_per_epoch, 0.1)


# --- the share --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.01, 0.5, 0.9, 0.99, 0.99999])
def test_the_share_turns_a_running_update_into_the_closed_form(decay: float) -> None:
    """(1 − β) Σ β^(t−i) w_i / (1 − β^t), by powers and by Adam's way: biased average over its own bias."""
    values = np.random.default_rng(0).normal(3.0, 1.0, size=200)
    average = biased = 0.0
    for step, value in enumerate(values, start=1):
        average += corrected_rate(decay, step) * (value - average)
        powers = decay ** (step - np.arange(1, step + 1))
        assert average == pytest.approx((powers * values[:step]).sum() / powers.sum(), rel=1e-9)
        biased = decay * biased + (1 - decay) * value
        assert average == pytest.approx(biased / (1 - decay**step), rel=1e-9)


@pytest.mark.parametrize("decay", [0.1, 0.3, 0.9, 0.98, 0.995, 0.999999])
def test_the_first_share_is_exactly_one_and_the_last_is_one_minus_decay(decay: float) -> None:
    assert corrected_rate(decay, 1) == 1.0
    assert corrected_rate(decay, 10**9) == pytest.approx(1 - decay, rel=1e-12)


def test_the_average_of_equal_weights_is_that_weight() -> None:
    """No zero and no pretrained weight is mixed in."""
    average = -7.0
    for step in range(1, 20):
        average += corrected_rate(0.9, step) * (2.5 - average)
    assert average == pytest.approx(2.5, rel=1e-14)


# --- settings ---------------------------------------------------------------------------------------------------


def test_by_default_the_horizon_is_a_tenth_of_the_run() -> None:
    technique = EMA()
    assert (technique.decay, technique.horizon) == (None, 0.1)
    assert technique._horizon_steps(budget()) == 64
    assert technique.averaging_rate(10**6, budget()) == pytest.approx(1 / 64)
    assert technique.effect(budget()) == "β = 0.9844: a horizon of 64 of 640 steps"
    assert technique.problems(budget()) == technique.warnings(budget()) == []


def test_a_decay_takes_the_place_of_the_default_horizon() -> None:
    technique = EMA(decay=0.99)
    assert (technique.decay, technique.horizon) == (0.99, None)
    assert technique.averaging_rate(7, budget()) == pytest.approx(0.01 / (1 - 0.99**7), rel=1e-9)
    assert technique.effect(budget()) == "β = 0.99: a horizon of 100 of 640 steps"
    assert EMA.model_validate(technique.model_dump()) == technique


def test_while_the_number_of_steps_is_unknown_only_a_decay_can_be_said() -> None:
    unknown = budget(None)
    assert EMA().effect(unknown) is None
    assert EMA(decay=0.9).effect(unknown) == "β = 0.9: a horizon of 10 steps"
    for technique in (EMA(), EMA(decay=0.9)):
        assert technique.problems(unknown) == technique.warnings(unknown) == []


@pytest.mark.parametrize(
    "settings",
    [{"decay": 0.9, "horizon": 0.1}, {"decay": None, "horizon": None}, {"horizon": None}],
)
def test_both_and_none_are_refused(settings: dict[str, float | None]) -> None:
    with pytest.raises(ValidationError, match="either horizon or decay"):
        EMA(**settings)


@pytest.mark.parametrize(
    "settings", [{"decay": 0.0}, {"decay": 1.0}, {"horizon": 0.0}, {"horizon": 1.0}, {"decay": -1}]
)
def test_strengths_that_do_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        EMA(**settings)


def test_a_preset_with_a_horizon_is_overridden_by_naming_both(write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={"ema": {"horizon": 0.3}}))
    with pytest.raises(RecipeError, match="either horizon or decay, the other null"):
        resolve(recipe, overrides=["techniques.ema.decay=0.9"])
    both = ["techniques.ema.decay=0.9", "techniques.ema.horizon=null"]
    assert resolve(recipe, overrides=both).recipe.techniques == {"ema": EMA(decay=0.9)}


# --- what it refuses and warns of -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("technique", "steps", "key", "advice"),
    [
        (EMA(), 19, "horizon", {".horizon": 0.2}),
        (EMA(), 6, "horizon", {".horizon": 0.5}),
        (EMA(), 2, "horizon", {"": "off"}),
        (EMA(decay=0.4), 100, "decay", {".decay": None, ".horizon": 0.1}),
        (EMA(decay=0.99), 100, "decay", {".decay": None, ".horizon": 0.1}),
        (EMA(decay=0.999), 640, "decay", {".decay": None, ".horizon": 0.1}),
    ],
)
def test_an_average_of_one_value_or_of_the_whole_run_is_refused(
    technique: EMA, steps: int, key: str, advice: dict[str, Any]
) -> None:
    (problem,) = technique.problems(budget(steps, 1))
    assert problem.key == f".{key}"
    assert [change.settings for change in problem.changes] == [advice]


@pytest.mark.parametrize(("steps", "horizon"), [(20, 0.1), (10, 0.2), (1000, 0.002)])
def test_two_steps_are_enough(steps: int, horizon: float) -> None:
    assert EMA(horizon=horizon).problems(budget(steps, 1)) == []


@pytest.mark.parametrize(
    ("technique", "steps", "said"),
    [
        (EMA(horizon=0.2), 640, False),
        (EMA(horizon=0.21), 640, True),
        (EMA(decay=0.99), 500, False),
        (EMA(decay=0.99), 499, True),
        (EMA(decay=0.99), 101, True),
    ],
)
def test_a_long_horizon_is_warned_of(technique: EMA, steps: int, said: bool) -> None:
    warnings = technique.warnings(budget(steps, 1))
    assert bool(warnings) == said
    assert all("early in training" in warning.why for warning in warnings)


def test_what_it_advises_is_accepted(write_recipe: Write) -> None:
    """18 steps: a tenth of them is less than two."""
    recipe = str(write_recipe(techniques={"ema": {}}))
    with pytest.raises(RecipeError, match=r"techniques\.ema\.horizon: a horizon of 1\.8 of 18 steps") as caught:
        prepare(resolve(recipe).recipe)
    advised = typed(caught.value).rpartition("--set ")[2]
    assert prepare(resolve(recipe, overrides=[advised]).recipe).recipe.techniques["ema"] == EMA(horizon=0.2)


def test_two_averages_fight_over_what_ships(write_recipe: Write) -> None:
    with pytest.raises(RecipeError, match="conflicts with ema: both control the exported weights"):
        resolve(str(write_recipe(techniques={"ema": {}, "swa": {}})))


# --- in a run ---------------------------------------------------------------------------------------------------


def test_a_run_ships_the_bias_corrected_average_of_its_own_horizon(write_recipe: Write, tmp_path: Path) -> None:
    spy = Spy()
    run = watch(write_recipe(techniques={"ema": {"decay": 0.75}}), tmp_path / "run", last=spy)
    powers = np.array([0.75 ** (18 - step) for step in range(1, 19)])
    for name, value in run.weights.items():
        steps = np.stack([seen.values[name].double().numpy() for seen in spy.after])
        expected = np.tensordot(powers / powers.sum(), steps, axes=1)
        np.testing.assert_allclose(value.numpy(), expected, rtol=0, atol=2e-7)
    assert run.record.techniques["ema"].effect == "β = 0.75: a horizon of 4 of 18 steps"
    assert run.record.techniques["ema"].settings == {"decay": 0.75, "horizon": None}
    assert TECHNIQUES["ema"] is EMA
