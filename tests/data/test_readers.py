"""Formats are a registry: one line, or an entry point of a package, and files of a new format are read like others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune.data import readers
from finetune.data.load import load_data
from finetune.data.readers import READERS, Reader, find_reader, known_suffixes
from finetune.data.sources import read_sources
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.conftest import write_csv
from tests.raising import refuses

Install = Callable[..., None]

# A package with a reader of a format of its own: a text and a label on each line, with two spaces in between.
MODULE = """
from pathlib import Path

from finetune.data.readers import Reader
from finetune.data.table import Table
from finetune.errors import DataError


def read(path, section):
    rows = [line.split("  ") for line in Path(path).read_text().splitlines()]
    if not rows:
        raise DataError(f"{path}: holds no lines.")
    return Table(str(path), {"text": [row[0] for row in rows], "label": [row[1] for row in rows]})


lines = Reader(read, (".lines",), settings=("encoding",))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A package as far as Python is concerned: a module and its metadata on the path."""
    site = tmp_path / "site"
    info = site / "their_package-1.0.dist-info"
    info.mkdir(parents=True)

    def write(reader: str = "lines = their_readers:lines", module: str = MODULE) -> None:
        (site / "their_readers.py").write_text(module, encoding="utf-8")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[finetune.readers]\n{reader}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(__import__("sys").modules, "their_readers", raising=False)
        readers._installed_readers.cache_clear()

    yield write
    readers._installed_readers.cache_clear()


def write_lines(path: Path, count: int = 40) -> Path:
    path.write_text("".join(f"text {row}  {'ab'[row % 2]}\n" for row in range(count)), encoding="utf-8")
    return path


def test_a_reader_of_a_package_joins_by_itself(tmp_path: Path, install: Install) -> None:
    path = write_lines(tmp_path / "mine.lines")
    with refuses(DataError, r"expected a \.csv, .* file or a folder, found '\.lines'"):
        read_sources(DataSection(source=str(path)))
    install()
    assert known_suffixes()[-1] == ".lines"
    ours = write_csv(tmp_path / "mine.csv", ["text", "label"], [(f"text {row}", "ab"[row % 2]) for row in range(40)])
    theirs = load_data(DataSection(source=str(path), encoding="utf-8"))
    assert theirs.fingerprint == load_data(DataSection(source=str(ours))).fingerprint


def test_its_files_are_splits_of_a_folder_and_no_names_of_the_hub(tmp_path: Path, install: Install) -> None:
    install()
    (tmp_path / "set").mkdir()
    for split, count in (("train", 30), ("dev", 20)):
        write_lines(tmp_path / f"set/{split}.lines", count)
    found = read_sources(DataSection(source=str(tmp_path / "set")))
    assert {split: len(table) for split, table in found.items()} == {"train": 30, "validation": 20}
    with refuses(DataError, "no file or folder 'nowhere/mine.lines'"):
        read_sources(DataSection(source="nowhere/mine.lines"))


def test_settings_that_the_format_does_not_name_are_refused(tmp_path: Path, install: Install) -> None:
    install()
    path = write_lines(tmp_path / "mine.lines")
    with refuses(DataError, r"data\.delimiter: has no meaning for .*: it acts on CSV, TSV, text table only\..*=null"):
        read_sources(DataSection(source=str(path), delimiter=";"))


def test_a_reader_joins_by_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a format that no suffix tells, and that holds its splits."""

    def read(path: Path, section: DataSection) -> dict[str, Table]:
        rows = [f"text {row}" for row in range(20)], ["ab"[row % 2] for row in range(20)]
        return {
            split: Table(f"{path} {split}", dict(zip(("text", "label"), rows, strict=True)))
            for split in ("train", "validation", "test")
        }

    monkeypatch.setitem(READERS, "twins", Reader(read, recognises=lambda path: (path / "twins").exists()))
    (tmp_path / "twins").touch()
    assert {split: len(table) for split, table in read_sources(DataSection(source=str(tmp_path))).items()} == {
        "train": 20,
        "validation": 20,
        "test": 20,
    }
    whole = write_csv(tmp_path / "whole.csv", ["text", "label"], [("a text", "a")])
    with refuses(DataError, "holds several splits"):
        read_sources(DataSection(source=str(whole), validation=str(tmp_path)))


def test_suffix_goes_before_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = Reader(lambda path, section: Table(str(path), {}), recognises=lambda path: True)
    monkeypatch.setitem(READERS, "greedy", greedy)
    assert find_reader(write_csv(tmp_path / "a.CSV", ["text"], [])) is READERS["CSV"]
    assert find_reader(tmp_path / "a.odd") is greedy


def entry(body: str) -> dict[str, str]:
    """A module whose reader is this."""
    return {"module": f"{MODULE}\nlines = {body}\n"}


@pytest.mark.parametrize(
    ("package", "problem"),
    [
        ({"reader": "lines = nowhere_to_be_found:lines"}, "cannot be loaded: ModuleNotFoundError"),
        ({"module": "1 / 0\n"}, "cannot be loaded: ZeroDivisionError"),
        (entry("Reader"), "is a type, not a finetune.data.readers.Reader"),
        (entry("Reader(read)"), "neither suffixes nor recognises"),
        (entry("Reader(read, ('.csv',))"), r"\.csv files are read by the reader 'CSV'"),
        (entry("Reader(read, ('.Lines',))"), "'.Lines' must be lower case and start with a dot"),
        (entry("Reader(read, ('lines',))"), "'lines' must be lower case and start with a dot"),
        (entry("Reader(read, ('.lines',), settings=('sheet',))"), r"data\.sheet is not a key of a recipe"),
        ({"reader": "CSV = their_readers:lines"}, "there is a reader 'CSV' already"),
    ],
)
def test_a_broken_entry_point_names_its_package(
    tmp_path: Path, install: Install, package: dict[str, str], problem: str
) -> None:
    install(**package)
    source = write_csv(tmp_path / "fine.csv", ["text", "label"], [("a", "b")])
    with refuses(DataError, f"(?s)entry point .* of their-package: .*{problem}.*pip uninstall their-package"):
        read_sources(DataSection(source=str(source)))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("lambda path, section: 1 / 0", "reader 'lines' of their-package failed: ZeroDivisionError: division by zero"),
        (
            "lambda path, section: [1]",
            "reader 'lines' of their-package returned a list, not a finetune.data.table.Table",
        ),
        (
            "lambda path, section: Table('x', {'text': ['a'], 'label': []})",
            "reader 'lines' of their-package returned columns of different lengths",
        ),
        ("read", "holds no lines"),
    ],
)
def test_what_goes_wrong_in_a_reader_is_said_with_its_name(
    tmp_path: Path, install: Install, body: str, problem: str
) -> None:
    install(**entry(f"Reader({body}, ('.lines',))"))
    with refuses(DataError, f"empty.lines: {problem}"):
        read_sources(DataSection(source=str(write_lines(tmp_path / "empty.lines", 0))))


def test_every_format_has_a_way_to_be_found() -> None:
    for reader in READERS.values():
        assert reader.suffixes or reader.recognises is not None
        assert {*reader.settings} <= {*DataSection.model_fields}
    suffixes: list[Any] = list(known_suffixes())
    assert len(suffixes) == len(set(suffixes))
