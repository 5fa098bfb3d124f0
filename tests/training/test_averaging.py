"""A running average of the weights: its arithmetic, and that it is what a run measures, selects, keeps and ships.

With two processes: test_interpolation.py.
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from finetune.data.train_set import Collator
from finetune.recipe import resolve
from finetune.records.schema import FinishedRecord, RunRecord
from finetune.records.store import RunFolder
from finetune.techniques import Budget, Technique
from finetune.training.averaging import FILE, WeightAverage
from finetune.training.prepare import prepare
from finetune.training.refit import refitted
from finetune.training.runner import run_seed
from tests.interrupting import InterruptAt, killed, timeless
from tests.running import assert_same_weights, train, weights
from tests.techniques.watching import Spy, Watched, watch

Write = Callable[..., Path]
EMA: dict[str, Any] = {"ema": {"horizon": 0.2}}  # of 18 steps: β = 1 − 1/3.6
SWA: dict[str, Any] = {"swa": {"start": 0.4}}  # of 3 epochs: the last two
STEPS, EPOCH = 18, 6  # 48 rows in batches of 8, three epochs
LEARNING = {"learning_rate": 0.01, "epochs": 10}  # enough for weights to differ in what they predict
LATE = {"learning_rate": 0.02, "epochs": 16}  # enough to overfit: the best average is not the last

every_average = pytest.mark.parametrize("technique", [EMA, SWA], ids=["ema", "swa"])


def closed_form(
    technique: Mapping[str, Any], seen: list[dict[str, Tensor]], step: int, epochs: int = 3, steps: int = STEPS
) -> dict[str, Tensor]:
    """The average after a step, in float64, from the weights after every step; those themselves before it begins."""
    epoch = steps // epochs
    if "ema" in technique:
        beta = technique["ema"].get("decay", 1 - 1 / (0.2 * steps))
        shares = {index: beta ** (step - index) for index in range(1, step + 1)}
    else:
        plain = int(0.4 * epochs) * epoch
        shares = dict.fromkeys(range(plain + epoch, step + 1, epoch), 1.0) or {step: 1.0}
    total = sum(shares.values())
    return {
        name: torch.stack([share / total * seen[index - 1][name].double() for index, share in shares.items()]).sum(0)
        for name in seen[0]
    }


def values_of(spy: Spy) -> list[dict[str, Tensor]]:
    return [seen.values for seen in spy.after]


def assert_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value.double(), rtol=0, atol=2e-7, msg=name)


def logits_of(run: Watched, model: Any, values: Mapping[str, Tensor], split: str) -> tuple[Any, Any]:
    """Logits and targets of a split under these weights, by plain transformers."""
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[name])
        rows = run.prepared.measured[split]
        batch = Collator(run.prepared.tokenizer)([rows[index] for index in range(len(rows))])
        labels = batch.pop("labels")
        logits = model(**batch).logits
    return rows.restore(logits.numpy()), rows.restore(labels.numpy())


def nll_of(run: Watched, model: Any, values: Mapping[str, Tensor], split: str) -> float:
    return run.prepared.meter.measure(*logits_of(run, model, values, split))["nll"]


# --- the arithmetic ---------------------------------------------------------------------------------------------


@pytest.fixture
def parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {name: nn.Parameter(torch.randn(3, 4, generator=generator)) for name in ("one", "two")}


def shift(parameters: Mapping[str, nn.Parameter], by: float) -> None:
    """In place, as an optimizer does it."""
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(by)


def inside(average: WeightAverage, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    with average.swapped_in():
        return {name: parameter.detach().clone() for name, parameter in parameters.items()}


@pytest.mark.parametrize(
    "shares", [[1.0, 0.5, 0.25], [0.3, 0.3, 0.3], [1.0, 0.0, 0.1], [0.0, 0.4, 1.0], [0.0, 0.0, 0.2]]
)
def test_it_moves_by_the_share_and_begins_with_the_weights_as_they_are(
    parameters: dict[str, nn.Parameter], shares: list[float]
) -> None:
    average = WeightAverage(parameters)
    expected: dict[str, Any] = {}
    for share in shares:
        shift(parameters, 0.7)
        average.update(share)
        for name, parameter in parameters.items():
            weight = parameter.detach().double().numpy()
            if share > 0 and name not in expected:
                expected[name] = weight
            elif share > 0:
                expected[name] = (1 - share) * expected[name] + share * weight
    for name, found in inside(average, parameters).items():
        np.testing.assert_allclose(found.double().numpy(), expected[name], rtol=0, atol=1e-6)


def test_a_share_of_one_starts_anew_exactly(parameters: dict[str, nn.Parameter]) -> None:
    average = WeightAverage(parameters)
    average.update(0.5)
    shift(parameters, 1e3)
    average.update(1.0)
    assert all(torch.equal(value, parameters[name]) for name, value in inside(average, parameters).items())


def test_without_a_share_there_is_no_average(parameters: dict[str, nn.Parameter], tmp_path: Path) -> None:
    average = WeightAverage(parameters)
    average.update(0.0)
    assert all(torch.equal(value, parameters[name]) for name, value in inside(average, parameters).items())
    average.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    average.replace_weights()
    assert all(torch.equal(value, parameters[name]) for name, value in before.items())


def test_the_weights_come_back_bit_for_bit_and_are_the_same_parameters(parameters: dict[str, nn.Parameter]) -> None:
    """An optimizer holds the parameters and their gradients."""
    average = WeightAverage(parameters)
    average.update(1.0)
    shift(parameters, 0.3)
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    held = list(parameters.values())
    with average.swapped_in():
        assert not torch.equal(parameters["one"], before["one"])
    assert all(torch.equal(parameters[name], value) for name, value in before.items())
    with contextlib.suppress(ZeroDivisionError), average.swapped_in():
        raise ZeroDivisionError
    assert all(torch.equal(parameters[name], value) for name, value in before.items())
    assert all(one is two for one, two in zip(parameters.values(), held, strict=True))
    optimizer = torch.optim.SGD(held, lr=0.1)
    optimizer.step()
    assert torch.equal(parameters["one"], before["one"] - 0.1)


def test_what_is_measured_cannot_change_the_average(parameters: dict[str, nn.Parameter]) -> None:
    average = WeightAverage(parameters)
    average.update(1.0)
    shift(parameters, 0.3)
    first, second = inside(average, parameters), inside(average, parameters)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_adopted_average_stays_and_is_held_once(parameters: dict[str, nn.Parameter], tmp_path: Path) -> None:
    average = WeightAverage(parameters)
    average.update(1.0)
    kept = inside(average, parameters)
    shift(parameters, 0.3)
    average.replace_weights()
    assert all(torch.equal(parameters[name], value) for name, value in kept.items())
    with average.swapped_in():
        assert all(torch.equal(parameters[name], value) for name, value in kept.items())
    average.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_holds_it_bit_for_bit(parameters: dict[str, nn.Parameter], tmp_path: Path) -> None:
    average, restored = WeightAverage(parameters), WeightAverage(parameters)
    average.update(1.0)
    shift(parameters, 0.3)
    average.update(0.1)
    average.save(tmp_path)
    restored.restore(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    for both in (average, restored):
        both.update(0.37)
    one, two = inside(average, parameters), inside(restored, parameters)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_from_before_it_began_leaves_it_empty(parameters: dict[str, nn.Parameter], tmp_path: Path) -> None:
    average = WeightAverage(parameters)
    average.restore(tmp_path)
    assert all(torch.equal(value, parameters[name]) for name, value in inside(average, parameters).items())


# --- in training ------------------------------------------------------------------------------------------------


def averaged(write_recipe: Write, technique: Mapping[str, Any], folder: Path, **training: Any) -> tuple[Watched, Spy]:
    spy = Spy()
    recipe = write_recipe(techniques=dict(technique), training=training)
    return watch(recipe, folder, last=spy), spy


@every_average
def test_what_ships_is_the_closed_form_of_the_weights_of_every_step(
    write_recipe: Write, tmp_path: Path, technique: dict[str, Any]
) -> None:
    run, spy = averaged(write_recipe, technique, tmp_path / "run")
    seen = values_of(spy)
    assert len(seen) == STEPS
    expected = closed_form(technique, seen, STEPS)
    assert_close(run.weights, expected)
    far = max(float((seen[-1][name] - value).abs().max()) for name, value in expected.items())
    assert far > 1e-3, "the last weights would have passed too"


@every_average
def test_what_is_measured_recorded_and_predicted_is_the_average(
    write_recipe: Write, tmp_path: Path, technique: dict[str, Any]
) -> None:
    run, spy = averaged(write_recipe, technique, tmp_path / "run", **LEARNING)
    every_evaluation_measured_the_average_of_its_moment(run, values_of(spy), technique, tmp_path / "run" / "model")
    record_and_predictions_are_of_the_average(run, tmp_path / "run")


def every_evaluation_measured_the_average_of_its_moment(
    run: Watched, seen: list[dict[str, Tensor]], technique: Mapping[str, Any], folder: Path
) -> None:
    assert [evaluation.step for evaluation in run.record.history] == list(range(6, 61, 6))
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    apart = []
    for evaluation in run.record.history:
        moment = closed_form(technique, seen, evaluation.step, epochs=10, steps=60)
        for split in ("train_probe", "validation"):
            ours, raw = (nll_of(run, model, found, split) for found in (moment, seen[evaluation.step - 1]))
            assert getattr(evaluation, split)["nll"] == pytest.approx(ours, rel=1e-3)
            apart.append(abs(ours / raw - 1))
    assert max(apart) > 0.1, "the raw weights would have passed too"


def record_and_predictions_are_of_the_average(run: Watched, folder: Path) -> None:
    record = run.record
    assert record.selected is not None
    assert record.last is not None
    assert record.selected.step == record.last.step == 60
    assert record.selected.validation == record.last.validation == record.history[-1].validation
    arrays = np.load(folder / "predictions.npz")
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    for split in ("train_probe", "validation", "test"):
        expected, _ = logits_of(run, model, run.weights, split)
        np.testing.assert_allclose(arrays[f"selected_{split}_logits"], expected, atol=1e-5)
    np.testing.assert_array_equal(arrays["last_validation_logits"], arrays["selected_validation_logits"])
    shipped = [float(value.double().square().sum()) for name, value in run.weights.items() if "bert" in name]
    assert record.weights["encoder"].norm == pytest.approx(sum(shipped) ** 0.5, rel=1e-6)


def test_training_goes_on_from_the_weights_themselves(write_recipe: Write, tmp_path: Path) -> None:
    """Bit for bit, on a model with dropout: averaging draws nothing and touches nothing."""
    plain, averaging = Spy(), Spy()
    watch(write_recipe("plain"), tmp_path / "plain", last=plain)
    watch(write_recipe(techniques=EMA), tmp_path / "ema", last=averaging)
    assert len(plain.after) == len(averaging.after) == STEPS
    for one, two in zip(values_of(plain), values_of(averaging), strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)


class Freezing(Technique):
    """Stands for every technique that keeps weights from moving."""

    family = "test"
    source = "test"

    def prepare_model(self, model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith("bert.embeddings"))


def test_frozen_weights_are_not_averaged_and_stay_exact(write_recipe: Write, tmp_path: Path, tiny_model: Path) -> None:
    resolved = resolve(str(write_recipe(techniques=EMA))).recipe
    recipe = resolved.model_copy(update={"techniques": {"freezing": Freezing(), **resolved.techniques}})
    run_seed(prepare(recipe), 0, RunFolder(tmp_path / "run"))
    before = load_file(tiny_model / "model.safetensors")
    for name, value in weights(tmp_path / "run").items():
        if name.startswith("bert.embeddings"):
            assert torch.equal(value, before[name]), name


def test_bf16_passes_average_fp32_weights(write_recipe: Write, tmp_path: Path) -> None:
    run, spy = averaged(write_recipe, EMA, tmp_path / "run", precision="bf16")
    assert_close(run.weights, closed_form(EMA, values_of(spy), STEPS))
    assert {value.dtype for value in run.weights.values()} == {torch.float32}


# --- selection --------------------------------------------------------------------------------------------------

STOPPING: dict[str, Any] = {"metric": "loss", "patience": 2, "min_delta": 0.0}


def early_stopped(technique: Mapping[str, Any]) -> dict[str, Any]:
    return {**technique, "early_stopping": STOPPING}


def test_the_best_average_is_selected_shipped_and_recorded(write_recipe: Write, tmp_path: Path) -> None:
    run, spy = averaged(write_recipe, early_stopped({"ema": {"decay": 0.8}}), tmp_path / "run", **LATE)
    selected, last = run.record.selected, run.record.last
    assert selected is not None
    assert last is not None
    assert selected.step < last.step, "the last would have been selected anyway"
    best = min(run.record.history, key=lambda evaluation: evaluation.validation["nll"] or 0)
    assert best.step == selected.step
    expected = closed_form({"ema": {"decay": 0.8}}, values_of(spy), selected.step)
    assert_close(run.weights, expected)
    assert selected.validation["nll"] == pytest.approx(best.validation["nll"], rel=1e-5)
    assert last.validation["nll"] == pytest.approx(run.record.history[-1].validation["nll"], rel=1e-5)


# --- interruption -----------------------------------------------------------------------------------------------


@every_average
def test_a_resumed_run_equals_one_that_never_stopped(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, technique: dict[str, Any]
) -> None:
    """Stopped before the first checkpoint, at it, before and after SWA begins, and when all is trained."""
    recipe = write_recipe(techniques=technique)
    whole = train(recipe, tmp_path / "whole")
    for step in (3, 6, 8, 15):
        cut = tmp_path / f"cut-{step}"
        with pytest.raises(KeyboardInterrupt):
            train(recipe, cut, callbacks=[InterruptAt(step)])
        kept = sorted((cut / "checkpoints").glob(f"checkpoint-*/{FILE}"))
        assert bool(kept) == (step > 12 or (step > 6 and "ema" in technique))
        resumed = train(recipe, cut, resume=True)
        assert timeless(resumed) == timeless(whole), step
        assert_same_weights(cut, tmp_path / "whole")
    is_only_measured_again(recipe, tmp_path / "measured", whole, tmp_path / "whole", monkeypatch)


def test_a_stopped_run_that_dies_after_training_is_only_measured_again(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(techniques=early_stopped({"ema": {"decay": 0.8}}), training=LATE)
    whole = train(recipe, tmp_path / "whole")
    is_only_measured_again(recipe, tmp_path / "cut", whole, tmp_path / "whole", monkeypatch)


def is_only_measured_again(
    recipe: Path, cut: Path, whole: FinishedRecord, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies after training: no step is taken again, and it ends as the undisturbed one."""
    with monkeypatch.context() as patch:
        patch.setattr("finetune.training.runner.Run.measure", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, cut)
    resumed = train(recipe, cut, resume=True, callbacks=[InterruptAt(step) for step in range(100)])
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(cut, undisturbed)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


KILLER = """
    import os, signal
    from pathlib import Path
    from finetune.training.averaging import WeightAverage
    from tests.running import train

    saves = []
    original = WeightAverage.save
    def save(self, path):
        saves.append(path)
        if len(saves) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, path)

    def die(recipe, folder):
        WeightAverage.save = save
        train(Path(recipe), Path(folder))
"""


def test_kill_9_before_its_save_can_be_resumed(write_recipe: Write, tmp_path: Path) -> None:
    """Trainer has written its checkpoint by then; without the average it must not count."""
    recipe = write_recipe(techniques=EMA)
    killed(KILLER, (recipe, tmp_path / "cut"))
    assert (tmp_path / "cut" / "checkpoints" / "checkpoint-12" / "model.safetensors").is_file()
    resumed = train(recipe, tmp_path / "cut", resume=True)
    whole = train(recipe, tmp_path / "whole")
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


# --- a refit --------------------------------------------------------------------------------


@every_average
@pytest.mark.parametrize("steps", [6, 18, 24])  # 8 steps an epoch of 64 rows
def test_a_refit_ships_the_average_that_the_schedule_has_at_its_last_step(
    write_recipe: Write, tmp_path: Path, technique: dict[str, Any], steps: int
) -> None:
    """EMA's horizon and SWA's points are those of its own schedule."""
    spy = Spy()
    resolved = resolve(str(write_recipe(techniques=technique))).recipe
    recipe = resolved.model_copy(update={"techniques": {**resolved.techniques, "last": spy}})
    record = run_seed(refitted(prepare(recipe), steps), 0, RunFolder(tmp_path / "run"))
    seen = values_of(spy)
    assert record.last is not None
    assert (len(seen), record.last.step) == (steps, steps)
    assert_close(weights(tmp_path / "run"), closed_form(technique, seen, steps, steps=24))


def test_a_resumed_refit_equals_one_that_never_stopped(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques=EMA)

    def refit(folder: str, *callbacks: Any, resume: bool = False) -> RunRecord:
        prepared = refitted(prepare(resolve(str(recipe)).recipe), 13)
        return run_seed(prepared, 0, RunFolder(tmp_path / folder), callbacks, resume)

    whole = refit("whole")
    with pytest.raises(KeyboardInterrupt):
        refit("cut", InterruptAt(10))
    assert timeless(refit("cut", resume=True)) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


# --- any technique ----------------------------------------------------------------------------------------------


class EverySecond(Technique):
    """An average of someone's own: every second step with a share of a third, anew after the first epoch."""

    family = "test"
    source = "test"

    def averaging_rate(self, step: int, budget: Budget) -> float:
        if step == (budget.steps_per_epoch or 0):
            return 1.0
        return 1 / 3 if step % 2 == 0 else 0.0


def test_steps_are_counted_from_one_and_shares_are_taken_as_given(write_recipe: Write, tmp_path: Path) -> None:
    spy = Spy()
    resolved = resolve(str(write_recipe())).recipe
    recipe = resolved.model_copy(update={"techniques": {"own": EverySecond(), "last": spy}})
    run_seed(prepare(recipe), 0, RunFolder(tmp_path / "run"))
    seen = values_of(spy)
    expected = {name: value.double() for name, value in seen[5].items()}
    for step in range(8, 19, 2):
        expected = {name: value + (seen[step - 1][name].double() - value) / 3 for name, value in expected.items()}
    assert_close(weights(tmp_path / "run"), expected)
