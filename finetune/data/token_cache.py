"""Arrays on disk, made once for all processes of a machine and mapped into memory by each of them."""

from __future__ import annotations

import functools
import json
import logging
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.cache import cache_folder, cached_file

logger = logging.getLogger(__name__)

MAGIC = b"finetune arrays 2\n"
NUMBERS = "biuf"  # kinds of numpy: never objects, which would be addresses in memory
ALIGNMENT = 64  # bytes
_START = struct.Struct(f"<{len(MAGIC)}sII")  # magic, length and checksum of the header

Arrays = Mapping[str, NDArray[Any]]


def cached_arrays(kind: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """The one-dimensional arrays of this key, read-only; `make` creates them at the first use.

    A damaged file is made again. Where the cache cannot be written the arrays stay in memory, with one warning.

    Args:
        kind: Folder below the cache.
        key: sha256 over everything that determines the content.
        make: Name -> array.
    """
    try:
        path = cached_file(kind, key, ".arrays", lambda partial: _write(partial, make()))
        try:
            return _read(path)
        except Exception:  # whatever a file of others makes of it
            path.unlink(missing_ok=True)
            return _read(cached_file(kind, key, ".arrays", lambda partial: _write(partial, make())))
    except (OSError, ValueError) as error:
        _warn_once(f"{cache_folder()}: cannot be used ({error}): every process tokenises its texts anew. ")
        return make()


@functools.cache
def _warn_once(reason: str) -> None:
    logger.warning("%sName a writable folder: FINETUNE_CACHE=DIR", reason)


def _write(path: Path, arrays: Arrays) -> None:
    """A start of fixed size, then names, kinds, lengths and checksums as JSON, then the numbers of each array."""
    described = [[name, array.dtype.str, len(array), zlib.crc32(array.data)] for name, array in arrays.items()]
    header = json.dumps(described).encode()
    with path.open("wb") as file:
        file.write(_START.pack(MAGIC, len(header), zlib.crc32(header)) + header)
        for array in arrays.values():
            file.write(bytes(-file.tell() % ALIGNMENT))
            file.write(array.data)


def _read(path: Path) -> Arrays:
    """The file is data from outside: nothing of it is used before it fits its checksum, and only numbers are mapped.

    Raises:
        ValueError: It is not what was written.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_START.size)
        if len(start) < _START.size:
            raise ValueError("damaged")
        magic, length, checksum = _START.unpack(start)
        header = file.read(length) if magic == MAGIC and length <= size else b""
    if not header or zlib.crc32(header) != checksum:
        raise ValueError("damaged")
    arrays: dict[str, NDArray[Any]] = {}
    end = _START.size + length
    for name, kind, count, content in json.loads(header):
        dtype = np.dtype(kind)
        begin = end + -end % ALIGNMENT
        end = begin + count * dtype.itemsize
        if dtype.kind not in NUMBERS or not count >= 0 or end > size:
            raise ValueError("damaged")
        # There is nothing to map of an empty array.
        array = np.memmap(path, dtype, "r", begin, (count,)) if count else np.empty(0, dtype)
        if zlib.crc32(array.data) != content:
            raise ValueError("damaged")
        arrays[name] = array
    if end != size:
        raise ValueError("damaged")
    return arrays
