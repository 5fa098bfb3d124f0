"""Out-of-fold predictions of a linear model, and bootstrap intervals of its scores."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.checks.baselines import encode_targets, finite_scores, fit_linear
from finetune.checks.tfidf import TextFeatures
from finetune.data.folds import cut_folds
from finetune.data.labels import count_labels, drop_change
from finetune.data.rows import Data, Rows
from finetune.errors import DataError, shorten
from finetune.measurement.beyond_chance import unit_terms
from finetune.measurement.gap import percentile_interval, resampled_scores
from finetune.measurement.scores import row_terms, scores_from_sums
from finetune.records.encoders import Interval
from finetune.records.schema import Scores
from finetune.tasks import Task

FOLDS = 5
INNER_FOLDS = 3
# Inverse L2 penalties that are tried, of features whose root mean square is 1; for ridge the sum is over rows as here.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
MIDDLE = 1e-2
NAMED = 5  # classes in a message
Floats = NDArray[np.float64]


class FoldedRows:
    """Training rows, cut into folds on which every model is measured.

    Attributes:
        rows: Rows of the training split.
        folds: Positions in `rows` of each fold.
        how: How the folds were cut, in words.
        targets: As returned by `encode_targets`.

    Args:
        data: Gives task and labels. Only `rows` are read from it.
        rows: Training rows.
        seed: Seed of the folds and of the bootstrap.

    Raises:
        DataError: A class, or the whole, has too few rows or groups.
    """

    def __init__(self, data: Data, rows: Rows, seed: int) -> None:
        self.rows = rows
        self.task: Task = data.task
        self.targets = encode_targets(data, rows)
        self.folds, self.how = cut_folds(rows, fold_count(rows, data.task), data.task, seed)
        self._labels = len(data.labels or [0])
        self._seed = seed

    def predict_with(self, features: NDArray[np.float32]) -> Floats:
        """Out-of-fold logits, (rows, K), of a linear model on these features.

        The penalty is chosen by inner folds of the rows that a model is fitted on, by log loss (mean squared error).

        Args:
            features: (rows, dimension) of length 1.
        """
        scaled = features * math.sqrt(features.shape[1])  # root mean square 1, where the solver's tolerance is right

        def fit(kept: list[int]) -> Callable[[list[int]], Floats]:
            strength = self._choose_strength(scaled, kept)
            predict = fit_linear(self.task, scaled[kept], self.targets[kept], self._labels, strength)
            return lambda left_out: predict(scaled[left_out])

        return self._over_folds(fit)

    def predict_with_words(self) -> Floats:
        """Out-of-fold logits of TF-IDF as in the baseline, (rows, K)."""

        def fit(kept: list[int]) -> Callable[[list[int]], Floats]:
            part = self.rows.take(kept)
            words = TextFeatures(part)
            predict = fit_linear(self.task, words.of(part), self.targets[kept], self._labels)
            return lambda left_out: predict(words.of(self.rows.take(left_out)))

        return self._over_folds(fit)

    def scores(self, logits: Floats) -> Scores:
        """All scores, over the rows of all folds together."""
        return finite_scores(self.task, logits, self.targets)

    def draws(self, logits: Floats, score: str) -> Floats:
        """The score in each bootstrap sample. Samples are the same for every model: differences are paired.

        Whole groups are drawn where there are groups, because rows of one group are not independent observations.
        """
        terms = unit_terms(row_terms(self.task, logits, self.targets), self.rows.groups)
        (drawn,) = resampled_scores(self.task, [terms], np.random.default_rng(self._seed))
        return np.asarray(drawn[score], dtype=np.float64)

    def _over_folds(self, fit: Callable[[list[int]], Callable[[list[int]], Floats]]) -> Floats:
        from threadpoolctl import threadpool_limits

        logits = np.zeros((len(self.rows), self._labels))
        # One thread, as in `inspect.py`. Warnings are of fits that were stopped early, which no ranking depends on.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for left_out in self.folds:
                logits[left_out] = fit(_without(len(self.rows), left_out))(left_out)
        return logits

    def _choose_strength(self, features: NDArray[np.float32], kept: list[int]) -> float:
        """Of ascending strengths the last one before the loss rises."""
        part, targets = self.rows.take(kept), self.targets[kept]
        parts = min(INNER_FOLDS, len(set(part.groups or part.ids)))
        if parts < 2:
            return MIDDLE
        inner, _ = cut_folds(part, parts, self.task, self._seed)
        loss = "mse" if self.task == "regression" else "nll"
        best, least = STRENGTHS[0], math.inf
        for strength in STRENGTHS:
            logits = np.zeros((len(kept), self._labels))
            for left_out in inner:
                rest = _without(len(kept), left_out)
                predict = fit_linear(self.task, features[np.take(kept, rest)], targets[rest], self._labels, strength)
                logits[left_out] = predict(features[np.take(kept, left_out)])
            found = compute_loss(self.task, logits, targets, loss)
            if found >= least:
                break
            best, least = strength, found
        return best


def compute_loss(task: Task, logits: Floats, targets: NDArray[Any], loss: str) -> float:
    """Mean log loss, nats, or mean squared error."""
    return float(scores_from_sums(task, row_terms(task, logits, targets).sum(axis=0))[loss])


def interval(value: float | None, draws: Floats) -> Interval:
    """A value with the 95 % percentile interval of its bootstrap draws."""
    ends = None if value is None else percentile_interval(draws)
    return Interval(mean=value) if ends is None else Interval(mean=value, low=ends[0], high=ends[1])


def fold_count(rows: Rows, task: Task) -> int:
    """Five; fewer where a class has fewer rows, or where there are fewer groups.

    Raises:
        DataError: There are fewer than two rows (or groups) in total.
    """
    units = len(set(rows.groups)) if rows.groups is not None else len(rows) // 2
    if units < 2:
        what = f"{units} group" if rows.groups is not None else f"{len(rows)} training rows"
        raise DataError(
            f"{what} cannot be cut into folds. Add more.", key="data.group" if rows.groups else "data.source"
        )
    counts = count_labels(rows) if task == "single_label" else {}
    fewest = min(counts.values(), default=FOLDS)
    return min(FOLDS, units, fewest if fewest > 1 else FOLDS)


def refuse_single_rows(rows: Rows, task: Task) -> None:
    """
    Raises:
        DataError: A class has one training row: it can be either fitted or measured, not both.
    """
    alone = sorted(name for name, count in count_labels(rows).items() if count < 2) if task == "single_label" else []
    if alone:
        raise DataError(
            "cross-validation needs 2 training rows of each class, but these classes have one: "
            f"{shorten(alone, NAMED)}. Add rows, or leave the classes out.",
            drop_change(alone),
            key="data.label",
        )


def _without(rows: int, left_out: list[int]) -> list[int]:
    gone = set(left_out)
    return [row for row in range(rows) if row not in gone]
