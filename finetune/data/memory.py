"""Data from memory, written once to the cache and named by its content: from then on it is read like any file.

Thus splits, checks, fingerprints, other processes and --resume need not know where the data came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from finetune.cache import cache_folder, cached_folder
from finetune.data.arrow_files import arrow_table, class_names, features_of, load_parquet, unreadable_column
from finetune.data.dataset_sets import read_splits, refuse_split_names
from finetune.data.frames import Frame, frames_of
from finetune.data.table import Column, Table
from finetune.errors import Change, DataError
from finetune.recipe import MEMORY_PREFIX, DataSection

FORMAT = 1  # of what is written: raise it when the same content would have to be written otherwise
KIND = "data"  # folder below the cache
ABOUT = "memory.json"
BLOCK = 10_000  # rows whose cells are Python objects at a time


def store(data: object) -> str:
    """Write data to the cache, once, and return its reference: `memory:DIGEST`.

    Args:
        data: A `datasets.Dataset` or `DatasetDict`, a pandas DataFrame, `{"text": […], "label": […]}`, a list of dicts,
            `(texts, labels)`, or split -> any of these.

    Raises:
        DataError: It has none of these types, has no rows, or two columns have the same name; or the cache cannot be
            written.
    """
    origin, frames = frames_of(data)
    digest = _digest(origin, frames)
    try:
        cached_folder(KIND, digest, lambda folder: _write(origin, frames, folder))
    except OSError as error:
        raise DataError(
            f"data from memory cannot be written to {cache_folder()}: {error.strerror or error}. Name a writable "
            "folder: FINETUNE_CACHE=DIR"
        ) from error
    return f"{MEMORY_PREFIX}{digest}"


def stored_folder(reference: str, key: str) -> Path:
    """The folder with the data of a reference.

    Raises:
        DataError: The cache of this machine does not hold it.
    """
    digest = reference.removeprefix(MEMORY_PREFIX)
    folder = cache_folder() / KIND / digest
    if not digest.isalnum() or not is_stored(folder):
        raise DataError(
            f"the data of this run came from memory, but {cache_folder()} does not hold it ('{reference}').",
            Change(text="Pass the same data again from Python, or name a file with the same rows."),
            key=key,
            found=reference,
        )
    return folder


def is_stored(folder: Path) -> bool:
    """Whether `store` made this folder."""
    return (folder / ABOUT).is_file()


def describe(source: str) -> str:
    """The name of a source in messages: the type of data from memory, or else the reference."""
    if not source.startswith(MEMORY_PREFIX):
        return source
    try:
        return str(_read_about(stored_folder(source, "data.source"))["origin"])
    except DataError:
        return "data from memory"


def read_stored(folder: Path, section: DataSection) -> Table | dict[str, Table]:
    """The table that was stored, or split -> table.

    Raises:
        DataError: The files are damaged, or no split is train.
    """
    about = _read_about(folder)
    tables = about["tables"]
    if list(tables) == ["all"]:
        refuse_split_names(about["origin"], section)
        return _read_table(folder, tables["all"])
    return read_splits(list(tables), about["origin"], section, lambda name, _: _read_table(folder, tables[name]))


def _read_about(folder: Path) -> Any:
    try:
        return json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / ABOUT}: is damaged. Remove {folder}, and pass the data again.") from error


def _read_table(folder: Path, about: Mapping[str, Any]) -> Table:
    content = load_parquet(folder / about["file"])
    table = arrow_table(about["origin"], content, features_of(content.schema))
    unusable = {
        name: Column([range(about["rows"])], _refusing(about["origin"], name, why))
        for name, why in about["unusable"].items()
    }
    columns = {name: unusable[name] if name in unusable else table.columns[name] for name in about["columns"]}
    return replace(table, columns=columns, notes=list(about["notes"]))


def _refusing(origin: str, name: str, why: str) -> Callable[[Any], list[Any]]:
    def refuse(_: Any) -> NoReturn:
        raise unreadable_column(origin, name, why)

    return refuse


def _write(origin: str, frames: Mapping[str, Frame], folder: Path) -> None:
    import pyarrow.parquet

    tables = {}
    for number, (split, frame) in enumerate(frames.items()):
        file = f"{number}.parquet"  # names of splits may be none of files
        pyarrow.parquet.write_table(frame.content, folder / file, write_page_checksum=True)
        tables[split] = {"file": file, **_about(frame)}
    about = {"format": FORMAT, "origin": origin, "tables": tables}
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")


def _about(frame: Frame) -> dict[str, Any]:
    """What describes a table beside its cells."""
    return {
        "origin": frame.origin,
        "rows": frame.rows,
        "columns": frame.columns,
        "unusable": frame.unusable,
        "notes": frame.notes,
    }


def _digest(origin: str, frames: Mapping[str, Frame]) -> str:
    """sha256 over the cells and what describes them, however the libraries pack them."""
    digest = hashlib.sha256(json.dumps([FORMAT, origin]).encode())
    for split, frame in frames.items():
        digest.update(json.dumps([split, _about(frame)]).encode())
        features = features_of(frame.content.schema)
        for name in frame.content.column_names:
            column = frame.content.column(name)
            # Texts of any length are one type; pandas and `datasets` choose between two.
            kind = str(column.type).replace("large_", "")
            digest.update(json.dumps([name, kind, class_names(features[name])]).encode())
            for start in range(0, len(column), BLOCK):
                digest.update(json.dumps(column.slice(start, BLOCK).to_pylist(), default=str).encode())
    return digest.hexdigest()
