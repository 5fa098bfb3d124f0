"""Augmented texts in training: fresh each epoch, keyed by (seed, epoch, row), never for what is measured."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from finetune.data.rows import Data, Rows
from finetune.data.sorted_sets import MeasuredSet
from finetune.data.tokens import Encoder
from finetune.data.train_set import TrainSet
from finetune.techniques.aeda import AEDA
from finetune.techniques.eda import EDA
from tests.conftest import labelled_texts
from tests.running import clean_items, train
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
ALWAYS = AEDA(probability=1.0)
WORDS = "good great fine nice lovely bad awful poor sad nasty movie film"

GOLDEN = [
    "good ? great fine nice lovely bad awful poor sad nasty movie film",
    "good great fine nice ; lovely , bad awful poor sad nasty movie film",
]


def make_rows(count: int = 12, pairs: bool = False) -> Rows:
    texts, labels = zip(*labelled_texts(count), strict=True)
    ids = [f"file:{row}" for row in range(count)]
    return Rows(list(texts), list(texts) if pairs else None, list(labels), ids)


@pytest.fixture
def encoder(tiny_model: Path) -> Encoder:
    rows = make_rows()
    data = Data("single_label", ["bad", "good"], rows, [], rows, None, {}, "")
    return Encoder(AutoTokenizer.from_pretrained(tiny_model), data, 64)


def one_by_one(augment: Any) -> Any:
    return lambda texts, streams: [augment(text, rng) for text, rng in zip(texts, streams, strict=True)]


def train_set(encoder: Encoder, rows: Rows | None = None, seed: int = 0, **augmenters: Any) -> TrainSet:
    named = {name: one_by_one(augment) for name, augment in (augmenters or {"aeda": ALWAYS.augment}).items()}
    return TrainSet(make_rows() if rows is None else rows, encoder, named, seed)


def inputs(dataset: TrainSet) -> list[list[int]]:
    return [dataset[row]["input_ids"] for row in range(len(dataset))]


# --- the train set ------------------------------------------------------------------------------------------


def test_every_epoch_has_texts_of_its_own(encoder: Encoder) -> None:
    dataset = train_set(encoder)
    epochs = []
    for epoch in range(4):
        dataset.set_epoch(epoch)
        epochs.append(inputs(dataset))
    for row in range(len(dataset)):
        assert len({tuple(epoch[row]) for epoch in epochs}) > 1, row
    assert len({str(epoch) for epoch in epochs}) == 4


def test_what_is_read_are_the_tokens_of_the_augmented_texts(encoder: Encoder) -> None:
    dataset = train_set(encoder)
    dataset.set_epoch(2)
    texts = dataset.augmented(make_rows().texts, 2, "text")
    assert all(text != clean for text, clean in zip(texts, make_rows().texts, strict=True))
    assert inputs(dataset) == [item["input_ids"] for item in encoder.encode(texts, None)]


def test_an_epoch_does_not_depend_on_those_before_it(encoder: Encoder) -> None:
    """A resumed run starts in the middle."""
    resumed, whole = train_set(encoder), train_set(encoder)
    for epoch in range(4):
        whole.set_epoch(epoch)
    resumed.set_epoch(3)
    assert inputs(resumed) == inputs(whole)
    whole.set_epoch(1)
    resumed.set_epoch(1)
    assert inputs(resumed) == inputs(whole)


def test_the_order_of_reading_changes_nothing(encoder: Encoder) -> None:
    forwards, backwards = train_set(encoder), train_set(encoder)
    forwards.set_epoch(1)
    backwards.set_epoch(1)
    rows = range(len(forwards))
    assert [forwards[row] for row in rows] == [backwards[row] for row in reversed(rows)][::-1]
    assert [forwards[row] for row in rows] == [forwards[row] for row in rows]


def test_a_rows_stream_does_not_depend_on_the_other_rows(encoder: Encoder) -> None:
    """Only its number counts, not what the texts before it drew."""
    rows = make_rows()
    others = Rows(["movie", *rows.texts[1:]], None, rows.labels, rows.ids)
    one, two = train_set(encoder), train_set(encoder, others)
    assert one.augmented(rows.texts, 0, "text")[1:] == two.augmented(others.texts, 0, "text")[1:]


def test_rows_with_one_text_get_streams_of_their_own(encoder: Encoder) -> None:
    texts = [WORDS] * 12
    assert len(set(train_set(encoder).augmented(texts, 0, "text"))) > 10


def test_the_seed_changes_the_texts(encoder: Encoder) -> None:
    texts = [WORDS] * 12
    first, second = (train_set(encoder, seed=seed).augmented(texts, 0, "text") for seed in (0, 1))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 3


def test_the_two_texts_of_a_pair_get_streams_of_their_own(encoder: Encoder) -> None:
    texts = [WORDS] * 12
    dataset = train_set(encoder)
    first, second = (dataset.augmented(texts, 0, part) for part in ("text", "pair"))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 3


def test_both_texts_of_a_pair_are_augmented(encoder: Encoder) -> None:
    """[CLS] text [SEP] pair [SEP]: with a mark in each, both parts are longer than their clean form."""
    rows = make_rows(pairs=True)
    dataset = train_set(encoder, rows)
    dataset.set_epoch(0)
    for row, (text, pair) in enumerate(zip(rows.texts, rows.pairs or [], strict=True)):
        first_end, second_end = (place for place, token in enumerate(dataset[row]["input_ids"]) if token == 3)
        assert first_end - 1 > len(text.split())
        assert second_end - first_end - 1 > len(pair.split())


def test_the_streams_do_not_depend_on_the_process(encoder: Encoder) -> None:
    """Literal texts: a stream seeded by Python's own hash would be another one in every process."""
    found = train_set(encoder, seed=7).augmented([WORDS, WORDS], 3, "text")
    assert found == GOLDEN


def test_two_techniques_draw_independently(encoder: Encoder) -> None:
    """With one stream for both, the texts that the first changes would be just those that the second changes."""

    def draw(text: str, rng: random.Random) -> str:
        return f"{text} {rng.random()}"

    (found,) = train_set(encoder, first=draw, second=draw).augmented(["movie"], 0, "text")
    _, first, second = found.split()
    assert first != second


def test_two_techniques_act_in_turn_each_with_its_own_stream(encoder: Encoder) -> None:
    """Adding a second technique leaves the draws of the first alone."""
    swap = EDA(probability=1.0, swap=0.05, delete=0.0)
    texts = [WORDS] * 12
    marks_first = train_set(encoder, aeda=ALWAYS.augment, eda=swap.augment).augmented(texts, 0, "text")
    alone = train_set(encoder).augmented(texts, 0, "text")
    for both, one in zip(marks_first, alone, strict=True):
        assert both != one
        assert sorted(both.split()) == sorted(one.split())


def test_labels_and_number_of_rows_stay(encoder: Encoder) -> None:
    dataset = train_set(encoder)
    expected = [0 if label == "bad" else 1 for label in make_rows().labels]
    for epoch in range(3):
        dataset.set_epoch(epoch)
        assert [dataset[row]["labels"] for row in range(len(dataset))] == expected


def test_without_augmenters_an_epoch_changes_nothing(encoder: Encoder) -> None:
    dataset = TrainSet(make_rows(), encoder, {}, 0)
    before = inputs(dataset)
    dataset.set_epoch(1)
    assert inputs(dataset) == before == [item["input_ids"] for item in encoder.encode(make_rows().texts, None)]


def test_a_share_of_the_rows_stays_clean_each_epoch(encoder: Encoder) -> None:
    """200 rows at probability 0.5: five standard deviations are 0.18."""
    dataset = train_set(encoder, aeda=AEDA(probability=0.5).augment)
    texts = [WORDS] * 200
    for epoch in range(3):
        changed = sum(text != WORDS for text in dataset.augmented(texts, epoch, "text")) / 200
        assert changed == pytest.approx(0.5, abs=0.18)


# --- real runs ----------------------------------------------------------------------------------------------


def test_a_run_augments_every_train_text_once_an_epoch_and_no_other(write_recipe: Write, tmp_path: Path) -> None:
    spy = Spy()
    run = watch(write_recipe(), tmp_path / "run", last=spy)
    data = run.prepared.data
    assert spy.texts == data.train.texts * 3
    assert not set(spy.texts) & {*data.validation.texts, *data.test.texts}


def test_a_run_trains_on_other_texts_each_epoch(write_recipe: Write, tmp_path: Path) -> None:
    """The spy stands after the augmentation and is given its texts."""
    spy = Spy()
    recipe = write_recipe(techniques={"aeda": {"probability": 1.0}})
    run = watch(recipe, tmp_path / "run", last=spy)
    rows = len(run.prepared.data.train)
    epochs = [spy.texts[start : start + rows] for start in range(0, 3 * rows, rows)]
    assert len(epochs) == 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert not set(run.prepared.data.train.texts) & set(spy.texts)


@pytest.mark.parametrize("technique", ["aeda", "eda"])
def test_what_is_measured_stays_clean_the_train_probe_included(
    write_recipe: Write, tmp_path: Path, technique: str
) -> None:
    """After a run, the measured sets still hold the tokens of the texts as they are in the file."""
    run = watch(write_recipe(techniques={technique: {"probability": 1.0}}), tmp_path / "run")
    assert set(run.prepared.measured) == {"train_probe", "validation", "test"}
    for name, rows in run.prepared.data.measured_splits().items():
        measured = run.prepared.measured[name]
        clean = clean_items(run.prepared.encoder, rows)
        in_order = sorted(clean, key=lambda item: len(item["input_ids"]))
        assert [measured[row] for row in range(len(measured))] == in_order


def test_a_measured_set_holds_every_row_once_and_restores_their_order(encoder: Encoder) -> None:
    rows = make_rows()
    measured = MeasuredSet(rows, encoder)
    lengths = np.array([len(measured[row]["input_ids"]) for row in range(len(measured))])
    assert measured.restore(lengths).tolist() == [len(item["input_ids"]) for item in encoder.encode(rows.texts, None)]


def test_augmentation_buys_no_longer_training(write_recipe: Write, tmp_path: Path) -> None:
    techniques = {"aeda": {"probability": 1.0}, "eda": {"probability": 1.0}}
    augmented = train(write_recipe(techniques=techniques), tmp_path / "augmented")
    plain = train(write_recipe(techniques={}, name="plain"), tmp_path / "plain")
    assert augmented.budget.steps_done == plain.budget.steps_done == 18
    assert [evaluation.step for evaluation in augmented.history] == [6, 12, 18]
    assert [evaluation.objective for evaluation in augmented.history] != [
        evaluation.objective for evaluation in plain.history
    ]
