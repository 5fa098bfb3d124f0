"""The training texts that are nearest to other texts, and the other texts that are training texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetune.checks.base import full_texts
from finetune.checks.tfidf import TextFeatures
from finetune.data.duplicates import text_keys
from finetune.data.rows import Rows


def copies_of(train: Rows, rows: Rows) -> list[int]:
    """Positions in `rows` whose text is a training text; case, spaces and punctuation do not count."""
    known = set(text_keys(train))
    return [index for index, key in enumerate(text_keys(rows)) if key in known]


def nearest_texts(train: Rows, rows: Rows) -> list[tuple[int, float]]:
    """For each row the position of the nearest training text, and their cosine in [0, 1] (TF-IDF of words and of parts
    of words; both texts of a pair in one)."""
    return [found[0] for found in several_nearest(train, rows, 1)]


def several_nearest(train: Rows, rows: Rows, most: int) -> list[list[tuple[int, float]]]:
    """As `nearest_texts`, the nearest few of each row, the nearest first."""
    from sklearn.preprocessing import normalize  # slow to import, and needed here only

    known, asked = (_single(full_texts(each)) for each in (train, rows))
    features = TextFeatures(known)
    similarity = (normalize(features.of(asked)) @ normalize(features.of(known)).T).toarray()
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :most]
    return [
        [(int(index), float(np.clip(row[index], 0, 1))) for index in indices]
        for indices, row in zip(best, similarity, strict=True)
    ]


def _single(texts: Sequence[str]) -> Rows:
    return Rows(list(texts), None, [None] * len(texts), [""] * len(texts))
