"""`data.annotations=soft`: the distribution of the votes is learned, and the most frequent label is measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.data.digest import fingerprint
from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.data.sources import read_sources
from finetune.data.votes import vote_targets
from finetune.errors import DataError
from finetune.recipe import DataSection, resolve
from finetune.techniques.label_smoothing import LabelSmoothing
from finetune.training.building import training_set
from finetune.training.objective import Objective
from finetune.training.prepare import prepare
from finetune.training.refit import refitted
from tests.conftest import write_csv
from tests.data.formats.making import write_lines
from tests.raising import refuses

VOTES = [("pos", "pos", "neg"), ("neg", "neg", "neg"), ("pos", "neg", ""), ("neg", "pos", "pos"), ("neg", "neg", "pos")]
ROWS = 60


def votes_of(row: int) -> list[str]:
    return [vote for vote in VOTES[row % len(VOTES)] if vote]


def write_votes(path: Path, votes: list[tuple[str, ...]] = VOTES) -> Path:
    rows = [(f"this is text number {row}", *votes[row % len(votes)]) for row in range(ROWS)]
    return write_csv(path, ["text", "annotator_1", "annotator_2", "annotator_3"], rows)


def load(path: Path, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), annotations="soft", **settings))


def row_of(text: str) -> int:
    return int(text.rsplit(" ", 1)[1])


def test_training_learns_the_votes_and_the_majority_is_measured(tmp_path: Path) -> None:
    data = load(write_votes(tmp_path / "d.csv"))
    targets = vote_targets(data.train, data.labels)
    assert targets is not None
    assert data.labels == ["neg", "pos"]
    for text, target in zip(data.train.texts, targets, strict=True):
        count = Counter(votes_of(row_of(text)))
        assert target == [count["neg"] / count.total(), count["pos"] / count.total()]
    for rows in (data.validation, data.test):
        assert rows is not None
        for text, label in zip(rows.texts, rows.labels, strict=True):
            count = Counter(votes_of(row_of(text)))
            assert count[label] > count.total() / 2


def test_a_tie_is_learned_and_not_measured(tmp_path: Path) -> None:
    data = load(write_votes(tmp_path / "d.csv"))
    ties = [sum(row_of(text) % len(VOTES) == 2 for text in rows.texts) for rows in data.whole_splits().values()]
    left_out = data.dropped["annotators disagree (tie)"]
    assert (ties[0] + left_out, ties[1:]) == (ROWS // len(VOTES), [0, 0])
    assert sum(map(len, data.whole_splits().values())) + left_out == ROWS
    (said,) = [note for note in data.notes if note.startswith("soft labels")]
    assert f"of {len(data.train)} training texts have several ({ties[0]} of them tie)" in said
    assert any("their distribution is learned (data.annotations)" in note for note in data.notes)
    assert any(f"{ROWS} rows in all = {len(data.train)} train" in note for note in data.notes)


def test_votes_get_the_names_of_the_label_map_before_they_are_counted(tmp_path: Path) -> None:
    path = write_votes(tmp_path / "d.csv", [("a", "b", "c"), ("c", "c", "a"), ("b", "b", "b")])
    data = load(path, label_map={"a": "x", "b": "x", "c": "y"})
    expected = [{"x": 2 / 3, "y": 1 / 3}, {"x": 1 / 3, "y": 2 / 3}, {"x": 1.0, "y": 0.0}]
    assert data.dropped == {}  # what ties as a, b, c does not as x, x, y
    targets = vote_targets(data.train, data.labels)
    for text, label, target in zip(data.train.texts, data.train.labels, targets or (), strict=True):
        assert dict(zip(data.labels or (), target, strict=True)) == pytest.approx(expected[row_of(text) % 3])
        assert label == "xyx"[row_of(text) % 3]
    with refuses(DataError, match=r"data.label_map: lacks 'c'"):
        load(path, label_map={"a": "x", "b": "y"})


def test_votes_for_what_is_no_class_do_not_count(tmp_path: Path) -> None:
    path = write_votes(tmp_path / "d.csv", [("a", "a", "odd"), ("b", "b", "b"), ("odd", "odd", "odd")])
    data = load(path, drop_labels=["odd"])
    expected = [[float(label == name) for name in "ab"] for label in data.train.labels]
    assert vote_targets(data.train, data.labels) == expected
    assert any("votes for odd do not count, as they are not classes" in note for note in data.notes)


def test_other_votes_are_other_data(tmp_path: Path) -> None:
    data = load(write_votes(tmp_path / "d.csv"))
    votes = [list(each) for each in data.train.votes or ()]
    assert fingerprint({"train": data.train}) == fingerprint({"train": replace(data.train, votes=votes)})
    votes[0] = [*votes[0], "pos"]
    assert fingerprint({"train": data.train}) != fingerprint({"train": replace(data.train, votes=votes)})
    assert data.fingerprint != load_data(DataSection(source=str(tmp_path / "d.csv"))).fingerprint


def test_what_has_no_votes_to_learn_is_refused(tmp_path: Path) -> None:
    alone = write_votes(tmp_path / "alone.csv", [("pos", "", ""), ("", "neg", "")])
    with refuses(DataError, match=r"data.annotations: no text of .*alone.csv has several annotators.*=majority"):
        load(alone)
    with refuses(DataError, match=r"data.annotations: has no meaning for .*plain.csv"):
        load(write_csv(tmp_path / "plain.csv", ["text", "label"], [("a", "b")]))
    numbers = write_votes(tmp_path / "numbers.csv", [("0.5", "1.5", "0.5"), ("2.5", "2.5", "1.5")])
    with refuses(DataError, match=r"data.annotations: learns a distribution over classes, and the task is regression"):
        load(numbers)
    several = [{"text": "a b", "answer": "accept", "accept": ["x", "y"], "_annotator_id": who} for who in "pq"]
    with refuses(DataError, match=r"a text may have several, such as \['x', 'y'\]"):
        read_sources(DataSection(source=str(write_lines(tmp_path / "d.jsonl", several)), annotations="soft"))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_of_a_text_is_the_cross_entropy_with_its_votes(
    tmp_path: Path, tiny_model: Path, write_recipe: Any, smoothing: float
) -> None:
    data = {"source": str(write_votes(tmp_path / "d.csv")), "annotations": "soft", "check": False}
    prepared = prepare(resolve(str(write_recipe(data=data))).recipe)
    rows, labels = prepared.data.train, prepared.data.labels or []
    train = training_set(prepared, seed=0)
    learned = torch.tensor([train[row]["labels"] for row in range(len(train))])
    logits = torch.randn(len(rows), 2, generator=torch.Generator().manual_seed(0))
    techniques = [LabelSmoothing(smoothing=smoothing)] if smoothing else []
    losses = Objective(None, "single_label", techniques)._example_losses(logits, learned)
    for row, votes in enumerate(rows.votes or ()):
        q = [(1 - smoothing) * votes.count(name) / len(votes) + smoothing / 2 for name in labels]
        normaliser = logits[row].exp().sum().log()
        by_hand = -sum(share * (logit - normaliser) for share, logit in zip(q, logits[row], strict=True))
        torch.testing.assert_close(losses[row], by_hand)
    again = refitted(prepared, steps=1)
    assert len(training_set(again, seed=0)) == len(rows) + len(prepared.data.validation)
    assert again.data.train.votes == [*(rows.votes or ()), *(prepared.data.validation.votes or ())]
