"""predictions.npz that something has damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finetune.errors import OutputError
from finetune.records.predictions import read_arrays
from tests.raising import refuses

ENTRY = b"PK\x01\x02"  # of the table of contents; version, flags and method follow at 6, 8 and 10


def written(path: Path) -> bytearray:
    np.savez_compressed(path, rows=np.array(["1", "2", "3"]), targets=np.arange(3))
    assert set(read_arrays(path, {"rows": 3, "targets": 3})) == {"rows", "targets"}
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("place", [6, 8, 10], ids=["version", "encrypted", "method"])
def test_a_damaged_table_of_contents_is_no_traceback(place: int, tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    content = written(path)
    content[content.index(ENTRY) + place] ^= 0x41
    path.write_bytes(content)
    with refuses(OutputError, match=r"predictions\.npz: cannot be read: "):
        read_arrays(path, {})


def test_another_file_of_numpy_is_none_of_predictions(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with refuses(OutputError, match=r"predictions\.npz: cannot be read: "):
        read_arrays(path, {})
    written(path)
    with refuses(OutputError, match="expected targets of 4 rows, found 3 rows"):
        read_arrays(path, {"targets": 4})
