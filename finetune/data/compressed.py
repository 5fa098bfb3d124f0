"""Compressed files: .gz, .bz2, .xz and .zst of one file, .zip of several. Read as a stream, never unpacked to disk.

A file inside an archive has a path like any other, `reviews.zip/train.csv`: only `open_bytes` knows the difference.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from finetune.errors import Change, DataError, first_line

ARCHIVE = ".zip"
IGNORED = ("__MACOSX", ".")  # starts of names that no one put into an archive on purpose
OLD_OFFICE = b"\xd0\xcf\x11\xe0"  # of Excel before 2007, and of Word
# First bytes of a file -> the suffix that says what it is.
MAGIC = {
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ\x00": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"PK\x03\x04": ".zip",
    b"PAR1": ".parquet",
    OLD_OFFICE: ".xls",
}
# What the libraries make of a file that is damaged or not whole. OSError has a number where the disk is to blame.
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def _open_zst(path: Path) -> IO[bytes]:
    """By pyarrow, whose wheels bring zstd."""
    import pyarrow

    if not pyarrow.Codec.is_available("zstd"):
        raise DataError(
            f"{path}: this pyarrow was built without zstd.",
            Change(command="pip install --force-reinstall pyarrow", note="its wheels have it"),
            Change(command=f"zstd -d {path.name}", note="unpacks it"),
        )
    return io.BufferedReader(pyarrow.CompressedInputStream(str(path), "zstd"))


OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _open_zst,
}
SUFFIXES = (*OPENERS, ARCHIVE)


def data_suffix(path: Path) -> str:
    """The suffix of the format: that of the file inside a compressed one."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in OPENERS else suffix


def data_stem(path: Path) -> str:
    """The name without the suffixes of format and compression."""
    return Path(path.stem).stem if path.suffix.lower() in OPENERS else path.stem


def is_compressed(path: Path) -> bool:
    """Whether the bytes of the data are not those on the disk."""
    return path.suffix.lower() in OPENERS or archive_of(path) is not None


def is_archive(path: Path) -> bool:
    """Whether it is an archive on the disk."""
    return path.suffix.lower() == ARCHIVE and path.is_file()


def archive_of(path: Path) -> Path | None:
    """The archive that a path leads into; None for a file on the disk."""
    return next((parent for parent in path.parents if parent.suffix.lower() == ARCHIVE and parent.is_file()), None)


def is_member(path: Path) -> bool:
    """Whether an archive holds a file of this path."""
    archive = archive_of(path)
    return archive is not None and path in members(archive)


def members(archive: Path) -> list[Path]:
    """The files of an archive as paths below it, in the order of their names.

    Raises:
        DataError: It cannot be read.
    """
    with _damage_named(archive), zipfile.ZipFile(archive) as opened:
        names = sorted(entry.filename for entry in opened.infolist() if not entry.is_dir())
    return [archive / name for name in names if not any(part.startswith(IGNORED) for part in Path(name).parts)]


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of the data in a file, compressed or not, as a stream.

    Raises:
        DataError: The compressed file or archive is damaged, incomplete, or encrypted.
    """
    archive = archive_of(path)
    if archive is None and path.suffix.lower() not in OPENERS:
        with path.open("rb") as file:
            yield file
        return
    with _damage_named(path):
        if archive is not None:
            with (
                zipfile.ZipFile(archive) as opened,
                _open_member(opened, path, archive) as packed,
                _unpacked(path, packed) as file,
            ):
                yield file
        else:
            with OPENERS[path.suffix.lower()](path) as file:
                yield file


def _open_member(opened: zipfile.ZipFile, path: Path, archive: Path) -> IO[bytes]:
    try:
        return opened.open(path.relative_to(archive).as_posix())
    except RuntimeError as error:
        raise DataError(f"{path}: is encrypted. Save the archive without a password.") from error
    except NotImplementedError as error:
        raise DataError(f"{path}: is packed in a way that Python cannot unpack: {first_line(error)}.") from error


@contextmanager
def _unpacked(path: Path, packed: Any) -> Iterator[IO[bytes]]:
    """A member of an archive may be compressed itself: `all.zip/train.csv.gz`."""
    if path.suffix.lower() == ".gz":
        with gzip.GzipFile(fileobj=packed) as file:
            yield file  # type: ignore[misc]
    elif path.suffix.lower() in OPENERS:
        raise DataError(f"{path}: a {path.suffix} file inside an archive is not read. Take it out of the archive.")
    else:
        yield packed


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, gzip.BadGzipFile):
            raise  # the disk
        raise DataError(
            f"{path}: cannot be unpacked: {first_line(error)}. Is the file whole, and what its name says?"
        ) from error


def disguise(path: Path, head: bytes) -> str | None:
    """The suffix that a file should have by its first bytes, although its name says that it is text."""
    suffix = next((suffix for magic, suffix in MAGIC.items() if head.startswith(magic)), None)
    if suffix == ".zip" and _is_workbook(path):
        return ".xlsx"
    return suffix


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as opened:
            return "xl/workbook.xml" in opened.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
