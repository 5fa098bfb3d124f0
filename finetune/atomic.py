"""Files and folders that are replaced in one step: a reader finds the old or the new one, even after a kill.

New content is written beside its target as `.partial-NAME`. A kill may leave it there; the next writer removes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

PARTIAL = ".partial-"
REPLACED = ".replaced-"


def write_text(path: Path, text: str) -> None:
    """Replace a file by this text, in UTF-8.

    Raises:
        OSError: The file cannot be written. The old one is unchanged.
    """
    with replaced_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, with the suffix of `path`; at the end of the block it replaces `path`.

    Raises:
        OSError: The file cannot be written, or the block has written none. The old one is unchanged.
    """
    partial = path.with_name(f"{PARTIAL}{path.name}")
    try:
        yield partial
        sync_file(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield the path of a folder to create and fill; at the end of the block it replaces `path`.

    A folder cannot be renamed over another one that holds files, so for a moment between two renames there is none.

    Raises:
        OSError: The folder cannot be written, or the block has created none. The old one is unchanged.
    """
    partial, replaced = path.with_name(f"{PARTIAL}{path.name}"), path.with_name(f"{REPLACED}{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        for file in sorted(partial.rglob("*")):
            if file.is_file():
                sync_file(file)
        shutil.rmtree(replaced, ignore_errors=True)
        if path.exists():
            path.rename(replaced)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def is_leftover(path: Path) -> bool:
    """Whether a process that died during a replacement left this."""
    return path.name.startswith((PARTIAL, REPLACED))


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on disk."""
    with path.open("rb+") as file:  # Windows syncs only what it may write
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk. Windows has no call for this."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
