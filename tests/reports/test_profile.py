"""What a profile is told as: tables that add up, and advice where a share is unusual."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from finetune.advice.speed import speed_advice
from finetune.records.facts import RunTime
from finetune.records.profile import Padding, Products, RunProfile, Watched
from finetune.records.schema import RunRecord
from finetune.reports.profile import PHASES, floor_line, phases_table, watched_table
from finetune.training import phases
from tests.analysis.making import Run, record_of

USUAL = {
    "start": 3.0,
    "data": 1.0,
    "checks": 1.0,
    "model": 1.0,
    "batches": 1.0,
    "forward_backward": 25.0,
    "optimizer": 4.0,
    "evaluation": 8.0,
    "checkpoints": 1.0,
    "measurement": 4.0,
    "saving": 1.0,
}


def record(**spent: float) -> RunRecord:
    made = record_of(Run("none", 0))
    recipe = {**made.recipe, "training": {**made.recipe["training"], "eval_batch_size": 64}}
    seconds = USUAL | spent
    return made.model_copy(
        update={"recipe": recipe, "time": RunTime(phases=seconds, total_seconds=sum(seconds.values()))}
    )


def watched(**changes: Any) -> Watched:
    products = Products(multiply_adds=5e9, milliseconds=40.0)
    usual = {"groups": {"matrix products": 60.0, "dropout": 30.0}, "between": 10.0}
    return Watched(
        **{
            "precision": "fp32",
            "first": 4,
            "count": 10,
            "milliseconds": 100.0,
            "products": products,
            **usual,
            **changes,
        }
    )


def profile(of: RunRecord, padding: tuple[float, float] = (0.2, 0.15), **changes: Any) -> RunProfile:
    present, grouped = padding
    return RunProfile(
        **{
            "seed": 0,
            "threads": 2,
            "device": "cpu",
            "time": of.time,
            "training": watched(),
            "evaluation": None,
            "padding": Padding(present=present, grouped=grouped),
            **changes,
        }
    )


def advice(of: RunRecord, **changes: Any) -> str:
    return "\n".join(speed_advice(of, profile(of, **changes)))


def shown(content: Any) -> str:
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(content)
    return captured.get()


def test_where_nothing_is_unusual_the_advice_says_so() -> None:
    assert advice(record()) == "No phase takes unusually long."


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        ({"start": 60.0}, "Preparation took 58 % of the time"),
        ({"evaluation": 40.0}, "--set training.eval_batch_size=128"),
        ({"evaluation": 40.0}, "--set data.validation_size="),
        ({"checkpoints": 20.0}, "Training waited 20.0 s for checkpoints"),
        ({"batches": 9.0}, "Preparing batches took 9.0 s of training"),
    ],
)
def test_an_unusual_phase_is_named_with_what_to_type(spent: dict[str, float], said: str) -> None:
    assert said in advice(record(**spent))


def test_padding_is_worth_a_word_only_where_grouping_would_save_it() -> None:
    found = advice(record(), padding=(0.5, 0.0))
    assert "50 % of the tokens in training batches are padding" in found
    assert "save about 15.0 of 30.0 s: --set training.group_by_length=true" in found
    assert "padding" not in advice(record(), padding=(0.5, 0.45))


def test_a_step_between_operations_is_told_by_device() -> None:
    idle = watched(groups={"matrix products": 30.0}, between=70.0)
    assert "70 % of a step lies between operations: its operations are too small" in advice(record(), training=idle)
    on_gpu = advice(record(), training=idle, device="cuda")
    assert "the GPU waits for Python" in on_gpu


def test_fp32_on_a_gpu_is_worth_a_word_only_where_it_was_asked_for() -> None:
    def precise(kind: str) -> RunRecord:
        made = record()
        training = {**made.recipe["training"], "precision": kind}
        return made.model_copy(update={"recipe": {**made.recipe, "training": training}})

    assert "--set training.precision=auto" in advice(precise("fp32"), training=watched(), device="cuda")
    assert "precision" not in advice(precise("auto"), training=watched(), device="cuda")  # this GPU has no bf16
    assert "precision" not in advice(precise("fp32"), training=watched())


def test_rows_that_a_split_file_settles_are_not_to_be_changed() -> None:
    made = record(evaluation=80.0)
    given = made.model_copy(update={"recipe": {**made.recipe, "data": {"split_file": "split.json"}}})
    assert "data.validation_size=" in advice(made)
    assert "data.validation_size=" not in advice(given)
    assert "--set training.eval_batch_size=128 " not in advice(given)
    assert advice(given).endswith("--set training.eval_batch_size=128")


def test_without_a_step_phases_alone_give_advice() -> None:
    assert advice(record(), training=None) == "No phase takes unusually long."


def test_every_phase_has_words() -> None:
    assert list(PHASES) == list(phases.PHASES)


def test_the_table_of_phases_shows_each_and_the_sum() -> None:
    of = record()
    text = shown(phases_table(of))
    assert f"Where the time went: {sum(USUAL.values()):.1f} s" in text
    for name, seconds in USUAL.items():
        row = next(line for line in text.splitlines() if PHASES[name] in line)
        assert f"{seconds:.1f}" in row
        assert f"{seconds / 50:.0%}".replace("%", " %") in row
    assert PHASES["other"] not in text


def test_the_table_of_a_step_shows_each_kind_and_what_lies_between() -> None:
    text = shown(watched_table("training step", watched()))
    assert "Inside one training step: 100.0 ms" in text
    assert "4 to 13" in text
    cells = [line.split() for line in text.splitlines()]
    assert ["matrix", "products", "60.0", "60", "%"] in cells
    assert ["dropout", "30.0", "30", "%"] in cells
    assert ["between", "operations", "(Python)", "10.0", "10", "%"] in cells


def test_the_floor_is_what_matrix_products_take_alone() -> None:
    line = floor_line("training step", watched())
    assert "(5.00 billion multiply-adds in fp32) take 40.0 ms on this machine (0.25 TFLOP/s" in line
    assert "took 2.5 times as long" in line
    assert floor_line("training step", watched(products=Products(multiply_adds=0, milliseconds=0))) == ""
