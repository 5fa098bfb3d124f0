"""Tables that are drawn with bars and hyphens, by Markdown, psql and mysql: refused, with the command that helps."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from finetune.data.compressed import is_compressed
from finetune.errors import Change, DataError

RULE = frozenset(" \t|+:=-")  # characters of the line below the header, or above it
FIRST = 3  # lines in which it is
PLAIN = r"tr -d '\r' < {file} | grep '|' | grep -v '^[ |:+=-]*$' | "
TO_TABS = r"s/ *| */\t/g"
# With bars at both ends of a line, and without.
FRAMED = rf"{PLAIN}sed 's/^ *| *//; s/ *| *$//; {TO_TABS}' > {{made}}"
OPEN = rf"{PLAIN}sed 's/^ *//; s/ *$//; {TO_TABS}' > {{made}}"


def is_drawn(lines: Sequence[str]) -> bool:
    """Whether one of the first lines of a file is such a line, and the others have bars between their cells."""
    first = [line.rstrip("\r\n") for line in lines[:FIRST]]
    others = [line for line in first if not _is_rule(line)]
    return len(others) < len(first) and bool(others) and all("|" in line and '"' not in line for line in others)


def _is_rule(line: str) -> bool:
    """Whether a line is drawn, below or above several columns."""
    return RULE.issuperset(line) and ("---" in line or "===" in line) and ("|" in line or "+" in line)


def refuse_drawn(path: Path, lines: Iterable[str]) -> None:
    """
    Raises:
        DataError: The lines at the start of a file are those of a drawn table, whose other lines are no rows.
    """
    first = list(islice(lines, FIRST))
    if not is_drawn(first):
        return
    is_framed = any(line.lstrip().startswith("|") for line in first)
    names = {"file": shlex.quote(str(path)), "made": shlex.quote(f"{path.stem}-mended.tsv")}
    raise DataError(
        f"{path}: is a table drawn with bars and lines of hyphens, which are no rows.",
        Change(text="Unpack it first.")
        if is_compressed(path)
        else Change(command=(FRAMED if is_framed else OPEN).format(**names)),
    )
