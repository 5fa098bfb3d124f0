"""Tables that are drawn with bars and hyphens, by Markdown, psql and mysql: refused, with the command that helps."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from finetune.errors import Change, DataError

RULE = frozenset(" \t|+:=-")  # characters of the line below the header, or above it
FIRST = 3  # lines in which it is
TO_TABS = r"s/ *| */\t/g"
# With bars at both ends of a line, and without.
FRAMED = rf"grep '^ *|' {{file}} | grep -v '^[ |:+-]*$' | sed 's/^ *| *//; s/ *| *$//; {TO_TABS}' > {{made}}"
OPEN = rf"grep '|' {{file}} | sed 's/^ //; s/ *$//; {TO_TABS}' > {{made}}"


def is_drawn(lines: Sequence[str]) -> bool:
    """Whether one of the first lines of a file is such a line, and another one has bars."""
    first = [line.rstrip("\r\n") for line in lines[:FIRST]]
    return any(map(_is_rule, first)) and any("|" in line for line in first if not _is_rule(line))


def _is_rule(line: str) -> bool:
    return RULE.issuperset(line) and ("---" in line or "===" in line)


def refuse_drawn(path: Path, lines: Iterable[str]) -> None:
    """
    Raises:
        DataError: The lines at the start of a file are those of a drawn table, whose other lines are no rows.
    """
    first = list(islice(lines, FIRST))
    if not is_drawn(first):
        return
    is_framed = any(line.lstrip().startswith("|") for line in first)
    command = (FRAMED if is_framed else OPEN).format(
        file=shlex.quote(str(path)), made=shlex.quote(f"{path.stem}-mended.tsv")
    )
    raise DataError(
        f"{path}: is a table drawn with bars and lines of hyphens, which are no rows.", Change(command=command)
    )
