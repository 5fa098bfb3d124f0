"""What is expensive to make is kept on disk, once for all processes, below one folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def cache_folder() -> Path:
    """$FINETUNE_CACHE, else finetune in the user's cache folder."""
    chosen = os.environ.get("FINETUNE_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune"


def cached_file(kind: str, key: str, suffix: str, make: Callable[[Path], None]) -> Path:
    """The file of this key, made at its first use; processes that want it meanwhile wait for the one that makes it.

    Args:
        kind: Folder below the cache.
        key: sha256 over everything that decides the content.
        suffix: Of the file, with its dot.
        make: Writes the content to the path it is given. What it leaves when it fails is thrown away.

    Raises:
        OSError: The cache cannot be written.
    """
    folder = cache_folder() / kind
    return _made_once(folder / f"{key}{suffix}", folder / f".{key}.partial{suffix}", folder / f"{key}.lock", make)


def cached_folder(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """As `cached_file`, for a folder: `make` is given an empty one."""

    def fill(partial: Path) -> None:
        partial.mkdir()
        make(partial)

    folder = cache_folder() / kind
    return _made_once(folder / key, folder / f".{key}.partial", folder / f"{key}.lock", fill)


def _made_once(path: Path, partial: Path, lock: Path, make: Callable[[Path], None]) -> Path:
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not path.exists():
            try:
                _remove(partial)  # of a process that was killed
                make(partial)
                partial.replace(path)
            finally:
                _remove(partial)
    return path


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
