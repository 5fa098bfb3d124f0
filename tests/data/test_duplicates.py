"""Which texts are twins: by hand, and against brute force over all pairs."""

import random
from collections import Counter

import pytest

from finetune.data import duplicates
from finetune.data.duplicates import NEAR, Twin, find_leaks, find_twins, normalise
from finetune.data.rows import Rows
from tests.planting import edit, generate_texts, make_rows

LONG = "The committee will meet again on Thursday to discuss the budget of the coming year"


def rows(*texts: str, pairs: list[str] | None = None) -> Rows:
    return make_rows([(text, "a") for text in texts], pairs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good  MOVIE!!", "good movie"),
        ("it's -- fine_really", "it s fine really"),
        ("ﬁne\u00a0½", "fine 1⁄2"),  # NFKC: ligature, no-break space, fraction
        ("STRASSE straße", "strasse strasse"),
        ("👍 5 $", "👍 5 $"),  # symbols carry meaning
        (" ?! ", "?!"),  # all punctuation: it is the text
        ("", ""),
    ],
)
def test_normalised_texts(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_kinds_of_twins_across_two_splits() -> None:
    kept = rows("good movie", LONG, "bad film")
    other = rows("good movie", "Good movie!", f"{LONG}s", "something else", LONG.replace("year", "term"))
    assert find_twins([kept, other], within=False) == {
        (0, 1): [Twin(0, 0, "exact"), Twin(0, 1, "normalised"), Twin(1, 2, "near"), Twin(1, 4, "near")]
    }
    assert find_leaks(kept, other) == [0, 1, 2, 4]


def test_inside_a_split_the_first_stands_and_its_copies_follow() -> None:
    found = find_twins([rows("yes", "no", "Yes", "no", f"{LONG}.", f"{LONG} maybe", "yes")])[0, 0]
    assert found == [Twin(0, 2, "normalised"), Twin(1, 3, "exact"), Twin(4, 5, "near"), Twin(0, 6, "exact")]


def test_all_copies_of_a_near_twin_are_leaks() -> None:
    assert find_leaks(rows(LONG), rows(f"{LONG} now", "x", f"{LONG} now", f"{LONG} NOW!")) == [0, 2, 3]


def test_short_texts_are_compared_by_normalised_text_only() -> None:
    assert find_leaks(rows("this was a good one"), rows("this was a good ones", "This was a good one.")) == [1]


def test_of_pairs_both_texts_must_be_twins() -> None:
    premise = " ".join([LONG] * 3)
    kept = rows(premise, pairs=["A budget is discussed by some committee"])
    other = rows(
        *[premise] * 3,
        pairs=["Nobody will ever meet on a Thursday", "A budget is discussed by some committees", "a"],
    )
    assert find_leaks(kept, other) == [1]


def test_swapped_pairs_are_no_twins() -> None:
    first, second = LONG, "Something wholly different was said about this matter"
    assert find_leaks(rows(first, pairs=[second]), rows(second, pairs=[first])) == []


@pytest.mark.parametrize("texts", [[""], ["a"], ["👍", "👍🏽"], ["\ud800 broken half of a surrogate pair"], []])
def test_odd_texts_are_searched(texts: list[str]) -> None:
    assert find_leaks(rows(*texts), rows(*texts)) == list(range(len(texts)))
    assert find_leaks(rows(*texts), rows("other", LONG)) == []


def brute_force(kept: Rows, other: Rows) -> list[int]:
    """Jaccard similarity of the 5-gram sets of every pair, with Python's sets."""

    def grams(text: str) -> set[str]:
        return {text[start : start + 5] for start in range(len(text) - 4)}

    first = [grams(normalise(text)) for text in kept.texts]
    second = [grams(normalise(text)) for text in other.texts]
    return [j for j, b in enumerate(second) if any(len(a & b) / len(a | b) >= NEAR for a in first)]


def test_near_twins_are_those_of_brute_force() -> None:
    rng = random.Random(1)
    texts = [text for text, _ in generate_texts(300, rng)]
    kept = rows(*texts[:150])
    other = rows(*(edit(text, rng.choice([0.02, 0.1, 0.2]), rng) for text in texts[:150]), *texts[150:])
    expected = brute_force(kept, other)
    assert 30 < len(expected) < 150
    assert find_leaks(kept, other) == expected


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for text, _ in generate_texts(60, random.Random(2))]
    kept, other = rows(*texts[:30]), rows(*texts[20:])
    whole = find_leaks(kept, other)
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    assert find_leaks(kept, other) == whole == list(range(10))


def test_each_text_is_prepared_once_whatever_the_number_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, other = (rows(*(text for text, _ in generate_texts(20, random.Random(seed)))) for seed in (2, 3))
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    seen: Counter[str] = Counter()
    really_normalise, really_shingle = duplicates.normalise, duplicates.shingles
    monkeypatch.setattr(duplicates, "normalise", lambda text: (seen.update(["keys"]), really_normalise(text))[1])
    monkeypatch.setattr(duplicates, "shingles", lambda text: (seen.update(["sets"]), really_shingle(text))[1])
    find_leaks(kept, other)
    assert seen == {"keys": 40, "sets": 80}  # of a first and a second text, which is empty here


def test_texts_of_one_template_end_in_time_and_keep_their_copies() -> None:
    """All 600 share a long start, so that they fill common buckets; those that are also equal in the rest are found."""
    start = "Please read the following customer message with care and say what it is about: "
    language = random.Random(3)
    ends = [" ".join(language.choices("abcdefghij", k=40)) for _ in range(600)]
    texts = [start + end for end in ends]
    copies = [f"{text}." for text in texts[:5]]
    found = find_leaks(rows(*texts), rows(*copies))
    assert found == [0, 1, 2, 3, 4]


def test_above_the_limit_a_sample_of_the_first_part_is_searched_for_near_twins() -> None:
    texts = [text for text, _ in generate_texts(60, random.Random(4))]
    train, test = rows(*texts), rows(*(text[:-6] for text in texts[:30]), texts[0])
    everything = find_twins([train, test], within=False)[0, 1]
    limited = find_twins([train, test], within=False, limit=61)[0, 1]
    assert set(limited) < set(everything)
    assert [twin for twin in limited if twin.kind == "exact"] == [Twin(0, 30, "exact")]  # equal ones: all
    assert find_twins([train, test], within=False, limit=61)[0, 1] == limited


def test_the_search_is_symmetric_in_what_it_finds() -> None:
    texts = [text for text, _ in generate_texts(40, random.Random(5))]
    a, b = rows(*texts[:30]), rows(*(text[:-8] for text in texts[10:]))
    forth = {(twin.original, twin.row) for twin in find_twins([a, b], within=False)[0, 1]}
    back = {(twin.row, twin.original) for twin in find_twins([b, a], within=False)[0, 1]}
    assert forth == back
    assert {(row, row - 10) for row in range(10, 30)} <= forth  # each text and its start
