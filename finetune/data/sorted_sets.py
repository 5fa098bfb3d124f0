"""Rows that are read but not trained on, in an order that makes batches cheap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from finetune.data.rows import Rows
from finetune.data.tokens import Encoder, Item, Tokens


class SortedSet(torch.utils.data.Dataset[Item]):
    """Clean texts, sorted by length so that batches hold little padding.

    A row that is cut into windows is included with all of them. `restore` and `pooled` turn values in sorted order, one
    per window, into values in the order of the rows, one per row.

    Args:
        tokens: Tokens of each row.
        targets: Target of each row.
    """

    def __init__(self, tokens: Tokens, targets: Sequence[Any]) -> None:
        self._tokens = tokens
        self._targets = targets
        self._row = np.repeat(np.arange(len(targets)), np.diff(tokens.first))  # of each piece
        self._order = np.argsort(tokens.sizes, kind="stable")

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Item:
        piece = int(self._order[index])
        return {**self._tokens[piece], "labels": self._targets[self._row[piece]]}

    def restore(self, values: NDArray[Any]) -> NDArray[Any]:
        """(pieces, …) in sorted order -> (rows, …): the value of each row's first window."""
        return self._unsorted(values)[self._tokens.first[:-1]]

    def pooled(self, logits: NDArray[Any]) -> NDArray[Any]:
        """(pieces, outputs) in sorted order -> (rows, outputs): the mean over the windows of each row."""
        sums = np.add.reduceat(self._unsorted(logits).astype(np.float64), self._tokens.first[:-1], axis=0)
        means: NDArray[Any] = sums / np.diff(self._tokens.first).reshape(-1, *[1] * (logits.ndim - 1))
        return means.astype(logits.dtype)

    def _unsorted(self, values: NDArray[Any]) -> NDArray[Any]:
        unsorted = values.copy()
        unsorted[self._order] = values
        return unsorted


class MeasuredSet(SortedSet):
    """Rows that are measured, with their targets."""

    def __init__(self, rows: Rows, encoder: Encoder) -> None:
        targets = [encoder.target(label) for label in rows.labels]
        super().__init__(encoder.encode_once(rows.texts, rows.pairs), targets)
