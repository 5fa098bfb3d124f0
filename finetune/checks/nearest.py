"""The training texts nearest to other texts, and other texts that are copies of training texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from finetune.checks.base import full_texts
from finetune.checks.tfidf import TextFeatures
from finetune.data.duplicates import text_keys
from finetune.data.rows import Rows


def copies_of(train: Rows, rows: Rows) -> list[int]:
    """Positions in `rows` whose text is a training text; case, spaces and punctuation do not count."""
    known = set(text_keys(train))
    return [index for index, key in enumerate(text_keys(rows)) if key in known]


class NearestTexts:
    """Training texts by their similarity to other texts: the cosine in [0, 1] of TF-IDF vectors of words and parts of
    words; both texts of a pair are joined.

    Args:
        train: The training rows.
    """

    def __init__(self, train: Rows) -> None:
        known = _single(full_texts(train))
        self._features = TextFeatures(known)
        self._known = self._normalized(known)

    def to(self, rows: Rows, count: int = 1) -> list[list[tuple[int, float]]]:
        """For each row the positions of the `count` nearest training texts and their cosines, the nearest first."""
        similarity = (self._normalized(_single(full_texts(rows))) @ self._known.T).toarray()
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
        return [
            [(int(index), float(np.clip(values[index], 0, 1))) for index in nearest]
            for nearest, values in zip(order, similarity, strict=True)
        ]

    def _normalized(self, rows: Rows) -> Any:
        from sklearn.preprocessing import normalize  # slow to import, and needed here only

        return normalize(self._features.of(rows))


def nearest_texts(train: Rows, rows: Rows) -> list[tuple[int, float]]:
    """For each row the position of the nearest training text, and their cosine: see `NearestTexts`."""
    return [nearest for [nearest] in NearestTexts(train).to(rows)]


def _single(texts: Sequence[str]) -> Rows:
    return Rows(list(texts), None, [None] * len(texts), [""] * len(texts))
