"""Which tokens of a text that is longer than `data.max_length` the model sees."""

from __future__ import annotations

from typing import Literal

LongTexts = Literal["head", "tail", "head_tail", "windows"]


def kept_spans(mode: LongTexts, tokens: int, room: int, head: int, overlap: int) -> list[list[range]]:
    """Positions that are kept, as the spans of each piece. Windows have several pieces, the others one.

    Args:
        mode: Value of `data.long_texts`.
        tokens: Number of tokens of the text, without special tokens; more than `room`.
        room: Number of tokens of a piece, without special tokens.
        head: Number of tokens from the start in head_tail.
        overlap: Tokens that neighbouring windows share, below `room`. The last window holds what is left.
    """
    if mode == "head":
        return [[range(room)]]
    if mode == "tail":
        return [[range(tokens - room, tokens)]]
    if mode == "head_tail":
        return [[range(head), range(tokens - (room - head), tokens)]]
    # The last start whose window reaches the end is the last one needed.
    starts = range(0, tokens - overlap, room - overlap)
    return [[range(start, min(start + room, tokens))] for start in starts]
