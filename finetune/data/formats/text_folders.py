"""Folders with one file per text, in a folder for each class: aclImdb (train/pos/1_8.txt), 20 newsgroups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from finetune.data.dataset_sets import KNOWN_SPLITS, read_splits, refuse_split_names
from finetune.data.encoding import check_encoding
from finetune.data.encoding_hints import SAMPLE, likely_encodings
from finetune.data.formats.fasttext import is_fasttext
from finetune.data.formats.text_tables import is_text_table
from finetune.data.table import Table, packed
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

LOOKED_AT = 50  # entries of a folder by which it is recognised
UNLABELLED = ("unsup", "unlabeled", "unlabelled")  # of aclImdb: texts without a class
SPLIT = re.compile(r"(?:.*[-_ .])?(?P<split>[a-z]+)", re.IGNORECASE)  # 20news-bydate-train


def is_text_folder(folder: Path) -> bool:
    """Whether the folder, or its splits, hold two or more folders of texts and nothing else."""
    return bool(_classes(folder)) or bool(_splits(folder))


def read_text_folder(folder: Path, section: DataSection) -> Table | dict[str, Table]:
    """The texts with the name of their folder as label; split -> texts where the folder has splits.

    Raises:
        DataError: No folder is train, or a file cannot be read.
    """
    return _read_all(folder, section, labelled=True)


def read_folder_texts(folder: Path, section: DataSection) -> Table | dict[str, Table]:
    """The same for where labels are not needed: texts of folders that are no class are kept, without a label.

    Raises:
        DataError: As for `read_text_folder`.
    """
    return _read_all(folder, section, labelled=False)


def is_flat_folder(folder: Path) -> bool:
    """Whether a folder holds two or more files with one text each and nothing else: none is named like a split, or is a
    table or a list of texts with labels."""
    if not folder.is_dir() or not _holds_texts(folder):
        return False
    files = _files(folder)
    odd = any(
        file.stem.lower() in KNOWN_SPLITS or is_text_table(file) or is_fasttext(file) for file in files[:LOOKED_AT]
    )
    return len(files) > 1 and not odd


def read_flat_folder(folder: Path, section: DataSection) -> Table:
    """The texts of such a folder, without labels, and the names of their files.

    Raises:
        DataError: A file cannot be read.
    """
    files = _files(folder)
    texts, warnings = _decode(files, str(folder), section)
    note = f"{folder}: read as one file per text: {len(files)} rows; none left out"
    columns: dict[str, Sequence[Any]] = {"text": packed(texts), "file": packed([file.name for file in files])}
    return Table(str(folder), columns, notes=[note], warnings=warnings, roles={"text": "text"})


def _read_all(folder: Path, section: DataSection, labelled: bool) -> Table | dict[str, Table]:
    splits = _splits(folder)
    if not splits:
        refuse_split_names(str(folder), section)
        return _read(folder, str(folder), section, labelled)

    def read(name: str, title: str) -> Table:
        return _read(splits[name], title, section, labelled)

    return read_splits(list(splits), str(folder), section, read)


def _splits(folder: Path) -> dict[str, Path]:
    """Name of split -> folder; a name such as 20news-bydate-train is that of its last word."""
    found = {}
    for place in _folders(folder):
        match = SPLIT.fullmatch(place.name)
        name = match["split"].lower() if match else ""
        if name in KNOWN_SPLITS and _classes(place):
            found[name if name not in found else place.name] = place
    return found


def _classes(folder: Path) -> list[Path]:
    """Its folders, where two or more have texts and all of them hold nothing else."""
    found = [place for place in _folders(folder) if place.name.lower() not in UNLABELLED]
    return found if len(found) > 1 and all(_holds_texts(place) for place in found) else []


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith((".", "__")))
    except OSError:
        return []


def _holds_texts(folder: Path) -> bool:
    entries = list(islice((entry for entry in folder.iterdir() if not entry.name.startswith(".")), LOOKED_AT))
    return bool(entries) and all(entry.is_file() and _is_text(entry) for entry in entries)


def _is_text(path: Path) -> bool:
    """`.txt`, no suffix, or a number as those of 20 newsgroups and Enron (0006.2003-12-18.txt is one too)."""
    return path.suffix.lower() == ".txt" or not path.suffix or path.suffix[1:].isdecimal()


def _read(folder: Path, origin: str, section: DataSection, labelled: bool) -> Table:
    classes, places = _classes(folder), _folders(folder)
    labels = {place: place.name if place in classes else None for place in (classes if labelled else places)}
    files = [(file, label) for place, label in labels.items() for file in _files(place)]
    texts, warnings = _decode([file for file, _ in files], origin, section)
    dropped = {place.name: len(_files(place)) for place in places if place not in labels}
    left = ", ".join(f"{count} × in {name}, which is no class" for name, count in dropped.items())
    total = len(files) + sum(dropped.values())
    note = (
        f"{origin}: read as one file per text, in a folder for each of {len(classes)} classes: {len(files)} rows from "
        f"{total}; {f'left out: {left}' if left else 'none left out'}"
    )
    names = [str(file.relative_to(folder)) for file, _ in files]
    columns: dict[str, list[Any]] = {"text": texts, "label": [label for _, label in files], "file": names}
    table = Table(origin, {name: packed(cells) for name, cells in columns.items()}, notes=[note], warnings=warnings)
    table.dropped.update({"text without a class": sum(dropped.values())} if dropped else {})
    return table


def _files(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.iterdir() if path.is_file() and _is_text(path) and not path.name.startswith(".")),
        key=lambda path: (len(path.name), path.name),
    )


def _decode(files: list[Path], origin: str, section: DataSection) -> tuple[list[str], list[str]]:
    """(Texts, warnings): in the named encoding; else UTF-8, and files that are not in one that is guessed from all."""
    try:
        raw = [file.read_bytes() for file in files]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}.") from error
    if section.encoding is not None:
        check_encoding(section.encoding)
    texts: list[str] = []
    odd: list[int] = []
    for index, content in enumerate(raw):
        try:
            texts.append(content.decode(section.encoding or "utf-8-sig"))
        except UnicodeError as error:
            if section.encoding is not None:
                raise _undecodable(files[index], section.encoding, error) from error
            odd.append(index)
            texts.append("")
    if not odd:
        return [_lines(text) for text in texts], []
    guess = _guess([raw[index] for index in odd])
    for index in odd:
        texts[index] = raw[index].decode(guess)
    said = (
        f"{origin}: {len(odd)} of {len(files)} files are not UTF-8 (such as {files[odd[0]].name}). They are read as "
        f"{guess}, which is a guess. If it is wrong: --set data.encoding=NAME"
    )
    return [_lines(text) for text in texts], [said]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guess(contents: Sequence[bytes]) -> str:
    """The encoding of lines beyond ASCII; Latin-1, where all bytes are characters, if the likeliest does not fit."""
    lines = [line for content in contents for line in content.splitlines(keepends=True) if not line.isascii()]
    name = next(iter(likely_encodings(b"".join(lines)[:SAMPLE])), "latin-1")
    try:
        for content in contents:
            content.decode(name)
    except UnicodeDecodeError:
        return "latin-1"
    return name


def _undecodable(file: Path, encoding: str, error: UnicodeError) -> DataError:
    # Some codecs of Python say no position.
    what = f"byte 0x{error.object[error.start]:02x}" if isinstance(error, UnicodeDecodeError) else "what it holds"
    return DataError(
        f"{file}: {what} is not {encoding}. Name the encoding of the files.",
        Change(settings={"data.encoding": "latin-1"}),
    )
