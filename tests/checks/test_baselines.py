"""Baselines against numbers by hand, and on data with little in it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from finetune.checks.baselines import measure_baselines
from finetune.data.rows import Data, Rows
from tests import planting
from tests.planting import make_data, make_rows


def by_name(data: Data) -> dict[str, dict[str, dict[str, float | None]]]:
    return {baseline.name: baseline.scores for baseline in measure_baselines(data)}


def labelled(*labels: Any) -> Rows:
    return make_rows([(f"text {label} number {index}", label) for index, label in enumerate(labels)])


def test_majority_of_classes() -> None:
    """Train 3 a, 1 b: log-probabilities ln ¾ and ln ¼. Validation a, b: half right, NLL −(ln ¾ + ln ¼)/2; macro-F1 is
    (2/3 + 0)/2."""
    scores = by_name(make_data(labelled("a", "a", "a", "b"), labelled("a", "b")))["majority"]["validation"]
    assert scores["accuracy"] == 0.5
    assert scores["macro_f1"] == pytest.approx(1 / 3)
    assert scores["nll"] == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_majority_of_numbers_is_their_mean() -> None:
    data = make_data(labelled(1.0, 2.0, 6.0), labelled(1.0, 4.0), task="regression")
    scores = by_name(data)["mean"]["validation"]
    assert scores["mse"] == pytest.approx((4 + 1) / 2)  # mean 3
    assert scores["pearson"] is None


def test_majority_of_label_sets() -> None:
    """a in 3 of 4 rows, b in 1: a is predicted, b not. The row [a] is right."""
    train = labelled(["a"], ["a"], ["a", "b"], [])
    scores = by_name(make_data(train, labelled(["a"], ["b"]), task="multi_label"))["majority"]["validation"]
    assert scores["exact_match"] == 0.5
    assert scores["nll"] == pytest.approx(-(math.log(0.75) * 2 + math.log(0.25) * 2) / 4)


@pytest.mark.parametrize("classes", [2, 4])
def test_words_that_tell_the_class_are_learned(classes: int) -> None:
    scores = by_name(planting.clean_data(seed=3, rows=400, classes=classes))
    assert set(scores["tfidf"]) == {"train_probe", "validation", "test"}
    assert scores["tfidf"]["test"]["accuracy"] > 0.8  # type: ignore[operator]
    assert scores["tfidf"]["test"]["nll"] < scores["majority"]["test"]["nll"]  # type: ignore[operator]


def test_pairs_are_told_by_what_they_share() -> None:
    texts = [f"{word} stands in row {index}" for index, word in enumerate(["stone", "river", "cloud", "grass"] * 20)]
    others = [text if index % 2 else "nothing of the kind here" for index, text in enumerate(texts)]
    rows = make_rows([(text, "ny"[index % 2]) for index, text in enumerate(texts)], others)
    data = make_data(rows.take(range(60)), rows.take(range(60, 80)))
    assert by_name(data)["tfidf"]["validation"]["accuracy"] == 1.0


def test_numbers_are_predicted_by_ridge() -> None:
    rows = make_rows([(f"{'good' if index % 2 else 'bad'} row {index}", float(index % 2)) for index in range(40)])
    data = make_data(rows.take(range(30)), rows.take(range(30, 40)), task="regression")
    assert by_name(data)["tfidf"]["validation"]["pearson"] > 0.9  # type: ignore[operator]


def test_a_label_that_all_rows_have_needs_no_model() -> None:
    train = labelled(["a"], ["a", "b"], ["a"], ["a", "b"])
    scores = by_name(make_data(train, labelled(["a"], ["a", "b"]), task="multi_label"))["tfidf"]["validation"]
    assert math.isfinite(scores["nll"] or math.nan)
    assert scores["nll"] < 0.7  # type: ignore[operator]


def test_many_rows_are_sampled_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.checks.baselines.FITTED", 10)
    data = planting.clean_data(seed=3, rows=100)
    [_, tfidf] = measure_baselines(data)
    assert "fitted on 10 of 70 training rows" in tfidf.about


def test_measuring_twice_gives_the_same() -> None:
    data = planting.clean_data(seed=4, rows=60)
    assert measure_baselines(data) == measure_baselines(data)
