"""Whether one set of predictions scores better than another on the same rows beyond chance, and trivial predictions.

The statistic is the difference of a score, its standard error that of the jackknife over rows (or over groups of rows),
its reference the t distribution with one degree of freedom less than the number of rows. For a score that is a mean
over rows (accuracy, log loss, squared error) this is the paired t-test; macro-F1 or a correlation are not sums over
rows, and their standard error is that of the leave-one-out values (Efron and Stein 1981, "The jackknife estimate of
variance").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.measurement.scores import LOSSES, MEASURES, Floats, row_terms, scores_from_sums

LEVEL = 0.05  # one-sided
_LEAST = 1e-12  # a smaller difference is rounding
# Where no answer that is the same for every text is better than label frequencies, or the mean. (To predict a label of
# every text has a better F1 than to predict none; the median has a smaller absolute error than the mean.)
_BEST_IN = {
    "single_label": ("accuracy", "macro_f1", "mcc", "nll", "brier"),
    "multi_label": ("nll", "brier"),
    "regression": ("pearson", "mse"),
}


def better_p(
    task: str,
    metric: str,
    first: NDArray[Any],
    second: NDArray[Any],
    targets: NDArray[Any],
    groups: Sequence[Any] | None = None,
) -> float:
    """One-sided p-value of "the first predictions are better than the second"; 1 where they are not.

    A metric that is not a function of sums over rows (average precision, ECE, Spearman, a user's own) is replaced by
    the evaluation loss of the task. A constant has no correlation; it counts as 0.

    Args:
        task: single_label, multi_label or regression.
        metric: Metric to compare.
        first: Logits, (rows, K).
        second: Logits of the same rows.
        targets: As in `compute_scores`.
        groups: Group of each row, if rows of one group are not independent observations.
    """
    return paired(task, metric, first, second, targets, groups).better_p


@dataclass(frozen=True)
class Paired:
    """How much better one set of predictions scores than another on the same rows.

    Attributes:
        difference: Difference of the score, or of the negated loss: above 0 the first is better.
        error: Its standard error by the jackknife over rows or groups.
        units: Number of rows, or of groups of rows.
    """

    difference: float
    error: float
    units: int

    @property
    def better_p(self) -> float:
        """One-sided p-value of "the first is better"; 1 where it is not."""
        if self.units < 2 or not self.difference > _LEAST:
            return 1.0
        if self.error == 0:
            return 0.0
        from scipy.special import stdtr  # the t distribution without scipy.stats, which is slow to import

        p = float(stdtr(self.units - 1, -self.difference / self.error))
        return p if math.isfinite(p) else 1.0

    def interval(self, level: float) -> tuple[float, float] | None:
        """Two-sided interval at this level; None for fewer than two units."""
        if self.units < 2 or not math.isfinite(self.difference + self.error):
            return None
        from scipy.special import stdtrit

        half = self.error * float(stdtrit(self.units - 1, (1 + level) / 2))
        return self.difference - half, self.difference + half


def paired(
    task: str,
    metric: str,
    first: NDArray[Any],
    second: NDArray[Any],
    targets: NDArray[Any],
    groups: Sequence[Any] | None = None,
) -> Paired:
    """The paired difference of two sets of predictions; arguments of `better_p`."""
    one, two = (unit_terms(row_terms(task, logits, targets), groups) for logits in (first, second))
    units, total_one, total_two = len(one), one.sum(axis=0), two.sum(axis=0)
    difference = float(_value(task, metric, total_one) - _value(task, metric, total_two))
    if units < 2:
        return Paired(difference, math.nan, units)
    left_out = _value(task, metric, total_one - one) - _value(task, metric, total_two - two)
    error = math.sqrt((units - 1) / units * float(((left_out - left_out.mean()) ** 2).sum()))
    return Paired(difference, error, units)


def beats_trivial(task: str, metric: str, logits: NDArray[Any], targets: NDArray[Any]) -> bool:
    """Whether predictions beat the best answer that is the same for every text, with p < 0.05: see `better_p`.

    That answer is computed from the same rows on which it is measured, so no other constant answer can beat it.

    Args:
        task: As above.
        metric: Metric to compare; replaced by the evaluation loss if another constant answer could be better in it: F1,
            exact match and average precision of several labels, absolute error and Spearman of numbers, ECE, the user's
            own.
        logits: (rows, K).
        targets: As of `compute_scores`.
    """
    if not np.isfinite(logits).all():
        return False
    outputs = logits.shape[1] if logits.ndim > 1 else 1
    trivial = np.tile(constant_logits(task, targets, outputs), (len(logits), 1))
    compared = metric if metric in _BEST_IN[task] else MEASURES[task].loss
    return better_p(task, compared, logits, trivial, targets) < LEVEL


def constant_logits(task: str, targets: NDArray[Any], outputs: int) -> Floats:
    """The same answer for every text, (outputs,): the label frequencies of these rows, or the mean of numbers.

    The predicted class is the most frequent one. A frequency is kept half a row off 0 and 1, so that its logarithm is
    finite.
    """
    rows = len(targets)
    if task == "regression":
        return np.array([targets.mean()], dtype=np.float64)
    if task == "multi_label":
        frequencies = np.clip(targets.mean(axis=0), 0.5 / rows, 1 - 0.5 / rows)
        return np.asarray(np.log(frequencies / (1 - frequencies)), dtype=np.float64)
    return np.asarray(np.log(np.maximum(np.bincount(targets, minlength=outputs), 0.5) / rows))


def unit_terms(terms: Floats, groups: Sequence[Any] | None) -> Floats:
    """The units that are drawn or left out, (units, terms): each row, or the sum over the rows of each group."""
    if groups is None:
        return terms
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((int(group.max()) + 1, terms.shape[1]))
    np.add.at(sums, group, terms)
    return sums


def _value(task: str, metric: str, sums: Floats) -> Floats:
    """With "higher is better", (…, terms) -> (…)."""
    scores = scores_from_sums(task, sums)
    name = metric if metric in scores else MEASURES[task].loss
    values = np.nan_to_num(scores[name], nan=0.0) if name == "pearson" else scores[name]
    return np.asarray(-values if name in LOSSES else values)
