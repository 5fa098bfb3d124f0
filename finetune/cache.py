"""What is expensive to make is kept on disk, once for all processes, below one folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from finetune.atomic import replaced_file


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
    path = folder / f"{key}{suffix}"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{key}.lock"):
        if not path.exists():
            with replaced_file(path) as partial:
                make(partial)
    return path
