"""Planted problems are found and the example names the planted row; clean data raises no alarm of that kind."""

from __future__ import annotations

import importlib.util
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from finetune.checks.adversarial import auc_interval, check_adversarial
from finetune.checks.classes import check_classes, check_majority
from finetune.checks.conflicts import check_conflicts
from finetune.checks.copies import check_copies
from finetune.checks.groups import check_groups
from finetune.checks.label_errors import check_label_errors
from finetune.checks.resolution import check_resolution, half_width, smallest_difference
from finetune.checks.shift import check_label_shift, check_length_shift
from finetune.data.rows import Data, Rows
from finetune.records.schema import Finding
from tests import planting
from tests.planting import make_data, make_rows


@pytest.fixture(scope="module")
def clean() -> Data:
    return planting.clean_data(seed=0, rows=600)


def rng() -> random.Random:
    return random.Random(1)


def only(findings: list[Finding], check: str) -> Finding:
    [finding] = [finding for finding in findings if finding.check == check]
    return finding


def test_clean_data_raises_no_alarm(clean: Data) -> None:
    checks = (check_copies, check_conflicts, check_groups, check_classes, check_majority)
    checks += (check_label_shift, check_length_shift, check_adversarial)
    assert [finding for check in checks for finding in check(clean)] == []


def test_advice_can_be_typed_for_the_data_at_hand(clean: Data) -> None:
    split_off = replace(clean, tables=dict.fromkeys(("train", "validation", "test"), "all"))
    for data, files in ((clean, True), (split_off, False)):
        [finding, *_] = check_resolution(replace(data, validation=data.validation.take(range(50))))
        assert ("--data FILE" in finding.advice) is files, "folds are refused beside a test file"
        lacking = data.validation.take([row for row, label in enumerate(data.validation.labels) if label == "class 0"])
        lacks = replace(data, validation=lacking)
        for found in (*check_classes(lacks), *check_label_shift(lacks)):
            assert ("--data FILE" in found.advice) is files, "one file is split already"


def test_near_duplicates_are_not_said_to_be_dropped(clean: Data) -> None:
    text = clean.train.texts[0] + " and so on, as was said before, more than once and at some length"
    near = make_rows([(text, "class 0"), (text + "s", "class 0"), (text.upper(), "class 0")])
    for rows, dropped in ((near.take([0, 1]), False), (near, True)):
        assert ("data.deduplicate" in only(check_copies(replace(clean, train=rows)), "duplicates").advice) is dropped


@pytest.mark.parametrize("kind", ["exact", "normalised", "near"])
def test_leaks_are_counted_by_kind_and_shown(clean: Data, kind: str) -> None:
    assert clean.test is not None
    data, leaked = planting.plant_leaks(clean, kind, 0.03, 3, rng(), words=18)
    finding = only(check_copies(data), "leaks")
    assert finding.level == "problem"  # 3 of 90 test rows
    assert finding.figures["rows"] == finding.figures[kind] == len(leaked)
    assert finding.examples[0].startswith(f"test row {clean.test.ids[leaked[0]]}: ")
    assert " = train row " in finding.examples[0]
    assert "data.drop_leaks=true" in finding.advice
    kinds = {"exact": "equal", "normalised": "equal except for case and punctuation", "near": "nearly equal"}
    assert finding.text == f"3 test rows (3.3 %) duplicate train rows: 3 {kinds[kind]}."


def test_leaks_with_another_label_are_counted(clean: Data) -> None:
    data, _ = planting.plant_leaks(clean, "exact", 0, 2, rng())
    data = planting.flip_labels(data, range(len(data.train)))
    finding = only(check_copies(data), "leaks")
    assert finding.figures["other_label"] == 2
    assert "2 of them with a different label" in finding.text


def test_leaks_with_the_same_labels_in_another_order_agree() -> None:
    train = make_rows([("the same text", ["a", "b"]), ("another text", ["a"])])
    later = make_rows([("the same text", ["b", "a"]), ("another text", ["b"])])
    data = make_data(train, later, task="multi_label")
    assert only(check_copies(data), "leaks").figures["other_label"] == 1


def test_few_leaks_are_a_warning(clean: Data) -> None:
    texts = [f"a validation text of its own, number {index} of many" for index in range(200)]
    big = replace(clean, validation=make_rows([(text, "class 0") for text in [*texts, clean.train.texts[7]]]))
    finding = next(finding for finding in check_copies(big) if finding.check == "leaks")
    assert (finding.level, finding.figures["rows"]) == ("warning", 1)  # 0.5 %
    assert "1 validation row (0.5 %) duplicates a train row: 1 equal" in finding.text


def test_duplicates_are_found(clean: Data) -> None:
    data, copies = planting.plant_duplicates(clean, 25, rng())
    finding = only(check_copies(data), "duplicates")
    assert (finding.level, finding.figures["rows"], finding.figures["exact"]) == ("warning", 25, 25)  # 6 % of train
    assert finding.examples[0].startswith(f"train row {data.train.ids[copies[0]]}: ")
    few, _ = planting.plant_duplicates(clean, 2, rng())
    assert only(check_copies(few), "duplicates").level == "info"


def test_a_sampled_search_is_said(clean: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.checks.copies.SEARCHED", 300)
    finding = only(check_copies(clean), "leaks")
    assert finding.level == "info"
    assert "300 of 600 rows" in finding.text


def test_conflicts_are_found_and_both_rows_shown(clean: Data) -> None:
    data, rows = planting.plant_conflicts(clean, 4, rng())
    finding = only(check_conflicts(data), "conflicts")
    assert (finding.level, finding.figures["texts"], finding.figures["rows"]) == ("warning", 4, 8)
    shown = " ".join(finding.examples)
    assert sum(f"train row {data.train.ids[row]} [" in shown for row in rows) == 3
    assert "[class 0]" in finding.examples[0]
    assert "[class 1]" in finding.examples[0]
    assert " ≠ " in finding.examples[0]


def test_numbers_conflict_when_a_standard_deviation_apart() -> None:
    train = make_rows([("same text", 0.0), ("Same text!", 0.4), ("other", 2.0), ("Other", 0.0)])
    data = make_data(train, make_rows([("x", 1.0)]), task="regression")
    assert only(check_conflicts(data), "conflicts").figures["texts"] == 1  # sd 0.83: 0.4 agrees, 2.0 does not


def test_multi_label_rows_conflict_as_sets() -> None:
    rows = [("same", ["a", "b"]), ("same", ["b", "a"]), ("other", ["a"]), ("other", []), ("third", ["b"])]
    data = make_data(make_rows(rows), make_rows([("x", ["a"])]), task="multi_label")
    finding = only(check_conflicts(data), "conflicts")
    assert finding.figures["texts"] == 1
    assert "[none]" in finding.examples[0]


def test_group_overlap_is_a_problem(clean: Data) -> None:
    data, shared = planting.plant_group_overlap(clean, 5, rng())
    finding = only(check_groups(data), "groups")
    assert (finding.level, finding.figures["rows"]) == ("problem", 5)
    assert finding.examples[0].startswith(f"validation row {data.validation.ids[shared[0]]}: ")
    assert finding.advice.endswith("--data FILE"), "data.group is set already"
    whole, _ = planting.plant_group_overlap(clean, 0, rng())
    assert check_groups(whole) == []


def labelled(**counts: int) -> Rows:
    return make_rows([(f"text {name} {i}", name) for name, count in counts.items() for i in range(count)])


def test_missing_single_and_rare_classes() -> None:
    data = make_data(labelled(a=20, b=20, c=20, d=1), labelled(a=10, b=10, c=3), labelled(a=5, b=5, c=5, d=5))
    findings = check_classes(data)
    assert [(finding.level, finding.figures) for finding in findings] == [
        ("warning", {"single": 1, "classes": 4}),
        ("warning", {"missing": 1, "classes": 4}),
        ("info", {"few": 1, "classes": 4}),
    ]
    single, missing, few = (finding.text for finding in findings)
    assert single == "Class 'd' has only 1 training row."
    assert findings[0].advice == "Add rows, or leave such classes out: --set 'data.drop_labels=[\"d\"]'"
    assert missing == "Validation has no examples of class 'd'."
    assert "fewer than 5 examples of class 'c'" in few
    assert check_classes(make_data(labelled(a=1, b=1), labelled(a=1, b=1)))[1].level == "warning"


def test_a_majority_above_60_percent_is_said() -> None:
    [finding] = check_majority(make_data(labelled(a=61, b=39), labelled(a=1, b=1)))
    assert finding.figures["share"] == 0.61
    assert "macro-F1" in finding.text
    assert check_majority(make_data(labelled(a=60, b=40), labelled(a=1, b=1))) == []


def test_label_shift_names_the_split_and_the_label(clean: Data) -> None:
    finding = only(check_label_shift(planting.plant_label_shift(clean, 0.9, rng())), "label_shift")
    assert finding.level == "warning"
    assert finding.text.startswith("The label distribution of validation differs from train: ")
    assert "'class 0' against 50 %" in finding.text


def test_label_shift_of_numbers_and_of_label_sets() -> None:
    def numbers(low: int) -> Rows:
        return make_rows([(f"t{i}", (low + i % 20) / 10) for i in range(100)])

    shifted = make_data(numbers(0), numbers(10), numbers(0), "regression")
    [finding] = check_label_shift(shifted)
    assert "label distribution of validation differs" in finding.text
    often = make_rows([(f"t{i}", ["a", "b"]) for i in range(100)])
    seldom = make_rows([(f"t{i}", ["a"] if i % 2 else ["a", "b"]) for i in range(100)])
    [finding] = check_label_shift(make_data(often, seldom, task="multi_label"))
    assert "50 % 'b' against 100 %" in finding.text


def test_random_splits_rarely_shift() -> None:
    """At a threshold of 0.01 for each check, more than two alarms in 30 splits have a probability of 0.003."""
    splits = [planting.clean_data(seed, rows=200, classes=3) for seed in range(30)]
    for check in (check_label_shift, check_length_shift):
        assert sum(bool(check(data)) for data in splits) <= 2


def test_length_shift_is_found(clean: Data) -> None:
    finding = only(check_length_shift(planting.plant_length_shift(clean, 0.5)), "length_shift")
    assert finding.level == "warning"
    assert finding.figures["median"] < finding.figures["median_train"]  # type: ignore[operator]


def test_adversarial_validation_names_the_telling_words(clean: Data) -> None:
    data = planting.plant_word_shift(clean, 0.9, rng())
    finding = only(check_adversarial(data), "adversarial")
    assert finding.figures["low"] > 0.55  # type: ignore[operator]
    assert any(word in finding.text for word in ("unboxing", "retweeted", "livestream", "hashtag", "podcast"))
    assert len(finding.examples) == 3
    assert all(example.startswith("validation row ") for example in finding.examples)


def test_auc_interval_is_delongs() -> None:
    """Two by two, by hand: 3 of 4 comparisons are won. Shares won: positives 1/2 and 1, negatives 1 and 1/2; each has
    variance 1/8, so the half width is 1.96 √(1/8/2 + 1/8/2) = 0.69, cut at 1."""
    auc, low, high = auc_interval(np.array([2.0, 4.0]), np.array([1.0, 3.0]))
    assert auc == 0.75
    assert low == pytest.approx(0.75 - 1.959964 * np.sqrt(1 / 8))
    assert high == 1.0


def test_auc_interval_covers_the_truth() -> None:
    """Normal scores half a standard deviation apart: AUC Φ(0.5/√2) = 0.638. 95 % of 400 intervals, ± 3 sd = 3.3 %."""
    random_state = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        _, low, high = auc_interval(random_state.normal(0.5, 1, 80), random_state.normal(0, 1, 120))
        covered += low <= 0.6382 <= high
    assert 0.915 <= covered / 400 <= 0.985


def test_resolution_is_mcnemars() -> None:
    """The half width at 80 % of 400 rows is 1.96 √(0.16 / 400) = 3.9 points. statsmodels has no paired power: by
    simulation, the stated difference is seen in 80 % of 4,000 draws."""
    assert half_width(400, "single_label") == pytest.approx(0.0392, abs=1e-4)
    difference = smallest_difference(400)
    assert difference is not None
    draws = np.random.default_rng(0).multinomial(400, [0.05 + difference / 2, 0.05 - difference / 2, 0.9], size=4000)
    statistic = np.abs(draws[:, 0] - draws[:, 1]) / np.sqrt(np.maximum(draws[:, 0] + draws[:, 1], 1))
    assert np.mean(statistic > 1.959964) == pytest.approx(0.8, abs=0.03)
    assert smallest_difference(50) is None


def test_small_splits_are_warned_of(clean: Data) -> None:
    assert [finding.level for finding in check_resolution(clean)] == ["warning", "warning"]
    big = replace(clean, validation=clean.train, test=None)
    [finding] = check_resolution(big)
    assert (finding.level, finding.figures["rows"]) == ("info", 420)


needs_cleanlab = pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="extra labels")


@needs_cleanlab
def test_wrong_labels_are_found(clean: Data) -> None:
    data, flipped = planting.plant_label_errors(clean, 20, rng())
    finding = only(check_label_errors(data), "label_errors")
    assert 15 <= finding.figures["rows"] <= 40  # type: ignore[operator]
    ids = {f"train row {data.train.ids[row]} " for row in flipped}
    assert all(any(example.startswith(row) for row in ids) for example in finding.examples)
    assert " — perhaps class " in finding.examples[0]


@needs_cleanlab
def test_labels_that_words_do_not_tell_are_left_alone(clean: Data) -> None:
    shuffled = list(clean.train.labels)
    rng().shuffle(shuffled)
    [finding] = check_label_errors(replace(clean, train=replace(clean.train, labels=shuffled)))
    assert finding.level == "info"
    assert "skipped: TF-IDF is not accurate enough" in finding.text
    assert "the majority class 50 %" in finding.text


def test_without_cleanlab_the_way_to_it_is_said(clean: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    [finding] = check_label_errors(clean)
    assert (finding.level, finding.advice) == ("info", 'Try: pip install "finetune[labels]"')


@pytest.mark.parametrize(("task", "label"), [("multi_label", ["a"]), ("regression", 1.0)])
def test_label_errors_are_for_classes(task: str, label: Any) -> None:
    rows = make_rows([("text", label)])
    [finding] = check_label_errors(make_data(rows, rows, task=task))
    assert "skipped: it needs single-label data" in finding.text
