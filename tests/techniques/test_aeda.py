"""AEDA: what is inserted, how much of it, and that every word stays."""

import random
from collections import Counter

import pytest
from pydantic import ValidationError

from finetune.techniques.aeda import AEDA, MARKS, insert_punctuation

TWEET = "RT @Anna: I did NOT like it, 10/10 terrible!!! … http://t.co/x1Y 😀 don't go."


def without_marks(text: str) -> list[str]:
    return [word for word in text.split() if word not in MARKS]


def numbered(words: int) -> str:
    return " ".join(f"w{index}" for index in range(words))


@pytest.mark.parametrize("seed", range(50))
def test_every_word_stays_in_order_and_spelling(seed: int) -> None:
    """Case, digits, marks that belong to a word, emoji: what is left without the lone marks is the text."""
    changed = insert_punctuation(TWEET, 0.3, random.Random(seed))
    assert without_marks(changed) == TWEET.split()
    assert changed != TWEET


def test_the_texts_own_lone_marks_stay_too() -> None:
    text = "what ? no , really ."
    changed = insert_punctuation(text, 0.5, random.Random(0))
    own, now = Counter(text.split()), Counter(changed.split())
    assert own <= now
    assert without_marks(changed) == ["what", "no", "really"]


def test_the_number_of_marks_is_uniform_between_one_and_the_share_of_the_words() -> None:
    """⌊0.3 · 20⌋ = 6 different numbers; 6,000 draws put 1,000 into each, ± 5 standard deviations of 29."""
    rng = random.Random(0)
    counts = Counter(len(insert_punctuation(numbered(20), 0.3, rng).split()) - 20 for _ in range(6000))
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    assert all(abs(count - 1000) < 150 for count in counts.values())


@pytest.mark.parametrize(("words", "most"), [(1, 1), (3, 1), (6, 1), (7, 2), (10, 3)])
def test_a_short_text_gets_at_least_one_mark(words: int, most: int) -> None:
    rng = random.Random(0)
    found = {len(insert_punctuation(numbered(words), 0.3, rng).split()) - words for _ in range(300)}
    assert found == set(range(1, most + 1))


def test_every_mark_at_every_place_the_ends_included() -> None:
    """One mark into three words: 6 marks × 4 places, each expected 100 times in 2,400."""
    rng = random.Random(0)
    found = Counter(insert_punctuation("a b c", 0.3, rng) for _ in range(2400))
    expected = {" ".join([*"abc"[:place], mark, *"abc"[place:]]) for mark in ".,;:!?" for place in range(4)}
    assert set(found) == expected
    assert all(50 < count < 160 for count in found.values())


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_text_without_words_comes_back_as_it_is(text: str) -> None:
    assert AEDA(probability=1.0).augment(text, random.Random(0)) == text


def test_the_same_stream_gives_the_same_text_and_another_stream_another() -> None:
    technique = AEDA(probability=1.0)
    assert technique.augment(TWEET, random.Random(3)) == technique.augment(TWEET, random.Random(3))
    assert len({technique.augment(TWEET, random.Random(seed)) for seed in range(20)}) > 15


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_probability_is_the_share_of_texts_that_change(probability: float) -> None:
    """4,000 texts: five standard deviations are at most 0.04. The others come back byte for byte."""
    text = "  two  spaces and a\ttab "
    technique, rng = AEDA(probability=probability), random.Random(0)
    results = [technique.augment(text, rng) for _ in range(4000)]
    changed = sum(result != text for result in results) / 4000
    assert changed == pytest.approx(probability, abs=0.04)
    assert all(any(mark in result.split() for mark in MARKS) for result in results if result != text)


def test_probability_one_changes_every_text() -> None:
    rng = random.Random(0)
    assert all(AEDA(probability=1.0).augment("one", rng) != "one" for _ in range(200))


@pytest.mark.parametrize("settings", [{"probability": 0.0}, {"probability": 1.1}, {"ratio": 0.0}, {"ratio": 1.5}])
def test_settings_outside_their_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        AEDA(**settings)
