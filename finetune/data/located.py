"""The origin of the tokens that a model reads: the words of a text, and the word of each token."""

from __future__ import annotations

from typing import NamedTuple

from finetune.data.tokens import Encoder, Item
from finetune.errors import ModelError

WORD = "word"


class Word(NamedTuple):
    """The position of a word.

    Attributes:
        part: 0 in the first text, 1 in the second one of a pair.
        start, stop: Its character positions there.
    """

    part: int
    start: int
    stop: int


class Located(NamedTuple):
    """A piece of a text.

    Attributes:
        item: Token ids, and what else the model takes.
        words: For each token the number of its word; -1 for special tokens.
    """

    item: Item
    words: list[int]


def locate_words(encoder: Encoder, text: str, pair: str | None) -> tuple[list[Word], list[Located]]:
    """The words of a text (or pair), and its pieces as the encoder makes them, with the word of each token.

    Words are the tokenizer's first split: at spaces, with separate punctuation; in a language without spaces, the units
    that the tokenizer uses.

    Raises:
        ModelError: The tokenizer is not a fast one, so it does not report where its tokens come from.
    """
    if not getattr(encoder.tokenizer, "is_fast", False):
        raise ModelError("its tokenizer does not report where tokens come from (it is not a fast tokenizer).")
    cuts = {"truncation": True, "max_length": encoder.max_length} if encoder.long_texts == "head" else {}
    encoded = encoder.tokenizer(
        text,
        pair,
        padding=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,
        **cuts,
    )
    spans: dict[tuple[int, int], Word] = {}
    keys: list[tuple[int, int] | None] = []
    origins = zip(encoded.sequence_ids(), encoded.word_ids(), encoded["offset_mapping"], strict=True)
    for part, number, (start, stop) in origins:
        key = None if part is None or number is None else (part, number)
        keys.append(key)
        if key is not None:
            known = spans.get(key, Word(key[0], start, stop))
            spans[key] = Word(key[0], min(known.start, start), max(known.stop, stop))
    position = {key: index for index, key in enumerate(spans)}
    special = encoded["special_tokens_mask"]
    names = [name for name in encoded if name not in ("offset_mapping", "special_tokens_mask")]
    whole = {name: encoded[name] for name in names}
    whole[WORD] = [-1 if key is None else position[key] for key in keys]
    pieces = encoder.framed(whole, special) if len(keys) > encoder.max_length else [whole]
    return list(spans.values()), [Located(piece, piece.pop(WORD)) for piece in pieces]
