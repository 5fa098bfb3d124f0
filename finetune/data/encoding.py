"""Bytes -> text: which encoding a file has, detected from its bytes, and where they do not fit it."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from finetune.errors import Change, DataError
from finetune.recipe import DataSection

BLOCK = 1 << 20  # bytes read at a time
SAMPLE = 1 << 16  # bytes of lines beyond ASCII from which an encoding is guessed
# The longest first: the mark of UTF-32 begins like that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Those that are still in use. cp1252 first: it is the most common of those that explain a text equally well.
GUESSES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]
UNREADABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and what stands for bytes that could not be decoded
LINE_END = re.compile("\r\n|\r|\n")


@dataclass(frozen=True)
class TextFile:
    """A file whose bytes are text.

    Attributes:
        path: Where it is.
        encoding: What it is in.
        damaged: Some lines hold what UNREADABLE finds; only where such rows are to be left out.
        notes: What was detected.
        warnings: What was guessed.
    """

    path: Path
    encoding: str
    damaged: bool = False
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def lines(self, newline: str | None) -> Iterator[str]:
        """Lines without a byte-order mark, one at a time; `newline` as of open()."""
        errors = "surrogateescape" if self.damaged else "strict"
        with self.path.open(encoding=self.encoding, errors=errors, newline=newline) as file:
            for number, line in enumerate(file):
                yield line.removeprefix("\ufeff") if number == 0 else line


@dataclass(frozen=True)
class _Scan:
    blank: bool
    nul_line: int | None


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
    """Find the encoding and read the file once, in blocks, to see that it holds.

    Named, else by its byte-order mark, else UTF-8, else guessed (with a warning).

    Raises:
        DataError: It cannot be read or decoded, is empty, or holds NUL; names line and byte.
    """
    try:
        return _open_text(path, section)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error


def _open_text(path: Path, section: DataSection) -> TextFile:
    with path.open("rb") as file:
        head = file.read(SAMPLE)
    marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    encoding = marked or "utf-8" if section.encoding is None else section.encoding
    _check_encoding(encoding)
    if section.encoding is None and marked is None:
        _refuse_utf16(path, head)
    is_noted = section.encoding is None and marked not in (None, "utf-8")
    notes = [f"{path}: the encoding is {marked} (by its byte-order mark)"] if is_noted else []
    warnings: list[str] = []
    damaged = False
    try:
        scan = _scan(path, encoding)
    except _UndecodableError as error:
        guessing = section.encoding is None and marked is None and not _is_damaged_utf8(path, error)
        if guessing:
            encoding, warning = _guess(path, error)
            warnings.append(warning)
            scan = _scan_guessed(path, encoding, error)
        elif section.skip_bad_rows and encoding.lower().replace("_", "-")[:6] not in ("utf-16", "utf-32"):
            damaged, scan = True, _scan(path, encoding, "surrogateescape")
        else:
            raise _undecodable(path, encoding, error) from error
    if scan.blank:
        raise DataError(f"{path}: is empty.")
    if scan.nul_line is not None and not section.skip_bad_rows:
        raise DataError(
            f"{path} line {scan.nul_line}: holds a NUL character, so it is not a text file in {encoding}.",
            Change(settings={"data.encoding": "utf-16"}, note="if it is UTF-16"),
            Change(settings={"data.skip_bad_rows": True}, note="leaves such rows out"),
        )
    return TextFile(path, encoding, damaged or scan.nul_line is not None, notes, warnings)


def _check_encoding(encoding: str) -> None:
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


def _refuse_utf16(path: Path, head: bytes) -> None:
    """Half of the bytes of Latin text in UTF-16 are NUL: on the odd places where the low byte comes first."""
    odd, even = head[1::2].count(0), head[::2].count(0)
    if odd + even > 0.2 * len(head):
        name = "utf-16-le" if odd > even else "utf-16-be"
        raise DataError(
            f"{path} line 1: holds NUL characters, as UTF-16 does. Save it as UTF-8, or name its encoding.",
            Change(settings={"data.encoding": name}),
        )


def _scan(path: Path, encoding: str, errors: str = "strict") -> _Scan:
    """Decode the file, a block at a time.

    Raises:
        _UndecodableError: A byte is not of the encoding, or stands for half a character.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=True)
    line, nul_line, blank = 1, None, True
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(encoding, "replace")
                at_end = error.reason == "unexpected end of data"
                raise _UndecodableError(line + _line_ends(before), error.object[error.start], at_end) from error
            except UnicodeError as error:  # idna and its like know no position
                raise _UndecodableError(line, block[0] if block else 0, False) from error
            half = None if errors != "strict" else re.search("[\ud800-\udfff]", text)  # utf-7 lets them through
            if half is not None:
                raise _UndecodableError(line + text.count("\n", 0, half.start()), block[0] if block else 0, False)
            blank = blank and not text.replace("\ufeff", "").strip()
            if nul_line is None and "\0" in text:
                nul_line = line + text.count("\n", 0, text.index("\0"))
            line += text.count("\n")
            if not block:
                return _Scan(blank, nul_line)


def _line_ends(text: str) -> int:
    return sum(1 for _ in LINE_END.finditer(text))


def _undecodable(path: Path, encoding: str, error: _UndecodableError) -> DataError:
    return DataError(
        f"{path} line {error.line}: byte 0x{error.byte:02x} is not {encoding}. Save the file as UTF-8, or name its "
        "encoding.",
        Change(settings={"data.encoding": "cp1252"}, note="for example"),
    )


def _is_damaged_utf8(path: Path, error: _UndecodableError) -> bool:
    """Whether it was UTF-8 before bytes were lost: cut off, or with more characters beyond ASCII than stray bytes."""
    if error.at_end:
        return True
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    whole = stray = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            text = decoder.decode(block)
            if not text.isascii():
                undecoded = len(re.findall("[\udc80-\udcff]", text))
                stray += undecoded
                whole += len(re.findall("[^\0-\x7f]", text)) - undecoded
    return whole > stray


def _guess(path: Path, error: _UndecodableError) -> tuple[str, str]:
    """Return (encoding, warning that says what it makes of the first line that needs one).

    Raises:
        DataError: None fits.
    """
    from charset_normalizer import from_bytes

    lines = _lines_beyond_ascii(path)
    matches = from_bytes(b"".join(lines), cp_isolation=GUESSES)
    best = matches.best()
    if best is None:
        raise _undecodable(path, "utf-8", error)
    tied = {name for match in matches if match.chaos <= best.chaos for name in match.could_be_from_charset}
    name = next((guess for guess in GUESSES[:1] if guess in tied), best.encoding)
    shown = lines[0].decode(name, "replace").strip()
    start = max(0, next((i for i, character in enumerate(shown) if not character.isascii()), 0) - 30)
    return name, (
        f"{path}: is not UTF-8. It is read as {name}, which is a guess: line {error.line} holds "
        f"{shown[start : start + 60]!r}. If that is wrong, save the file as UTF-8, or: --set data.encoding=NAME"
    )


def _lines_beyond_ascii(path: Path) -> list[bytes]:
    """The first of them, up to SAMPLE bytes together."""
    lines: list[bytes] = []
    size = 0
    with path.open("rb") as file:
        while size < SAMPLE and (line := file.readline(SAMPLE)):
            if not line.isascii():
                lines.append(line)
                size += len(line)
    return lines


def _scan_guessed(path: Path, encoding: str, first: _UndecodableError) -> _Scan:
    try:
        return _scan(path, encoding)
    except _UndecodableError as error:
        raise DataError(
            f"{path} line {first.line}: byte 0x{first.byte:02x} is not utf-8, and {encoding}, a guess, does not fit "
            f"line {error.line}. Save the file as UTF-8, or name its encoding.",
            Change(settings={"data.encoding": "NAME"}),
        ) from error
