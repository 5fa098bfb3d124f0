"""predictions.npz of a finished run: logits, targets and row numbers of each split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.errors import OutputError, first_line
from finetune.records.schema import FinishedRecord, RunRecord
from finetune.records.store import RunFolder, read_record

Arrays = dict[str, NDArray[Any]]


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
        path: Of the file.
        expected: Array -> rows, for those that must be there.

    Raises:
        OutputError: It is damaged, or does not hold what is expected.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
    except Exception as error:  # of zip, zlib and numpy, whatever a damaged file makes of them
        raise OutputError(f"{path}: cannot be read: {first_line(error)}") from error
    for name, rows in expected.items():
        if name not in arrays:
            raise OutputError(f"{path}: expected {name} of {rows} rows, found nothing.")
        if len(arrays[name]) != rows:
            raise OutputError(f"{path}: expected {name} of {rows} rows, found {len(arrays[name])} rows.")
    return arrays


def _expected_rows(record: RunRecord) -> dict[str, int]:
    """Array -> rows, for all that a finished run leaves."""
    splits = {name: rows for name, rows in record.data.rows.items() if name not in ("train", "unlabelled")}
    expected = {f"last_{name}_logits": rows for name, rows in splits.items() if name != "test"}
    for name, rows in splits.items():
        expected |= {f"{name}_rows": rows, f"{name}_targets": rows, f"selected_{name}_logits": rows}
    return expected
