"""fastText (checked with 0.9.2): one text per line, in which every token that starts with `__label__` is a label.

A line that doccano quoted as CSV (`"__label__a one, two"`) is read as what is in the quotes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from finetune.data.columns import LABEL_NAMES, TEXT_NAMES
from finetune.data.encoding import TextFile, open_text
from finetune.data.table import Table, packed
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

PREFIX = "__label__"
LOOKED_AT = 1 << 12  # bytes of a file from which it is recognised
COMPARED = 1 << 12  # lines by which a table is told from texts
UNLABELLED = "line without a label"


def is_fasttext(path: Path) -> bool:
    """Whether the first line of a file has a label of fastText."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            first = file.read(LOOKED_AT).lstrip().splitlines()
    except OSError:
        return False
    return bool(first) and PREFIX.encode() in first[0]


def read_fasttext(path: Path, section: DataSection) -> Table:
    """Texts and their labels; lines without a label are left out, as fastText does.

    Raises:
        DataError: No line has a label.
    """
    file = open_text(path, section)
    rows = _rows(file)
    kept = [(text, names) for text, names in rows if names]
    if not kept:
        raise _unlabelled(path, is_json=rows[:1] != [] and rows[0][0].startswith("{"))
    dropped = Counter({UNLABELLED: len(rows) - len(kept)}) if len(kept) < len(rows) else Counter[str]()
    left = f"; left out: {dropped[UNLABELLED]} × {UNLABELLED}" if dropped else "; none left out"
    note = f"{path}: read as fastText: {len(kept)} rows from {len(rows)}{left}"
    columns: dict[str, Sequence[Any]] = {
        "text": packed([text for text, _ in kept]),
        "label": packed(_cells([names for _, names in kept])),
    }
    return Table(str(path), columns, notes=[*file.notes, note], warnings=file.warnings, dropped=dropped)


def read_lines(path: Path, section: DataSection) -> Table:
    """Texts of all lines, for where labels are not needed: of fastText, with labels or without, and one text per line.

    Raises:
        DataError: No line has a label, and the file looks like a table.
    """
    file = open_text(path, section)
    rows = _rows(file)
    columns: dict[str, Sequence[Any]] = {"text": packed([text for text, _ in rows])}
    is_fasttext = any(names for _, names in rows)
    if not is_fasttext and _is_table([text for text, _ in rows[:COMPARED]]):
        raise _unlabelled(path, Change(text="if each line is one text, save them as a table with the column 'text'"))
    if is_fasttext:
        columns["label"] = packed(_cells([names for _, names in rows]))
    how = "fastText" if is_fasttext else "one text per line"
    note = f"{path}: read as {how}: {len(rows)} rows; none left out"
    return Table(str(path), columns, notes=[*file.notes, note], warnings=file.warnings, roles={"text": "text"})


def _rows(file: TextFile) -> list[tuple[str, list[str]]]:
    """Text and labels of each line."""
    found = []
    for line in _lines(file):
        names = list(dict.fromkeys(token.removeprefix(PREFIX) for token in line.split() if _is_label(token)))
        found.append((_without_labels(line) if names else line, names))
    return found


def _cells(labels: list[list[str]]) -> list[Any]:
    """One name for each row where none has more; None for a row without."""
    alone = all(len(names) <= 1 for names in labels)
    return [None if not names else names[0] if alone else names for names in labels]


def _unlabelled(path: Path, *others: Change, is_json: bool = False) -> DataError:
    if is_json:
        why = f"{path}: no line has a label of fastText ({PREFIX}NAME), and the first is that of JSON lines."
        return DataError(why, Change(settings={"data.format": "jsonl"}), key="data.source")
    return DataError(
        f"{path}: no line has a label of fastText ({PREFIX}NAME). If it is a table, say how it is written.",
        Change(settings={"data.format": "tsv"}),
        Change(settings={"data.format": "csv"}),
        *others,
        key="data.source",
    )


def _is_table(lines: list[str]) -> bool:
    """Whether all lines have the same number of tabs, or the first one is a header: single words, one of them usual."""
    tabs = {line.count("\t") for line in lines}
    if len(tabs) == 1 and tabs != {0}:
        return True
    usual = {*TEXT_NAMES, *LABEL_NAMES}
    heads = [[cell.strip(' "').lower() for cell in line.split(mark)] for line in lines[:1] for mark in ",;|\t"]
    return any(len(cells) > 1 and not any(" " in cell for cell in cells) and usual & {*cells} for cells in heads)


def _is_label(token: str) -> bool:
    return token.startswith(PREFIX) and token != PREFIX


def _without_labels(line: str) -> str:
    """The text as it is written where labels stand at its ends; else its tokens with single spaces."""
    tokens = line.split(" ")
    return " ".join(token for token in tokens if not _is_label(token.strip())).strip()


def _lines(file: TextFile) -> Iterator[str]:
    """Lines that are not blank; of a line in quotes, what is in them."""
    waiting = ""
    for raw in file.lines(newline="\n" if file.stray_returns else None):  # of fastText, CR is a space
        line = f"{waiting}{raw}"
        if not line.startswith(f'"{PREFIX}'):
            if line.strip():
                yield line.strip()
            continue
        body = line.rstrip("\r\n")
        if body.count('"') % 2 == 0:
            waiting = ""
            yield body[1:-1].replace('""', '"').strip() if body.endswith('"') else body
        else:
            waiting = line
    if waiting:
        yield waiting.strip().strip('"')
