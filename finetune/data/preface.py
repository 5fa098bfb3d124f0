"""The lines above the header of a delimited file: `sep=;` as Excel writes it, blank lines, comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from finetune.data.columns import LABEL_NAMES, PAIR_NAMES, TEXT_NAMES
from finetune.data.encoding import TextFile
from finetune.data.readings import DELIMITERS
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

SEP = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)
MARKS = ("#", "//", "%")  # of comments
MOST_LINES = 1000
MOST_ABOVE = 30  # lines of titles above a header
CELL_ENDS = re.compile(f"[{DELIMITERS}]")
ROLE_NAMES = frozenset({*TEXT_NAMES, *LABEL_NAMES, *PAIR_NAMES})


@dataclass(frozen=True)
class Preface:
    """Lines above the header.

    Attributes:
        lines: Number of lines.
        blank: Number of empty lines among them.
        comments: Number of comment lines among them.
        sep: The delimiter that the first line names, or None.
        mark: Start of the header itself, if it is written as a comment; else empty.
    """

    lines: int = 0
    blank: int = 0
    comments: int = 0
    sep: str | None = None
    mark: str = ""


def find_preface(file: TextFile, section: DataSection) -> Preface:
    """Read the lines up to the first that may be the header."""
    lines = list(islice(file.lines(newline=""), MOST_LINES))
    if section.format is None:
        refuse_json(file, lines[0])
    found = SEP.fullmatch(lines[0])
    start = 0 if found is None else 1
    marks = MARKS if section.comment is None else (section.comment,)
    end = start
    while end < len(lines) and (not lines[end].strip("\r\n") or lines[end].startswith(marks)):
        end += 1
    above = lines[start:end]
    mark = ""
    if section.comment is None and end == len(lines):
        above = []  # every line starts so: they are rows
    elif section.comment is None:
        # The last of these lines may be the header, or the first row of texts that start with a hashtag.
        last = next((number for number in range(len(above) - 1, -1, -1) if above[number].strip("\r\n")), None)
        below = lines[end]
        if last is not None and _is_of_table(above[last], below, section):
            mark = next(mark for mark in MARKS if above[last].startswith(mark))
            mark = mark if _names_roles(above[last].lstrip("#/% ")) else ""
            while not mark and section.columns is not None and last and _is_of_table(above[last - 1], below, section):
                last -= 1  # without a header, these are rows that happen to start so
            above = above[:last]
    blank = sum(not line.strip("\r\n") for line in above)
    sep = None if found is None else found[1]
    return Preface(start + len(above), blank, len(above) - blank, sep, mark)


def refuse_json(file: TextFile, line: str) -> None:
    """Raises:
    DataError: The first line of a delimited file is that of JSON, or of JSON lines.
    """
    line = line.strip()
    if line[:1] not in ("{", "["):
        return
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = [{}] if line.rstrip("{") in ("", "[") else None
    is_list = isinstance(content, list) and any(isinstance(entry, dict) for entry in content)
    if is_list or isinstance(content, dict):
        kind, name = ("JSON", "json") if is_list else ("JSON lines", "jsonl")
        raise DataError(f"{file.path}: is {kind} by its first line.", Change(settings={"data.format": name}))


def names_both(cells: Iterable[str]) -> bool:
    """Whether the cells of a row include a usual name for the text and one for the label."""
    names = {cell.strip(" \"'\r\n\ufeff").lower() for cell in cells}
    return bool(names & {*TEXT_NAMES}) and bool(names & {*LABEL_NAMES})


def late_header(file: TextFile) -> int | None:
    """Line of the header, if it is not the first but one of the next lines, as below titles and descriptions."""
    lines = islice(file.lines(newline=""), MOST_ABOVE)
    found = next((n for n, line in enumerate(lines, start=1) if names_both(CELL_ENDS.split(line))), 1)
    return found if found > 1 else None


def _is_of_table(line: str, following: str, section: DataSection) -> bool:
    """Whether a line that starts as a comment does is of the table: it has as many cells as columns are named, or as
    the line below, and not that one but this one may name columns."""
    marks = DELIMITERS if section.delimiter is None else section.delimiter
    if section.columns is not None and any(line.count(mark) == len(section.columns) - 1 > 0 for mark in marks):
        return True
    if _names_roles(following):
        return False
    if _names_roles(line.lstrip("#/% ")):
        return True
    return any(line.count(mark) == following.count(mark) > 0 for mark in marks)


def _names_roles(line: str) -> bool:
    """Whether a cell of a line is a usual name of a column."""
    return any(cell.strip(" \"'\r\n").lower() in ROLE_NAMES for cell in CELL_ENDS.split(line))
