"""Decoupled weight decay: the formula, its inverse, the schedule behind it, and a real run."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import TrainingArguments, get_linear_schedule_with_warmup

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget
from finetune.techniques.weight_decay import WeightDecay, cumulative_decay, strength_for
from tests.techniques.watching import EMBEDDINGS, UNUSED_ROWS, Spy, is_penalised, pretrained_weights, watch

Write = Callable[..., Path]


def budget(epochs: int = 10, steps_per_epoch: int | None = 100, rate: float = 5e-5, warmup: float = 0.1) -> Budget:
    return Budget("single_label", epochs, rate, steps_per_epoch, warmup)


def exact_shrink(strength: float, rates: list[float]) -> float:
    """1 − Π(1 − η λ) with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        left = Decimal(1)
        for rate in rates:
            left *= 1 - Decimal(rate) * Decimal(strength)
        return float(1 - left)


def transformers_rates(rate: float, warmup_steps: int, steps: int) -> list[float]:
    """The learning rates that transformers' own schedule hands to an optimizer."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup_steps, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


# --- the schedule -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps_per_epoch", "epochs", "warmup"),
    [(1, 1, 0.0), (1, 2, 0.1), (7, 3, 0.0), (7, 3, 0.1), (7, 3, 5.0), (100, 10, 0.06), (3, 4, 0.9)],
)
def test_learning_rates_are_those_of_transformers(steps_per_epoch: int, epochs: int, warmup: float) -> None:
    planned = budget(epochs, steps_per_epoch, 3e-4, warmup)
    expected = transformers_rates(3e-4, planned.warmup_steps, steps_per_epoch * epochs)
    assert planned.learning_rates() == pytest.approx(expected, rel=1e-14, abs=0)
    assert planned.learning_rate_sum == pytest.approx(sum(expected), rel=1e-12)


@pytest.mark.parametrize(("warmup", "expected"), [(0.0, 0), (0.1, 3), (0.05, 2), (1.0, 1), (7.0, 7)])
def test_warmup_is_a_share_below_one_and_a_number_from_one(warmup: float, expected: int, tmp_path: Path) -> None:
    """21 steps: 10 % are 2.1, rounded up as transformers does it."""
    planned = budget(epochs=3, steps_per_epoch=7, warmup=warmup)
    assert planned.warmup_steps == expected
    arguments = TrainingArguments(str(tmp_path), warmup_steps=warmup, use_cpu=True, report_to="none")
    assert arguments.get_warmup_steps(21) == expected


def test_a_run_uses_the_planned_learning_rates(write_recipe: Write, still_model: Path, tmp_path: Path) -> None:
    recipe = write_recipe(model=still_model, training={"epochs": 2, "warmup": 0.25})
    spy = Spy()
    run = watch(recipe, tmp_path / "run", last=spy)
    expected = transformers_rates(0.005, 3, 12)  # 48 rows in batches of 8, twice; a quarter of the steps rise
    assert [seen.rate for seen in spy.after] == pytest.approx(expected, rel=1e-12)
    assert run.prepared.budget.learning_rates() == pytest.approx(expected, rel=1e-12)


# --- the formula ------------------------------------------------------------------------------------------


def test_total_shrink_of_three_steps_by_hand() -> None:
    """1 − (1 − 0.1)(1 − 0.2) = 0.28, and a step of learning rate 0 takes nothing."""
    assert cumulative_decay(1.0, [0.1, 0.2, 0.0]) == pytest.approx(0.28, rel=1e-14)


@pytest.mark.parametrize("strength", [1e-6, 0.01, 10.0, 1000.0])
def test_total_shrink_is_what_adamw_takes_off_a_weight_without_gradient(strength: float) -> None:
    weight = nn.Parameter(torch.tensor([1.0, -3.0], dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=5e-4, weight_decay=strength)
    schedule = get_linear_schedule_with_warmup(optimizer, 4, 40)
    for _ in range(40):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        schedule.step()
    planned = budget(epochs=4, steps_per_epoch=10, rate=5e-4)
    left = 1 - cumulative_decay(strength, planned.learning_rates())
    assert weight.tolist() == pytest.approx([left, -3 * left], rel=1e-12)


def test_tiny_shrinks_keep_their_digits() -> None:
    """1 − Π(1 − x) as it stands would lose half of its digits."""
    rates = budget().learning_rates()
    assert cumulative_decay(1e-6, rates) == pytest.approx(exact_shrink(1e-6, rates), rel=1e-12, abs=0)


@pytest.mark.parametrize("shrink", [1e-6, 1e-3, 0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    "planned",
    [
        budget(),
        budget(epochs=1, steps_per_epoch=2, rate=0.1),
        budget(rate=1e-7, warmup=0.0),
        budget(warmup=0.9),
    ],
    ids=["usual", "two steps", "tiny rate", "late peak"],
)
def test_strength_for_inverts_total_shrink(shrink: float, planned: Budget) -> None:
    rates = planned.learning_rates()
    strength = strength_for(shrink, rates)
    assert exact_shrink(strength, rates) == pytest.approx(shrink, rel=1e-9, abs=0)
    assert strength * max(rates) < 1
    assert WeightDecay(total_shrink=shrink).decay_strength(planned) == strength


def test_a_given_strength_is_used_as_it_is() -> None:
    assert WeightDecay(strength=0.37).decay_strength(budget()) == 0.37


def test_effect_says_strength_and_shrink() -> None:
    """One step at the full learning rate of 0.1 takes 5 %, so λ is 0.5."""
    planned = budget(epochs=1, steps_per_epoch=1, rate=0.1, warmup=0.0)
    assert WeightDecay(total_shrink=0.05).effect(planned) == "λ = 0.5: cumulative weight decay 5.00 %"
    assert WeightDecay(strength=0.5).effect(planned) == "λ = 0.5: cumulative weight decay 5.00 %"


# --- a real run -------------------------------------------------------------------------------------------


def test_a_run_shrinks_weights_without_gradient_by_exactly_the_total(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    """Word embeddings of tokens that never occur have no gradient: decay alone moves them."""
    recipe = write_recipe(techniques={"weight_decay": {"total_shrink": 0.3}})
    run = watch(recipe, tmp_path / "run")
    before = pretrained_weights(tiny_model)[EMBEDDINGS][UNUSED_ROWS]
    assert before.abs().min() > 0
    torch.testing.assert_close(run.weights[EMBEDDINGS][UNUSED_ROWS], 0.7 * before, rtol=1e-5, atol=0)


def test_biases_and_normalisation_weights_are_not_decayed(write_recipe: Write, tmp_path: Path) -> None:
    spy = Spy()
    watch(write_recipe(techniques={"weight_decay": {"strength": 3.0}}), tmp_path / "run", last=spy)
    expected = {name: 3.0 if is_penalised(name) else 0.0 for name in spy.after[0].decay}
    assert set(expected.values()) == {0.0, 3.0}
    assert spy.after[0].decay == expected


def test_without_the_technique_nothing_is_decayed(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    run = watch(write_recipe(), tmp_path / "run")
    before = pretrained_weights(tiny_model)[EMBEDDINGS][UNUSED_ROWS]
    torch.testing.assert_close(run.weights[EMBEDDINGS][UNUSED_ROWS], before, rtol=0, atol=0)


# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"strength": 0.01, "total_shrink": 0.02}])
def test_exactly_one_of_strength_and_total_shrink_is_asked_for(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="give either strength or total_shrink"):
        WeightDecay(**settings)


@pytest.mark.parametrize("settings", [{"strength": 0.0}, {"strength": -1.0}, {"total_shrink": 0.0}])
def test_a_decay_of_nothing_or_less_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        WeightDecay(**settings)


def test_a_total_shrink_of_everything_is_refused() -> None:
    with pytest.raises(ValidationError, match="less than 1"):
        WeightDecay(total_shrink=1.0)


def test_the_usual_strength_is_warned_about_as_negligible() -> None:
    """λ = 0.01 at 5e-5 over 1000 steps: 0.01 · Σ η = 0.01 · 5e-5 · 500 = 0.025 %."""
    (warning,) = WeightDecay(strength=0.01).warnings(budget(warmup=0.0))
    assert (warning.key, warning.found) == (".strength", 0.01)
    assert "0.03 %" in warning.why
    assert "1000 steps" in warning.why


@pytest.mark.parametrize(("strength", "warned"), [(0.0399, True), (0.0402, False)])
def test_the_warning_ends_at_a_tenth_of_a_percent(strength: float, warned: bool) -> None:
    """Σ η = 5e-5 · 1001/2 without warm-up: in first order λ = 0.001 / 0.025025 = 0.03996 takes 0.1 %."""
    assert bool(WeightDecay(strength=strength).warnings(budget(warmup=0.0))) is warned


def test_no_warning_for_a_total_shrink_or_while_steps_are_unknown() -> None:
    assert WeightDecay(total_shrink=1e-5).warnings(budget()) == []
    assert WeightDecay(strength=1e-5).warnings(budget(steps_per_epoch=None)) == []


@pytest.mark.parametrize(("strength", "refused"), [(1.99, False), (2.0, True), (300.0, True)])
def test_a_strength_that_turns_weights_over_is_refused(strength: float, refused: bool) -> None:
    """At learning rate 0.5 a strength of 2 takes all of a weight in one step, more of it changes the sign."""
    problems = WeightDecay(strength=strength).problems(budget(rate=0.5))
    assert bool(problems) is refused
    assert all(problem.key == ".strength" for problem in problems)


def test_the_recipe_names_file_and_key_of_a_strength_that_turns_weights_over(write_recipe: Write) -> None:
    recipe = write_recipe(techniques={"weight_decay": {"strength": 200.0}})  # learning rate 0.005
    with pytest.raises(RecipeError, match=r"tiny\.yaml: techniques\.weight_decay\.strength: 200 × .* 0\.005"):
        resolve(str(recipe))


def test_a_negligible_strength_reaches_the_record_as_a_warning(write_recipe: Write, tmp_path: Path) -> None:
    run = watch(write_recipe(techniques={"weight_decay": {"strength": 1e-4}}), tmp_path / "run")
    assert [text for text in run.record.warnings if text.startswith("techniques.weight_decay.strength: 0.0001 ")]


@pytest.mark.parametrize("other", ["train_only", "lora", "head_first"])
def test_a_strength_too_large_for_a_part_with_its_own_learning_rate_is_refused(write_recipe: Write, other: str) -> None:
    """λ = 2,000 is bearable at the recipe's 1e-4 and turns weights over at the 3e-4 or 1e-3 of these."""
    small = {"learning_rate": 1e-4}
    alone = {"weight_decay": {"strength": 2000.0}}
    data = {"train_size": 48, "task": "single_label"}
    resolve(str(write_recipe(training={"epochs": 5, **small}, data=data, techniques=alone)))
    settings = {"learning_rate": 6e-4} if other == "lora" else {}
    beside = write_recipe(training={"epochs": 5, **small}, data=data, techniques={**alone, other: settings})
    with pytest.raises(RecipeError, match="removes a whole weight"):
        resolve(str(beside))
