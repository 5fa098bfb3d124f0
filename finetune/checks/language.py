"""Texts in a language or script that the model's tokenizer does not know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from finetune.checks.base import (
    FoundRow,
    LocatedFinding,
    draw_positions,
    draw_rows,
    full_texts,
    percent,
    shown_rows,
)
from finetune.data.rows import Data, Rows
from finetune.data.tokens import Encoder
from finetune.records.schema import Finding

CHECKED = 300  # texts, drawn with a fixed seed
LONG_ENOUGH = 40  # characters from which a language is detected reliably
ENOUGH = 20  # such texts
UNLIKE = 0.5  # of the share that the language of the training texts has among them
UNKNOWN = 0.02  # fraction of tokens that are [UNK]: the words behind them cannot be learned
# Letters per piece of a word. English texts with the tokenizer of MiniLM have 3.4 to 4.7 (20 sets), German ones 2.65.
BROKEN = 3.0  # Latin, Greek, Cyrillic
SPELT = 1.5  # other scripts, whose words have fewer letters: the tokenizer spells them out
UNSPACED = ("zh", "ja", "th", "lo", "km", "my")  # their own tokenizers may have one letter per piece
WORD = re.compile(r"[^\W\d_]+")
LAST_CYRILLIC = "\u052f"


def check_language(data: Data, encoder: Encoder) -> list[Finding]:
    """Whether the tokenizer of this model fits the language of the texts, judged by its pieces and not by its name.

    A warning where the main language is not English and words fall into pieces of less than 3 letters (1.5 in scripts
    other than Latin, Greek and Cyrillic; skipped where words are not spaced), and where more than 2 % of the tokens are
    [UNK]. Both on at most 300 training texts; the language by py3langid, on texts of at least 40 characters, of which
    there must be 20. A warning also where unlabelled texts are less than half as often in the main language of the
    training texts as those are.
    """
    rows = draw_rows(data.train, CHECKED)
    texts = full_texts(rows)
    languages = _languages(texts)
    return [
        *_unknown_tokens(data.train, texts, encoder),
        *_foreign(data.train, texts, languages, encoder),
        *_unlike(data, languages),
    ]


def _unknown_tokens(train: Rows, texts: Sequence[str], encoder: Encoder) -> list[Finding]:
    tokenizer = encoder.tokenizer
    if tokenizer.unk_token_id is None:
        return []
    pieces = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    unknown = [ids.count(tokenizer.unk_token_id) for ids in pieces]
    fraction = sum(unknown) / max(1, sum(len(ids) for ids in pieces))
    if fraction <= UNKNOWN:
        return []
    worst = sorted(filter(unknown.__getitem__, range(len(texts))), key=lambda index: -unknown[index])
    return [
        LocatedFinding(
            check="language",
            level="warning",
            text=f"{percent(fraction)} of the tokens are {tokenizer.unk_token}: words unknown to the tokenizer.",
            figures={"unknown": fraction},
            **_shown("train", train, worst),
            advice="Use a model whose tokenizer knows the texts: --model …",
        )
    ]


def _foreign(train: Rows, texts: Sequence[str], languages: dict[int, str], encoder: Encoder) -> list[Finding]:
    if not languages:
        return []
    language, texts_in_it = Counter(languages.values()).most_common(1)[0]
    if language == "en" or language in UNSPACED:
        return []
    own = [index for index, other in languages.items() if other == language]
    words = [word for index in own for word in WORD.findall(texts[index])]
    pieces = encoder.tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
    letters = "".join(words)
    per_piece = len(letters) / max(1, sum(len(ids) for ids in pieces))
    spaced_alphabet = sum(letter <= LAST_CYRILLIC for letter in letters) > len(letters) / 2
    if per_piece >= (BROKEN if spaced_alphabet else SPELT):
        return []
    fraction = texts_in_it / len(languages)
    return [
        LocatedFinding(
            check="language",
            level="warning",
            text=f"Texts are mostly in '{language}' ({percent(fraction)}), and the model's tokenizer splits their "
            f"words into pieces of {per_piece:.1f} letters (English: about 4): it is made for another language.",
            figures={"share": fraction, "letters_per_piece": per_piece},
            **_shown("train", train, own),
            advice="Use a multilingual encoder, or one of this language: --model …",
        )
    ]


def _unlike(data: Data, known: dict[int, str]) -> list[Finding]:
    """Unlabelled texts in another language than the training texts, whose languages are known."""
    if data.unlabelled is None:
        return []
    rows = draw_rows(data.unlabelled, CHECKED)
    found = _languages(full_texts(rows))
    if not known or not found:
        return []
    language, count = Counter(known.values()).most_common(1)[0]
    others = [index for index, other in found.items() if other != language]
    expected, fraction = count / len(known), 1 - len(others) / len(found)
    if fraction >= UNLIKE * expected:
        return []
    most, _ = Counter(found[index] for index in others).most_common(1)[0]
    return [
        LocatedFinding(
            check="language",
            level="warning",
            text=f"{percent(expected)} of the training texts are in '{language}', but {percent(fraction)} of the "
            f"unlabelled texts; most other unlabelled texts are in '{most}'.",
            figures={"share": fraction, "expected": expected},
            **_shown("unlabelled", data.unlabelled, others),
            advice="Leave texts in other languages out of the file of data.unlabelled",
        )
    ]


def _shown(split: str, rows: Rows, drawn: Sequence[int]) -> dict[str, Any]:
    """Fields of a finding about some of the rows that were drawn of a split."""
    positions = draw_positions(rows, CHECKED)
    return shown_rows({split: rows}, [FoundRow(split, positions[index]) for index in drawn])


def _languages(texts: Sequence[str]) -> dict[int, str]:
    """Position -> language, of texts that are long enough; empty where too few are."""
    positions = [index for index, text in enumerate(texts) if len(text) >= LONG_ENOUGH]
    if len(positions) < ENOUGH:
        return {}
    from py3langid import classify  # reads its model at the first call

    return {index: classify(texts[index])[0] for index in positions}
