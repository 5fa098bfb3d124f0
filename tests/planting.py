"""Data sets with planted problems: what is wrong in them is known, so that checks can be counted right or wrong.

Used by tests/checks and by scripts/bench_checks. Clean texts are generated (pseudo-words with the frequencies of a
language, a few of which tell the class) or given; a `plant_` function returns the changed data and the truth.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finetune.data.rows import Data, Rows

SYLLABLES = ("ka", "lo", "mi", "ter", "sun", "ra", "pel", "no", "vi", "dor", "ast", "ing", "be", "qua", "shi", "um")
VOCABULARY = 2_000
TELLING = 40  # words of each class
GERMAN = (
    "Der Zug nach München fährt heute leider erst eine Stunde später ab.",
    "Die Kinder spielen im Garten hinter dem alten Haus mit dem kleinen Hund.",
    "Wir haben gestern Abend im Restaurant sehr gut gegessen und viel gelacht.",
    "Meine Schwester möchte nächstes Jahr nach Österreich ziehen und dort arbeiten.",
    "Das Wetter wird am Wochenende schöner, deshalb gehen wir endlich schwimmen.",
)


def make_rows(labelled: Sequence[tuple[str, Any]], pairs: list[str] | None = None, first_id: int = 1) -> Rows:
    return Rows(
        [text for text, _ in labelled],
        pairs,
        [label for _, label in labelled],
        [str(first_id + index) for index in range(len(labelled))],
    )


def make_data(train: Rows, validation: Rows, test: Rows | None = None, task: str = "single_label") -> Data:
    """As load_data would return it; the train sample is as many rows as validation."""
    labels = None
    if task != "regression":
        names = {name for label in train.labels for name in (label if isinstance(label, list) else [label])}
        labels = sorted(names)
    return Data(
        task=task,
        labels=labels,
        train=train,
        probe=list(range(min(len(train), len(validation)))),
        validation=validation,
        test=test,
        columns={"text": "text", "label": "label"},
        fingerprint=repr((train, validation, test)),
    )


def generate_texts(rows: int, rng: random.Random, classes: int = 2) -> list[tuple[str, str]]:
    """Texts of 6 to 25 words with their class, balanced. Ranks follow Zipf's law; one word in six tells the class."""
    words, weights = _language()
    common = words[:VOCABULARY]
    found = []
    for index in range(rows):
        own = index % classes
        telling = words[VOCABULARY + own * TELLING : VOCABULARY + (own + 1) * TELLING]
        text = [
            rng.choice(telling) if rng.random() < 1 / 6 else rng.choices(common, cum_weights=weights)[0]
            for _ in range(rng.randint(6, 25))
        ]
        found.append((" ".join(text).capitalize() + ".", f"class {own}"))
    return found


@functools.cache
def _language() -> tuple[list[str], list[float]]:
    """Words, the common ones first, and the summed frequencies of those: the same whatever the texts."""
    rng = random.Random(0)
    words = sorted({"".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(2 * VOCABULARY)})
    rng.shuffle(words)
    return words, list(itertools.accumulate(1 / (rank + 3) for rank in range(VOCABULARY)))


def clean_data(seed: int, rows: int = 600, classes: int = 2) -> Data:
    """Generated texts, split at random: 70 % train, 15 % validation, 15 % test."""
    rng = random.Random(seed)
    return split_randomly(make_rows(generate_texts(rows, rng, classes)), rng)


def split_randomly(rows: Rows, rng: random.Random, task: str = "single_label") -> Data:
    order = rng.sample(range(len(rows)), len(rows))
    held = round(0.15 * len(rows))
    return make_data(
        rows.take(sorted(order[2 * held :])),
        rows.take(sorted(order[:held])),
        rows.take(sorted(order[held : 2 * held])),
        task,
    )


def edit(text: str, share: float, rng: random.Random) -> str:
    """Replace this share of the words (at least one) by others of the language."""
    words = text.split()
    for index in rng.sample(range(len(words)), max(1, round(share * len(words)))):
        words[index] = "".join(rng.choices(SYLLABLES, k=2))
    return " ".join(words)


def disguise(text: str, kind: str, share: float, rng: random.Random) -> str:
    """A copy: exact, normalised (case, spacing and punctuation changed) or near (words replaced)."""
    if kind == "exact":
        return text
    if kind == "normalised":
        return f"  {text.upper().replace(' ', '  ').rstrip('.')} !!"
    return edit(text, share, rng)


def plant_leaks(
    data: Data, kind: str, share: float, count: int, rng: random.Random, words: int = 1
) -> tuple[Data, list[int]]:
    """Replace training rows by copies of test rows that have at least so many words. Returns those rows, ascending."""
    assert data.test is not None
    long_enough = [row for row, text in enumerate(data.test.texts) if len(text.split()) >= words]
    leaked = sorted(rng.sample(long_enough, count))
    texts, labels = list(data.train.texts), list(data.train.labels)
    for place, source in zip(rng.sample(range(len(texts)), count), leaked, strict=True):
        texts[place] = disguise(data.test.texts[source], kind, share, rng)
        labels[place] = data.test.labels[source]
    return _with_train(data, texts, labels), leaked


def plant_duplicates(data: Data, count: int, rng: random.Random) -> tuple[Data, list[int]]:
    """Replace training rows by copies of earlier ones. Returns the positions of the copies, ascending."""
    texts, labels = list(data.train.texts), list(data.train.labels)
    half = len(texts) // 2
    copies = sorted(rng.sample(range(half, len(texts)), count))
    for copy, source in zip(copies, rng.sample(range(half), count), strict=True):
        texts[copy], labels[copy] = texts[source], labels[source]
    return _with_train(data, texts, labels), copies


def plant_conflicts(data: Data, count: int, rng: random.Random) -> tuple[Data, list[int]]:
    """As duplicates, but the copies have another label."""
    data, copies = plant_duplicates(data, count, rng)
    return flip_labels(data, copies), copies


def plant_label_errors(data: Data, count: int, rng: random.Random) -> tuple[Data, list[int]]:
    """Give training rows another label. Returns their positions, ascending."""
    rows = sorted(rng.sample(range(len(data.train)), count))
    return flip_labels(data, rows), rows


def flip_labels(data: Data, rows: Sequence[int]) -> Data:
    assert data.labels is not None
    labels = list(data.train.labels)
    for row in rows:
        labels[row] = data.labels[(data.labels.index(labels[row]) + 1) % len(data.labels)]
    return _with_train(data, data.train.texts, labels)


def plant_label_shift(data: Data, share: float, rng: random.Random) -> Data:
    """Leave out this share of the validation rows of the first class."""
    assert data.labels is not None
    rows = data.validation
    return _with_validation(
        data,
        rows.take([i for i in range(len(rows)) if rows.labels[i] != data.labels[0] or rng.random() >= share]),
    )


def plant_length_shift(data: Data, share: float) -> Data:
    """Cut every validation text to this share of its words."""
    texts = [" ".join(text.split()[: max(1, round(share * len(text.split())))]) for text in data.validation.texts]
    return _with_validation(data, replace(data.validation, texts=texts))


def plant_word_shift(data: Data, share: float, rng: random.Random) -> Data:
    """Put one of five words of another source into this share of the validation texts."""
    marks = ("unboxing", "retweeted", "livestream", "hashtag", "podcast")
    texts = [f"{text} {rng.choice(marks)}" if rng.random() < share else text for text in data.validation.texts]
    return _with_validation(data, replace(data.validation, texts=texts))


def plant_group_overlap(data: Data, count: int, rng: random.Random) -> tuple[Data, list[int]]:
    """Groups of three rows inside each split, but for validation rows that get a group of train. Returns those."""
    train = replace(data.train, groups=[f"t{index // 3}" for index in range(len(data.train))])
    groups = [f"v{index // 3}" for index in range(len(data.validation))]
    shared = sorted(rng.sample(range(len(groups)), count))
    for index in shared:
        groups[index] = rng.choice(train.groups or [])
    return replace(
        data, train=train, validation=replace(data.validation, groups=groups), test=None, fingerprint=repr(groups)
    ), shared


def _with_train(data: Data, texts: list[str], labels: list[Any]) -> Data:
    train = replace(data.train, texts=texts, labels=labels)
    return replace(data, train=train, fingerprint=repr((train, data.validation, data.test)))


def _with_validation(data: Data, validation: Rows) -> Data:
    return replace(data, validation=validation, fingerprint=repr((data.train, validation, data.test)))
