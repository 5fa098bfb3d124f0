"""SWA: which epochs are averaged, the plain mean, and the floor of the learning rate. In runs: test_averaging.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.techniques import Budget, Part
from finetune.techniques.swa import SWA
from finetune.training.prepare import prepare
from tests.running import assert_same_weights, train
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
ANYWHERE = Part(depth=1, layers=2, is_head=False)


def budget(epochs: int = 10, steps_per_epoch: int | None = 7, warmup: float = 0.1) -> Budget:
    return Budget("single_label", epochs, 5e-5, steps_per_epoch, warmup)


def averaged_epochs(technique: SWA, epochs: int) -> list[int]:
    return [epoch for epoch in range(1, epochs + 1) if technique.averaging_rate(7 * epoch, budget(epochs)) > 0]


# --- which epochs, and their mean -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "epochs", "expected"),
    [
        (0.5, 10, [6, 7, 8, 9, 10]),  # as Na et al. 2022 have it
        (0.5, 5, [3, 4, 5]),
        (0.0, 3, [1, 2, 3]),
        (0.7, 10, [8, 9, 10]),  # 0.7 · 10 is 7.000000000000001
        (0.29, 100, list(range(30, 101))),  # 0.29 · 100 is 28.999999999999996
        (0.3, 10, [4, 5, 6, 7, 8, 9, 10]),
    ],
)
def test_the_last_epochs_are_averaged(start: float, epochs: int, expected: list[int]) -> None:
    assert averaged_epochs(SWA(start=start), epochs) == expected


def test_the_shares_make_a_plain_mean_of_epoch_ends() -> None:
    technique, values = SWA(start=0.4), np.random.default_rng(0).normal(size=70)
    average = None
    for step in range(1, 71):
        share = technique.averaging_rate(step, budget())
        if share and average is None:
            assert (step, share) == (35, 1.0)
            average = 0.0
        if average is not None:
            average += share * (values[step - 1] - average)
    assert average == pytest.approx(np.mean([values[7 * epoch - 1] for epoch in range(5, 11)]), rel=1e-12)


def test_between_epoch_ends_nothing_is_averaged() -> None:
    assert all(SWA(start=0.0).averaging_rate(step, budget()) == 0 for step in range(1, 70) if step % 7)


# --- the floor --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("floor", [0.05, 0.2, 0.6, 1.0])
def test_the_rate_falls_no_lower_than_the_floor_while_averaging(floor: float) -> None:
    technique, planned = SWA(floor=floor), budget()
    for step, plain in enumerate(planned.learning_rates()):
        asked = technique.schedule(ANYWHERE, step, planned)
        rate = plain if asked is None else asked
        expected = max(plain, floor * 5e-5) if step >= 35 else plain
        assert rate == pytest.approx(expected, rel=1e-12)
        assert asked != 0.0, "an exact 0 would put the part to rest"


def test_without_a_floor_the_recipes_schedule_stays(write_recipe: Write, tmp_path: Path) -> None:
    """Floor 0 and start 0: the first warm-up step has a rate of 0, which must not be taken for a rest."""
    technique = SWA(start=0.0, floor=0.0)
    assert {technique.schedule(ANYWHERE, step, budget()) for step in range(70)} == {None}
    plain, ours = Spy(), Spy()
    watch(write_recipe("plain"), tmp_path / "plain", last=plain)
    watch(write_recipe(techniques={"swa": {"start": 0.0, "floor": 0.0}}), tmp_path / "swa", last=ours)
    for one, two in zip(plain.after, ours.after, strict=True):
        assert two.rate == pytest.approx(one.rate, rel=1e-12)
        for name, value in one.values.items():
            np.testing.assert_allclose(two.values[name].numpy(), value.numpy(), rtol=0, atol=1e-6)


def test_a_run_keeps_its_rates_above_the_floor(write_recipe: Write, tmp_path: Path) -> None:
    spy = Spy()
    run = watch(write_recipe(techniques={"swa": {"start": 0.4, "floor": 0.4}}), tmp_path / "run", last=spy)
    plain = [0.005 * step / 2 for step in range(2)] + [0.005 * (18 - step) / 16 for step in range(2, 18)]
    expected = [max(rate, 0.002) if step >= 6 else rate for step, rate in enumerate(plain)]
    assert min(expected[6:]) == 0.002
    assert [seen.rate for seen in spy.after] == pytest.approx(expected, rel=1e-9)
    assert run.record.techniques["swa"].effect == "mean of epochs 2 to 3, learning rate at least 0.002 in them"


def test_until_averaging_begins_nothing_changes(write_recipe: Write, tmp_path: Path) -> None:
    plain, ours = Spy(), Spy()
    watch(write_recipe("plain"), tmp_path / "plain", last=plain)
    watch(write_recipe(techniques={"swa": {"start": 0.4}}), tmp_path / "swa", last=ours)
    for one, two in zip(plain.after[:6], ours.after[:6], strict=True):
        for name, value in one.values.items():
            np.testing.assert_allclose(two.values[name].numpy(), value.numpy(), rtol=0, atol=1e-6)


def test_the_mean_ships(write_recipe: Write, tmp_path: Path) -> None:
    spy = Spy()
    run = watch(write_recipe(techniques={"swa": {"start": 0.4}}), tmp_path / "run", last=spy)
    for name, value in run.weights.items():
        expected = (spy.after[11].values[name].double() + spy.after[17].values[name].double()) / 2
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=0, atol=2e-7)


def test_halves_of_a_batch_take_the_steps_of_a_whole_one(
    write_recipe: Write, still_model: Path, tmp_path: Path
) -> None:
    swa = {"swa": {"start": 0.4}}
    for parts in (1, 2):
        train(
            write_recipe(f"{parts}", still_model, techniques=swa, training={"accumulation": parts}),
            tmp_path / f"{parts}",
        )
    assert_same_weights(tmp_path / "1", tmp_path / "2", tolerance=1e-5)


# --- what it refuses and warns of -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "epochs", "advice"),
    [
        (0.5, 2, {".start": 0.0}),
        (0.9, 10, {".start": 0.8}),
        (0.7, 3, {".start": 0.33}),
        (0.5, 1, {"": "off"}),
        (0.0, 1, {"": "off"}),
    ],
)
@pytest.mark.parametrize("steps", [7, None])
def test_fewer_than_two_epochs_to_average_are_refused(
    start: float, epochs: int, advice: dict[str, Any], steps: int | None
) -> None:
    (problem,) = SWA(start=start).problems(budget(epochs, steps))
    assert problem.key == ".start"
    assert "leaves 1 to average" in problem.why
    assert [change.settings for change in problem.changes] == [advice]
    if ".start" in advice:
        assert SWA(start=advice[".start"]).problems(budget(epochs, steps)) == []


def test_a_recipe_with_too_few_epochs_is_refused_before_training(write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={"swa": {"start": 0.9}}))
    with pytest.raises(RecipeError, match=r"techniques\.swa\.start: 0\.9 of 3 epochs leaves 1"):
        resolve(recipe)
    assert prepare(resolve(recipe, overrides=["techniques.swa.start=0.33"]).recipe).recipe.techniques


def test_averaging_while_the_rate_still_rises_is_warned_of() -> None:
    (warning,) = SWA(start=0.0).warnings(budget())
    assert "ends at step 7" in warning.why
    assert (
        SWA(start=0.1).warnings(budget()) == SWA().warnings(budget()) == SWA(start=0.0).warnings(budget(10, None)) == []
    )


@pytest.mark.parametrize("settings", [{"start": -0.1}, {"start": 1.0}, {"floor": -0.1}, {"floor": 1.1}])
def test_values_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SWA(**settings)


def test_early_stopping_may_select_plain_weights_before_averaging(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured is what ships: the first epochs of this run are evaluated, and may be best, without a mean."""
    monkeypatch.setattr("finetune.training.building.beats_trivial", lambda *_: True)  # so that patience counts
    spy = Spy()
    techniques = {"swa": {"start": 0.7}, "early_stopping": {"metric": "loss", "patience": 1, "min_delta": 0.5}}
    run = watch(write_recipe(techniques=techniques, training={"epochs": 8}), tmp_path / "run", last=spy)
    assert run.record.selected is not None
    assert run.record.last is not None
    assert run.record.last.step == 12
    for name, value in run.weights.items():
        np.testing.assert_array_equal(value.numpy(), spy.after[run.record.selected.step - 1].values[name].numpy())
