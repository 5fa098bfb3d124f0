"""The folder of a run: who may write there, and where each thing lies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune.errors import OutputError, VersionError
from finetune.records.schema import SCHEMA_VERSION, FinishedRecord, RunRecord

RECORD = "run.json"
LOCK = ".lock"


class RunFolder:
    """Paths inside a run folder.

    run.json          the record
    split.json        which row is in which split; data.split_file takes it
    predictions.npz   logits and targets per row, of the selected and the last checkpoint
    model/            what ships: loads with plain transformers
    checkpoints/      to resume from; removed when the run is finished
    profile/          where the time went, with --profile
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_path = path / RECORD
        self.split = path / "split.json"
        self.predictions = path / "predictions.npz"
        self.model = path / "model"
        self.checkpoints = path / "checkpoints"
        self.profile = path / "profile"

    def read(self) -> RunRecord | None:
        """The record, or None if there is none.

        Raises:
            OutputError: There is one, but it cannot be read.
        """
        return read_record(self.record_path) if self.record_path.exists() else None

    def write(self, record: RunRecord) -> None:
        """Replace the record in one step: a kill leaves the old or the new one, never half of one."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.record_path, record.model_dump_json(indent=2) + "\n")

    def check_free(self) -> None:
        """Refuse a folder that holds anything.

        Raises:
            OutputError: With the command that continues, or what else to choose.
        """
        self.check_place()
        if self.is_empty():
            return
        record = self.read()
        if record is None:
            raise OutputError(f"--output {self.path}: is not empty and holds no run. Choose another folder.")
        if record.status == "finished":
            raise OutputError(f"--output {self.path}: holds a finished run. Choose another folder, or delete this one.")
        raise OutputError(
            f"--output {self.path}: holds an unfinished run ({record.status}). Add --resume to continue it, or choose "
            "another folder."
        )

    def check_place(self) -> None:
        """Refuse a path that cannot be a folder.

        Raises:
            OutputError: It, or something above it, is a file.
        """
        check_place(self.path)

    def is_empty(self) -> bool:
        """Whether nothing was ever written there; a lock that a dead process left does not count."""
        return is_empty(self.path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            OutputError: Another process holds it, or it cannot be created.
        """
        with lock_folder(self.path):
            yield


def check_place(path: Path) -> None:
    """Refuse a path that cannot be a folder.

    Raises:
        OutputError: It, or something above it, is a file.
    """
    existing = next(above for above in (path.absolute(), *path.absolute().parents) if above.exists())
    if not existing.is_dir():
        blocking = "" if existing == path.absolute() else f"{existing} "
        raise OutputError(f"--output {path}: {blocking}is a file. Choose a folder.")


def is_empty(path: Path) -> bool:
    """Whether nothing was ever written there; a lock that a dead process left does not count."""
    return not path.is_dir() or all(inside.name == LOCK for inside in path.iterdir())


@contextlib.contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Hold a folder for this process; created if need be, and removed again if nothing came of it.

    Raises:
        OutputError: Another process holds it, or it cannot be created.
    """
    fresh = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = (path / LOCK).open("w")
    except OSError as error:
        raise OutputError(f"--output {path}: cannot be written: {error.strerror}.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"--output {path}: another process is running there.") from error
        try:
            yield
        finally:
            if fresh and is_empty(path):
                (path / LOCK).unlink()
                path.rmdir()


def read_record(path: Path) -> RunRecord:
    """Read a record and check its version.

    Returns:
        A `FinishedRecord`, where the run has finished.

    Raises:
        OutputError: It is damaged.
        VersionError: It is of a version that this program does not read.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            raise VersionError(
                f"{path}: schema version {version}; this program reads version {SCHEMA_VERSION}, and records of "
                "different versions cannot stand in one table."
            )
        kind = FinishedRecord if content.get("status") == "finished" else RunRecord
        return kind.model_validate(content)
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise OutputError(f"{path}: is no readable run record: {str(error).splitlines()[0]}") from error


def write_atomically(path: Path, text: str) -> None:
    """Write beside the file, flush to disk, then rename over it."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
