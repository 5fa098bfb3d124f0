"""What programs leave in texts by mistake: bytes as Python prints them, wrongly decoded characters, escapes, HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finetune.errors import shorten

SOME = 0.05  # fraction of the texts that have such a trace, from which it is said
MOSTLY = 0.95  # fraction of them that are printed bytes
BYTES = re.compile(r"b(['\"]).*\1", re.DOTALL)
ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}")
HTML = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});|</?(?:br|p|div|span|b|i|a|li)\b[^>]*>")
SHOWN = 40  # characters of an example
NAMED = 3  # kinds of HTML that are named


def traces(column: str, cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """Notes and warnings about the first texts of a column.

    Args:
        column: Its name.
        cells: Its first filled cells.
    """
    where = f"column '{column}'"
    printed = [cell for cell in cells if BYTES.fullmatch(cell.strip())]
    if printed and len(printed) >= MOSTLY * len(cells):
        return [], [
            f"{where}: texts are bytes as Python prints them, such as {printed[0][:SHOWN]!r}: b, quotes and escapes "
            "are read as part of the text. Decode them before they are saved: text.decode()"
        ]
    warnings = []
    garbled = [(cell, mended) for cell in cells if (mended := _mended(cell)) is not None]
    if garbled and len(garbled) >= SOME * len(cells):
        cell, mended = next(((a, b) for a, b in garbled if a[:SHOWN] != b[:SHOWN]), garbled[0])
        start = max(0, next(n for n, (a, b) in enumerate(zip(cell, mended, strict=False)) if a != b) - SHOWN // 2)
        warnings.append(
            f"{where}: {len(garbled)} of the first {len(cells)} texts are UTF-8 that was read as Windows-1252 before "
            f"it was saved: {cell[start : start + SHOWN]!r} was {mended[start : start + SHOWN]!r}. Mend them: "
            "text.encode('cp1252').decode('utf-8')"
        )
    escaped = [found[0] for cell in cells if (found := ESCAPE.search(cell))]
    if escaped and len(escaped) >= SOME * len(cells):
        warnings.append(
            f"{where}: {len(escaped)} of the first {len(cells)} texts hold escapes such as {escaped[0]}, which are "
            "read as they are written. Decode them before the texts are saved"
        )
    marked = [found[0] for cell in cells if (found := HTML.search(cell))]
    if not marked or len(marked) < SOME * len(cells):
        return [], warnings
    kinds = shorten([repr(kind[:SHOWN]) for kind in dict.fromkeys(marked)], NAMED)
    said = f"{where}: {len(marked)} of the first {len(cells)} texts hold HTML, which is read as it is written: {kinds}"
    return [said], warnings


def _mended(text: str) -> str | None:
    """The text that was UTF-8, if it was decoded as Windows-1252; None for any other text."""
    if text.isascii():
        return None
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return None
