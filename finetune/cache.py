"""The cache: expensive results are kept on disk, once for all processes, below one folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from finetune.atomic import replaced_file, replaced_folder


def cache_folder() -> Path:
    """$FINETUNE_CACHE, else finetune in the user's cache folder."""
    chosen = os.environ.get("FINETUNE_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune"


def cached_file(kind: str, key: str, suffix: str, make: Callable[[Path], None]) -> Path:
    """The file of this key, made on first use; other processes that need it wait for the one that makes it.

    Args:
        kind: Folder below the cache.
        key: sha256 over everything that determines the content.
        suffix: Suffix of the file, with its dot.
        make: Writes the content to the given path. Whatever it leaves when it fails is deleted.

    Raises:
        OSError: The cache cannot be written.
    """
    path = cache_folder() / kind / f"{key}{suffix}"
    with _once(path, key) as is_missing:
        if is_missing:
            with replaced_file(path) as partial:
                make(partial)
    return path


def cached_folder(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """Like `cached_file`, for a folder: `make` gets an empty one."""
    path = cache_folder() / kind / key
    with _once(path, key) as is_missing:
        if is_missing:
            with replaced_folder(path) as partial:
                partial.mkdir()
                make(partial)
    return path


@contextlib.contextmanager
def _once(path: Path, key: str) -> Iterator[bool]:
    """Whether this process has to make what is missing; others that want it wait until the block ends."""
    if path.exists():
        yield False
        return
    _make_private(cache_folder())
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f"{key}.lock"):
        yield not path.exists()


def _make_private(folder: Path) -> None:
    """Make the cache, for its user alone: what others put there would be read as texts and models of this one. A folder
    that is there already stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
