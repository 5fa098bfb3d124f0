"""Identifying a model folder, and the errors of loading one: for the trained model and for helper models."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path


def folder_digest(folder: Path, suffixes: Collection[str]) -> str:
    """sha256 over names and contents of the files with these suffixes. Stored keys contain it."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in suffixes:
            digest.update(f"{path.name} {file_digest(path)}\n".encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file. Every run of a comparison needs it, so an unchanged file is read once per process."""
    stat = path.stat()
    # The change time (ctime) is set by the kernel: a file with other content cannot be given the old one.
    version = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return _digest_of_version(path.resolve(), version)


@functools.lru_cache(maxsize=64)
def _digest_of_version(path: Path, version: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Inside, transformers reports nothing about the weights it loads and shows no progress bar."""
    import transformers  # who loads a model has loaded it

    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)


def loading_errors() -> tuple[type[Exception], ...]:
    """Exceptions that transformers and safetensors raise for a folder that holds no model or a damaged one."""
    from safetensors import SafetensorError  # who asks has loaded it

    return (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
