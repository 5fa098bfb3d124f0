"""predictions.npz of a finished run: logits, targets and row numbers of each split."""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format
from numpy.typing import NDArray

from finetune.errors import OutputError, first_line
from finetune.records.schema import FinishedRecord, RunRecord
from finetune.records.store import RunFolder, read_record

Arrays = dict[str, NDArray[Any]]
OF_THE_DATA = ("_rows.npy", "_targets.npy")  # ends of entries that are equal in all runs on the same data
_HEADER_AT = format.MAGIC_LEN + 2  # its length stands before it


def read_run(folder: RunFolder) -> tuple[RunRecord, Arrays]:
    """The record, and the predictions of a finished run.

    Raises:
        OutputError: One of them is damaged, or the predictions do not fit the record.
    """
    record = read_record(folder.record_path)
    if not isinstance(record, FinishedRecord):
        return record, {}
    return record, read_arrays(folder.predictions, _expected_rows(record))


def read_arrays(path: Path, expected: Mapping[str, int]) -> Arrays:
    """The arrays of an .npz file.

    Args:
        path: Path of the file.
        expected: Array -> rows, for the arrays that must be there.

    Raises:
        OutputError: The file is damaged, or lacks an expected array or row.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # whose checksums are compared
            arrays = {
                entry.removesuffix(".npy"): _read_array(entry, archive.read(entry)) for entry in archive.namelist()
            }
    except Exception as error:  # of zip, zlib and numpy, whatever a damaged file makes of them
        raise OutputError(f"{path}: cannot be read: {first_line(error)}") from error
    for name, rows in expected.items():
        if name not in arrays:
            raise OutputError(f"{path}: expected {name} of {rows} rows, found none.")
        if len(arrays[name]) != rows:
            raise OutputError(f"{path}: expected {name} of {rows} rows, found {len(arrays[name])} rows.")
    return arrays


def _read_array(entry: str, content: bytes) -> NDArray[Any]:
    return _same_array(content) if entry.endswith(OF_THE_DATA) else _array(content)


@functools.lru_cache(maxsize=16)
def _same_array(content: bytes) -> NDArray[Any]:
    """One array, which cannot be written to, for all runs that have the same: half of a run's memory."""
    array = _array(content)
    array.flags.writeable = False
    return array


def _array(content: bytes) -> NDArray[Any]:
    """As `np.load` reads it, in half the time: of ten thousand runs, all have the same headers.

    Raises:
        ValueError: It is no array, or one of Python objects.
    """
    major, minor = format.read_magic(io.BytesIO(content))
    if (major, minor) != (1, 0):
        raise ValueError(f"arrays of version {major}.{minor} are not known")
    start = _HEADER_AT + int.from_bytes(content[format.MAGIC_LEN : _HEADER_AT], "little")
    shape, is_fortran, kind = _header(content[format.MAGIC_LEN : start])
    if kind.hasobject:
        raise ValueError("an array of Python objects")
    values = np.frombuffer(content, kind, offset=start).reshape(shape, order="F" if is_fortran else "C")
    return values.copy(order="K")


@functools.lru_cache(maxsize=1000)
def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type."""
    shape, is_fortran, kind = format.read_array_header_1_0(io.BytesIO(content))
    return shape, is_fortran, kind


def _expected_rows(record: RunRecord) -> dict[str, int]:
    """Array -> rows, for all that a finished run leaves."""
    splits = {name: rows for name, rows in record.data.rows.items() if name not in ("train", "unlabelled")}
    expected = {f"last_{name}_logits": rows for name, rows in splits.items() if name != "test"}
    for name, rows in splits.items():
        expected |= {f"{name}_rows": rows, f"{name}_targets": rows, f"selected_{name}_logits": rows}
    return expected
