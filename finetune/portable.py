"""Settings of a recipe as they may leave the machine that they were written on."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any


def portable(value: Any) -> Any:
    """Settings with paths cut to the name of the file: of data, of metrics, and of helper models.

    All else stays as it is, at any length and with its line breaks: a template that is shortened reads other texts.
    """
    if isinstance(value, dict):
        return {name: portable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [portable(each) for each in value]
    return without_folder(value) if isinstance(value, str) else value


def without_folder(source: str) -> str:
    """Of a file its name alone: the rest is about one machine. What is no absolute path stays as it is."""
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(source).is_absolute():
            return kind(source).name or source
    return PurePosixPath(source).name if source.startswith("~") else source
