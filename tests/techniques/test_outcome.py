"""What techniques say of a run that has ended, against counts and norms on paper."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune.techniques import Budget, WeightNames
from finetune.techniques.outcome import Outcome, norm_change
from tests.techniques.settings import make

BUDGET = Budget(task="single_label", epochs=40, learning_rate=1e-3, steps_per_epoch=10, warmup=0.1, rows=160)
WEIGHTS = {
    "bert.layer.weight": torch.tensor([[3.0, 0.0], [0.0, 2.0]]),
    "bert.layer.bias": torch.tensor([0.0, 1.0]),
    "classifier.weight": torch.tensor([[0.0, 0.5], [0.3, 0.0], [0.0, 1.0]]),
    "classifier.bias": torch.zeros(3),
}
PRETRAINED = {"bert.layer.weight": torch.tensor([[3.0, 4.0], [0.0, 12.0]]), "bert.layer.bias": torch.tensor([0.0, 1.0])}
RUN = Outcome(
    budget=BUDGET,
    classes=4,
    names=WeightNames(
        trainable=frozenset(WEIGHTS),
        head=frozenset({"classifier.weight", "classifier.bias"}),
        decayed=frozenset({"classifier.weight", "bert.layer.weight"}),
        pretrained=frozenset(PRETRAINED),
    ),
    weights=WEIGHTS,
    pretrained=PRETRAINED,
    parameters=(1_000, 25),
    epochs=4.0,
    selected_epoch=2.0,
    dropout={"hidden": (0.1, 0.3), "classifier": (0.1, 0.2)},
    share=0.7,
    stopped=True,
)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("l1", {}, "3 of 6 head weights are exactly 0"),  # biases are no weights that it acts on
        ("elastic_net", {}, "3 of 6 head weights are exactly 0"),
        ("l1", {"target": "difference"}, "2 of 4 encoder weights are exactly at their pretrained value"),
        ("weight_decay", {"strength": 1.0}, "encoder norm 13 → 3.606 (−72 %)"),  # √(9 + 16 + 144), √13
        ("l2", {}, "encoder norm 13 → 3.606 (−72 %)"),
        (
            "l2_sp",
            {"strength": 1.0},
            "encoder ended 10.77 from its pretrained weights, 83 % of their norm",
        ),  # √(16 + 100)
        (
            "label_smoothing",
            {"smoothing": 0.1},
            "targets for 4 classes: [0.025, 0.025, 0.925, 0.025] where class 3 is right",
        ),
        ("dropout", {"hidden": 0.3, "attention": None, "classifier": 0.2}, "hidden 0.1 → 0.3, classifier 0.1 → 0.2"),
        (
            "dropout",
            {"hidden": None, "attention": 0.2, "classifier": None},
            "attention 0.2",
        ),  # several in the checkpoint: there is no single one before
        ("early_stopping", {}, "stopped early at epoch 4 of 40; the weights of epoch 2 are kept"),
        ("freeze", {}, "25 of 1,000 parameters trained (2.5 %)"),
        ("max_norm", {"head": 1.0}, "1 of 3 rows of the head are at their limit"),
        ("max_norm", {"head": None, "encoder": 1.0}, "0 of 2 rows of the encoder are at their limit"),
        ("wise_ft", {}, "encoder at 70 % of the way from its pretrained to the fine-tuned weights"),
        ("focal", {}, None),
    ],
)
def test_a_technique_says_what_it_did(name: str, settings: dict[str, Any], said: str | None) -> None:
    assert make(name).model_copy(update=settings).outcome(RUN) == said


def test_many_classes_are_not_written_out() -> None:
    said = make("label_smoothing").model_copy(update={"smoothing": 0.1}).outcome(replace(RUN, classes=20))
    assert said == "targets for 20 classes: 0.905 for the right one, 0.005 for each other"
    assert make("label_smoothing").outcome(replace(RUN, classes=None)) is None


def test_a_run_to_its_last_epoch_has_not_stopped_early() -> None:
    said = make("early_stopping").outcome(replace(RUN, epochs=40.0, selected_epoch=12.0, stopped=False))
    assert said == "never stopped: epoch 40 of 40; the weights of epoch 12 are kept"


def test_a_refit_that_ends_where_it_was_told_to_has_not_stopped_early() -> None:
    assert make("early_stopping").outcome(replace(RUN, stopped=None)) is None


@pytest.mark.parametrize(
    ("before", "after", "said"), [(200.0, 198.6, "(−0.7 %)"), (1.0, 6.6, "(+560 %)"), (2.0, 3.0, "(+50 %)")]
)
def test_a_change_of_a_norm_is_a_number_that_people_read(before: float, after: float, said: str) -> None:
    run = SimpleNamespace(
        of=lambda names: list(names),
        names=SimpleNamespace(pretrained=frozenset({"encoder"})),
        norm_before=lambda names: before,
        norm=lambda names: after,
    )
    assert str(norm_change(run, frozenset({"encoder"}))).endswith(said)  # type: ignore[arg-type]
