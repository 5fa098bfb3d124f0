"""The probability above which a label is predicted, if a text may have several: chosen on validation, for F1.

A label that 3 % of the texts have is seldom more likely than not, however well it is ranked: at 0.5 it would never be
predicted. The threshold with the best F1 (Yang 2001, SCut) is moved by single rows where a label has few of them, so
labels with fewer than 5 rows share one, chosen on all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from finetune.measurement.scores import Floats, compute_scores

ENOUGH = 5  # validation rows that have a label, from which its threshold can be its own
HALF = 0.5  # probability above which a label is predicted, where nothing else was chosen
Origin = Literal["own", "shared", "default"]
DECIDED = ("micro_f1", "macro_f1", "exact_match")  # scores that depend on thresholds


@dataclass(frozen=True)
class Threshold:
    """The threshold of one label.

    Attributes:
        logit: The label is predicted above this logit.
        origin: own, chosen for this label; shared, chosen for all rare labels together; default, 0.5.
    """

    logit: float
    origin: Origin

    @property
    def probability(self) -> float:
        return float(1 / (1 + np.exp(-self.logit)))


def choose_thresholds(logits: NDArray[Any], targets: NDArray[Any], enough: int = ENOUGH) -> list[Threshold]:
    """A threshold for each label.

    Args:
        logits: (rows, labels), on validation.
        targets: (rows, labels) zeros and ones.
        enough: Rows with a label required for its own threshold; all rare labels together need as many.
    """
    positives = targets.sum(axis=0)
    rare = positives < enough
    shared = Threshold(0.0, "default")
    if positives[rare].sum() >= enough:
        shared = Threshold(best_threshold(logits[:, rare].ravel(), targets[:, rare].ravel()), "shared")
    return [
        shared if rare[label] else Threshold(best_threshold(logits[:, label], targets[:, label]), "own")
        for label in range(targets.shape[1])
    ]


def best_threshold(logits: NDArray[Any], targets: NDArray[Any]) -> float:
    """The logit above which predicting gives the best F1: 0, which is probability 0.5, if nothing is better; else
    half-way between two neighbouring logits; of equally good values the one nearest to 0.

    Args:
        logits: (rows,).
        targets: (rows,) zeros and ones.
    """
    order = np.argsort(-logits, kind="stable")
    values, hits = logits[order].astype(np.float64), np.cumsum(targets[order])
    positives = float(targets.sum())
    # Predicting the first i + 1 rows; possible where the next logit is lower.
    cuts = np.flatnonzero(values[:-1] > values[1:])
    f1 = 2 * hits[cuts] / (cuts + 1 + positives)
    places = (values[cuts] + values[cuts + 1]) / 2
    predicted = logits > 0
    marked = predicted.sum() + positives
    present = 2 * float(targets[predicted].sum()) / marked if marked else 0.0
    if len(cuts) == 0 or f1.max() <= present:
        return 0.0
    best = places[np.isclose(f1, f1.max(), rtol=0, atol=1e-12)]
    return float(best[np.abs(best).argmin()])


def scores_above(logits: NDArray[Any], targets: NDArray[Any], thresholds: Sequence[Threshold]) -> dict[str, float]:
    """The scores that depend on thresholds, with the given ones."""
    scores = compute_scores("multi_label", _shifted(logits, thresholds), targets)
    return {name: scores[name] for name in DECIDED}


def never_predicted(logits: NDArray[Any], targets: NDArray[Any], thresholds: Sequence[Threshold]) -> list[int]:
    """Positions of the labels that rows have but that are never predicted."""
    predicted = (_shifted(logits, thresholds) > 0).any(axis=0)
    return np.flatnonzero((targets.sum(axis=0) > 0) & ~predicted).tolist()


def _shifted(logits: NDArray[Any], thresholds: Sequence[Threshold]) -> Floats:
    return np.asarray(logits, dtype=np.float64) - np.array([threshold.logit for threshold in thresholds])
