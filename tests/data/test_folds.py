"""Cross-validation: every row is test once, and what cannot be cut into folds is refused."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv
from tests.raising import refusal, refuses, typed

Rows = list[tuple[str, str]]


def load(path: Path, fold: int, folds: int = 5, **settings: Any) -> Data:
    return load_data(DataSection(source=str(path), folds=folds, fold=fold, **settings))


def write(folder: Path, rows: Rows, name: str = "data.csv") -> Path:
    return write_csv(folder / name, ["text", "label"], rows)


def classes(rows: int = 103) -> Rows:
    """60 % a, 30 % b, 10 % c; no multiple of any number of folds."""
    return [(f"some text {index}", "aaaaaabbbc"[index % 10]) for index in range(rows)]


def numbers(rows: int = 100) -> Rows:
    return [(f"some text {index}", f"{(index * 37) % rows}.5") for index in range(rows)]


def marks(rows: int = 90) -> Rows:
    return [(f"some text {index}", ("a", "a|b", "b|c")[index % 3]) for index in range(rows)]


def held_out(path: Path, folds: int, **settings: Any) -> list[list[str]]:
    found = []
    for fold in range(folds):
        data = load(path, fold, folds, **settings)
        assert data.test is not None
        found.append(data.test.texts)
    return found


def refused(path: Path, fold: int = 0, folds: int = 5, **settings: Any) -> str:
    return refusal(DataError, load, path, fold, folds, **settings)


@pytest.mark.parametrize("rows", [classes(), numbers(), marks()], ids=["classes", "numbers", "marks"])
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_row_is_test_exactly_once(tmp_path: Path, rows: Rows, folds: int) -> None:
    found = held_out(write(tmp_path, rows), folds)
    assert sorted(text for texts in found for text in texts) == sorted(text for text, _ in rows)
    assert max(map(len, found)) - min(map(len, found)) <= 2


@pytest.mark.parametrize("fold", range(5))
def test_train_validation_and_test_are_disjoint_and_complete(tmp_path: Path, fold: int) -> None:
    data = load(write(tmp_path, classes()), fold)
    assert data.test is not None
    everyone = [*data.train.texts, *data.validation.texts, *data.test.texts]
    assert len(everyone) == len(set(everyone)) == 103
    assert set(data.train.take(data.probe).texts) <= set(data.train.texts)


@pytest.mark.parametrize("fold", range(5))
def test_every_fold_holds_the_classes_in_proportion(tmp_path: Path, fold: int) -> None:
    data = load(write(tmp_path, classes(200)), fold)
    assert data.test is not None
    assert Counter(data.test.labels) == {"a": 24, "b": 12, "c": 4}


@pytest.mark.parametrize("fold", range(5))
def test_every_fold_holds_numbers_of_all_sizes(tmp_path: Path, fold: int) -> None:
    data = load(write(tmp_path, numbers(200)), fold)
    assert data.test is not None
    assert Counter(int(value) // 20 for value in data.test.labels) == dict.fromkeys(range(10), 4)


def test_folds_are_those_of_the_split_seed(tmp_path: Path) -> None:
    path = write(tmp_path, classes())
    assert held_out(path, 3, split_seed=4) == held_out(path, 3, split_seed=4)
    assert held_out(path, 3, split_seed=4) != held_out(path, 3, split_seed=5)


def test_every_fold_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, classes())
    assert len({load(path, fold).fingerprint for fold in range(5)}) == 5


def test_a_fold_can_be_thinned_out_and_is_then_the_smaller(tmp_path: Path) -> None:
    path = write(tmp_path, classes(200))
    whole, thin = load(path, 0).test, load(path, 0, test_size=10).test
    assert whole is not None
    assert thin is not None
    assert len(thin) == 10
    assert set(thin.texts) <= set(whole.texts)
    assert load(path, 0, test_size=10).train.texts == load(path, 0).train.texts


def test_how_a_fold_was_made_is_said(tmp_path: Path) -> None:
    notes = load(write(tmp_path, classes(200)), 2, split_seed=3).notes
    assert "test: 40 rows of fold 2 of 5 (stratified by class, split seed 3)" in notes


def test_folds_that_cannot_be_stratified_are_not_said_to_be(tmp_path: Path) -> None:
    notes = load(write(tmp_path, numbers()), 2, folds=20).notes
    assert "test: 5 rows of fold 2 of 20 (at random: few rows, split seed 0)" in notes


def test_a_test_file_of_its_own_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, classes())
    other = write_csv(tmp_path / "other.csv", ["text", "label"], [(f"else {i}", "abc"[i % 3]) for i in range(9)])
    told = refused(path, test=str(other))
    assert "data.folds" in told
    assert "--data FILE" in told


def test_a_class_too_rare_for_every_fold_is_trained_on_by_all_and_named(tmp_path: Path) -> None:
    rows = [*classes(50), ("rare one", "z"), ("rare two", "z"), ("rare three", "z")]
    path = write(tmp_path, rows)
    assert sorted(text for texts in held_out(path, 5) for text in texts) == sorted(text for text, _ in classes(50))
    for fold in range(5):
        data = load(path, fold)
        assert data.train.labels.count("z") == 3
        assert any("z (3)" in note and "fewer than 5 rows" in note for note in data.notes)


def test_more_folds_than_rows_are_refused_with_what_to_type(tmp_path: Path) -> None:
    told = refused(write(tmp_path, numbers(12)), folds=13)
    assert "data.folds: 12 rows cannot fill 13 folds" in told
    assert "--folds 5" in told


def test_labels_of_a_set_too_rare_for_every_fold_are_trained_on_by_all(tmp_path: Path) -> None:
    path = write(tmp_path, [*marks(60), ("rare text one", "z|a"), ("rare text two", "z")])
    assert sorted(text for texts in held_out(path, 5) for text in texts) == sorted(text for text, _ in marks(60))
    assert all({"rare text one", "rare text two"} <= set(load(path, fold).train.texts) for fold in range(5))


@pytest.mark.parametrize("fold", range(5))
def test_folds_of_label_sets_hold_every_label_in_proportion(tmp_path: Path, fold: int) -> None:
    """Of 90 rows: a in 60, b in 60, c in 30, so 12, 12 and 6 in a fold of 18."""
    data = load(write(tmp_path, marks()), fold)
    assert data.test is not None
    counts = Counter(name for names in data.test.labels for name in names)
    assert all(abs(counts[name] - share) <= 1 for name, share in {"a": 12, "b": 12, "c": 6}.items())


@pytest.mark.parametrize("fold", range(2))
def test_two_folds_leave_rows_to_validate_on(tmp_path: Path, fold: int) -> None:
    data = load(write(tmp_path, classes()), fold, 2)
    assert len(data.validation) >= 5
    assert data.labels == ["a", "b", "c"]


# --- the keys of a recipe --------------------------------------------------------------------------------------


def resolved(path: Path, *overrides: str) -> DataSection:
    return resolve(data=str(path), overrides=overrides).recipe.data


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.fold=0"], "data.fold: has no meaning without data.folds. Try: --set data.folds=5"),
        (
            ["data.folds=5"],
            "data.folds: one run tests one fold. Try: --set data.fold=0, or finetune compare --folds 5",
        ),
        (["data.folds=5", "data.fold=5"], "data.fold: there is no fold 5 among 5 folds, which count from 0 to 4"),
        (["data.folds=1", "data.fold=0"], "data.folds: "),
        (["data.folds=5", "data.fold=-1"], "data.fold: "),
        (["data.folds=2.5", "data.fold=0"], "data.folds: "),
        (["data.folds=true", "data.fold=0"], "data.folds: "),
    ],
)
def test_folds_that_make_no_sense_are_refused(tmp_path: Path, overrides: list[str], expected: str) -> None:
    with refuses(RecipeError) as caught:
        resolved(write(tmp_path, classes()), *overrides)
    assert expected in typed(caught.value)


def test_folds_that_make_sense_are_kept(tmp_path: Path) -> None:
    section = resolved(write(tmp_path, classes()), "data.folds=5", "data.fold=4")
    assert (section.folds, section.fold) == (5, 4)
