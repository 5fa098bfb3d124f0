"""Arrays on disk, made once for all processes of a machine and mapped into memory by each of them."""

from __future__ import annotations

import functools
import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from finetune.cache import cache_folder, cached_file

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


def cached_arrays(kind: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """The one-dimensional arrays of this key, read-only; what `make` returns at the first use.

    A damaged file is made again. Where the cache cannot be written the arrays stay in memory, with one warning.

    Args:
        kind: Folder below the cache.
        key: sha256 over everything that decides the content.
        make: Name -> array.
    """
    try:
        path = cached_file(kind, key, ".arrays", lambda partial: _write(partial, make()))
        try:
            return _read(path)
        except ValueError:
            path.unlink(missing_ok=True)
            return _read(cached_file(kind, key, ".arrays", lambda partial: _write(partial, make())))
    except (OSError, ValueError) as error:
        _warn_once(f"{cache_folder()}: cannot be used ({error}): every process tokenises its texts again. ")
        return make()


@functools.cache
def _warn_once(reason: str) -> None:
    logger.warning("%sName a folder that can be written: FINETUNE_CACHE=DIR", reason)


def _write(path: Path, arrays: Arrays) -> None:
    """Names, checksums, then the arrays, each as numpy's own format has it."""
    checks = [zlib.crc32(array.data) for array in arrays.values()]
    with path.open("wb") as file:
        for array in (np.array(list(arrays)), np.array(checks, dtype=np.uint32), *arrays.values()):
            np.lib.format.write_array(file, array, allow_pickle=False)


def _read(path: Path) -> Arrays:
    """
    Raises:
        ValueError: The file is not what was written.
    """
    with path.open("rb") as file:
        names = np.lib.format.read_array(file, allow_pickle=False)
        checks = np.lib.format.read_array(file, allow_pickle=False)
        arrays = {str(name): _mapped(path, file) for name in names}
    if [zlib.crc32(array.data) for array in arrays.values()] != checks.tolist():
        raise ValueError("damaged")
    return arrays


def _mapped(path: Path, file: BinaryIO) -> NDArray[Any]:
    """The array at the present place of the file, which is moved behind it."""
    np.lib.format.read_magic(file)
    shape, _, kind = np.lib.format.read_array_header_1_0(file)
    if shape == (0,):  # there is nothing to map
        return np.empty(0, dtype=kind)
    array = np.memmap(path, dtype=kind, mode="r", offset=file.tell(), shape=shape)
    file.seek(array.nbytes, 1)
    return array
