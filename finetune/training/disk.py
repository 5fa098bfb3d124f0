"""Disk space: checked before a run starts, and when something could not be written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from finetune.errors import Change, OutputError, RunFailed
from finetune.recipe import Recipe
from finetune.techniques import KeptWeights, has_hook

COPIES_ON_DISK = 9  # of the weights: two checkpoints with two Adam moments each, two selected ones, the model
SMALL = 2**20  # bytes, more than any file of a run that holds no weights
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, the most that a file may have


class DiskFull(RunFailed):
    """The disk of a run is full, or its owner's quota is used up."""


def disk_full(folder: Path) -> DiskFull:
    way = Change(arguments={"resume": True}, note="after freeing some space")
    return DiskFull(f"the disk of {folder} is full, or a limit of its user is reached.", way)


def copies_on_disk(recipe: Recipe) -> int:
    """Maximum number of copies of the weights: each of the two checkpoints also holds the average, if there is one."""
    averaging = has_hook(recipe.techniques.values(), KeptWeights.averaging_rate)
    return COPIES_ON_DISK + (2 if averaging else 0)


def check_room(path: Path, model: Any, copies: int) -> None:
    """Refuse to start a run that cannot be saved.

    Raises:
        OutputError: The error says how many MB are needed and free.
    """
    existing = next(parent for parent in (path, *path.resolve().parents) if parent.exists())
    needed = copies * 4 * sum(parameter.numel() for parameter in model.parameters())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise OutputError(
            f"checkpoints and model of this run need {needed // 10**6} MB, {free // 10**6} MB are free.",
            Change(text="Free some space, or choose a folder on another disk."),
            argument="output",
            found=str(path),
        )


@contextlib.contextmanager
def writing_to(folder: Path, size: int = SMALL) -> Iterator[None]:
    """For code that writes below a folder: an error on a full disk becomes one that says so.

    Libraries that write tensors report a full disk in different ways, so the system is asked instead.

    Args:
        folder: Existing folder that is written to.
        size: Maximum number of bytes written.

    Raises:
        DiskFull: An error was raised inside, and the disk is full.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if is_full(error) or (getattr(error, "errno", None) is None and not has_room(folder, size)):
            raise disk_full(folder) from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether the system itself reported a full disk."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def has_room(folder: Path, size: int) -> bool:
    """Whether this process could write `size` more bytes in a folder now; quotas count if the system reports them."""
    if shutil.disk_usage(folder).free < size:
        return False
    if not hasattr(os, "posix_fallocate"):  # not Linux
        return True
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
    except OSError as error:
        return not is_full(error)
    return True
