"""fastText (checked with 0.9.2): one text per line, in which every token that starts with `__label__` is a label.

A line that doccano quoted as CSV (`"__label__a one, two"`) is read as what is in the quotes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from finetune.data.encoding import TextFile, open_text
from finetune.data.table import Table, packed
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

PREFIX = "__label__"
LOOKED_AT = 1 << 12  # bytes of a file from which it is recognised
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
    texts: list[str] = []
    labels: list[list[str]] = []
    dropped: Counter[str] = Counter()
    for line in _lines(file):
        names = [token.removeprefix(PREFIX) for token in line.split() if _is_label(token)]
        if not names:
            dropped[UNLABELLED] += 1
            continue
        labels.append(list(dict.fromkeys(names)))
        texts.append(_without_labels(line))
    if not texts:
        raise DataError(
            f"{path}: no line has a label of fastText ({PREFIX}NAME). If it is a table, say how it is written.",
            Change(settings={"data.format": "tsv"}),
            Change(settings={"data.format": "csv"}),
            key="data.source",
        )
    left = f"; left out: {dropped[UNLABELLED]} × {UNLABELLED}" if dropped else "; none left out"
    note = f"{path}: read as fastText: {len(texts)} rows from {len(texts) + dropped.total()}{left}"
    alone = all(len(names) == 1 for names in labels)
    cells = [names[0] for names in labels] if alone else labels
    return Table(
        str(path),
        {"text": packed(texts), "label": packed(cells)},
        notes=[*file.notes, note],
        warnings=file.warnings,
        dropped=dropped,
    )


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
