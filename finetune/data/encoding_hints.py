"""Likely encodings of a file that does not fit its encoding: the evidence, and the setting to type."""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from pathlib import Path

from finetune.data.compressed import open_bytes
from finetune.errors import Change, DataError, shorten

BLOCK = 1 << 20  # bytes read at a time
STRAY = re.compile("[\udc80-\udcff]")  # what stands for a byte that is part of no character
BEYOND_ASCII = re.compile("[^\0-\x7f\udc80-\udcff]")
SAMPLE = 1 << 16  # bytes of lines beyond ASCII from which an encoding is guessed
NAMED = 5  # lines that are named
SHOWN = 60  # characters of a line that is shown
ALTERNATIVES = 3  # other encodings that are shown beside a guess
# Those that are still in use. cp1252 first: it is the most common of those that explain a text equally well.
GUESSES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]


@dataclass(frozen=True)
class Utf8:
    """How much of a file is UTF-8.

    Attributes:
        characters: Number of complete characters beyond ASCII.
        stray: Bytes that are not part of a character.
        lines: The numbers of the first lines with such bytes.
        count: How many lines have them.
        example: The first line with a complete character beyond ASCII; empty if there is none.
    """

    characters: int
    stray: int
    lines: list[int]
    count: int
    example: str

    @property
    def mostly(self) -> bool:
        """Whether it was UTF-8 before bytes were lost or lines of another file were added."""
        return self.characters > self.stray


def look_at_utf8(path: Path) -> Utf8:
    """Read a file as UTF-8, in blocks."""
    characters = stray = count = 0
    lines: list[int] = []
    example = ""
    number, last = 1, 0  # of the line, and of the last line with a stray byte
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("surrogateescape"), translate=True)
    with open_bytes(path) as file:
        while True:
            block = file.read(BLOCK)
            text = decoder.decode(block, final=not block)
            found = [] if text.isascii() else list(STRAY.finditer(text))
            characters += 0 if text.isascii() else len(BEYOND_ASCII.findall(text))
            stray += len(found)
            end = 0
            for match in found:
                number += text.count("\n", end, match.start())
                end = match.start()
                if number > last:
                    last, count = number, count + 1
                    lines += [number][: NAMED - len(lines)]
            number += text.count("\n", end)
            whole = None if example else BEYOND_ASCII.search(text)
            if whole is not None:
                start = text.rfind("\n", 0, whole.start()) + 1
                example = _excerpt(text[start:].partition("\n")[0])
            if not block:
                return Utf8(characters, stray, lines, count, example)


def _damage(utf8: Utf8) -> str:
    named = shorten([str(number) for number in utf8.lines], NAMED)
    more = f" and {utf8.count - len(utf8.lines)} more" if utf8.count > len(utf8.lines) else ""
    what = f"line {named} is" if utf8.count == 1 else f"{utf8.count} lines are"
    where = "" if utf8.count == 1 else f": {named}{more}"
    return f"the file is UTF-8 otherwise ({utf8.characters} characters beyond ASCII), and {what} not{where}"


def unfitting(path: Path, encoding: str, why: str, at_end: bool) -> DataError:
    """The error for a file whose bytes do not fit the encoding, with the likely encoding.

    Args:
        path: The file.
        encoding: The encoding that does not fit.
        why: Where it does not fit.
        at_end: The file ends inside a character.
    """
    leave_out = Change(settings={"data.skip_bad_rows": True}, note="leaves such rows out")
    is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    utf8 = look_at_utf8(path)
    if at_end and is_utf8 and utf8.stray <= 3:  # bytes of one character
        return DataError(f"{why} The file ends inside a character. Is it whole?", leave_out)
    if utf8.mostly and is_utf8:
        said = _damage(utf8)
        return DataError(f"{why} {said[0].upper()}{said[1:]}. Correct what is not, or leave it out.", leave_out)
    if utf8.mostly:
        said = "every byte is UTF-8" if not utf8.stray else _damage(utf8)
        return DataError(f"{why} {said[0].upper()}{said[1:]}.", Change(settings={"data.encoding": "utf-8"}))
    ways = [Change(settings={"data.encoding": name}, note=f"reads {shown!r}") for name, shown in _readings(path)]
    others = [way for way in ways if way.settings["data.encoding"] != _name(encoding)][:ALTERNATIVES]
    return DataError(f"{why} Save the file as UTF-8, or name its encoding.", *others, leave_out)


def why_utf8(path: Path, encoding: str) -> list[str]:
    """A warning if a file is UTF-8 by its bytes, but read in an encoding that decodes every single byte."""
    try:
        single = len(bytes([0xE9, 0xE8]).decode(encoding, "replace")) == 2 and _name(encoding)[:3] != "utf"
    except ValueError:
        single = False
    if not single:
        return []
    utf8 = look_at_utf8(path)
    if not utf8.mostly or not utf8.example:
        return []
    said = "every byte of it is UTF-8" if not utf8.stray else _damage(utf8)
    as_named = utf8.example.encode("utf-8", "surrogateescape").decode(encoding, "replace")
    way = Change(settings={"data.encoding": "utf-8"}).for_command_line()
    return [
        f"data.encoding: {path} is read as {encoding}, but {said}: {utf8.example!r} becomes {as_named!r}. Try: {way}"
    ]


def guess(path: Path, line: int, at_end: bool) -> tuple[str, str] | None:
    """Return (encoding, warning with its evidence and the alternatives) of a file that is not UTF-8.

    None: it is damaged UTF-8, or nothing fits.

    Args:
        path: The file.
        line: The first that is not UTF-8.
        at_end: The file ends inside a character.
    """
    if at_end or look_at_utf8(path).mostly:
        return None
    readings = _readings(path)
    if not readings:
        return None
    name, shown = readings[0]
    others = "; ".join(f"{shown!r} as {other}" for other, shown in readings[1 : 1 + ALTERNATIVES])
    alternatives = f" It would be {others}." if others else ""
    return name, (
        f"{path}: is not UTF-8. It is read as {name}, which is a guess: "
        f"line {line} holds {shown!r}.{alternatives} If that is wrong, save the file as UTF-8, or: "
        "--set data.encoding=NAME"
    )


def likely_encodings(sample: bytes) -> list[str]:
    """Possible encodings of lines beyond ASCII, the likeliest first; empty if none gives meaningful text."""
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=GUESSES)
    best = matches.best()
    if best is None:
        return []
    tied = {name for match in matches if match.chaos <= best.chaos for name in match.could_be_from_charset}
    first = GUESSES[0] if GUESSES[0] in tied else best.encoding
    return list(dict.fromkeys([first, *(name for match in matches for name in match.could_be_from_charset)]))


def _readings(path: Path) -> list[tuple[str, str]]:
    """(encoding, what it makes of the first line beyond ASCII), the likeliest first; each reads that line in its own
    way."""
    lines = _lines_beyond_ascii(path)
    likely = likely_encodings(b"".join(lines))
    readings: dict[str, str] = {}
    for name in dict.fromkeys([*likely, *GUESSES]) if likely else ():
        try:
            read = [line.decode(name) for line in lines]
        except UnicodeDecodeError:
            continue
        readings.setdefault(_excerpt(read[0]), name)
    return [(name, shown) for shown, name in readings.items()]


def _name(encoding: str) -> str:
    return codecs.lookup(encoding).name


def _excerpt(text: str) -> str:
    """The surroundings of the first character beyond ASCII."""
    text = text.strip()
    start = max(0, next((index for index, character in enumerate(text) if not character.isascii()), 0) - SHOWN // 2)
    return text[start : start + SHOWN]


def _lines_beyond_ascii(path: Path) -> list[bytes]:
    """The first of them, up to SAMPLE bytes together."""
    lines: list[bytes] = []
    size = 0
    with open_bytes(path) as file:
        while size < SAMPLE and (line := file.readline(SAMPLE)):
            if not line.isascii():
                lines.append(line)
                size += len(line)
    return lines
