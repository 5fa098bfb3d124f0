"""How far two models agree on the same texts, and how long each takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune.inference.classifier import Classifier
from finetune.inference.predictions import Predictions
from finetune.measurement.thresholds import HALF

ALONE = 64  # rows that are predicted one by one, too
AT_ONCE = (1, 32)  # texts of a call that is timed
CALLS = 20  # of each model; fewer, where they take long
LONGEST = 3.0  # seconds for the calls of one model with so many texts


@dataclass(frozen=True)
class Agreement:
    """The agreement of a second model with the first one.

    Attributes:
        difference: Largest difference of probabilities, or of numbers in their unit.
        relative: For numbers, root mean square difference in standard deviations of the first model's numbers; else
            None.
        decisions: Number of rows, or for multi-label of rows times labels; None for numbers.
        changed: Number of these decisions that differ in the second model; None for numbers.
    """

    difference: float
    relative: float | None
    decisions: int | None
    changed: int | None


def agreement(first: Predictions, second: Predictions) -> Agreement:
    """Compare predictions of the same rows."""
    if first.probabilities is None or second.probabilities is None:
        differences = np.abs(first.logits - second.logits)
        spread = float(first.logits.std()) or 1.0
        root = float(np.sqrt(np.mean(differences.astype(np.float64) ** 2)))
        return Agreement(float(differences.max(initial=0)), root / spread, None, None)
    changed = _decided(first) != _decided(second)
    difference = np.abs(first.probabilities - second.probabilities).max(initial=0)
    return Agreement(float(difference), None, int(changed.size), int(changed.sum()))


def _decided(found: Predictions) -> np.ndarray:
    """(rows,) classes, or (rows, labels) marks."""
    assert found.probabilities is not None
    if found.reading.task == "single_label":
        return np.asarray(found.probabilities.argmax(axis=1))
    limits = [found.reading.thresholds.get(name, HALF) for name in found.reading.labels or ()]
    return np.asarray(found.probabilities > np.array(limits))


def beside_others(classifier: Classifier, texts: Sequence[str], pairs: Sequence[str] | None) -> float:
    """The largest difference between the outputs for a text alone and in a batch with others, over the first rows."""
    some, second = list(texts[:ALONE]), None if pairs is None else list(pairs[:ALONE])
    together = classifier.predict(some, second)
    alone = classifier.predict(some, second, batch_size=1)
    return agreement(alone, together).difference


def median_times(
    classifiers: Sequence[Classifier], texts: Sequence[str], pairs: Sequence[str] | None
) -> dict[int, list[float]]:
    """Number of texts -> median seconds of a call with that many texts, for each model; the models take turns.

    Args:
        classifiers: On the same machine, with the same number of threads.
        texts, pairs: Rows to take texts from, spread over all of them; where there are fewer they are repeated.
    """
    found = {}
    for count in AT_ONCE:
        rows = [index * max(len(texts) // count, 1) % len(texts) for index in range(count)]
        some = [texts[row] for row in rows], None if pairs is None else [pairs[row] for row in rows]
        seconds: list[list[float]] = [[] for _ in classifiers]
        started = time.perf_counter()
        for call in range(CALLS + 1):
            for classifier, taken in zip(classifiers, seconds, strict=True):
                before = time.perf_counter()
                classifier.predict(*some)
                if call:  # the first one warms up
                    taken.append(time.perf_counter() - before)
            if call and time.perf_counter() - started > LONGEST * len(classifiers):
                break
        found[count] = [statistics.median(taken) for taken in seconds]
    return found
