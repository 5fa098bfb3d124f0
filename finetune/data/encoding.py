"""Bytes -> text: the encoding of a file, detected from its bytes, and the places that do not fit it."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from finetune.data.compressed import disguise, is_compressed, open_bytes
from finetune.data.encoding_hints import guess, unfitting, why_utf8
from finetune.data.foreign_files import refuse_page
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

BLOCK = 1 << 20  # bytes read at a time
HEAD = 1 << 16  # bytes in which a byte-order mark, or the NUL bytes of UTF-16, are looked for
# The longest first: the mark of UTF-32 begins like that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LINE_END = re.compile("\r\n|\r|\n")


@dataclass(frozen=True)
class TextFile:
    """A file whose bytes are text.

    Attributes:
        path: Where it is.
        encoding: Encoding of the file.
        has_lone_cr: Some lines end with CR alone and others with LF or CRLF.
        damaged: Some lines match UNREADABLE; only set if such rows are to be left out.
        notes: What was detected.
        warnings: What was guessed.
    """

    path: Path
    encoding: str
    damaged: bool = False
    has_lone_cr: bool = False
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def lines(self, newline: str | None) -> Iterator[str]:
        """Lines without a byte-order mark, one at a time; `newline` as for open()."""
        errors = "surrogateescape" if self.damaged else "strict"
        with open_bytes(self.path) as raw:
            lines = io.TextIOWrapper(raw, self.encoding, errors, newline)
            first = next(lines, None)
            if first is not None:
                yield first.removeprefix("\ufeff")
            yield from lines

    @cached_property
    def stray_returns(self) -> frozenset[int]:
        """Numbers of the lines that end with CR alone, where most end with LF: such a CR may be inside a text."""
        if not self.has_lone_cr:
            return frozenset()
        total, found = 0, set()
        for total, line in enumerate(self.lines(newline=""), start=1):
            if line.endswith("\r"):
                found.add(total)
        return frozenset(found) if 2 * len(found) < total else frozenset()


@dataclass(frozen=True)
class _Scan:
    blank: bool
    nul_line: int | None
    has_lone_cr: bool


class _UndecodableError(Exception):
    """A byte that is not of the encoding.

    Attributes:
        line: Where it is, from 1.
        byte: Its value.
        at_end: The file ends inside a character.
    """

    def __init__(self, line: int, byte: int, at_end: bool) -> None:
        super().__init__(line, byte)
        self.line, self.byte, self.at_end = line, byte, at_end


def open_text(path: Path, section: DataSection) -> TextFile:
    """Find the encoding, and read the file once, in blocks, to verify it.

    The encoding is the named one, else that of the byte-order mark, else UTF-8, else UTF-16 by its NUL bytes, else
    guessed (with a warning).

    Raises:
        DataError: It cannot be read or decoded, is empty, or holds NUL; names line and byte.
    """
    try:
        with open_bytes(path) as file:
            head = file.read(HEAD)
        return _open_text(path, section, head)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _open_text(path: Path, section: DataSection, head: bytes) -> TextFile:
    _refuse_disguised(path, head)
    refuse_page(path, head)
    marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    warnings: list[str] = []
    if section.encoding is not None:
        encoding = section.encoding
        check_encoding(encoding)
    else:
        encoding = marked or _utf16_by_nul(path, head, warnings) or "utf-8"
    is_noted = section.encoding is None and marked not in (None, "utf-8")
    notes = [f"{path}: the encoding is {marked} (by its byte-order mark)"] if is_noted else []
    damaged = False
    try:
        scan = _scan(path, encoding)
        if section.encoding is not None:
            warnings += why_utf8(path, encoding)
    except _UndecodableError as error:
        guessed = None if section.encoding or marked else guess(path, error.at_end)
        if guessed is not None:
            encoding, warning = guessed
            warnings.append(warning)
            scan = _scan_guessed(path, encoding, error)
        elif section.skip_bad_rows and encoding.lower().replace("_", "-")[:6] not in ("utf-16", "utf-32"):
            damaged, scan = True, _scan(path, encoding, "surrogateescape")
        else:
            why = f"{path} line {error.line}: byte 0x{error.byte:02x} is not {encoding}."
            raise unfitting(path, encoding, why, error.at_end) from error
    if scan.blank:
        raise DataError(f"{path}: is empty.")
    if scan.nul_line is not None and not section.skip_bad_rows:
        raise DataError(
            f"{path} line {scan.nul_line}: holds a NUL character, so it is not a text file in {encoding}.",
            Change(settings={"data.encoding": "utf-16"}, note="if it is UTF-16"),
            Change(settings={"data.skip_bad_rows": True}, note="leaves such rows out"),
        )
    return TextFile(path, encoding, damaged or scan.nul_line is not None, scan.has_lone_cr, notes, warnings)


def _refuse_disguised(path: Path, head: bytes) -> None:
    """A compressed file or a workbook under the name of a text file."""
    suffix = None if is_compressed(path) else disguise(path, head)
    if suffix is None:
        return
    if suffix in (".xlsx", ".xls"):
        way = Change(text="In Excel: Save As, CSV UTF-8.")
        raise DataError(f"{path}: is an Excel workbook by its first bytes, not text.", way)
    name = path.with_suffix(suffix) if suffix in (".zip", ".parquet") else path.with_name(path.name + suffix)
    raise DataError(
        f"{path}: is a {suffix} file by its first bytes, not text. Give it its suffix.",
        Change(command=f"mv {path} {name}"),
    )


def check_encoding(encoding: str) -> None:
    """Raises:
    DataError: Python knows no text encoding of this name.
    """
    try:
        codecs.getincrementaldecoder(encoding)
        bytes(4).decode(encoding)  # refuses codecs that do not make text; four bytes are whole in UTF-16 and UTF-32
    except (LookupError, ValueError) as error:
        raise DataError(
            f"Python has no text encoding {encoding!r}.",
            *(Change(settings={"data.encoding": name}) for name in ("utf-8", "latin-1")),
            key="data.encoding",
            found=encoding,
        ) from error


def _utf16_by_nul(path: Path, head: bytes, warnings: list[str]) -> str | None:
    """UTF-16 without a mark: half of the bytes of Latin text are NUL, on the odd places where the low byte comes first.

    Raises:
        DataError: It looks so, and not all of its bytes are UTF-16.
    """
    odd, even = head[1::2].count(0), head[::2].count(0)
    if odd + even <= 0.2 * len(head):
        return None
    name = "utf-16-le" if odd > even else "utf-16-be"
    try:
        whole = _scan(path, name).nul_line is None
    except _UndecodableError:
        whole = False
    if not whole:
        raise DataError(
            f"{path} line 1: holds NUL characters, as UTF-16 does, but not all of it is {name}. Save it as UTF-8, or "
            "name its encoding.",
            Change(settings={"data.encoding": name}),
        )
    warnings.append(
        f"{path}: is read as {name}, which is a guess: {odd + even} of its first {len(head)} bytes are NUL, and it has "
        "no byte-order mark. If that is wrong: --set data.encoding=NAME"
    )
    return name


def _scan(path: Path, encoding: str, errors: str = "strict") -> _Scan:
    """Decode the file, a block at a time.

    Raises:
        _UndecodableError: A byte is not of the encoding, or stands for half a character.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=True)
    line, nul_line, blank = 1, None, True
    with open_bytes(path) as file:
        while True:
            block = file.read(BLOCK)
            try:
                text = decoder.decode(block, final=not block)
                if errors == "strict" and not text.isascii():
                    text.encode("utf-8")  # utf-7 and its like let half characters through
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(encoding, "replace")
                at_end = error.reason == "unexpected end of data"
                raise _UndecodableError(line + _line_ends(before), error.object[error.start], at_end) from error
            except UnicodeEncodeError as error:
                where = line + text.count("\n", 0, error.start)
                raise _UndecodableError(where, block[0] if block else 0, False) from error
            except UnicodeError as error:  # idna and its like know no position
                raise _UndecodableError(line, block[0] if block else 0, False) from error
            blank = blank and not text.replace("\ufeff", "").strip()
            if nul_line is None and "\0" in text:
                nul_line = line + text.count("\n", 0, text.index("\0"))
            line += text.count("\n")
            if not block:
                ends = decoder.newlines
                return _Scan(blank, nul_line, isinstance(ends, tuple) and "\r" in ends)


def _line_ends(text: str) -> int:
    return sum(1 for _ in LINE_END.finditer(text))


def _scan_guessed(path: Path, encoding: str, first: _UndecodableError) -> _Scan:
    try:
        return _scan(path, encoding)
    except _UndecodableError as error:
        raise DataError(
            f"{path} line {first.line}: byte 0x{first.byte:02x} is not utf-8, and {encoding}, a guess, does not fit "
            f"line {error.line}. Save the file as UTF-8, or name its encoding.",
            Change(settings={"data.encoding": "NAME"}),
        ) from error
