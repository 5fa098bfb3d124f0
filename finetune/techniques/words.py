"""Words of texts and of tokenizers' vocabularies, for the techniques that exchange words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# A word: letters between spaces, with marks around it at most. Not a word: @name, #tag, $AAPL, don't, web addresses,
# numbers, parts of well-known. Scripts that write vowels as combining signs (Hindi, Thai) have hardly any such words.
_WORD = re.compile(r"(?<!\S)[^\w\s@#$]*([^\W\d_]+)[^\w\s]*(?!\S)")


def find_words(text: str) -> list[tuple[int, int]]:
    """Start and end of every word whose case can be carried over to another word, without the marks around it."""
    return [found.span(1) for found in _WORD.finditer(text) if _has_plain_case(found[1])]


def match_case(word: str, like: str) -> str:
    """`word` in the case of `like`: all capitals, an initial capital, or unchanged."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def replace_spans(text: str, replacements: Iterable[tuple[tuple[int, int], str]]) -> str:
    """Put words in place of spans that do not overlap; everything between them stays byte for byte."""
    for (start, end), word in sorted(replacements, reverse=True):
        text = text[:start] + word + text[end:]
    return text


def vocabulary_words(tokenizer: Any) -> dict[str, int]:
    """Word -> id, for the tokens that are whole words of two letters or more.

    The tokenizer itself says whether a token starts a word, so it does not matter how it marks that (## before a
    continuation, Ġ or ▁ before a start): placed after "a", does the token give two words?
    """
    special = set(tokenizer.all_special_ids)
    words: dict[str, int] = {}
    for token, number in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        first, space, word = tokenizer.convert_tokens_to_string(["a", token]).partition(" ")
        if first == "a" and space and len(word) > 1 and word.isalpha() and number not in special:
            words.setdefault(word, number)
    return words


def _has_plain_case(word: str) -> bool:
    return word in (word.lower(), word.upper(), word[:1] + word[1:].lower())
