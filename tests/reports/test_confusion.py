"""Confusion matrices: which class is taken for which, by every preset, and how that differs from the baseline."""

from pathlib import Path

import numpy as np
import pytest

from finetune.records.report import Confusion, Group
from finetune.reports.blocks import Table
from finetune.reports.confusion import MOST_CLASSES, MOST_PAIRS, confusion_tables
from tests.analysis.making import Run, group_of, variant_of
from tests.reports.sample import sample_report


def _texts(table: Table) -> list[list[tuple[str, str]]]:
    return [[(cell.text, cell.detail) for cell in row] for row in table.rows]


def _with(counts: dict[str, list[tuple[str, str, float]]]) -> Group:
    group = sample_report(presets=tuple(counts)).groups[0]
    variants = [
        variant.model_copy(
            update={"confusions": [Confusion(true=t, predicted=p, rows=n) for t, p, n in counts[variant.name]]}
        )
        for variant in group.variants
    ]
    return group.model_copy(update={"variants": variants})


def test_rows_are_counted_over_folds_and_averaged_over_seeds(tmp_path: Path) -> None:
    """Of ten rows of each class the baseline misses rows 0 to 3 (two of each class) and, with seed 1, none."""
    group = group_of(tmp_path, [Run("none", seed=0), Run("none", seed=1, wrong=(0, 0, 0)), Run("strong", seed=0)])
    found = {(each.true, each.predicted): each.rows for each in variant_of(group, "none").confusions}
    assert found == {("bad", "bad"): 9.0, ("bad", "good"): 1.0, ("good", "bad"): 1.0, ("good", "good"): 9.0}
    assert {each.rows for each in variant_of(group, "strong").confusions} == {8.0, 2.0}


def test_each_preset_has_a_matrix_in_percent_with_its_difference_to_the_baseline() -> None:
    tables = confusion_tables(
        _with(
            {
                "none": [("a", "a", 15), ("a", "b", 5), ("b", "b", 10)],
                "strong": [("a", "a", 18), ("a", "b", 2), ("b", "a", 1), ("b", "b", 9)],
            }
        )
    )
    assert [column.title for column in tables[0].columns] == ["True class", "Rows", "→ a", "→ b"]
    assert _texts(tables[0]) == [
        [("a", ""), ("20", ""), ("75", ""), ("25", "")],
        [("b", ""), ("10", ""), ("0", ""), ("100", "")],
    ]
    assert _texts(tables[1]) == [
        [("a", ""), ("20", ""), ("90", "+15"), ("10", "−15")],
        [("b", ""), ("10", ""), ("10", "+10"), ("90", "−10")],
    ]
    assert [cell.shade for cell in tables[1].rows[0]] == [None, None, 0.9, 0.1]
    assert "difference to `none`, in points" in tables[1].caption
    assert tables[1].notes
    assert not tables[0].notes


def test_the_baseline_and_the_recommended_preset_are_open() -> None:
    tables = confusion_tables(sample_report().groups[0])
    assert [table.open_rows for table in tables] == [None, 0, 0, None]


def test_a_class_without_rows_has_no_percentages() -> None:
    (table,) = confusion_tables(_with({"none": [("a", "c", 4)]}))
    assert _texts(table) == [
        [("a", ""), ("4", ""), ("0", ""), ("100", "")],
        [("c", ""), ("0", ""), ("–", ""), ("–", "")],
    ]


def test_of_many_classes_the_most_frequent_confusions_are_listed() -> None:
    labels = [f"class {number}" for number in range(MOST_CLASSES + 10)]
    (table,) = confusion_tables(sample_report(labels=labels).groups[0])
    assert len(table.rows) == MOST_PAIRS
    assert [column.title for column in table.columns][:3] == ["True class", "Predicted", "none"]
    counts = [cell.sort for cell in (row[2] for row in table.rows)]
    assert counts == sorted(counts, key=lambda rows: -float(rows or 0))
    assert all(true.text != predicted.text for true, predicted, *_ in table.rows)
    assert all(row[3].detail.startswith("−") for row in table.rows), "the sample's stronger presets confuse less"


def test_of_many_classes_without_a_mistake_nothing_is_listed() -> None:
    right = [(f"class {number}", f"class {number}", 3.0) for number in range(MOST_CLASSES + 1)]
    assert confusion_tables(_with({"none": right, "strong": right})) == []


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_have_none(task: str) -> None:
    assert confusion_tables(sample_report(task=task).groups[0]) == []


def test_percentages_of_a_matrix_add_up() -> None:
    for table in confusion_tables(sample_report().groups[0]):
        sums = [sum(cell.shade or 0 for cell in row) for row in table.rows]
        assert np.allclose(sums, 1)
