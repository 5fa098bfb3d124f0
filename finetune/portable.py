"""Settings of a recipe in the form in which they may leave the machine."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any


def portable(value: Any) -> Any:
    """Settings with the paths of data, metrics and helper models shortened to the file name.

    Everything else stays as it is, at any length and with its line breaks: a shortened template would read other texts.
    """
    if isinstance(value, dict):
        return {name: portable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [portable(each) for each in value]
    return without_folder(value) if isinstance(value, str) else value


def without_folder(source: str) -> str:
    """The file name of an absolute path, whose folder concerns one machine only. Anything else stays as it is."""
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(source).is_absolute():
            return kind(source).name or source
    return PurePosixPath(source).name if source.startswith("~") else source
