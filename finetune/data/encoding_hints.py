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
# Those of DOS, old Macs and Unix: guessed only where the others explain a text clearly worse.
RARE = ["mac_roman", "mac_cyrillic", "cp850", "cp866", "iso8859_2", "iso8859_5"]
CLEARLY = 0.1  # chaos of charset-normalizer, from 0 to 1


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
    ways = [Change(settings={"data.encoding": name}, note=f"reads {shown!r}") for name, shown in _readings(path).ways]
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


def guess(path: Path, at_end: bool) -> tuple[str, str] | None:
    """Return (encoding, warning with its evidence and the alternatives) of a file that is not UTF-8.

    None: it is damaged UTF-8, or nothing fits.

    Args:
        path: The file.
        at_end: The file ends inside a character.
    """
    if at_end or look_at_utf8(path).mostly:
        return None
    readings = _readings(path)
    if not readings.ways:
        return None
    name, shown = readings.ways[0]
    others = "; ".join(f"{shown!r} as {other}" for other, shown in readings.ways[1 : 1 + ALTERNATIVES])
    alternatives = f" It would be {others}." if others else ""
    return name, (
        f"{path}: is not UTF-8. It is read as {name}, which is a guess: "
        f"line {readings.line} holds {shown!r}.{alternatives} If that is wrong, save the file as UTF-8, or: "
        "--set data.encoding=NAME"
    )


def likely_encodings(sample: bytes) -> list[str]:
    """Possible encodings of lines beyond ASCII, the likeliest first; empty if none gives meaningful text."""
    from charset_normalizer import from_bytes

    matches = list(from_bytes(sample, cp_isolation=[*GUESSES, *RARE]))
    common = [match for match in matches if match.encoding not in RARE]
    rare = [match for match in matches if match.encoding in RARE]
    clear = [match for match in rare if all(match.chaos + CLEARLY < other.chaos for other in common)]
    if not clear and common:
        tied = {name for match in common if match.chaos <= common[0].chaos for name in match.could_be_from_charset}
        first = [GUESSES[0] if GUESSES[0] in tied else common[0].encoding]
    else:
        first = [match.encoding for match in clear]
    return list(dict.fromkeys([*first, *(name for match in matches for name in match.could_be_from_charset)]))


@dataclass(frozen=True)
class _Readings:
    """What a line beyond ASCII is in several encodings.

    Attributes:
        line: Its number among the lines of the file.
        ways: (encoding, text around what differs), the likeliest first; each reads the line in its own way.
    """

    line: int
    ways: list[tuple[str, str]]


def _readings(path: Path) -> _Readings:
    """The first of the lines that the most of the likely encodings read in their own way; no ways, if none is
    likely."""
    numbers, lines = _lines_beyond_ascii(path)
    likely = likely_encodings(b"".join(lines))
    read: dict[str, list[str]] = {}
    for name in dict.fromkeys([*likely, *GUESSES]) if likely else ():
        try:
            read[name] = [line.decode(name) for line in lines]
        except UnicodeDecodeError:
            continue
    if not read:
        return _Readings(0, [])
    plausible = [set(texts) for texts in zip(*(read[name] for name in likely if name in read), strict=True)]
    chosen = max(range(len(plausible)), key=lambda index: len(plausible[index]), default=0)
    alike = zip(*(plausible[chosen] if plausible else ()), strict=False)
    differing = next((index for index, characters in enumerate(alike) if len(set(characters)) > 1), None)
    ways: dict[str, str] = {}
    for name, texts in read.items():
        ways.setdefault(_excerpt(texts[chosen], differing), name)
    return _Readings(numbers[chosen], [(name, shown) for shown, name in ways.items()])


def _name(encoding: str) -> str:
    return codecs.lookup(encoding).name


def _excerpt(text: str, at: int | None = None) -> str:
    """The surroundings of a position, or of the first character beyond ASCII."""
    if at is None:
        at = next((index for index, character in enumerate(text) if not character.isascii()), 0)
    start = max(0, at - SHOWN // 2)
    return text[start : start + SHOWN].strip()


def _lines_beyond_ascii(path: Path) -> tuple[list[int], list[bytes]]:
    """Numbers and content of the first of them, up to SAMPLE bytes together."""
    numbers: list[int] = []
    lines: list[bytes] = []
    number, size = 1, 0
    with open_bytes(path) as file:
        while size < SAMPLE and (line := file.readline(SAMPLE)):
            if not line.isascii():
                numbers.append(number)
                lines.append(line)
                size += len(line)
            number += line.count(b"\n") or line.count(b"\r")
    return numbers, lines
