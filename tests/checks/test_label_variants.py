"""Names of classes that are no classes are named, with what to paste."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from finetune.checks.classes import check_rare_labels
from finetune.checks.label_variants import check_label_variants
from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.recipe import DataSection, resolve
from finetune.records.schema import Finding
from tests.conftest import write_jsonl
from tests.planting import make_data, make_rows

SECTION = DataSection(source="x.csv")


def data_of(labels: list[Any], task: str = "single_label", rows: int = 24) -> Data:
    made = make_rows([(f"some text {row}", labels[row % len(labels)]) for row in range(rows)])
    return make_data(made, made.take(range(len(labels))), None, task)


def found(labels: list[Any], task: str = "single_label", section: DataSection = SECTION) -> list[Finding]:
    return check_label_variants(data_of(labels, task), section)


def test_spellings_are_counted_and_the_map_can_be_pasted(tmp_path: Path) -> None:
    cells = ["good", "Good", "bad", "GOOD.", "bad\u00a0", "fine"]
    path = write_jsonl(tmp_path / "d.jsonl", [{"text": f"t {row}", "label": cells[row % 6]} for row in range(60)])
    section = DataSection(source=str(path))
    [finding] = check_label_variants(load_data(section), section)
    assert finding.level == "warning"
    assert finding.text.startswith("3 of 5 classes are spellings of 1: 'Good' (10)/'good' (10)/'GOOD.' (10).")
    assert len(finding.examples) == 3
    override = shlex.split(finding.advice.rpartition("--set ")[2])[0]
    mended = resolve("your-data", data=str(path), overrides=[override]).recipe.data
    data = load_data(mended)
    assert data.labels == ["Good", "bad", "fine"]
    assert check_label_variants(data, mended) == []


def test_a_map_that_is_there_is_completed_and_dropped_labels_stay_in_it() -> None:
    section = DataSection(source="x.csv", label_map={"0": "Bad", "1": "bad", "2": "good"})
    assert '{"0": "Bad", "1": "Bad", "2": "good"}' in found(["Bad", "bad", "Bad", "good"], section=section)[0].advice
    section = DataSection(source="x.csv", drop_labels=["-"])
    assert '"-": "-"' in found(["Bad", "bad", "good"], section=section)[0].advice


@pytest.mark.parametrize("name", ["-", "?", "NULL", "#N/A", "nan"])
def test_placeholders_are_a_warning_and_dropping_them_is_advised(name: str) -> None:
    [finding] = found(["a", "b", name])
    assert (finding.level, finding.figures["rows"]) == ("warning", 9)
    assert finding.text == f"Class '{name}' (9) stands for no label (33 % of the labels)."
    assert "--set 'data.drop_labels=[" in finding.advice
    dropped = DataSection(source="x.csv", drop_labels=["z"])
    assert f'["z", "{name}"]' in found(["a", "b", name], section=dropped)[0].advice


@pytest.mark.parametrize("labels", [["a", "-"], ["?", "-"]])
def test_dropping_is_not_advised_where_too_little_would_be_left(labels: list[str]) -> None:
    [finding] = found(labels)
    assert "drop_labels" not in finding.advice
    assert finding.advice.startswith("Label these rows")


def test_dropping_is_not_advised_where_it_would_empty_a_split() -> None:
    data = data_of(["a", "b", "-"])
    only = data.validation.take([index for index, label in enumerate(data.validation.labels) if label == "-"])
    [finding] = check_label_variants(make_data(data.train, only, None, "single_label"), SECTION)
    assert "drop_labels" not in finding.advice


def test_what_may_be_a_class_is_information() -> None:
    [finding] = found(["a", "b", "none", "unknown"])
    assert finding.level == "info"
    assert finding.text.startswith("Classes 'none' (7), 'unknown' (7) may stand for no label")


@pytest.mark.parametrize("name", ["[pos, short]", '{"choices": ["a", "b"]}', "('a', 'b')", "['a']"])
def test_lists_and_json_are_a_warning(name: str) -> None:
    [finding] = found(["a", "b", name])
    assert finding.level == "warning"
    assert finding.text.startswith("1 of 3 classes are lists or JSON written as text, in 9 rows: ")


def test_a_label_for_none_that_stands_alone_is_a_warning_where_rows_have_several() -> None:
    [finding] = found([["a"], ["a", "b"], ["none"]], "multi_label")
    assert finding.level == "warning"
    assert finding.text.startswith("Label 'none' never stands with another one (9 rows)")
    assert "leave their cells empty" in finding.advice
    assert [each.level for each in found([["a"], ["a", "none"], ["none"]], "multi_label")] == ["info"]


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["a", "b"], "single_label"),
        (["[POS]", "[NEG]"], "single_label"),
        (["-1", "0", "1"], "single_label"),
        (["A1", "A2", "B1"], "single_label"),
        (["C", "C++", "C#"], "single_label"),
        ([["a"], ["b", "a"], []], "multi_label"),
        ([1.0, 2.5], "regression"),
    ],
)
def test_ordinary_names_raise_no_alarm(labels: list[Any], task: str) -> None:
    assert found(labels, task) == []


def test_labels_of_few_rows_among_several_are_a_warning() -> None:
    rare = [["a"]] * 19 + [["a", "b"]]
    [finding] = check_rare_labels(data_of(rare, "multi_label", rows=40))
    assert finding.level == "warning"
    assert finding.text.startswith("1 of 2 labels are in fewer than 10 % of the training rows: 'b' (5 %).")
    assert check_rare_labels(data_of([["a"], ["b"]], "multi_label")) == []
    assert check_rare_labels(data_of(["a"] * 19 + ["b"])) == []


def test_ranges_that_a_spreadsheet_made_dates_are_a_warning() -> None:
    """Excel shows `1-2` as 2-Jan in one country and 1-Feb in another, and `3-4` as 4-Mar."""
    [finding] = found(["0", "5+", "2-Jan", "03-Apr"])
    assert finding.level == "warning"
    assert finding.text.startswith("Classes '2-Jan' (7), '03-Apr' (7) are dates, and other classes are none.")
    assert '"2-Jan": "1-2"' in finding.advice
    assert '"03-Apr": "3-4"' in finding.advice
    assert found(["2-Jan", "3-Feb", "4-Mar"]) == []
    assert found(["a-may", "top-10", "may-12", "Dec-99", "99-Dec"]) == []
