"""What a recipe names -> tables, whatever the format."""

from __future__ import annotations

from pathlib import Path

from finetune.data.dataset_sets import HUB_SETTINGS, read_hub_set
from finetune.data.locate import HubName, locate, split_files
from finetune.data.memory import describe
from finetune.data.readers import Reader, find_reader, known_readers, known_suffixes
from finetune.data.table import Table, join_tables
from finetune.errors import Change, DataError
from finetune.recipe import DataSection


def read_sources(section: DataSection) -> dict[str, Table]:
    """Read what a recipe names. Keys: train, validation, test; or "all" where one table must be split.

    Raises:
        DataError: Something is missing or malformed, or a setting cannot act; names the file, the line and what to
            type.
    """
    extra = {split: [_extra_file(section, split)] for split in ("validation", "test") if getattr(section, split)}
    source = locate(section.source, "data.source")
    files = {**_files_of(source), **extra}
    readers = {path: _reader_of(path) for paths in files.values() for path in paths}
    on_hub = HUB_SETTINGS if isinstance(source, HubName) else ()
    acting = {*on_hub, *(key for reader in readers.values() for key in reader.settings)}
    if section.unlabelled is not None:
        acting |= {*_reader_of(_extra_file(section, "unlabelled")).settings} - {"split_names"}
    _refuse_idle_settings(section, acting)
    tables = read_hub_set(source.name, section) if isinstance(source, HubName) else {}
    for split, paths in files.items():
        tables |= _read_parts(split, {path: readers[path] for path in paths}, section)
    for table in tables.values():
        _require_rows(table)
    return _name_alone(tables)


def read_unlabelled(section: DataSection) -> Table:
    """Read the file of `data.unlabelled`.

    Raises:
        DataError: It is missing, malformed or empty, or holds several splits.
    """
    path = _extra_file(section, "unlabelled")
    content = _reader_of(path).read(path, section.model_copy(update={"split_names": {}}))
    tables = content if isinstance(content, dict) else {"all": content}
    if len(tables) > 1:
        why = f"{path}: holds several splits ({', '.join(tables)}), and one table is expected. Save one of them alone."
        raise DataError(why, key="data.unlabelled", found=str(path))
    (table,) = tables.values()
    _require_rows(table)
    return table


def _extra_file(section: DataSection, split: str) -> Path:
    key = f"data.{split}"
    path = locate(getattr(section, split), key)
    if isinstance(path, HubName) or (path.is_dir() and find_reader(path) is None):
        raise DataError(
            f"expected a file, found '{getattr(section, split)}'.",
            Change(settings={key: "FILE"}),
            key=key,
            found=getattr(section, split),
        )
    return path


def _files_of(source: Path | HubName) -> dict[str, list[Path]]:
    """Split -> files; "all" for a single file and for a folder that one reader reads as a whole."""
    if isinstance(source, HubName):
        return {}
    return split_files(source) if source.is_dir() and find_reader(source) is None else {"all": [source]}


def _reader_of(path: Path) -> Reader:
    reader = find_reader(path)
    if reader is None:
        expected = f"expected a {', '.join(known_suffixes())} file or a folder"
        raise DataError(f"{path}: {expected}, found '{path.suffix.lower() or 'no suffix'}'.")
    return reader


def _name_alone(tables: dict[str, Table]) -> dict[str, Table]:
    """One table alone must be split, under whatever name it came; beside others it is train."""
    if len(tables) == 1:
        return {"all": next(iter(tables.values()))}
    named = {"train" if split == "all" else split: table for split, table in tables.items()}
    return {split: named[split] for split in ("train", "validation", "test") if split in named}


def _refuse_idle_settings(section: DataSection, acting: set[str]) -> None:
    """Settings of a format are wrong where no source is of that format."""
    formats = {**{name: reader.settings for name, reader in known_readers().items()}, "hub set": HUB_SETTINGS}
    for key in dict.fromkeys(key for settings in formats.values() for key in settings):
        default = DataSection.model_fields[key].default
        if getattr(section, key) != default and key not in acting:
            able = ", ".join(name for name, settings in formats.items() if key in settings)
            raise DataError(
                f"has no meaning for {describe(section.source)}: it acts on {able} only.",
                Change(settings={f"data.{key}": default}),
                key=f"data.{key}",
                found=getattr(section, key),
            )


def _read_parts(split: str, parts: dict[Path, Reader], section: DataSection) -> dict[str, Table]:
    """Split -> table: of the files of one split, or of what holds several splits."""
    if split == "all":
        ((path, reader),) = parts.items()
        content = reader.read(path, section)
        return content if isinstance(content, dict) else {"all": content}
    tables = []
    for path, reader in parts.items():
        content = reader.read(path, section)
        if isinstance(content, dict):
            raise DataError(f"{path}: holds several splits ({', '.join(content)}), and rows of {split} are expected.")
        tables.append(content)
    return {
        split: tables[0]
        if len(tables) == 1
        else join_tables(f"{tables[0].origin} and {len(tables) - 1} more parts", tables)
    }


def _require_rows(table: Table) -> None:
    if len(table) == 0:
        left_out = sum(table.dropped.values())
        raise DataError(
            f"{table.origin}: has columns but no rows."
            if not left_out
            else f"{table.origin}: none of its {left_out} rows can be read. {table.warnings[-1]}"
        )
