"""Text on stdout and stderr, wrapped for the terminal; control characters in texts and labels have no effect there."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import typer

from finetune.visible import visible


def terminal_width(stream: TextIO) -> int | None:
    """Columns to wrap at: those of COLUMNS, or of the terminal; None for a pipe or a file, whose lines stay whole."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else None
    except OSError:  # a stream that is no file, or a terminal without a size
        return None


def print_text(text: str, whole: bool = False) -> None:
    """Print on stdout; `whole`: unwrapped, such as JSON."""
    from finetune.reports.wrapping import wrap

    shown = visible(text)
    typer.echo(shown if whole else wrap(shown, terminal_width(sys.stdout)))


def notice(text: str) -> None:
    """Print on stderr, from the main process only."""
    if os.environ.get("RANK", "0") == "0":
        from finetune.reports.wrapping import wrap

        typer.echo(wrap(visible(text), terminal_width(sys.stderr)), err=True)
