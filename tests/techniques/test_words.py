"""Words of texts and of vocabularies: what counts as one, and that nothing else moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from finetune.techniques.words import find_words, match_case, replace_spans, vocabulary_words
from tests.conftest import WORDS


def words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in find_words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good movie", ["Good", "movie"]),
        ('(good), "bad"... fine!!! ...so', ["good", "bad", "fine", "so"]),
        ("don't can’t well-known good/bad a.m. t.co", []),
        ("@anna #good $AAPL http://t.co/x www.a.de 10/10 3pm x2 _it_", []),
        ("good😀 😀bad 😀 ❤️", ["good", "bad"]),
        ("GOOD Good good gOOd iPhone", ["GOOD", "Good", "good"]),
        ("schöne Grüße", ["schöne", "Grüße"]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_words_are_letters_between_spaces_in_a_plain_case(text: str, expected: list[str]) -> None:
    assert words_of(text) == expected


def test_very_long_texts_take_no_time() -> None:
    """A pattern that tries every split of a run of marks would not come back."""
    assert words_of("!" * 200_000) == []
    assert words_of("a" * 200_000 + "1") == []
    assert len(words_of("good " * 50_000)) == 50_000


@pytest.mark.parametrize(
    ("word", "like", "expected"),
    [
        ("film", "movie", "film"),
        ("film", "Movie", "Film"),
        ("film", "MOVIE", "FILM"),
        ("film", "I", "Film"),
        ("Kino", "film", "Kino"),
        ("iPhone", "Phone", "IPhone"),
        ("film", "", "film"),
    ],
)
def test_a_word_takes_the_case_of_the_one_it_replaces(word: str, like: str, expected: str) -> None:
    assert match_case(word, like) == expected


def test_between_the_replaced_spans_every_byte_stays() -> None:
    text = "  Good,\tbad  and good! "
    assert replace_spans(text, [((2, 6), "Excellent"), ((17, 21), "ok")]) == "  Excellent,\tbad  and ok! "
    assert replace_spans(text, [((17, 21), "ok"), ((2, 6), "Excellent")]) == "  Excellent,\tbad  and ok! "
    assert replace_spans(text, []) == text


def test_the_words_of_a_word_level_vocabulary(tiny_model: Path) -> None:
    """All words of it, but no mark, no special token and no single letter."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    found = vocabulary_words(tokenizer)
    assert set(found) == set(WORDS) - {"a"}
    assert all(tokenizer.convert_ids_to_tokens(number) == word for word, number in found.items())


def trained(kind: str) -> Any:
    """A fast tokenizer of one of the three families, trained on a few words so that it splits some of them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = ["the good movie was moving", "the goodness of movies", "The movie, the mover 12"] * 5
    special = ["<pad>", "<unk>", "<mask>"]
    if kind == "wordpiece":
        backend = Tokenizer(models.WordPiece(unk_token="<unk>"))
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=80, special_tokens=special)
    elif kind == "byte-level BPE":
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    else:
        backend = Tokenizer(models.Unigram())
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>")
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", mask_token="<mask>")


@pytest.mark.parametrize(("kind", "starts"), [("wordpiece", ""), ("byte-level BPE", "Ġ"), ("sentencepiece", "▁")])
def test_whole_words_are_told_from_parts_whatever_the_tokenizer(kind: str, starts: str) -> None:
    tokenizer = trained(kind)
    found = vocabulary_words(tokenizer)
    vocabulary = tokenizer.get_vocab()
    marked = {
        token.removeprefix(starts)
        for token in vocabulary
        if token.startswith(starts) and not token.startswith("##") and token not in tokenizer.all_special_tokens
    }
    assert set(found) == {word for word in marked if word.isalpha() and len(word) > 1}
    assert "movie" in found
    assert all(number == vocabulary[starts + word] for word, number in found.items())
