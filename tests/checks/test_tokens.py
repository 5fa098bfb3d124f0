"""Checks that need a tokenizer, on one that is written here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from finetune.checks import language
from finetune.checks.language import check_language
from finetune.checks.truncation import check_truncation
from finetune.data.rows import Data
from finetune.recipe import DataSection
from tests.planting import GERMAN, make_data, make_rows

UNKNOWN = 1


class Pieces:
    """An encoder whose tokenizer cuts words into pieces of `letters` letters; capital letters are unknown to it."""

    def __init__(self, letters: int, max_length: int = 10, limit: int = 20) -> None:
        self.max_length = max_length
        self.limit = limit
        self._letters = letters
        self.tokenizer = self._tokenizer()

    def _tokenizer(self) -> Any:
        def call(texts: Sequence[str], add_special_tokens: bool, verbose: bool = True) -> dict[str, list[list[int]]]:
            return {"input_ids": [self._cut(text) for text in texts]}

        tokenizer = SimpleNamespace(unk_token_id=UNKNOWN, unk_token="[UNK]")
        return type("Tokenizer", (), {**vars(tokenizer), "__call__": staticmethod(call)})()

    def _cut(self, text: str) -> list[int]:
        return [
            UNKNOWN if word[start].isupper() and self._letters == 1 else 2
            for word in text.split()
            for start in range(0, len(word), self._letters)
        ]

    def lengths(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[int]:
        return [len(self._cut(text)) + 2 for text in texts]


def section(**changes: Any) -> DataSection:
    return DataSection(source="x.csv", **changes)


def texts_of(words: Sequence[int]) -> Data:
    """One-letter words; odd rows are 'b'."""
    rows = make_rows([(" ".join("x" * count), "ab"[index % 2]) for index, count in enumerate(words)])
    return make_data(rows, rows.take([0]))


def test_truncation_counts_texts_tokens_and_the_label_that_loses_most() -> None:
    data = texts_of([4, 10, 4, 4])  # tokens: 6, 12, 6, 6 in train and 6 in validation; 2 of these 36 are over 10
    [finding] = check_truncation(data, section(), Pieces(1))  # type: ignore[arg-type]
    assert finding.level == "warning"
    assert finding.figures == {"texts": 1, "share": 0.2, "tokens_lost": 2 / 36, "longest": 12}
    assert "Label 'b' is cut most often (50 %)" in finding.text
    assert finding.examples == ["train row 2 [b]: x x x x x x x x x x"]
    assert finding.advice.startswith("Try: --set data.max_length=16 ")


@pytest.mark.parametrize(
    ("kept", "advice"),
    [("head", "=head_tail or --set data.long_texts=windows"), ("head_tail", "windows")],
)
def test_where_the_model_takes_no_more_other_ways_are_advised(kept: Any, advice: str) -> None:
    [finding] = check_truncation(texts_of([40, 4]), section(long_texts=kept), Pieces(1))  # type: ignore[arg-type]
    assert finding.advice.endswith(advice)


def test_of_pairs_no_way_of_cutting_is_advised_that_is_for_single_texts() -> None:
    rows = make_rows([("x " * 40, "a"), ("x", "b")], ["y", "y"])
    [finding] = check_truncation(make_data(rows, rows.take([1])), section(), Pieces(1))  # type: ignore[arg-type]
    assert finding.advice == "Shorten the texts, or use a model that reads longer ones: --model …"
    some = make_rows([("x " * 10, "a"), ("x", "b")], ["y", "y"])
    [finding] = check_truncation(make_data(some, some.take([1])), section(), Pieces(1))  # type: ignore[arg-type]
    assert finding.advice.startswith("Try: --set data.max_length=16 ")


def test_nothing_is_said_where_nothing_is_cut() -> None:
    assert check_truncation(texts_of([4, 8]), section(), Pieces(1)) == []  # type: ignore[arg-type]
    assert check_truncation(texts_of([40]), section(long_texts="windows"), Pieces(1)) == []  # type: ignore[arg-type]


def german(rows: int = 30) -> Data:
    table = make_rows([(f"{GERMAN[index % len(GERMAN)]} {index}", "ab"[index % 2]) for index in range(rows)])
    return make_data(table, table.take([0, 1]))


def test_a_foreign_language_in_small_pieces_is_a_warning() -> None:
    [finding] = check_language(german(), Pieces(2))  # type: ignore[arg-type]
    assert finding.level == "warning"
    assert "mostly in 'de' (100 %)" in finding.text
    assert finding.figures["letters_per_piece"] == pytest.approx(1.8, abs=0.15)
    assert len(finding.examples) == 3


def test_a_tokenizer_that_knows_the_language_is_no_warning() -> None:
    assert check_language(german(), Pieces(5)) == []  # type: ignore[arg-type]


def test_english_in_small_pieces_is_no_warning() -> None:
    table = make_rows([("The trains to the city leave every hour from the old station", "a")] * 30)
    assert check_language(make_data(table, table), Pieces(2)) == []  # type: ignore[arg-type]


def test_unknown_tokens_are_a_warning_in_any_language() -> None:
    table = make_rows([("ABC abc", "a"), ("abcdef", "b")])
    [finding] = check_language(make_data(table, table), Pieces(1))  # type: ignore[arg-type]
    assert finding.figures == {"unknown": 0.25}
    assert finding.examples[0] == "train row 1: ABC abc"


def test_unlabelled_texts_in_another_language_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []  # texts, each time that languages are told
    really = language._languages
    monkeypatch.setattr(language, "_languages", lambda texts: (looked_at.append(len(texts)), really(texts))[1])
    english = make_rows([("The trains to the city leave every hour from the old station", "a")] * 30)
    data = make_data(english, english)
    foreign = replace(data, unlabelled=german().train)
    [finding] = check_language(foreign, Pieces(5))  # type: ignore[arg-type]
    assert looked_at == [len(data.train), len(german().train)]
    assert finding.text == (
        "100 % of the training texts are in 'en', but 0 % of the unlabelled texts; most other unlabelled texts are in "
        "'de'."
    )
    assert finding.examples[0].startswith("unlabelled row 1: Der Zug nach")
    assert "data.unlabelled" in finding.advice
    assert check_language(replace(data, unlabelled=english), Pieces(5)) == []  # type: ignore[arg-type]
