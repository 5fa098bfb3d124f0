"""Text for a terminal of any width: lines are wrapped at words, and continuation lines are aligned with the text."""

from __future__ import annotations

import re
import textwrap

NARROWEST = 20  # columns; no terminal is taken to be narrower
# What continues a line stands under the text behind a bullet, a number, a level, a label whose 11 letters fill its
# column, or the first gap of two spaces.
_START = re.compile(
    r" *(?:[-•] |-> |\d+\. |(?:error|problem|warning|note|info): |[A-Z][a-z]{10} (?=\S)|\S+(?: \S+)* {2,}(?=\S))"
)

_NUMBER = re.compile(r"(\d) %")  # is not torn from its sign
NO_BREAK = "\N{NO-BREAK SPACE}"


def wrap(text: str, width: int | None) -> str:
    """Every line of a text, wrapped at words.

    Args:
        text: Logical lines: a paragraph, `Label text`, a bullet. A line that starts with `$ ` is a command to copy, and
            stays whole, as do words that are wider than the terminal (paths, addresses).
        width: Columns; None: nothing is wrapped, as for a pipe or a file.
    """
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _wrapped(line, max(width, NARROWEST)))


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width or line.lstrip().startswith("$ "):
        return [line]
    indent = " " * _hanging(line, width)
    whole = _NUMBER.sub(rf"\1{NO_BREAK}%", line)
    parts = textwrap.wrap(whole, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [part.replace(NO_BREAK, " ") for part in parts]


def _hanging(line: str, width: int) -> int:
    """Columns that what continues a line is indented by; at most two thirds of the width."""
    start = _START.match(line[: 2 * width // 3 + 1])
    return start.end() if start is not None else len(line) - len(line.lstrip()) + 2
