"""The folder of a run: its files, and which process may write there."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from finetune.atomic import is_leftover, write_text
from finetune.errors import Change, InUseError, OutputError, VersionError
from finetune.records.checksum import checked, read_object, with_checksum
from finetune.records.frozen import what_is_wrong
from finetune.records.schema import SCHEMA_VERSION, FinishedRecord, RunRecord

RECORD = "run.json"
LOCK = ".lock"


def slug(name: str) -> str:
    """A name in a form that can be part of a folder name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") or "unnamed"


class RunFolder:
    """Paths inside a run folder.

    run.json          the record
    split.json        which row is in which split; data.split_file takes it
    predictions.npz   logits and targets per row, of the selected and the last checkpoint
    model/            the final model; plain transformers loads it
    checkpoints/      to resume from; removed when the run has finished
    profile/          how the time was spent, if the run was profiled
    trackers.json     id of the run in each tracker of training.report_to, to continue it
    tensorboard/      event files, if TensorBoard is one of them
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_path = path / RECORD
        self.split = path / "split.json"
        self.predictions = path / "predictions.npz"
        self.model = path / "model"
        self.checkpoints = path / "checkpoints"
        self.profile = path / "profile"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def read(self) -> RunRecord | None:
        """The record, or None if there is none.

        Raises:
            OutputError: There is one, but it cannot be read.
        """
        return read_record(self.record_path) if self.record_path.exists() else None

    def write(self, record: RunRecord) -> None:
        """Replace the record in one step: a kill leaves the old or the new one, never half of one."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.record_path, with_checksum(record.model_dump_json(indent=2)))

    def check_free(self) -> None:
        """Refuse a folder that holds anything.

        Raises:
            OutputError: The error names the command that continues, or an alternative.
        """
        self.check_no_file()
        if self.is_empty():
            return
        record = self.read()
        if record is None:
            raise _refused(self.path, "is not empty and holds no run.", Change(text="Choose another folder."))
        if record.status == "finished":
            another = Change(text="Choose another folder, or delete this one.")
            raise _refused(self.path, "holds a finished run.", another)
        raise _refused(
            self.path,
            f"holds an unfinished run ({record.status}).",
            Change(arguments={"resume": True}, note="continues it"),
            Change(text="choose another folder"),
        )

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints, as a finished run is not resumed; they are three times as large as the model."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def check_no_file(self) -> None:
        """Refuse a path that cannot be a folder.

        Raises:
            OutputError: It, or something above it, is a file.
        """
        check_no_file(self.path)

    def is_empty(self) -> bool:
        """Whether nothing was ever completed there; see `is_empty`."""
        return is_empty(self.path)

    def locked(self, as_new: bool = False) -> contextlib.AbstractContextManager[None]:
        """Lock the folder for this process; see `lock_folder`."""
        return lock_folder(self.path, as_new)


def check_no_file(path: Path) -> None:
    """Refuse a path that cannot be a folder.

    Raises:
        OutputError: It, or something above it, is a file.
    """
    existing = next(above for above in (path.absolute(), *path.absolute().parents) if above.exists())
    if not existing.is_dir():
        blocking = "" if existing == path.absolute() else f"{existing} "
        raise _refused(path, f"{blocking}is a file.", Change(text="Choose a folder."))


def is_empty(path: Path) -> bool:
    """Whether nothing was ever completed there; a dead process may have left a lock, a half-written file, or a folder
    with nothing in it."""
    return not path.is_dir() or all(map(_is_nothing, path.iterdir()))


def _is_nothing(inside: Path) -> bool:
    return inside.name == LOCK or is_leftover(inside) or (inside.is_dir() and is_empty(inside))


@contextlib.contextmanager
def lock_folder(path: Path, as_new: bool = False) -> Iterator[None]:
    """Lock a folder for this process; it is created if needed, and removed again if it stays empty.

    The system releases the lock of a process that dies, so a leftover lock file does not block.

    Args:
        path: Path of the folder.
        as_new: The folder must not exist yet: of several processes that want it, one gets it.

    Raises:
        InUseError: Another process has locked it.
        OutputError: It cannot be created.
        FileExistsError: The folder already exists.
    """
    from filelock import FileLock, Timeout  # takes a tenth of what `finetune --help` takes

    created = [each for each in (path, *path.parents) if not each.exists()]
    had_lock = (path / LOCK).exists()
    lock = FileLock(path / LOCK)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=not as_new)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InUseError("another process is running there.", argument="output", found=str(path)) from error
    except OSError as error:
        if as_new and isinstance(error, FileExistsError):
            raise
        raise _refused(path, f"cannot be written: {error.strerror}.") from error
    try:
        yield
    finally:
        is_unused = not had_lock and is_empty(path)
        if is_unused:
            _remove(path, created)  # while it is locked: nobody else may have begun to use it
        lock.release()
        if is_unused:
            _remove(path, created)  # Windows removes no file that is open


def is_in_use(path: Path) -> bool:
    """Whether another process holds the folder's lock now."""
    try:
        with lock_folder(path) if path.is_dir() else contextlib.nullcontext():
            return False
    except InUseError:
        return True


def _remove(path: Path, created: Sequence[Path]) -> None:
    """Remove a lock, and the folders that were made for it and hold nothing else, if the system lets us."""
    with contextlib.suppress(OSError):
        (path / LOCK).unlink(missing_ok=True)
        for folder in created:
            folder.rmdir()


def _refused(path: Path, why: str, *changes: Change) -> OutputError:
    return OutputError(why, *changes, argument="output", found=str(path))


def read_record(path: Path) -> RunRecord:
    """Read a record and check its version.

    Returns:
        A `FinishedRecord` if the run has finished.

    Raises:
        OutputError: It is damaged.
        VersionError: It is of a version that this program does not read.
    """
    try:
        content = read_object(path.read_text(encoding="utf-8"))
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            raise VersionError(
                f"{path}: schema version {version}; this program reads version {SCHEMA_VERSION}, and records of "
                "different versions cannot be compared."
            )
        content = checked(content)
        kind = FinishedRecord if content.get("status") == "finished" else RunRecord
        return kind.model_validate(content)
    except VersionError:
        raise
    except Exception as error:  # whatever JSON of others makes of it
        raise OutputError(f"{path}: is not a readable run record: {what_is_wrong(error)}") from error
