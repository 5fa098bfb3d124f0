"""Texts -> sparse features, for baselines and checks that fit a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.data.rows import Rows

FEATURES = 30_000  # of words, and of characters: the most frequent. More take long where there are many classes
WORDS = r"\w+|[^\w\s]"  # punctuation and emoji are words: they carry sentiment, and no text is left without one


class TextFeatures:
    """TF-IDF of word 1–2-grams and, if asked for, of character 3–5-grams inside words.

    For a pair: the features of both texts side by side, then their cosine, the fraction of common words, and the ratio
    of lengths, which show how related the texts are.

    Args:
        rows: Rows for vocabulary and document frequencies.
        characters: Adds one to five points of accuracy on small data, and three quarters of the time.
    """

    def __init__(self, rows: Rows, characters: bool = True) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import, and needed here only
        from sklearn.pipeline import make_union

        shared = {"sublinear_tf": True, "max_features": FEATURES, "dtype": np.float32}
        parts = [TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORDS, **shared)]
        if characters:
            parts.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **shared))
        self._vectorizer = make_union(*parts).fit([*rows.texts, *(rows.pairs or [])])

    def of(self, rows: Rows) -> Any:
        """Sparse matrix, (rows, features)."""
        from scipy.sparse import csr_matrix, hstack

        first = self._vectorizer.transform(rows.texts)
        if rows.pairs is None:
            return first
        second = self._vectorizer.transform(rows.pairs)
        squares = _row_sums(first.multiply(first)) * _row_sums(second.multiply(second))
        cosine = _row_sums(first.multiply(second)) / np.sqrt(np.maximum(squares, 1e-12))
        related = [_related(text, pair) for text, pair in zip(rows.texts, rows.pairs, strict=True)]
        return hstack([first, second, csr_matrix(np.column_stack([cosine, related]), dtype=np.float32)]).tocsr()


def _row_sums(matrix: Any) -> NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=1)).ravel()


def _related(text: str, pair: str) -> tuple[float, float]:
    """Jaccard similarity of the words, and the shorter length by the longer."""
    first, second = set(text.casefold().split()), set(pair.casefold().split())
    shared = len(first & second) / max(1, len(first | second))
    return shared, min(len(text), len(pair)) / max(1, len(text), len(pair))
