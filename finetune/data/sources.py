"""The sources in a recipe -> tables, for any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finetune.data.compressed import data_suffix, is_archive
from finetune.data.dataset_sets import HUB_SETTINGS, read_hub_set
from finetune.data.foreign_files import way_to_read, ways_by_content
from finetune.data.formats.exports import EXPORTS, find_export, plain_table, text_table
from finetune.data.formats.joining import join_texts
from finetune.data.formats.names import same_name, typed_name
from finetune.data.formats.single_lists import unwrap_single
from finetune.data.formats.text_folders import is_flat_folder, read_flat_folder
from finetune.data.locate import SHOWN, HubName, locate, split_files, unused_files
from finetune.data.memory import describe
from finetune.data.readers import Reader, find_reader, known_readers, known_suffixes, named_reader
from finetune.data.table import Table, join_tables
from finetune.errors import Change, DataError, shorten
from finetune.recipe import DataSection


def read_sources(section: DataSection, labelled: bool = True) -> dict[str, Table]:
    """Read the sources of a recipe. Keys: train, validation, test; or "all" if one table must be split.

    Args:
        section: The data section of the recipe.
        labelled: Return one row per labelled text; else every row of the files, without reading labels.

    Raises:
        DataError: Something is missing or malformed, or a setting has no effect; names the file, the line and what to
            type.
    """
    _refuse_unknown_format(section)
    extra = {split: [_extra_file(section, split)] for split in ("validation", "test") if getattr(section, split)}
    source = locate(section.source, "data.source")
    files = {**_files_of(source, section, labelled), **extra}
    readers = {path: _reader_of(path, section, labelled) for paths in files.values() for path in paths}
    of_source = [readers[path] for split, paths in files.items() if split not in extra for path in paths]
    others = [readers[path] for paths in extra.values() for path in paths]
    if section.unlabelled is not None:
        others.append(_reader_of(_extra_file(section, "unlabelled"), section, False))
    _refuse_idle_settings(section, _acting(section, source, of_source, others))
    alone = section.model_copy(update={"split_names": {}})  # for what is one table, whatever the source is
    whole = section if section.split_column is None else alone  # the names are values of that column
    tables = read_hub_set(source.name, whole) if isinstance(source, HubName) else {}
    for split, paths in files.items():
        tables |= _read_parts(split, {path: readers[path] for path in paths}, alone if split in extra else whole)
    for table in tables.values():
        _require_rows(table)
    if not isinstance(source, HubName) and "train" in tables and "train" in files:
        _note_unused(tables["train"], source, section, [path for paths in files.values() for path in paths])
    return _name_alone(_labelled(tables, section) if labelled else _unlabelled(tables, section))


def _note_unused(train: Table, folder: Path, section: DataSection, used: Sequence[Path]) -> None:
    """Note the files of a folder of splits that are not read."""
    others = [str(path.relative_to(folder)) for path in unused_files(folder, section.format, used)]
    if others:
        train.notes.append(f"{folder}: files that are not used: {shorten(others, SHOWN)}")


def _acting(
    section: DataSection, source: Path | HubName, of_source: Sequence[Reader], others: Sequence[Reader]
) -> set[str]:
    """Keys of `data` that change how a file is read; `split_names` is about the source, or about its split column."""
    acting = {key for reader in others for key in reader.settings} - {"split_names"}
    acting |= {key for reader in of_source for key in reader.settings}
    acting |= {*HUB_SETTINGS} if isinstance(source, HubName) else set()
    return acting if section.split_column is None else acting | {"split_names"}


def _labelled(tables: dict[str, Table], section: DataSection) -> dict[str, Table]:
    """The tables with one row a labelled text: exports of annotation tools are read as such.

    Raises:
        DataError: An export is not what it should be, no row has a label, or a setting has nothing to act on.
    """
    tables = _with_texts(tables, section)
    exports = {split: find_export(table, section) for split, table in tables.items()}
    default = DataSection.model_fields["annotations"].default
    if section.annotations != default and not any(exports.values()):
        raise DataError(
            f"has no meaning for {describe(section.source)}: it is not recognised as an export of an annotation tool. "
            f"{_listed_formats()}",
            Change(settings={"data.format": "NAME"}),
            Change(settings={"data.annotations": default}),
            key="data.annotations",
            found=section.annotations,
        )
    found = {split: plain_table(table, exports[split], section) for split, table in tables.items()}
    _refuse_single_votes(next(iter(found.values())), section)
    for table in found.values():
        _require_rows(table)
    return unwrap_single(found, section)


def _unlabelled(tables: dict[str, Table], section: DataSection) -> dict[str, Table]:
    return {split: text_table(table, section) for split, table in _with_texts(tables, section).items()}


def _with_texts(tables: dict[str, Table], section: DataSection) -> dict[str, Table]:
    if section.texts is None:
        return tables
    texts = _read_texts(section.texts, section)
    return {split: join_texts(table, texts) for split, table in tables.items()}


def _refuse_single_votes(train: Table, section: DataSection) -> None:
    """Raises:
    DataError: `data.annotations` is soft, and no training text has several annotators.
    """
    if section.annotations == "soft" and not any(len(votes) > 1 for votes in train.votes or ()):
        raise DataError(
            f"no text of {train.origin} has several annotators, whose distribution could be learned.",
            Change(settings={"data.annotations": "majority"}),
            key="data.annotations",
            found=section.annotations,
        )


def _read_texts(name: str, section: DataSection) -> Table:
    """The file of `data.texts`, whose format is recognised whatever that of the annotations is."""
    path = locate(name, "data.texts")
    plain = section.model_copy(update={"format": None, "split_names": {}})
    content = None if isinstance(path, HubName) else _reader_of(path, plain, True).read(path, plain)
    if not isinstance(content, Table):
        raise DataError("expected a file with texts and their ids.", key="data.texts", found=name)
    return content


def _refuse_unknown_format(section: DataSection) -> None:
    if section.format is None or named_reader(section.format) is not None:
        return
    if not any(same_name(name, section.format) for name in EXPORTS):
        raise DataError(
            f"there is no format '{section.format}'. {_listed_formats()}", key="data.format", found=section.format
        )


def _listed_formats() -> str:
    return f"Formats: {', '.join(typed_name(name) for name in (*EXPORTS, *known_readers()))}."


def read_unlabelled(section: DataSection) -> Table:
    """Read the file of `data.unlabelled`.

    Raises:
        DataError: It is missing, malformed or empty, or holds several splits.
    """
    path = _extra_file(section, "unlabelled")
    content = _reader_of(path, section, False).read(path, section.model_copy(update={"split_names": {}}))
    tables = content if isinstance(content, dict) else {"all": content}
    if len(tables) > 1:
        why = f"{path}: holds several splits ({', '.join(tables)}), but one table is expected. Save one of them alone."
        raise DataError(why, key="data.unlabelled", found=str(path))
    (table,) = tables.values()
    _require_rows(table)
    return text_table(table, section)


def _extra_file(section: DataSection, split: str) -> Path:
    key = f"data.{split}"
    path = locate(getattr(section, split), key)
    if not isinstance(path, HubName) and is_archive(path) and find_reader(path, section.format) is None:
        files = split_files(path, section.format)
        if list(files) == ["all"]:
            return files["all"][0]
    is_folder = not isinstance(path, HubName) and (path.is_dir() or is_archive(path))
    if split == "unlabelled" and not isinstance(path, HubName) and _is_flat(path, section):
        return path
    if isinstance(path, HubName) or (is_folder and find_reader(path, section.format) is None):
        raise DataError(
            f"expected a file, found '{getattr(section, split)}'.",
            Change(settings={key: "FILE"}),
            key=key,
            found=getattr(section, split),
        )
    return path


def _files_of(source: Path | HubName, section: DataSection, labelled: bool = True) -> dict[str, list[Path]]:
    """Split -> files; "all" for a single file and for a folder that one reader reads as a whole."""
    if isinstance(source, HubName):
        return {}
    is_folder = is_archive(source) or source.is_dir()
    by_split = is_folder and find_reader(source, section.format) is None and (labelled or not _is_flat(source, section))
    return split_files(source, section.format) if by_split else {"all": [source]}


def _reader_of(path: Path, section: DataSection, labelled: bool) -> Reader:
    reader = find_reader(path, section.format)
    if reader is None and not labelled and _is_flat(path, section):
        return Reader(read_flat_folder, settings=("encoding",))
    if reader is None:
        expected = f"expected a {', '.join(known_suffixes())} file or a folder"
        inside = f" in {path.suffix.lower()}" if data_suffix(path) != path.suffix.lower() else ""
        way = way_to_read(path, data_suffix(path))
        raise DataError(
            f"{path}: {expected}, found '{data_suffix(path) or 'no suffix'}'{inside}.",
            *([way] if way else ways_by_content(path)),
        )
    return reader if labelled or reader.read_texts is None else replace(reader, read=reader.read_texts)


def _is_flat(path: Path, section: DataSection) -> bool:
    """Whether it is a folder with one text per file, which is read where labels are not needed."""
    return section.format is None and is_flat_folder(path)


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
            raise DataError(f"{path}: holds several splits ({', '.join(content)}), but rows of {split} are expected.")
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
            else f"{table.origin}: none of its {left_out} rows can be read. {[*table.notes, *table.warnings][-1]}"
        )
