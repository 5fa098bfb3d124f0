"""What a recipe names -> tables, whatever the format.

CSV and JSON are read by Python's own csv and json, which change no value (`delimited.py` says why not by `datasets`);
Parquet, saved sets and hub sets by `datasets`.
"""

from __future__ import annotations

from pathlib import Path

from finetune.data.arrow_files import read_parquet
from finetune.data.dataset_sets import is_saved_set, read_hub_set, read_saved_set
from finetune.data.delimited import read_delimited
from finetune.data.encoding import open_text
from finetune.data.json_files import read_json, read_json_lines
from finetune.data.locate import DELIMITED, SUFFIXES, HubName, locate, split_files
from finetune.data.table import Table, join_tables
from finetune.errors import DataError
from finetune.recipe import DataSection

TEXT_FILES = {*SUFFIXES} - {".parquet"}


def read_sources(section: DataSection) -> dict[str, Table]:
    """Read what a recipe names. Keys: train, validation, test; or "all" where one table must be split.

    Raises:
        DataError: Something is missing or malformed, or a setting cannot act; names the file, the line and what to
            type.
    """
    extra = {split: _extra_file(section, split) for split in ("validation", "test") if getattr(section, split)}
    found = locate(section.source, "data.source")
    files: dict[str, list[Path]] = {}
    tables: dict[str, Table] = {}
    if isinstance(found, HubName):
        tables = read_hub_set(found.name, section)
    elif is_saved_set(found):
        tables = read_saved_set(found, section)
    else:
        _refuse_set_options(section, found)
        files = split_files(found) if found.is_dir() else {"all": [found]}
    files |= {split: [path] for split, path in extra.items()}
    _refuse_idle_options(section, [path for paths in files.values() for path in paths])
    tables |= {split: _read_parts(paths, section) for split, paths in files.items()}
    for table in tables.values():
        _require_rows(table)
    return _name_alone(tables)


def _extra_file(section: DataSection, split: str) -> Path:
    key = f"data.{split}"
    path = locate(getattr(section, split), key)
    if isinstance(path, HubName) or path.is_dir():
        raise DataError(f"{key}: expected a file, found '{getattr(section, split)}'. Try: --set {key}=FILE")
    return path


def _name_alone(tables: dict[str, Table]) -> dict[str, Table]:
    """One table alone must be split, under whatever name it came; beside others it is train."""
    if len(tables) == 1:
        return {"all": next(iter(tables.values()))}
    named = {"train" if split == "all" else split: table for split, table in tables.items()}
    return {split: named[split] for split in ("train", "validation", "test") if split in named}


def _refuse_set_options(section: DataSection, path: Path) -> None:
    for key, nothing in (("config", "null"), ("revision", "null"), ("split_names", "'{}'")):
        if getattr(section, key):
            raise DataError(
                f"data.{key}: has no meaning for {path}, which is no data set of the hub. Try: --set data.{key}="
                f"{nothing}"
            )


def _refuse_idle_options(section: DataSection, files: list[Path]) -> None:
    suffixes = {path.suffix.lower() for path in files}
    for key, able in (("delimiter", set(DELIMITED)), ("encoding", TEXT_FILES)):
        if getattr(section, key) is not None and not suffixes & able and suffixes <= {".parquet", *TEXT_FILES}:
            raise DataError(
                f"data.{key}: has no meaning for {section.source}: it acts on {', '.join(sorted(able))} files. "
                f"Try: --set data.{key}=null"
            )


def _read_parts(paths: list[Path], section: DataSection) -> Table:
    tables = [_read_file(path, section) for path in paths]
    return tables[0] if len(tables) == 1 else join_tables(f"{paths[0]} and {len(paths) - 1} more parts", tables)


def _read_file(path: Path, section: DataSection) -> Table:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return read_parquet(path)
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: expected a {', '.join(SUFFIXES)} file or a folder, found '{suffix or 'no suffix'}'.")
    file = open_text(path, section)
    if suffix in DELIMITED:
        return read_delimited(file, section, DELIMITED[suffix])
    return read_json(file, section) if suffix == ".json" else read_json_lines(file, section)


def _require_rows(table: Table) -> None:
    if len(table) == 0:
        left_out = sum(table.dropped.values())
        raise DataError(
            f"{table.origin}: has columns but no rows."
            if not left_out
            else f"{table.origin}: none of its {left_out} rows can be read. {table.warnings[-1]}"
        )
