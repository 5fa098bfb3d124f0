"""Who is in which split: complete, disjoint, stratified, fixed by the split seed alone, and clean of copies."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from finetune.data.copies import deduplicate
from finetune.data.load import class_counts, load_data
from finetune.data.rows import Data, Rows
from finetune.data.splits import holdout_size
from finetune.data.strata import sample
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.conftest import labelled_texts, write_csv, write_jsonl
from tests.raising import refusal

Labelled = list[tuple[str, str]]


def load(path: Path, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), **settings))


def write(folder: Path, rows: Labelled, name: str = "data.csv") -> Path:
    return write_csv(folder / name, ["text", "label"], rows)


def imbalanced(rows: int = 200) -> Labelled:
    """60 % a, 30 % b, 10 % c."""
    return [(f"some text {index}", "aaaaaabbbc"[index % 10]) for index in range(rows)]


def numbers(rows: int = 200) -> Labelled:
    """Targets 0.5, 1.5, … in a shuffled order."""
    values = [f"{value}.5" for value in range(rows)]
    random.Random(7).shuffle(values)
    return [(f"some text {index}", value) for index, value in enumerate(values)]


def splits_of(data: Data) -> dict[str, Rows]:
    named = {"train": data.train, "validation": data.validation}
    return named if data.test is None else {**named, "test": data.test}


def texts_of(data: Data) -> dict[str, list[str]]:
    return {name: rows.texts for name, rows in splits_of(data).items()}


def sizes_of(data: Data) -> dict[str, int]:
    return {name: len(rows) for name, rows in splits_of(data).items()}


def refused(path: Path, **settings: Any) -> str:
    return refusal(DataError, load, path, **settings)


# --- complete and disjoint -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [imbalanced(), numbers()], ids=["classes", "numbers"])
def test_every_row_is_in_exactly_one_split(tmp_path: Path, rows: Labelled) -> None:
    data = load(write(tmp_path, rows))
    everyone = [text for texts in texts_of(data).values() for text in texts]
    assert sorted(everyone) == sorted(text for text, _ in rows)


def test_texts_keep_their_labels_and_rows_their_numbers(tmp_path: Path) -> None:
    rows = imbalanced()
    for split in splits_of(load(write(tmp_path, rows))).values():
        for text, label, row_id in zip(split.texts, split.labels, split.ids, strict=True):
            assert rows[int(row_id.split(":")[-1]) - 1] == (text, label)


def test_rows_keep_the_order_of_the_file_within_a_split(tmp_path: Path) -> None:
    rows = [text for text, _ in imbalanced()]
    for texts in texts_of(load(write(tmp_path, imbalanced()))).values():
        positions = [rows.index(text) for text in texts]
        assert positions == sorted(positions)


# --- proportions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"test_size": 40, "validation_size": 30, "train_size": 60}])
def test_every_split_holds_the_classes_in_proportion(tmp_path: Path, settings: dict[str, int]) -> None:
    data = load(write(tmp_path, imbalanced()), **settings)
    for name, rows in splits_of(data).items():
        counts = Counter(rows.labels)
        for label, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
            assert abs(counts[label] - share * len(rows)) <= 1, (name, counts)


def test_class_counts_are_those_of_the_splits(tmp_path: Path) -> None:
    data = load(write(tmp_path, imbalanced()), test_size=40, validation_size=30)
    counts = class_counts(data)
    assert list(counts) == ["train", "train_probe", "validation", "test"]
    assert counts["test"] == {"a": 24, "b": 12, "c": 4}
    assert counts["validation"] == {"a": 18, "b": 9, "c": 3}
    assert counts["train"] == {"a": 78, "b": 39, "c": 13}


def test_numbers_are_split_evenly_over_their_range(tmp_path: Path) -> None:
    data = load(write(tmp_path, numbers(200)), test_size=20, validation_size=18)
    assert data.test is not None
    assert Counter(int(value) // 20 for value in data.test.labels) == dict.fromkeys(range(10), 2)


def test_how_a_split_was_made_is_said(tmp_path: Path) -> None:
    notes = load(write(tmp_path, imbalanced()), test_size=40, validation_size=30, split_seed=3).notes
    assert "test: 40 rows held out (stratified by class, split seed 3)" in notes
    assert "validation: 30 rows held out (stratified by class, split seed 3)" in notes


# --- seed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [imbalanced(), numbers()], ids=["classes", "numbers"])
def test_splitting_twice_gives_the_same_splits(tmp_path: Path, rows: Labelled) -> None:
    path = write(tmp_path, rows)
    first, second = load(path), load(path)
    assert texts_of(first) == texts_of(second)
    assert first.probe == second.probe
    assert first.fingerprint == second.fingerprint


def test_global_random_states_do_not_matter_and_are_not_touched(tmp_path: Path) -> None:
    path = write(tmp_path, imbalanced())
    random.seed(1)
    np.random.seed(1)
    first = load(path)
    random.seed(2)
    np.random.seed(2)
    before = (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[union-attr]
    second = load(path)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[union-attr]
    assert texts_of(first) == texts_of(second)
    assert first.probe == second.probe


@pytest.mark.parametrize("rows", [imbalanced(), numbers()], ids=["classes", "numbers"])
def test_another_split_seed_gives_other_splits_of_the_same_size(tmp_path: Path, rows: Labelled) -> None:
    path = write(tmp_path, rows)
    first, second = load(path, split_seed=0), load(path, split_seed=1)
    assert sizes_of(first) == sizes_of(second)
    for name in ("train", "validation", "test"):
        assert texts_of(first)[name] != texts_of(second)[name]


def test_the_measured_rows_do_not_depend_on_the_number_of_training_rows(tmp_path: Path) -> None:
    path = write(tmp_path, imbalanced())
    everything, few = load(path), load(path, train_size=30)
    assert sizes_of(few)["train"] == 30
    assert texts_of(everything)["test"] == texts_of(few)["test"]
    assert texts_of(everything)["validation"] == texts_of(few)["validation"]
    assert set(texts_of(few)["train"]) < set(texts_of(everything)["train"])


def test_the_test_rows_do_not_depend_on_the_validation_size(tmp_path: Path) -> None:
    path = write(tmp_path, imbalanced())
    first, second = load(path, validation_size=20), load(path, validation_size=50)
    assert texts_of(first)["test"] == texts_of(second)["test"]


def test_the_order_of_columns_does_not_matter(tmp_path: Path) -> None:
    first = load(write(tmp_path, imbalanced()))
    swapped = [(label, text) for text, label in imbalanced()]
    second = load(write_csv(tmp_path / "other.csv", ["label", "text"], swapped))
    assert texts_of(first) == texts_of(second)


# --- sizes -----------------------------------------------------------------------------------------------------


def test_sizes_are_rows_from_one_and_shares_below(tmp_path: Path) -> None:
    path = write(tmp_path, imbalanced(200))
    assert sizes_of(load(path, test_size=50, validation_size=30)) == {"train": 120, "validation": 30, "test": 50}
    assert sizes_of(load(path, test_size=0.25, validation_size=30)) == {"train": 120, "validation": 30, "test": 50}
    assert sizes_of(load(path, test_size=50, validation_size=30, train_size=0.5))["train"] == 60


def test_unnamed_sizes_are_a_tenth_to_a_fifth(tmp_path: Path) -> None:
    sizes = sizes_of(load(write(tmp_path, imbalanced(200))))
    assert sizes["test"] == 40
    assert 20 <= sizes["validation"] <= 40
    assert sum(sizes.values()) == 200


@pytest.mark.parametrize(
    ("rows", "size"),
    [(3, 1), (50, 10), (100, 20), (300, 60), (1000, 200), (2500, 500), (5000, 500), (10_000, 1000), (100_000, 10_000)],
)
def test_the_default_size_is_about_500_between_a_tenth_and_a_fifth(rows: int, size: int) -> None:
    assert holdout_size(rows) == size


@pytest.mark.parametrize("classes", [25, 60])
def test_the_default_size_has_room_for_every_class(tmp_path: Path, classes: int) -> None:
    rows = [(f"some text {index}", f"class {index % classes}") for index in range(4 * classes)]
    data = load(write(tmp_path, rows))
    assert len(data.labels or []) == classes
    assert all(set(split.labels) == set(data.labels or []) for split in splits_of(data).values())


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"test_size": 80}, "data.test_size"),
        ({"test_size": 81}, "data.test_size"),
        ({"test_size": 1_000_000}, "data.test_size"),
        ({"test_size": 0.999}, "data.test_size"),
        ({"test_size": 1e-9}, "data.test_size"),
        ({"validation_size": 80}, "data.validation_size"),
        ({"test_size": 40, "validation_size": 40}, "data.validation_size"),
        ({"test_size": 20, "validation_size": 20, "train_size": 41}, "data.train_size"),
        ({"train_size": 1_000_000}, "data.train_size"),
        ({"train_size": 0.001}, "data.train_size"),
        ({"test_size": 1}, "data.test_size"),
        ({"train_size": 1}, "data.train_size"),
    ],
)
def test_a_size_that_does_not_fit_is_named_by_its_key(tmp_path: Path, settings: dict[str, float], key: str) -> None:
    assert refused(write(tmp_path, labelled_texts(80)), **settings).startswith(f"{key}: ")


@pytest.mark.parametrize("key", ["train_size", "validation_size"])
def test_a_size_below_the_number_of_classes_is_explained_in_its_own_words(tmp_path: Path, key: str) -> None:
    problem = refused(write(tmp_path, imbalanced()), **{key: 2})
    assert problem.startswith(f"data.{key}: ")
    assert "classes" in problem
    assert "test_size" not in problem  # scikit-learn's word for whatever is drawn


@pytest.mark.parametrize("size", [1.0, 12.7])
def test_a_number_of_rows_is_whole(tmp_path: Path, size: float) -> None:
    """1.0 could mean one row or all of them; 12.7 rows do not exist."""
    with pytest.raises(ValidationError, match="fraction"):
        refused(write(tmp_path, imbalanced()), train_size=size)


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_rows_to_split_are_refused(tmp_path: Path, rows: int) -> None:
    assert "data." in refused(write(tmp_path, labelled_texts(rows)))


def test_a_handful_of_rows_can_be_split(tmp_path: Path) -> None:
    assert sizes_of(load(write(tmp_path, labelled_texts(6)))) == {"train": 2, "validation": 2, "test": 2}


# --- files for the splits --------------------------------------------------------------------------------------


def _folder(folder: Path, **splits: Labelled) -> Path:
    for name, rows in splits.items():
        write(folder, rows, f"{name}.csv")
    return folder


@pytest.mark.parametrize("validation", ["validation", "valid", "dev"])
def test_given_splits_are_taken_as_they_are(tmp_path: Path, validation: str) -> None:
    train, held, test = labelled_texts(30), labelled_texts(10, start=30), labelled_texts(12, start=40)
    data = load(_folder(tmp_path, **{"train": train, validation: held, "test": test}))
    expected = {"train": train, "validation": held, "test": test}
    assert texts_of(data) == {name: [text for text, _ in rows] for name, rows in expected.items()}
    *of_files, of_all = data.notes  # counts alone
    assert all(" rows read + 0 left out + 1 header" in note for note in of_files)
    assert of_all == "52 rows in all = 30 train + 10 validation + 12 test"
    assert data.warnings == []


def test_without_a_test_file_no_test_is_taken_from_training_and_it_is_said(tmp_path: Path) -> None:
    data = load(_folder(tmp_path, train=labelled_texts(30), dev=labelled_texts(10, start=30)))
    assert sizes_of(data) == {"train": 30, "validation": 10}
    assert any(warning.startswith("there is no test split") for warning in data.warnings)
    assert "test" not in data.measured_splits()


def test_a_test_split_is_taken_from_training_when_its_size_is_named(tmp_path: Path) -> None:
    data = load(_folder(tmp_path, train=labelled_texts(40), dev=labelled_texts(10, start=40)), test_size=8)
    assert sizes_of(data) == {"train": 32, "validation": 10, "test": 8}


def test_a_missing_validation_file_is_split_off_training(tmp_path: Path) -> None:
    test = labelled_texts(10, start=40)
    data = load(_folder(tmp_path, train=labelled_texts(40), test=test))
    assert sizes_of(data) == {"train": 32, "validation": 8, "test": 10}
    assert texts_of(data)["test"] == [text for text, _ in test]


def test_training_rows_can_be_thinned_out_beside_given_splits(tmp_path: Path) -> None:
    data = load(_folder(tmp_path, train=labelled_texts(40), dev=labelled_texts(10, start=40)), train_size=12)
    assert sizes_of(data) == {"train": 12, "validation": 10}
    assert Counter(data.train.labels) == {"good": 6, "bad": 6}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_size_keeps_a_stratified_part_of_a_split_that_came_as_a_file(tmp_path: Path, split: str) -> None:
    given = {"validation": labelled_texts(10, start=40), "test": labelled_texts(10, start=50)}
    folder = _folder(tmp_path, train=labelled_texts(40), **given)
    whole, part = splits_of(load(folder)), splits_of(load(folder, **{f"{split}_size": 4}))
    assert Counter(part[split].labels) == {"good": 2, "bad": 2}
    assert set(part[split].texts) < {text for text, _ in given[split]}
    assert {name: rows.texts for name, rows in part.items() if name != split} == {
        name: rows.texts for name, rows in whole.items() if name != split
    }


@pytest.mark.parametrize("split", ["validation", "test"])
def test_more_rows_than_a_given_split_has_are_refused(tmp_path: Path, split: str) -> None:
    given = {"validation": labelled_texts(10, start=40), "test": labelled_texts(10, start=50)}
    folder = _folder(tmp_path, train=labelled_texts(40), **given)
    assert refused(folder, **{f"{split}_size": 11}) == f"data.{split}_size: 11 asks for 11 rows, and there are 10."


def test_the_task_is_told_from_the_training_file(tmp_path: Path) -> None:
    train = [(f"text {index}", "12"[index % 2]) for index in range(20)]
    folder = _folder(tmp_path, train=train, dev=[("x", "1"), ("y", "1.5"), ("z", "2")])
    assert "data.validation: has labels that never occur in training: 1.5" in refused(folder)


# --- copies ----------------------------------------------------------------------------------------------------


def _rows(*texts_and_labels: tuple[str, Any]) -> Rows:
    texts, labels = zip(*texts_and_labels, strict=True)
    return Rows(list(texts), None, list(labels), [str(index + 1) for index in range(len(texts))])


def without_copies(rows: Rows, dropped: Counter[str] | None = None) -> Rows:
    """One table, which a later split shares nothing with; reasons that hold for no row are not counted."""
    counted: Counter[str] = Counter()
    kept = deduplicate({"all": rows}, counted)["all"]
    if dropped is not None:
        dropped.update(+counted)
    return kept


def test_the_first_of_several_copies_is_kept() -> None:
    dropped: Counter[str] = Counter()
    rows = without_copies(_rows(("One", "a"), ("two", "b"), ("one", "a"), (" one ", "a"), ("o ne", "a")), dropped)
    assert rows.ids == ["1", "2", "5"]
    assert dropped == {"duplicate text": 2}


@pytest.mark.parametrize("copy", ["good film", "Good FILM", " good \t film\n", "good\u00a0film"])
def test_case_and_spacing_make_no_new_text(copy: str) -> None:
    assert without_copies(_rows(("Good film", "a"), (copy, "a"))).ids == ["1"]


@pytest.mark.parametrize("other", ["good film!", "good  films", "goodfilm", "göod film"])
def test_any_other_difference_makes_a_new_text(other: str) -> None:
    assert without_copies(_rows(("good film", "a"), (other, "a"))).ids == ["1", "2"]


def test_copies_with_different_labels_are_all_left_out() -> None:
    dropped: Counter[str] = Counter()
    rows = without_copies(_rows(("one", "a"), ("two", "b"), ("ONE", "b"), ("one", "a")), dropped)
    assert rows.texts == ["two"]
    assert dropped == {"same text, different labels": 3}


def test_copies_with_the_same_labels_in_another_order_agree() -> None:
    dropped: Counter[str] = Counter()
    rows = without_copies(_rows(("one", ["a", "b"]), ("one", ["b", "a"])), dropped)
    assert rows.ids == ["1"]
    assert dropped == {"duplicate text": 1}


def test_a_pair_is_a_copy_only_if_both_texts_are() -> None:
    rows = Rows(["one", "one", "one"], ["x", "y", "X"], ["a", "b", "a"], ["1", "2", "3"])
    assert without_copies(rows).ids == ["1", "2"]


def test_without_deduplicate_copies_stay(tmp_path: Path) -> None:
    data = load(write(tmp_path, labelled_texts(40) * 2))
    assert sum(sizes_of(data).values()) == 80
    assert data.dropped == {}


def test_with_deduplicate_no_text_is_in_two_splits(tmp_path: Path) -> None:
    copies = [(text.upper(), label) for text, label in labelled_texts(40)]
    data = load(write(tmp_path, labelled_texts(40) + copies), deduplicate=True)
    everyone = [text for texts in texts_of(data).values() for text in texts]
    assert sorted(everyone) == sorted(text for text, _ in labelled_texts(40))
    assert data.dropped == {"duplicate text": 40}
    assert data.warnings == []


def test_with_deduplicate_the_later_split_keeps_a_text(tmp_path: Path) -> None:
    train, held, test = labelled_texts(30), labelled_texts(10, start=30), labelled_texts(10, start=40)
    folder = _folder(tmp_path, train=[*train, held[0], test[0]], dev=[*held, test[1]], test=test)
    data = load(folder, deduplicate=True)
    expected = {"train": train, "validation": held, "test": test}
    assert texts_of(data) == {name: [text for text, _ in rows] for name, rows in expected.items()}
    assert data.dropped == {"train text also in a later split": 2, "validation text also in a later split": 1}


def test_leaks_are_found_whatever_their_case_and_spacing() -> None:
    splits = {"train": _rows(("One  film", "a"), ("two", "b")), "test": _rows(("one film", "a"))}
    assert deduplicate(splits, Counter())["train"].texts == ["two"]


@pytest.mark.parametrize("task", ["auto", "regression"])
def test_when_every_text_has_two_labels_nothing_is_left_and_it_is_said(tmp_path: Path, task: str) -> None:
    rows = [(f"text {index // 2}", str(index % 2)) for index in range(40)]
    assert "40 × same text, different labels" in refused(write(tmp_path, rows), deduplicate=True, task=task)


def test_a_validation_split_that_is_all_in_test_is_refused(tmp_path: Path) -> None:
    held = labelled_texts(10, start=30)
    folder = _folder(tmp_path, train=labelled_texts(30), dev=held, test=held)
    assert "validation" in refused(folder, deduplicate=True)


def test_drop_leaks_keeps_the_later_row_and_counts_what_fell(tmp_path: Path) -> None:
    train, held, test = labelled_texts(30), labelled_texts(10, start=30), labelled_texts(10, start=40)
    copies = [(f"{held[0][0].upper()}!", held[0][1]), (f"{test[0][0]}.", test[0][1])]
    folder = _folder(tmp_path, train=[*train, *copies], dev=[*held, test[1]], test=test)
    data = load(folder, drop_leaks=True)
    expected = {"train": train, "validation": held, "test": test}
    assert texts_of(data) == {name: [text for text, _ in rows] for name, rows in expected.items()}
    assert data.dropped == {
        "validation row (nearly) equal to a test row": 1,
        "train row (nearly) equal to a test row": 1,
        "train row (nearly) equal to a validation row": 1,
    }


def test_rows_that_leak_do_not_count_to_the_training_size(tmp_path: Path) -> None:
    rows = [(f"{text} again", label) for text, label in labelled_texts(60)]
    data = load(write(tmp_path, rows + rows), drop_leaks=True, test_size=20, validation_size=20, train_size=20)
    assert sizes_of(data)["train"] == 20
    later = {*data.validation.texts, *texts_of(data)["test"]}
    assert later.isdisjoint(data.train.texts)


# --- train sample -----------------------------------------------------------------------------------------------


def test_the_train_probe_is_training_rows_as_many_as_validation(tmp_path: Path) -> None:
    data = load(write(tmp_path, imbalanced()), test_size=40, validation_size=30)
    assert len(data.probe) == 30
    assert all(first < second for first, second in pairwise(data.probe))
    assert 0 <= data.probe[0] <= data.probe[-1] < len(data.train)
    assert data.measured_splits()["train_probe"].texts == [data.train.texts[position] for position in data.probe]


def test_the_train_probe_holds_the_classes_in_proportion(tmp_path: Path) -> None:
    data = load(write(tmp_path, imbalanced()), test_size=40, validation_size=30)
    assert Counter(data.measured_splits()["train_probe"].labels) == {"a": 18, "b": 9, "c": 3}


def test_the_train_probe_of_numbers_is_spread_over_their_range(tmp_path: Path) -> None:
    data = load(write(tmp_path, numbers(200)), test_size=20, validation_size=20)
    ranks = {value: rank for rank, value in enumerate(sorted(data.train.labels))}
    bins = Counter(ranks[value] * 10 // len(ranks) for value in data.measured_splits()["train_probe"].labels)
    assert bins == dict.fromkeys(range(10), 2)


def test_the_train_probe_is_fixed_by_the_split_seed(tmp_path: Path) -> None:
    folder = _folder(tmp_path, train=imbalanced(), dev=[(f"new {text}", label) for text, label in imbalanced(40)])
    assert load(folder).probe == load(folder).probe
    assert load(folder, split_seed=0).probe != load(folder, split_seed=1).probe


def test_the_train_probe_is_no_beginning_of_the_training_rows(tmp_path: Path) -> None:
    data = load(write(tmp_path, imbalanced()), test_size=40, validation_size=30)
    assert data.probe != list(range(30))


def test_a_large_validation_split_makes_all_of_training_the_probe(tmp_path: Path) -> None:
    data = load(_folder(tmp_path, train=labelled_texts(10), dev=labelled_texts(40, start=10)))
    assert data.probe == list(range(10))


@pytest.mark.parametrize(("asked", "size"), [(12, 12), (1, 1), (1000, 60)])
def test_the_size_of_the_train_probe_can_be_named(tmp_path: Path, asked: int, size: int) -> None:
    data = load(write(tmp_path, labelled_texts(80)), test_size=10, validation_size=10, probe_size=asked)
    assert len(data.probe) == len(set(data.probe)) == size


def test_a_class_with_one_training_row_does_not_stop_the_probe(tmp_path: Path) -> None:
    folder = _folder(tmp_path, train=[*labelled_texts(30), ("lonely", "c")], dev=labelled_texts(10, start=30))
    assert len(load(folder).probe) == 10


def test_the_train_probe_of_several_labels_is_training_rows(tmp_path: Path) -> None:
    rows = [{"text": f"some text {index}", "labels": [["a"], ["a", "b"], []][index % 3]} for index in range(60)]
    data = load(write_jsonl(tmp_path / "data.jsonl", rows))
    assert data.task == "multi_label"
    assert len(set(data.probe)) == len(data.validation)
    assert max(data.probe) < len(data.train)


# --- fingerprint -----------------------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_any_text_or_label(tmp_path: Path) -> None:
    rows = labelled_texts(40)
    reference = load(write(tmp_path, rows)).fingerprint
    for position in range(0, 40, 7):
        text, label = rows[position]
        other = "bad" if label == "good" else "good"
        for changed in ((f"{text}.", label), (text.upper(), label), (f"{text} ", label), (text, other)):
            assert load(write(tmp_path, [*rows[:position], changed, *rows[position + 1 :]])).fingerprint != reference


def test_the_fingerprint_changes_with_who_is_in_which_split(tmp_path: Path) -> None:
    path = write(tmp_path, labelled_texts(40))
    settings: list[dict[str, int]] = [
        {},
        {"split_seed": 1},
        {"test_size": 6},
        {"validation_size": 4},
        {"train_size": 10},
    ]
    assert len({load(path, **each).fingerprint for each in settings}) == len(settings)


def _written(rows: Labelled, delimiter: str = ",", quote: str = "", end: str = "\n") -> str:
    return "".join(f"{quote}{a}{quote}{delimiter}{quote}{b}{quote}{end}" for a, b in [("text", "label"), *rows])


@pytest.mark.parametrize(
    ("style", "encoding", "settings"),
    [
        ({"end": "\r\n"}, "utf-8", {}),
        ({"end": "\n\n"}, "utf-8", {}),
        ({"quote": '"'}, "utf-8", {}),
        ({"delimiter": ";"}, "utf-8", {"delimiter": ";"}),
        ({}, "utf-8-sig", {}),
        ({}, "utf-16", {"encoding": "utf-16"}),
    ],
    ids=["line ends", "blank lines", "quotes", "delimiter", "mark", "encoding"],
)
def test_the_fingerprint_does_not_depend_on_how_the_rows_are_written(
    tmp_path: Path, style: dict[str, str], encoding: str, settings: dict[str, str]
) -> None:
    rows = labelled_texts(40)
    other = tmp_path / "other.csv"
    other.write_bytes(_written(rows, **style).encode(encoding))
    assert load(other, **settings).fingerprint == load(write(tmp_path, rows)).fingerprint


def test_the_fingerprint_does_not_depend_on_other_columns_or_left_out_rows(tmp_path: Path) -> None:
    rows = labelled_texts(40)
    reference = load(write(tmp_path, rows)).fingerprint
    wide = [(index, text, label, "extra") for index, (text, label) in enumerate(rows)]
    wide.insert(3, (99, "", "good", "left out"))
    other = write_csv(tmp_path / "wide.csv", ["id", "text", "label", "source"], wide)
    assert load(other).fingerprint == reference
    as_json = [{"label": label, "text": text} for text, label in rows]
    assert load(write_jsonl(tmp_path / "data.jsonl", as_json)).fingerprint == reference


def test_the_fingerprint_changes_with_the_second_text(tmp_path: Path) -> None:
    rows = [(text, f"pair {index}", label) for index, (text, label) in enumerate(labelled_texts(40))]
    first = load(write_csv(tmp_path / "a.csv", ["text", "text_pair", "label"], rows))
    rows[5] = (rows[5][0], "another pair", rows[5][2])
    second = load(write_csv(tmp_path / "b.csv", ["text", "text_pair", "label"], rows))
    assert first.fingerprint != second.fingerprint


# --- pairs -----------------------------------------------------------------------------------------------------


def test_pairs_stay_together_through_splitting(tmp_path: Path) -> None:
    rows = [(f"text {index}", f"pair of {index}", "ab"[index % 2]) for index in range(60)]
    data = load(write_csv(tmp_path / "data.csv", ["text", "text_pair", "label"], rows))
    assert data.columns == {"text": "text", "label": "label", "text_pair": "text_pair"}
    splits = [*splits_of(data).values(), data.measured_splits()["train_probe"]]
    for split in splits:
        assert split.pairs is not None
        for text, pair, label in zip(split.texts, split.pairs, split.labels, strict=True):
            index = int(text.removeprefix("text "))
            assert (pair, label) == (f"pair of {index}", "ab"[index % 2])


def test_multi_label_splits_spread_rare_labels(tmp_path: Path) -> None:
    """12 of 240 rows carry the rare label: each split must see it."""
    rows = [
        (f"some text {i}", "common|rare" if i % 20 == 0 else "common|other" if i % 2 else "common") for i in range(240)
    ]
    data = load(write(tmp_path, rows))
    assert data.task == "multi_label"
    for split in splits_of(data).values():
        assert any("rare" in label for label in split.labels)


def label_sets(rows: int = 300) -> Labelled:
    """a in a half of the rows, b in a third, c in a fifth, d in a tenth, as it happens together."""
    every = {"a": 2, "b": 3, "c": 5, "d": 10}
    return [
        (f"some text {row}", "|".join(name for name, step in every.items() if row % step == 0) or "e")
        for row in range(rows)
    ]


def test_every_split_of_label_sets_has_the_size_asked_for_and_each_label_in_proportion(tmp_path: Path) -> None:
    data = load(write(tmp_path, label_sets()), test_size=60, validation_size=45, train_size=90)
    assert sizes_of(data) == {"train": 90, "validation": 45, "test": 60}
    for rows in splits_of(data).values():
        counts = Counter(name for names in rows.labels for name in names)
        for name, share in {"a": 1 / 2, "b": 1 / 3, "c": 1 / 5, "d": 1 / 10}.items():
            assert abs(counts[name] - share * len(rows)) <= 2, (name, counts)
    assert "test: 60 rows held out (iteratively stratified by label, split seed 0)" in data.notes


@pytest.mark.parametrize("seed", range(5))
def test_every_label_that_is_measured_is_trained_on(tmp_path: Path, seed: int) -> None:
    """40 labels of three or four rows each: as many as there are splits."""
    rows = [(f"some text {row}", f"l{row % 40}|l{row * 7 % 39}") for row in range(60)]
    data = load(write(tmp_path, rows), split_seed=seed)
    assert data.labels == sorted({name for _, cell in rows for name in cell.split("|")}, key=lambda name: (name,))


def test_many_label_sets_are_stratified_by_the_rarest_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.data.strata.MOST_ROWS", 299)
    data = load(write(tmp_path, label_sets()), test_size=60, validation_size=45)
    assert "test: 60 rows held out (stratified by rarest label, split seed 0)" in data.notes
    assert sum("d" in names for names in (data.test or data.train).labels) == 6


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (lambda row: f"l{row % 25}|m{row % 24}", "more labels than rows to draw"),
        (lambda row: "a" if row else "a|rare", "one row of rare labels"),
    ],
)
def test_label_sets_that_cannot_be_stratified_are_not_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: Callable[[int], str], why: str
) -> None:
    monkeypatch.setattr("finetune.data.strata.MOST_ROWS", 0)
    labels = [cell(row).split("|") for row in range(100)]
    assert sample(labels, 20, "multi_label", 0, "data.test_size").how == f"at random: {why}"


def test_a_size_that_nobody_named_is_explained(tmp_path: Path) -> None:
    notes = load(write(tmp_path, imbalanced())).notes
    assert (
        "test: 40 rows held out (stratified by class, split seed 0; data.test_size is not set: a tenth to a "
        "fifth of the rows)" in notes
    )
