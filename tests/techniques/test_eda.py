"""EDA without a dictionary: swaps keep every word, deletions keep negations and at least one word."""

import random
from collections import Counter

import pytest
from pydantic import ValidationError

from finetune.techniques.eda import EDA, NEGATIONS, delete_words, swap_words

TWEET = "RT @Anna: I did NOT like it, 10/10 terrible!!! … http://t.co/x1Y 😀 don't go."
PROTECTED = frozenset(NEGATIONS)


def only(**settings: float) -> EDA:
    """One operation, on every text."""
    return EDA(**{"probability": 1.0, "swap": 0.0, "delete": 0.0, **settings})


# --- swap ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7])
def test_swapping_keeps_every_word_as_written(count: int) -> None:
    rng = random.Random(0)
    for _ in range(50):
        assert Counter(swap_words(TWEET.split(), count, rng)) == Counter(TWEET.split())


def test_one_swap_exchanges_exactly_two_words() -> None:
    words = list("abcdefgh")
    rng = random.Random(0)
    for _ in range(200):
        swapped = swap_words(words, 1, rng)
        places = [place for place, word in enumerate(words) if swapped[place] != word]
        assert len(places) == 2
        assert [swapped[place] for place in places] == [words[place] for place in reversed(places)]
    assert words == list("abcdefgh")  # the list that was passed is left alone


def test_every_pair_of_words_is_swapped_equally_often() -> None:
    """6 pairs of 4 words, 1,000 each, ± 5 standard deviations of 29."""
    rng = random.Random(0)
    found = Counter(tuple(swap_words(list("abcd"), 1, rng)) for _ in range(6000))
    assert len(found) == 6
    assert all(abs(count - 1000) < 150 for count in found.values())


@pytest.mark.parametrize("words", [[], ["alone"]])
def test_fewer_than_two_words_cannot_be_swapped(words: list[str]) -> None:
    assert swap_words(words, 3, random.Random(0)) == words


@pytest.mark.parametrize(("swap", "words", "swaps"), [(0.05, 8, 1), (0.1, 30, 3), (0.2, 3, 1), (1.0, 4, 4)])
def test_the_number_of_swaps_is_a_share_of_the_words_and_at_least_one(swap: float, words: int, swaps: int) -> None:
    """The same stream through the operation itself; `augment` first draws whether the text changes at all."""
    text = [f"w{index}" for index in range(words)]
    rng = random.Random(5)
    rng.random()
    expected = " ".join(swap_words(text, swaps, rng))
    assert only(swap=swap).augment(" ".join(text), random.Random(5)) == expected


# --- delete -------------------------------------------------------------------------------------------------


def test_deleting_keeps_order_and_spelling_of_the_rest() -> None:
    rng = random.Random(0)
    words = TWEET.split()
    for _ in range(100):
        rest = iter(words)
        assert all(word in rest for word in delete_words(words, 0.5, rng, PROTECTED))  # a subsequence


def test_each_word_is_deleted_with_the_same_probability() -> None:
    """4,000 draws of p = 0.3: five standard deviations are 0.036."""
    rng = random.Random(0)
    words = list("abcde")
    kept = Counter(word for _ in range(4000) for word in delete_words(words, 0.3, rng, PROTECTED))
    assert all(kept[word] / 4000 == pytest.approx(0.7, abs=0.037) for word in words)


@pytest.mark.parametrize(
    "word",
    [
        "not",
        "NOT",
        "Never",
        "no,",
        "not!!!",
        "(without)",
        '"nothing"',
        "don't",
        "Can't.",
        "isn’t",
        "NOR",
        "cannot",
    ],
)
def test_negations_are_never_deleted_however_they_are_written(word: str) -> None:
    """ "not good" must not become "good"."""
    rng = random.Random(0)
    for _ in range(50):
        assert word in delete_words(["x", word, "good"], 0.99, rng, PROTECTED)


@pytest.mark.parametrize("word", ["note", "knot", "nothingness", "nobel", "ant"])
def test_words_that_only_look_like_negations_are_not_protected(word: str) -> None:
    rng = random.Random(0)
    assert any(word not in delete_words([word, "not"], 0.9, rng, PROTECTED) for _ in range(50))


def test_the_protected_words_can_be_chosen() -> None:
    rng = random.Random(0)
    technique = EDA(probability=1.0, swap=0.0, delete=0.9, protected=["hardly"])
    results = [technique.augment("hardly a movie not good", rng).split() for _ in range(100)]
    assert all("hardly" in words for words in results)
    assert any("not" not in words for words in results)


def test_at_least_one_word_stays_and_each_can_be_it() -> None:
    rng = random.Random(0)
    results = [delete_words(["a", "b", "c"], 0.999999, rng, PROTECTED) for _ in range(200)]
    assert {tuple(words) for words in results} == {("a",), ("b",), ("c",)}


# --- the technique ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_text_without_words_comes_back_as_it_is(text: str) -> None:
    assert EDA(probability=1.0, delete=0.9).augment(text, random.Random(0)) == text


@pytest.mark.parametrize("seed", range(20))
def test_a_single_word_stays_whatever_is_done(seed: int) -> None:
    assert EDA(probability=1.0, swap=1.0, delete=0.99).augment("Alone!", random.Random(seed)) == "Alone!"


@pytest.mark.parametrize("seed", range(30))
def test_case_digits_and_punctuation_are_kept(seed: int) -> None:
    """Every word of the result is a word of the text, and no more often than there."""
    changed = EDA(probability=1.0, swap=0.3, delete=0.3).augment(TWEET, random.Random(seed))
    assert Counter(changed.split()) <= Counter(TWEET.split())
    assert {"NOT", "don't"} <= set(changed.split())


@pytest.mark.parametrize(("settings", "shorter"), [({"swap": 0.3}, False), ({"delete": 0.5}, True)])
def test_zero_turns_an_operation_off(settings: dict[str, float], shorter: bool) -> None:
    text = " ".join(f"w{index}" for index in range(20))
    results = [only(**settings).augment(text, random.Random(seed)).split() for seed in range(30)]
    assert all((len(words) < 20) is shorter for words in results)
    assert all((words == sorted(words, key=text.split().index)) is shorter for words in results)


def test_the_same_stream_gives_the_same_text_and_another_stream_another() -> None:
    technique = EDA(probability=1.0)
    assert technique.augment(TWEET, random.Random(3)) == technique.augment(TWEET, random.Random(3))
    assert len({technique.augment(TWEET, random.Random(seed)) for seed in range(20)}) > 15


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_probability_is_the_share_of_texts_that_change(probability: float) -> None:
    """One swap of different words always shows. 4,000 texts: five standard deviations are at most 0.04.

    What is not changed comes back byte for byte.
    """
    text = "  two  spaces and\ta tab "
    technique, rng = EDA(probability=probability, swap=0.05, delete=0.0), random.Random(0)
    results = [technique.augment(text, rng) for _ in range(4000)]
    assert sum(result != text for result in results) / 4000 == pytest.approx(probability, abs=0.04)
    assert all(Counter(result.split()) == Counter(text.split()) for result in results)


def test_eda_that_does_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="swap and delete are both 0"):
        EDA(swap=0.0, delete=0.0)


@pytest.mark.parametrize(
    "settings", [{"probability": 0.0}, {"probability": 1.1}, {"swap": -0.1}, {"swap": 1.1}, {"delete": 1.0}]
)
def test_settings_outside_their_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        EDA(**settings)
