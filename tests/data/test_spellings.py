"""Classes that are spellings of one: equal numbers are united, other spellings and placeholders are named."""

import shlex
from pathlib import Path

import pytest

from finetune.data.load import load_data
from finetune.data.spellings import placeholders, same_spellings
from finetune.errors import Change, DataError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv
from tests.raising import refuses, typed


def write(folder: Path, **splits: list[str]) -> Path:
    """A folder with a file per split, whose label cells take turns in its rows."""
    for split, cells in splits.items():
        rows = [(f"{split} text {row}", cells[row % len(cells)]) for row in range(20)]
        write_csv(folder / f"{split}.csv", ["text", "label"], rows)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ["positive", "Positive", "POSITIVE", "Positive.", '"positive"'],
        ["café crème", "cafe\u0301 cre\u0300me", "café\u00a0crème", "café crème\u200b", "café  crème"],
        ["not_entailment", "not entailment", "Not-Entailment"],
        ["1", "01", "1.00", "１"],
        ["Straße", "STRASSE"],
        ["True", "true", "TRUE", "1"],
        ["false", "0", "0.0"],
    ],
)
def test_spellings_of_one_name_are_one_group(names: list[str]) -> None:
    counts = dict.fromkeys(names, 1) | {"other": 5}
    assert [sorted(group) for group in same_spellings(counts)] == [sorted(names)]


@pytest.mark.parametrize(
    "names",
    [["C", "C++", "C#"], ["A", "A+", "A-"], ["1", "-1"], ["café", "cafe"], [".", "?", "-"], ["0", "O"], ["1", "10"]],
)
def test_other_names_are_no_spellings(names: list[str]) -> None:
    assert same_spellings(dict.fromkeys(names, 1)) == []


def test_the_plain_and_then_the_frequent_spelling_is_kept() -> None:
    assert same_spellings({"Pos.": 9, "pos": 3, "Pos": 2, "pos\u200b": 8})[0][0] == "pos"


@pytest.mark.parametrize("name", ["-", "?", "NULL", "#N/A", "n/a", "NaN", "no majority", "Unlabeled"])
def test_placeholders_are_known(name: str) -> None:
    assert placeholders(["a", "b", name]) == ([name], [])


def test_what_may_be_a_class_is_told_apart() -> None:
    assert placeholders(["favor", "against", "none", "Unknown"]) == ([], ["Unknown", "none"])
    assert placeholders(["0", "1", "2", "-1"]) == (["-1"], [])
    assert placeholders(["1", "2", "3", "-1"]) == (["-1"], [])
    assert placeholders(["0", "1", "-1"]) == ([], []), "a sentiment"
    assert placeholders(["a", "b"]) == ([], [])


@pytest.mark.parametrize(("train", "test"), [(["1.0", "0.0"], ["1", "0"]), (["1", "0"], ["1.00", "0.0"])])
def test_equal_numbers_are_one_class_over_all_files_and_it_is_said(
    tmp_path: Path, train: list[str], test: list[str]
) -> None:
    data = load_data(DataSection(source=str(write(tmp_path, train=train, test=test))))
    assert data.labels == ["0", "1"]
    assert any(note.startswith("labels: equal whole numbers are one class: ") for note in data.notes)


def test_versions_are_no_numbers(tmp_path: Path) -> None:
    data = load_data(DataSection(source=str(write(tmp_path, train=["1.1", "1.10", "1.0"])), task="single_label"))
    assert data.labels == ["1.0", "1.1", "1.10"]


def test_numbers_in_one_spelling_keep_it(tmp_path: Path) -> None:
    data = load_data(DataSection(source=str(write(tmp_path, train=["1.0", "0.0"]))))
    assert data.labels == ["0.0", "1.0"]


def test_the_spelling_that_the_recipe_names_is_kept(tmp_path: Path) -> None:
    folder = str(write(tmp_path, train=["1.0", "0.0"], test=["1", "0"]))
    named = DataSection(source=folder, label_map={"1.0": "pos", "0.0": "neg"})
    assert load_data(named).labels == ["neg", "pos"]
    both = {"1.0": "pos", "0.0": "neg", "1": "pos", "0": "neg"}
    assert load_data(DataSection(source=folder, label_map=both)).warnings == []


def test_whole_numbers_that_no_float_tells_apart_stay_apart(tmp_path: Path) -> None:
    names = ["12345678901234567890", "12345678901234567891"]
    assert load_data(DataSection(source=str(write(tmp_path, train=names)), task="single_label")).labels == names


@pytest.mark.parametrize("test", [["POSITIVE", "negative"], ["positive.", "negative"], ["positive\u200b", "negative"]])
def test_a_label_that_another_split_spells_otherwise_is_named_and_the_map_can_be_pasted(
    tmp_path: Path, test: list[str]
) -> None:
    folder = str(write(tmp_path, train=["positive", "negative"], test=test))
    with refuses(DataError, match=r"data\.test: spells labels differently: .* is 'positive' in training\.") as caught:
        load_data(DataSection(source=folder))
    override = shlex.split(typed(caught.value).rpartition("--set ")[2])[0]
    recipe = resolve("your-data", data=folder, overrides=[override]).recipe
    assert load_data(recipe.data).labels == ["negative", "positive"]


def test_new_labels_beside_other_spellings_are_named_apart(tmp_path: Path) -> None:
    folder = str(write(tmp_path, train=["a", "b"], test=["A", "b", "c"]))
    with refuses(DataError, match=r"'A' is 'a' in training\. It has labels that never occur in training: c\."):
        load_data(DataSection(source=folder))


def test_dropping_labels_is_not_advised_where_it_would_empty_a_split(tmp_path: Path) -> None:
    folder = str(write(tmp_path, train=["a", "b"], test=["c", "d"]))
    with refuses(DataError, match="no row of this split has another label") as caught:
        load_data(DataSection(source=folder))
    assert "drop_labels" not in typed(caught.value)


def test_what_nobody_sees_is_escaped_where_it_is_to_be_typed() -> None:
    typed_change = Change(settings={"data.label_map": {"a\u200b\u00a0": "cafe\u0301", "é ü": "x"}}).for_command_line()
    assert typed_change == '--set \'data.label_map={"a\\u200b\\u00a0": "cafe\\u0301", "é ü": "x"}\''
    override = shlex.split(typed_change)[1]
    assert resolve("your-data", overrides=[override]).recipe.data.label_map == {
        "a\u200b\u00a0": "cafe\u0301",
        "é ü": "x",
    }
