"""The formats of data: a registry with one line per format, which users' own readers join by an entry point.

CSV and JSON are read by Python's own csv and json, which change no value (see `delimited.py` for why not by
`datasets`); Parquet and saved sets by `datasets`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from finetune.data.arrow_files import read_arrow, read_parquet
from finetune.data.compressed import SUFFIXES as COMPRESSED
from finetune.data.compressed import data_suffix, is_archive, is_compressed
from finetune.data.dataset_sets import is_saved_set, read_saved_set
from finetune.data.delimited import read_delimited
from finetune.data.encoding import open_text
from finetune.data.formats.arff import read_arff
from finetune.data.formats.excel import read_excel
from finetune.data.formats.fasttext import is_fasttext, read_fasttext, read_lines
from finetune.data.formats.names import same_name
from finetune.data.formats.spacy_cats import read_docbin
from finetune.data.formats.text_folders import is_text_folder, read_folder_texts, read_text_folder
from finetune.data.formats.text_tables import is_text_table, read_text_table
from finetune.data.formats.yaml_files import read_yaml
from finetune.data.json_files import read_json, read_json_lines
from finetune.data.memory import is_stored, read_stored
from finetune.data.table import Table
from finetune.errors import Change, DataError, FinetuneError, suggest
from finetune.recipe import DataSection

GROUP = "finetune.readers"  # of entry points: NAME = "module:READER"
# Suffixes of other files, so that `mine/rows.md` is a missing file and not the name of a set on the hub.
OTHER_FILES = (".md", *COMPRESSED)

OF_DELIMITED = ("delimiter", "encoding", "quoting", "quote_char", "escape", "comment", "header", "columns")

Content = Table | dict[str, Table]


@dataclass(frozen=True)
class Reader:
    """How one format is read.

    Attributes:
        read: (path, section) -> the table, or split -> table for a format that holds several splits. Cells are texts,
            numbers, booleans, None where a cell is empty, or lists of them. Raises DataError that names file and row.
        suffixes: Suffixes of its files: lower case, with the dot.
        recognises: Whether a file or folder has this format; for formats without a suffix of their own.
        settings: Keys of `data` that change how this format is read. Setting such a key is an error if no format in use
            has it.
        read_texts: The same for where labels are not needed, if that differs: rows without a label are then kept.
        streams: It opens its files by `compressed.open_bytes` (`encoding.open_text` does), and so reads compressed ones
            and those in archives too.
    """

    read: Callable[[Path, DataSection], Content]
    suffixes: tuple[str, ...] = ()
    recognises: Callable[[Path], bool] | None = None
    settings: tuple[str, ...] = ()
    read_texts: Callable[[Path, DataSection], Content] | None = None
    streams: bool = False


READERS: dict[str, Reader] = {
    "CSV": Reader(
        lambda path, section: read_delimited(open_text(path, section), section, ","),
        (".csv",),
        settings=OF_DELIMITED,
        streams=True,
    ),
    "TSV": Reader(
        lambda path, section: read_delimited(open_text(path, section), section, "\t"),
        (".tsv", ".tab"),
        settings=OF_DELIMITED,
        streams=True,
    ),
    "JSON": Reader(
        lambda path, section: read_json(open_text(path, section), section),
        (".json",),
        settings=("encoding", "split_names"),
        streams=True,
    ),
    "JSON lines": Reader(
        lambda path, section: read_json_lines(open_text(path, section), section),
        (".jsonl", ".ndjson"),
        settings=("encoding",),
        streams=True,
    ),
    "Parquet": Reader(lambda path, _: read_parquet(path), (".parquet",), streams=True),
    "Arrow": Reader(lambda path, _: read_arrow(path), (".feather", ".arrow"), streams=True),
    "Excel": Reader(read_excel, (".xlsx", ".xlsm", ".xls"), settings=("split_names",), streams=True),
    "text table": Reader(read_text_table, recognises=is_text_table, settings=OF_DELIMITED, streams=True),
    "fastText": Reader(
        read_fasttext,
        (".txt", ".ft"),
        recognises=is_fasttext,
        settings=("encoding",),
        read_texts=read_lines,
        streams=True,
    ),
    "Rasa": Reader(read_yaml, (".yml", ".yaml"), settings=("encoding", "split_names"), streams=True),
    "ARFF": Reader(read_arff, (".arff",), settings=("encoding",), streams=True),
    "DocBin": Reader(read_docbin, (".spacy",), streams=True),
    "text folder": Reader(
        read_text_folder,
        recognises=is_text_folder,
        settings=("encoding", "split_names"),
        read_texts=read_folder_texts,
    ),
    "saved set": Reader(read_saved_set, recognises=is_saved_set, settings=("split_names",)),
    "data from memory": Reader(read_stored, recognises=is_stored, settings=("split_names",)),
}


def known_readers() -> dict[str, Reader]:
    """Name -> reader: the built-in ones, and those of installed packages.

    Raises:
        DataError: A package declares a reader that cannot be loaded or is not a reader; names the package.
    """
    return {**READERS, **_installed_readers()}


def known_suffixes() -> tuple[str, ...]:
    """Suffixes of all files that can be read."""
    return tuple(suffix for reader in known_readers().values() for suffix in reader.suffixes)


def named_reader(name: str | None) -> Reader | None:
    """The reader that `data.format` names, by its name or a suffix of its files."""
    if name is None:
        return None
    readers = known_readers()
    return next((readers[known] for known in readers if same_name(known, name)), None) or next(
        (reader for reader in readers.values() if any(same_name(suffix, name) for suffix in reader.suffixes)), None
    )


def find_reader(path: Path, named: str | None = None) -> Reader | None:
    """The named reader; or that of an existing file by its suffix (that of its content, if it is compressed; the lines
    of a `.txt` file tell whether it is a table), or one that recognises the file or folder. None for a folder or
    archive if a reader of files is named: it is used for the files in it."""
    chosen = named_reader(named)
    if chosen is not None:
        return None if chosen.suffixes and (path.is_dir() or is_archive(path)) else chosen
    readers = known_readers().values()
    suffix = "" if path.is_dir() else data_suffix(path)
    if is_text_table(path):
        return READERS["text table"]
    able = (reader for reader in readers if reader.streams or not is_compressed(path))
    by_suffix = (reader for reader in able if suffix in reader.suffixes)
    by_content = (reader for reader in readers if reader.recognises is not None and reader.recognises(path))
    return next(by_suffix, None) or next(by_content, None)


@functools.cache
def _installed_readers() -> dict[str, Reader]:
    installed: dict[str, Reader] = {}
    for point in metadata.entry_points(group=GROUP):
        package = point.dist.name if point.dist is not None else "the package that declares it"
        origin = f"entry point {point.name} = {point.value} of {package}"
        way_out = Change(text=f"Update {package}, or: pip uninstall {package}")
        try:
            reader = point.load()
        except Exception as error:  # whatever an import can raise
            raise DataError(f"{origin}: cannot be loaded: {type(error).__name__}: {error}.", way_out) from error
        problems = list(_problems(point.name, reader, {**READERS, **installed}))
        if problems:
            raise DataError(f"{origin}: {'; '.join(problems)}.", way_out)
        installed[point.name] = replace(reader, read=_guarded(reader, f"reader '{point.name}' of {package}"))
    return installed


def _problems(name: str, reader: object, others: Mapping[str, Reader]) -> Iterator[str]:
    """What keeps an object from being a reader beside the others."""
    if not isinstance(reader, Reader):
        yield f"is a {type(reader).__name__}, not a finetune.data.readers.Reader"
        return
    if name in others:
        yield f"there is a reader '{name}' already"
    if not reader.suffixes and reader.recognises is None:
        yield "has neither suffixes nor recognises, so it would never be used"
    for suffix in reader.suffixes:
        owner = next((other for other, present in others.items() if suffix in present.suffixes), None)
        if owner is not None:
            yield f"{suffix} files are read by the reader '{owner}'"
        if not suffix.startswith(".") or suffix != suffix.lower():
            yield f"suffix {suffix!r} must be lower case and start with a dot"
    for key in reader.settings:
        if key not in DataSection.model_fields:
            yield f"data.{key} is not a key of a recipe.{suggest(key, DataSection.model_fields)}".rstrip(".")


def _guarded(reader: Reader, title: str) -> Callable[[Path, DataSection], Content]:
    """The `read` of a user's reader, with its name in the errors."""

    def read(path: Path, section: DataSection) -> Content:
        try:
            content = reader.read(path, section)
        except FinetuneError:
            raise
        except Exception as error:  # of code that is not ours
            raise DataError(f"{path}: {title} failed: {type(error).__name__}: {error}.") from error
        tables = content.values() if isinstance(content, dict) else [content]
        for table in tables:
            if not isinstance(table, Table):
                raise DataError(f"{path}: {title} returned a {type(table).__name__}, not a finetune.data.table.Table.")
            lengths = {name: len(column) for name, column in table.columns.items()}
            if len(set(lengths.values())) > 1:
                raise DataError(f"{path}: {title} returned columns of different lengths: {lengths}.")
        return content

    return read
