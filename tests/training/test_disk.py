"""A full disk is told from other errors by what the system says, not by the words of a library."""

import errno
import os
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors import SafetensorError

from finetune.errors import RunFailed
from finetune.training import disk
from finetune.training.disk import DiskFull, has_room, writing_to
from tests.raising import refuses


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_what_the_system_calls_full_is_full(tmp_path: Path, number: int) -> None:
    with refuses(DiskFull, match=r"disk of .* is full.*--resume"), writing_to(tmp_path):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("kind", [RuntimeError, SafetensorError, OSError])
def test_a_library_that_hides_the_reason_is_checked_against_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="anything"), writing_to(tmp_path):
        raise kind("anything")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(kind, match="anything"), writing_to(tmp_path, 999):
        raise kind("anything")
    with refuses(DiskFull, match=r"is full"), writing_to(tmp_path, 1001):
        raise kind("anything")


def test_another_reason_of_the_system_stays_what_it_is_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(PermissionError), writing_to(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_quota_counts_although_the_disk_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    assert has_room(tmp_path, 1000)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(disk.os, "posix_fallocate", refuse, raising=False)
    assert not has_room(tmp_path, 1000)


def test_it_travels_between_processes(tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(disk.disk_full(tmp_path)))
    assert isinstance(again, RunFailed)
    assert "is full" in str(again)
