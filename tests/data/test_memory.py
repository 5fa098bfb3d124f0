"""Data from memory: the same rows, labels, splits and fingerprint as from a file, by whatever object they come."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from finetune.cache import cache_folder
from finetune.data import memory
from finetune.data.load import load_data
from finetune.data.memory import describe, store
from finetune.data.rows import Data
from finetune.data.sources import read_sources
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.conftest import write_csv, write_jsonl
from tests.raising import refuses
from tests.running import finetune

Cells = dict[str, list[Any]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(data: Any, **settings: Any) -> Data:
    return load_data(DataSection(source=data if isinstance(data, str) else store(data), **settings))


def content(data: Data) -> Any:
    """All that decides figures: rows, labels, splits, and what was left out."""
    return (
        (data.task, data.labels, data.train, data.probe, data.validation, data.test),
        (data.columns, data.fingerprint, data.dropped, data.tables),
    )


def rows_of(cells: Cells) -> list[dict[str, Any]]:
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def as_dict(cells: Cells) -> Any:
    return dict(cells)


def as_arrays(cells: Cells) -> Any:
    """numpy's arrays of objects, which hold cells as they are."""
    columns = {}
    for name, values in cells.items():
        columns[name] = np.empty(len(values), dtype=object)
        columns[name][:] = values
    return columns


def without_empty_cells(cells: Cells) -> Any:
    return [{name: cell for name, cell in row.items() if cell is not None} for row in rows_of(cells)]


FORMS: dict[str, Callable[[Cells], Any]] = {
    "DataFrame": pd.DataFrame,
    "Dataset": datasets.Dataset.from_dict,
    "dict of lists": as_dict,
    "dict of arrays": as_arrays,
    "list of dicts": rows_of,
    "list of dicts without empty cells": without_empty_cells,
}
TEXTS = [f"some text {row}, and words" for row in range(60)]
CASES: dict[str, tuple[Cells, dict[str, Any]]] = {
    "classes": ({"text": TEXTS, "label": ["a", "b", "c"] * 20}, {}),
    "numbered classes": ({"text": TEXTS, "label": [10, 9, 8] * 20}, {}),
    "missing cells": (
        {"text": [None, "", " ", *TEXTS[3:]], "label": ["a", "b", None, *(["a", "b", "c"] * 19)]},
        {"deduplicate": True},
    ),
    "numbers with missing cells": (
        {"text": TEXTS, "label": [None if row == 4 else row / 7 for row in range(60)]},
        {},
    ),
    "whole numbers with missing cells": ({"text": TEXTS, "label": [None, 0, 1] * 20}, {}),
    "truth": ({"text": TEXTS, "label": [True, False, True] * 20}, {}),
    "pairs": ({"premise": TEXTS, "hypothesis": TEXTS[::-1], "label": ["no", "yes"] * 30}, {}),
    "joined labels": ({"text": TEXTS, "label": ["a|b", "b", None] * 20}, {"task": "multi_label"}),
    "a column for each label": (
        {"text": TEXTS, "good": [0, 1] * 30, "bad": [1, 0, 0] * 20},
        {"label": ["good", "bad"]},
    ),
    "groups and order": (
        {
            "text": TEXTS,
            "label": ["a", "b"] * 30,
            "author": [row % 20 for row in range(60)],
            "score": [row % 9 / 2 for row in range(60)],
            "unused": ["None", "NaN", "n/a"] * 20,
        },
        {"group": "author", "minimum": {"score": 0.5}, "drop_labels": ["c"]},
    ),
    "folds": ({"text": TEXTS, "label": ["a", "b"] * 30}, {"folds": 3, "fold": 1, "subset": 20}),
    "a title": (
        {"title": TEXTS, "body": [None, *TEXTS[1:]], "class": ["a", "b"] * 30},
        {"template": "{title}: {body}"},
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_memory_gives_what_a_file_gives(tmp_path: Path, case: str, form: str) -> None:
    cells, settings = CASES[case]
    written = [["" if cell is None else cell for cell in row.values()] for row in rows_of(cells)]
    from_file = load(str(write_csv(tmp_path / "data.csv", list(cells), written)), **settings)
    from_memory = load(FORMS[form](cells), **settings)
    assert content(from_memory) == content(from_file)
    assert from_memory.warnings == from_file.warnings


@pytest.mark.parametrize("form", FORMS)
def test_lists_of_labels_are_those_of_json(tmp_path: Path, form: str) -> None:
    cells = {"text": TEXTS, "tags": [["x", "y"], [], ["y"]] * 20}
    from_file = load(str(write_jsonl(tmp_path / "data.jsonl", rows_of(cells))), label="tags")
    assert from_file.task == "multi_label"
    assert content(load(FORMS[form](cells), label="tags")) == content(from_file)


def test_dates_order_rows_as_written_ones_do(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"text": TEXTS, "label": ["a", "b"] * 30, "day": pd.date_range("2024-01-31", periods=60)[::-1]}
    )
    frame.to_csv(tmp_path / "data.csv", index=False)
    assert content(load(frame, order_by="day")) == content(load(str(tmp_path / "data.csv"), order_by="day"))


@pytest.mark.parametrize(
    "column",
    [
        lambda labels: pd.Series(labels).astype("category"),
        lambda labels: pd.Series(labels, dtype="string"),
        lambda labels: pd.Series(labels, dtype=object),
        lambda labels: pd.array(labels),
        np.array,
    ],
)
def test_a_type_of_pandas_changes_nothing(column: Callable[[list[str]], Any]) -> None:
    labels = ["a", "b", "c"] * 20
    plain = load(pd.DataFrame({"text": TEXTS, "label": pd.Series(labels, dtype=object)}))
    assert content(load(pd.DataFrame({"text": TEXTS, "label": column(labels)}))) == content(plain)


def test_texts_and_labels_are_columns_of_these_names() -> None:
    labels = ["a", "b", "c"] * 20
    plain = load({"text": TEXTS, "label": labels})
    frame = pd.DataFrame({"x": TEXTS, "y": labels}).sample(frac=1, random_state=0).sort_index()
    dataset = datasets.Dataset.from_dict({"x": TEXTS, "y": labels})
    for pair in (
        (TEXTS, labels),
        (np.array(TEXTS), tuple(labels)),
        (frame["x"], frame["y"]),
        (dataset["x"], dataset["y"]),
    ):
        assert content(load(pair)) == content(plain)


CLASSES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["z", "a", "m"])})


def test_a_dataset_keeps_the_order_of_its_classes() -> None:
    dataset = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 2] * 20}, features=CLASSES)
    assert load(dataset).labels == ["z", "a", "m"]
    assert load(pd.DataFrame({"text": TEXTS, "label": ["z", "a", "m"] * 20})).labels == ["a", "m", "z"]


def test_rows_of_a_dataset_are_those_that_were_selected() -> None:
    dataset = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 2] * 20}, features=CLASSES)
    chosen = list(range(0, 60, 2))
    part = datasets.Dataset.from_dict({"text": TEXTS[::2], "label": ([0, 1, 2] * 20)[::2]}, features=CLASSES)
    assert content(load(dataset.select(chosen))) == content(load(part))
    assert store(dataset.select(chosen)) == store(part)


SPLITS = {"train": 30, "validation": 15, "test": 15}


def parts(form: Callable[[Cells], Any]) -> dict[str, Any]:
    starts = dict(zip(SPLITS, (0, 30, 45), strict=True))
    return {
        split: form({"text": TEXTS[starts[split] :][:size], "label": (["a", "b", "c"] * 20)[starts[split] :][:size]})
        for split, size in SPLITS.items()
    }


@pytest.mark.parametrize("form", FORMS)
def test_splits_are_those_of_a_folder(tmp_path: Path, form: str) -> None:
    for split, rows in parts(rows_of).items():
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    from_folder = load(str(tmp_path))
    assert content(load(parts(FORMS[form]))) == content(from_folder)
    assert {name: len(rows) for name, rows in from_folder.measured_splits().items()} == {
        "train_probe": 15,
        "validation": 15,
        "test": 15,
    }


def test_a_dict_of_datasets_names_its_splits_as_a_saved_one_does() -> None:
    sets = parts(datasets.Dataset.from_dict)
    renamed = datasets.DatasetDict(
        {"fit": sets["train"], "dev": sets["validation"], "test": sets["test"], "more": sets["test"]}
    )
    with refuses(DataError, r"the DatasetDict: no split is recognised as train\. Its splits: fit, dev, test, more\."):
        load(renamed)
    loaded = load(renamed, split_names={"train": "fit"})
    assert content(loaded) == content(load(datasets.DatasetDict(sets)))
    assert "the DatasetDict: splits that are not used: more" in loaded.notes[0]


def test_one_split_alone_is_split() -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": ["a", "b", "c"] * 20})
    assert content(load({"train": frame})) == content(load(frame))


def test_a_table_can_stand_beside_a_file(tmp_path: Path) -> None:
    tables = parts(pd.DataFrame)
    for split in ("train", "test"):
        tables[split].to_csv(tmp_path / f"{split}.csv", index=False)
    loaded = load(str(tmp_path / "train.csv"), validation=store(tables["validation"]), test=str(tmp_path / "test.csv"))
    assert loaded.fingerprint == load(tables).fingerprint


# --- the cache -------------------------------------------------------------------------------------------------


def test_content_names_the_reference_and_is_written_once(cache: Path) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": ["a", "b"] * 30})
    reference = store(frame)
    assert reference.startswith("memory:")
    written = {path: path.stat().st_mtime_ns for path in (cache / "data").rglob("*")}
    assert store(frame.copy()) == reference
    assert {path: path.stat().st_mtime_ns for path in (cache / "data").rglob("*")} == written
    others = [
        frame.assign(label=["b", "a"] * 30),
        frame.rename(columns={"text": "words"}),
        frame.iloc[::-1],
        frame[:59],
    ]
    assert len({reference, *map(store, others)}) == 5


def test_another_process_reads_it(cache: Path) -> None:
    """As workers and --resume do: all they have is the reference, and the cache."""
    reference = store(pd.DataFrame({"text": TEXTS, "label": ["a", "b"] * 30}))
    program = (
        "import sys\nfrom finetune.data.load import load_data\nfrom finetune.recipe import DataSection\n"
        "print(load_data(DataSection(source=sys.argv[1])).fingerprint)"
    )
    done = finetune(reference, launcher=("-c", program), FINETUNE_CACHE=str(cache))
    assert done.stdout.strip() == load(reference).fingerprint


def test_data_that_is_no_longer_there_is_to_be_passed_again(cache: Path) -> None:
    for reference in (f"memory:{'0' * 64}", "memory:../data", "memory:"):
        with refuses(DataError, r"data\.source: the data of this run came from memory, but .* does not hold it.*again"):
            load(reference)
    assert describe(f"memory:{'0' * 64}") == "data from memory"


def test_damage_is_named(cache: Path) -> None:
    reference = store({"text": TEXTS, "label": ["a", "b"] * 30})
    folder = cache / "data" / reference.removeprefix("memory:")
    (folder / "0.parquet").write_bytes(b"half")
    with refuses(DataError, r"0\.parquet: cannot be read as Parquet"):
        load(reference)
    (folder / "memory.json").write_bytes(b"{")
    with refuses(DataError, r"memory\.json: is damaged\. Remove .* and pass the data again"):
        load(reference)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "file"))
    with refuses(DataError, r"data from memory cannot be written to .*: .* FINETUNE_CACHE=DIR"):
        store({"text": TEXTS, "label": ["a", "b"] * 30})


def test_a_write_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    data = {"text": TEXTS, "label": ["a", "b"] * 30}
    with monkeypatch.context() as patched:
        patched.setattr(memory, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            store(data)
    assert [path.suffix for path in (cache / "data").iterdir()] == [".lock"]
    assert load(data).fingerprint


def test_pandas_is_not_imported_for_lists() -> None:
    program = (
        "import sys\nfrom finetune.data.memory import store\n"
        "before = 'pandas' in sys.modules or 'datasets' in sys.modules\n"
        "from finetune.data.frames import _holds_splits, _is\n"
        "assert not _holds_splits({'text': ['a'], 'label': ['b']}) and not _is([], 'pandas', 'DataFrame')\n"
        "print(before, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# --- bad input -------------------------------------------------------------------------------------------------


class Own:
    """An object of the user."""


GOOD = {"text": TEXTS, "label": ["a", "b"] * 30}


def first(value: Any, others: list[Any]) -> list[Any]:
    return [value, *others[1:]]


def as_objects(cells: Cells) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in cells.items()})


@pytest.mark.parametrize("form", [as_objects, as_dict, rows_of])
@pytest.mark.parametrize(
    ("column", "cells", "problem"),
    [
        ("label", first(True, [0, 1] * 30), "holds true/false in row 1 and a number in row 2; make its cells alike"),
        ("label", first("x", [["a"], ["b"]] * 30), "holds a text in row 1 and a list in row 2"),
        ("label", [[1, "a"]] * 60, "holds lists whose parts are not alike"),
        ("label", [{"a", "b"}] * 60, "holds sets, whose order is not fixed"),
        ("label", [Own()] * 60, "holds a value of type Own, which is not a text, a number or a list of them"),
        ("label", [b"a", b"b"] * 30, "holds (binary|a value of type bytes), which is not a text"),
        ("label", [2**80, 1] * 30, "holds numbers that no type of 64 bits holds together"),
        ("text", first("\ud800", TEXTS), "holds text with half of a two-part character"),
        ("text", first(Path("a"), [Path(text) for text in TEXTS]), "holds a value of type .*Path, which is not a text"),
    ],
)
def test_a_column_that_cannot_be_used_matters_where_it_is_used(
    column: str, cells: list[Any], problem: str, form: Callable[[Cells], Any]
) -> None:
    with refuses(DataError, rf"^the (DataFrame|dict of lists|list of dicts): column '{column}' ({problem}).*data\."):
        load(form({**GOOD, column: cells}))
    loaded = load(form({**GOOD, "other": cells}))
    assert loaded.fingerprint == load(form(GOOD)).fingerprint
    said = [note for note in loaded.notes if "column 'other' is left out: it holds" in note]
    assert len(said) == 1
    assert "columns that are not used: other" in loaded.notes


@pytest.mark.parametrize("form", [as_objects, as_dict, rows_of])
def test_numbers_among_texts_are_texts_as_in_a_csv(form: Callable[[Cells], Any]) -> None:
    assert load(form({**GOOD, "label": [1, "1", 0.0, "0", None, "1 "] * 10})).labels == ["0", "1"]


def test_objects_inside_cells_are_no_texts() -> None:
    frame = pd.DataFrame({**GOOD, "text": [{"a": 1}] * 60})
    with refuses(DataError, r"column 'text\.a' holds numbers, not texts .*data\.text=COLUMN"):
        load(frame)


def test_a_reason_is_the_same_in_every_process() -> None:
    """Else the same data would have a reference of its own each time."""
    assert store({**GOOD, "other": [Own()] * 60}) == store({**GOOD, "other": [Own()] * 60})


def test_images_are_not_written(cache: Path) -> None:
    features = datasets.Features({**CLASSES, "image": datasets.Image()})
    cells = {"text": TEXTS, "label": [0, 1, 2] * 20, "image": [{"bytes": b"x" * 99, "path": None}] * 60}
    dataset = datasets.Dataset.from_dict(cells, features=features)
    loaded = load(dataset)
    assert "the Dataset: column 'image' is left out: it holds" in loaded.notes[0]
    assert loaded.fingerprint == load(dataset.remove_columns("image")).fingerprint
    with refuses(DataError, "the Dataset: column 'image' holds .*, which is not a text"):
        load(dataset, text="image")


def stream() -> Any:
    return datasets.Dataset.from_dict(GOOD).to_iterable_dataset()


GROUPED = pd.DataFrame(GOOD).assign(key=1).set_index(["key", "label"])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (5, r"data: is a builtins\.int\. Expected a pandas DataFrame"),
        ("data.csv", r"data: is a builtins\.str\."),
        (None, r"data: is a builtins\.NoneType\."),
        (pd.Series(TEXTS), r"data: is a pandas\..*Series\."),
        ([], "the list of dicts: has no rows"),
        ({}, "the dict of lists: has no rows"),
        ({"text": [], "label": []}, "the dict of lists: has no rows"),
        (pd.DataFrame(GOOD)[:0], "the DataFrame: has no rows"),
        (pd.DataFrame(index=range(3)), "the DataFrame: has no columns"),
        (datasets.Dataset.from_dict({"text": [], "label": []}), "the Dataset: has no rows"),
        (datasets.DatasetDict(), "the DatasetDict: has no splits"),
        ({"train": pd.DataFrame(GOOD), "test": pd.DataFrame(GOOD)[:0]}, "the DataFrame split test: has no rows"),
        ({"trian": pd.DataFrame(GOOD)}, r"data\['trian'\]: is no split\. Did you mean train\?"),
        ({"train": rows_of(GOOD), "extra": rows_of(GOOD)}, r"data\['extra'\]: is no split\."),
        (["a text"], r"the list of dicts: entry 1 is a str \('a text'\); expected a dict"),
        ([{"text": "a", "label": "b"}, ("a", "b")], r"the list of dicts: entry 2 is a tuple"),
        ((TEXTS,), "the texts and labels: the tuple has 1 parts, not 2"),
        ((TEXTS, GOOD["label"][1:]), "the texts and labels: the lists differ in length: 'text' has 60, 'label' has 59"),
        ({"text": TEXTS, "label": "abc"}, r"the dict of lists: 'label' is a str \('abc'\); expected a list"),
        ({"text": (text for text in TEXTS), "label": GOOD["label"]}, "the dict of lists: 'text' is a generator"),
        ({"text": {"a"}, "label": ["a"]}, "the dict of lists: 'text' is a set"),
        ({"train": {"text": TEXTS, "label": ["a"]}}, "the dict of lists split train: the lists differ in length"),
        (GROUPED, r"the DataFrame: its index is a MultiIndex\. Make columns of it: data\.reset_index\(\)"),
        (GROUPED.T, r"the DataFrame: its columns are a MultiIndex\."),
        (stream(), r"the stream \(IterableDataset\): a stream can be neither counted nor split"),
        (datasets.IterableDatasetDict({"train": stream()}), r"the stream split train \(IterableDataset\)"),
    ],
)
def test_what_is_no_data_is_refused(data: Any, problem: str, cache: Path) -> None:
    with refuses(DataError, f"^{problem}"):
        store(data)
    assert not cache.exists()


@pytest.mark.parametrize("names", [["text", "label", "x", "x"], ["text", "label", "1", 1]], ids=["same", "as texts"])
def test_unused_columns_of_one_name_do_no_harm(names: list[Any], cache: Path) -> None:
    frame = pd.DataFrame([[f"text {n}", f"{n % 2}", 1, 2] for n in range(20)], columns=names)
    data = load_data(DataSection(source=store(frame)))
    assert sum(map(len, data.whole_splits().values())) == 20
    assert any(f"2 columns are called '{names[2]}'" in note for note in data.notes)


@pytest.mark.parametrize(
    ("data", "settings", "problem"),
    [
        (
            datasets.Dataset.from_dict({"text": TEXTS}),
            {},
            "data.label: the Dataset has no column that is recognised as the label",
        ),
        (
            {"train": {"text": TEXTS}},
            {},
            "data.label: the dict of lists split train has no column that is recognised as the label",
        ),
        (GOOD, {"label": "nowhere"}, "data.label: the dict of lists has no column 'nowhere'"),
        (pd.DataFrame({**GOOD, "label": [None] * 60}), {}, "the DataFrame: no rows are left of 60"),
        (
            {"test": pd.DataFrame(GOOD), "dev": pd.DataFrame(GOOD)},
            {},
            "data.source: the dict of splits: no split is recognised",
        ),
        (
            GOOD,
            {"delimiter": ";"},
            "data.delimiter: has no meaning for the dict of lists: it acts on CSV, TSV, text table only",
        ),
        (GOOD, {"split_names": {"train": "x"}}, "data.split_names: the dict of lists is one set without splits"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_by_name(data: Any, settings: dict[str, Any], problem: str) -> None:
    """Never by the path of a file in the cache."""
    with refuses(DataError, f"^{problem}") as caught:
        load(data, **settings)
    assert "cache" not in caught.value.for_command_line()


def test_rows_are_blamed_by_their_number() -> None:
    cells = {"text": TEXTS, "label": [0.5, "x", *([1.5] * 58)]}
    with refuses(DataError, r"the list of dicts row 2: label 'x' is not a number"):
        load([{name: str(cell) for name, cell in row.items()} for row in rows_of(cells)], task="regression")


@pytest.mark.parametrize("index", [range(60), None, range(60, 0, -1), list("ab" * 30), range(0, 120, 2)])
def test_an_index_is_not_used_and_that_is_said(index: Any) -> None:
    loaded = load(pd.DataFrame(GOOD, index=index))
    noted = any("the DataFrame: its index is not used" in note for note in loaded.notes)
    assert noted == (index not in (None, range(60)))
    assert loaded.fingerprint == load(pd.DataFrame(GOOD)).fingerprint


def test_notes_name_the_split_and_no_path(cache: Path) -> None:
    tables = parts(pd.DataFrame)
    tables["test"].index = range(5, 20)
    notes = load(tables).notes
    assert "the DataFrame split test: its index is not used; rows are counted from 1 in their order" in notes
    assert not any(str(cache) in note for note in notes)
    assert describe(store(tables)) == "the dict of splits"
    assert describe("data.csv") == "data.csv"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def test_what_is_stored_says_what_it_is() -> None:
    reference = store(pd.DataFrame(GOOD))
    about = json.loads((cache_folder() / "data" / reference.removeprefix("memory:") / "memory.json").read_text())
    assert about["origin"] == "the DataFrame"
    assert about["tables"]["all"]["rows"] == 60
    (table,) = read_sources(DataSection(source=reference)).values()
    assert table.origin == "the DataFrame"
