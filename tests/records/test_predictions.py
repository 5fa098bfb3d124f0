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


def test_arrays_are_those_that_numpy_reads(tmp_path: Path) -> None:
    """Of every type and order that a run may leave, also empty ones; they may be written to."""
    path = tmp_path / "predictions.npz"
    arrays = {
        "logits": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns_first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "names": np.array(["one", "drei", "四"]),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "one": np.array(1.5),
        "targets": np.array([1, 0], dtype=np.int64),
    }
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays)  # type: ignore[arg-type]  # numpy's stubs name the keyword allow_pickle
        found = read_arrays(path, {})
        assert list(found) == list(arrays)
        for name, expected in arrays.items():
            np.testing.assert_array_equal(found[name], expected, strict=True)
            assert found[name].flags.writeable


def test_runs_on_the_same_rows_share_their_names_and_targets(tmp_path: Path) -> None:
    def one(name: str, targets: list[int]) -> dict[str, np.ndarray]:
        path = tmp_path / name
        rows = np.array(["1", "2", "3"])
        np.savez_compressed(path, test_rows=rows, test_targets=np.array(targets), selected_test_logits=np.eye(3))
        return read_arrays(path, {})

    first, same, other = one("a.npz", [0, 1, 2]), one("b.npz", [0, 1, 2]), one("c.npz", [0, 1, 1])
    assert [first[name] is same[name] for name in first] == [True, True, False]
    assert first["test_rows"] is other["test_rows"]
    assert other["test_targets"].tolist() == [0, 1, 1]
    assert not first["test_targets"].flags.writeable
