"""What several sections share is read and split once; each gets what `load_data` alone would give it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune.data import load, loader
from finetune.data.load import load_data
from finetune.data.loader import OF_MODEL, OF_SPLITS, OF_SUBSET, Loader
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.conftest import write_csv
from tests.raising import refuses


class Counted:
    """How often files were read, and rows split."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[str] = []
        self.splits = 0
        read, split = load.read_sources, loader.split_source

        def counted_read(section: DataSection) -> Any:
            self.reads.append(section.source)
            return read(section)

        def counted_split(*given: Any) -> Any:
            self.splits += 1
            return split(*given)

        monkeypatch.setattr(load, "read_sources", counted_read)
        monkeypatch.setattr(loader, "split_source", counted_split)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """240 rows of three classes, some empty and some doubled."""
    rows = [(f"some text {row % 200}", "aabc"[row % 4], f"author {row % 30}") for row in range(237)]
    rows += [("", "a", "author 1"), ("a text", "", "author 2"), ("a title", "c", "author 3")]
    return str(write_csv(tmp_path / "data.csv", ["text", "label", "author"], rows))


def curve(source: str) -> Iterator[DataSection]:
    """Four sizes, four seeds."""
    for size in (20, 40, 60, 80):
        for seed in range(4):
            yield DataSection(source=source, subset=size, subset_seed=seed)


def test_a_curve_reads_and_splits_its_file_once(source: str, counted: Counted) -> None:
    shared = Loader()
    loaded = [shared.load(section) for section in curve(source)]
    assert [len(data.train) for data in loaded] == [20] * 4 + [40] * 4 + [60] * 4 + [80] * 4
    assert len({data.fingerprint for data in loaded}) == 16
    assert counted.reads == [source]
    assert counted.splits == 1


def test_folds_read_their_file_once(source: str, counted: Counted) -> None:
    shared = Loader()
    for _ in ("seed 0", "seed 1"):
        for fold in range(5):
            shared.load(DataSection(source=source, folds=5, fold=fold))
    assert counted.reads == [source]
    assert counted.splits == 5


def test_what_the_model_sees_of_a_text_loads_nothing_again(source: str, counted: Counted) -> None:
    shared = Loader()
    first = shared.load(DataSection(source=source))
    assert shared.load(DataSection(source=source, max_length=32, long_texts="windows", overlap=4, check=False)) is first
    assert counted.reads == [source]


SETTINGS: list[dict[str, Any]] = [
    {},
    {"deduplicate": True},
    {"drop_leaks": True},
    {"drop_labels": ["b"]},
    {"minimum": {"label": 1.0}, "label": "author", "drop_labels": ["author 0"]},
    {"label_map": {"a": "one", "b": "two", "c": "two"}},
    {"labels": ["c", "b", "a"]},
    {"group": "author"},
    {"group": "author", "folds": 3, "fold": 1},
    {"train_size": 50, "validation_size": 20, "test_size": 0.2},
    {"split_seed": 3},
    {"split_seed": 3, "subset": 30},
    {"split_seed": 3, "subset": 30, "subset_seed": 1},
    {"split_seed": 3, "subset": 60, "probe_size": 10},
    {"folds": 4, "fold": 0},
    {"folds": 4, "fold": 3, "subset": 40},
]


def outcome(load_one: Any, section: DataSection) -> Any:
    try:
        return load_one(section)
    except DataError as error:
        return error.problems


@pytest.mark.parametrize("remembered", [0, 5_000_000], ids=["the last only", "all"])
def test_each_section_gets_what_it_gets_alone(source: str, remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, labels, probe, fingerprint, notes and warnings with their order, and what is refused, in any order."""
    monkeypatch.setattr(loader, "REMEMBERED_ROWS", remembered)
    shared = Loader()
    sections = [DataSection(source=source, **settings) for settings in SETTINGS]
    alone = [outcome(load_data, section) for section in sections]
    assert len({data.fingerprint for data in alone if not isinstance(data, list)}) > 10
    for order in (range(len(sections)), reversed(range(len(sections)))):
        for place in order:
            assert outcome(shared.load, sections[place]) == alone[place]


def test_memory_is_bounded(source: str, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the three splits fit: the one that was used longest ago is split again, and nothing is read again."""
    monkeypatch.setattr(loader, "REMEMBERED_ROWS", 500)
    shared = Loader()
    for seed in (0, 1, 2, 2, 1, 0):
        shared.load(DataSection(source=source, split_seed=seed))
    assert counted.reads == [source]
    assert counted.splits == 4


def test_a_file_that_cannot_be_read_is_read_again(tmp_path: Path, counted: Counted) -> None:
    path = tmp_path / "late.csv"
    shared = Loader()
    with refuses(DataError, match="no file or folder"):
        shared.load(DataSection(source=str(path)))
    write_csv(path, ["text", "label"], [(f"text {row}", "ab"[row % 2]) for row in range(40)])
    assert len(shared.load(DataSection(source=str(path))).train) > 0


def test_stages_know_the_keys_of_a_section() -> None:
    """A key in two stages, or one that no longer exists, would serve the wrong rows."""
    stages = (OF_SPLITS, OF_SUBSET, OF_MODEL)
    assert set().union(*stages) < set(DataSection.model_fields)
    assert sum(map(len, stages)) == len(set().union(*stages))
