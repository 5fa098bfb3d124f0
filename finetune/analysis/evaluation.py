"""Outputs of one model on labelled rows -> scores with intervals, classes, confusion, reliability, mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.analysis.details import reliability_bins
from finetune.analysis.disagreements import in_words
from finetune.measurement.gap import resampled_sums
from finetune.measurement.intervals import Interval, percentiles, score_intervals
from finetune.measurement.scores import Floats, compute_scores, f1_of, label_counts, label_probabilities, row_terms
from finetune.measurement.thresholds import DECIDED, HALF
from finetune.records.evaluation import ClassResult
from finetune.records.report import ModelScore, ReliabilityBin
from finetune.tasks import Task

CALIBRATED = ("nll", "brier", "ece")  # that a temperature changes


@dataclass(frozen=True)
class Measured:
    """Outputs of a model for labelled rows.

    Attributes:
        task: single_label, multi_label or regression.
        labels: Names in the order of the outputs; None for regression.
        logits: (rows, outputs), as the model returns them.
        targets: (rows,) class indices, (rows, K) zeros and ones, or (rows,) numbers.
        temperature: Divides logits of classes; None: not calibrated.
        thresholds: Several labels -> probability above which each is predicted; None: 0.5.
    """

    task: Task
    labels: list[str] | None
    logits: NDArray[Any]
    targets: NDArray[Any]
    temperature: float | None = None
    thresholds: Mapping[str, float] | None = None

    def served_logits(self) -> Floats:
        """Logits whose softmax is calibrated, and with labels above 0 predicted."""
        wide = self.logits.astype(np.float64)
        if self.task == "single_label":
            return wide / (self.temperature or 1.0)
        return wide - self._shift() if self.task == "multi_label" else wide

    def probabilities(self) -> Floats | None:
        """(rows, K) calibrated probabilities of labels; None for numbers."""
        return label_probabilities(self.task, self.logits, self.temperature or 1.0)

    def predictions(self) -> NDArray[Any]:
        """(rows,) classes, (rows, K) marks, or (rows,) numbers, as in `predict`."""
        logits = self.served_logits()
        if self.task == "single_label":
            return np.asarray(logits.argmax(axis=1))
        return np.asarray(logits > 0) if self.task == "multi_label" else logits.reshape(len(logits))

    def _shift(self) -> Floats:
        """Logits of the thresholds."""
        chosen = self.thresholds or {}
        probability = np.array([chosen.get(name, HALF) for name in self.labels or ()])
        with np.errstate(divide="ignore"):
            return np.log(probability) - np.log1p(-probability)


def model_scores(measured: Measured) -> dict[str, ModelScore]:
    """Every score as measured in a run, with its 95 % interval over rows."""
    return _scores(measured.task, measured.logits, measured.targets)


def served_scores(measured: Measured) -> dict[str, ModelScore]:
    """Scores that calibration or thresholds change; empty without them."""
    changed: tuple[str, ...] = ()
    if measured.task == "single_label" and measured.temperature is not None:
        changed = CALIBRATED
    elif measured.task == "multi_label" and measured.thresholds:
        changed = DECIDED
    if not changed:
        return {}
    found = _scores(measured.task, np.clip(measured.served_logits(), -500, 500), measured.targets)
    return {name: found[name] for name in changed}


def _scores(task: Task, logits: NDArray[Any], targets: NDArray[Any]) -> dict[str, ModelScore]:
    return {name: _model_score(*found) for name, found in score_intervals(task, logits, targets).items()}


def _model_score(value: float, ends: Interval | None) -> ModelScore:
    low, high = (None, None) if ends is None else ends
    return ModelScore(value=value if np.isfinite(value) else None, low=low, high=high)


def numbers_of(measured: Measured) -> dict[str, Any]:
    """The fields of an `EvaluationReport` that follow from outputs and targets."""
    return {
        "task": measured.task,
        "labels": measured.labels,
        "rows": len(measured.targets),
        "scores": model_scores(measured),
        "served": served_scores(measured),
        "temperature": measured.temperature,
        "thresholds": None if measured.thresholds is None else dict(measured.thresholds),
        "classes": class_results(measured),
        "confusion": confusion(measured),
        "reliability": reliability(measured),
    }


def plain_scores(measured: Measured) -> dict[str, float]:
    """Like `model_scores`, without intervals."""
    return compute_scores(measured.task, measured.logits, measured.targets)


def class_results(measured: Measured) -> list[ClassResult]:
    """Precision, recall and F1 of each label, the worst first; empty for numbers."""
    if measured.labels is None:
        return []
    terms = row_terms(measured.task, np.clip(measured.served_logits(), -500, 500), measured.targets)
    counts = label_counts(terms, len(measured.labels))
    hits, predicted, true = np.split(counts.sum(axis=0), 3)
    drawn = np.split(resampled_sums(counts, np.random.default_rng(0)), 3, axis=1)
    results = []
    for index, label in enumerate(measured.labels):
        f1 = float(f1_of(*(part[index] for part in (hits, predicted, true))))
        ends = percentiles(f1_of(*(part[:, index] for part in drawn)))
        results.append(
            ClassResult(
                label=label,
                support=int(true[index]),
                predicted=int(predicted[index]),
                precision=float(hits[index] / predicted[index]) if predicted[index] else None,
                recall=float(hits[index] / true[index]) if true[index] else None,
                f1=_model_score(f1, ends),
            )
        )
    return sorted(results, key=lambda result: (result.f1.value is None, result.f1.value or 0.0))


def confusion(measured: Measured) -> list[list[int]] | None:
    """(K, K): rows of each class by predicted class; single-label only, else None."""
    if measured.task != "single_label" or measured.labels is None:
        return None
    size = len(measured.labels)
    cells = measured.targets.astype(int) * size + measured.predictions()
    matrix: list[list[int]] = np.bincount(cells, minlength=size * size).reshape(size, size).tolist()
    return matrix


def reliability(measured: Measured) -> list[ReliabilityBin]:
    """Reliability of calibrated probabilities; single-label only, else empty."""
    probabilities = measured.probabilities()
    if measured.task != "single_label" or probabilities is None:
        return []
    return reliability_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == measured.targets)


@dataclass(frozen=True)
class Wrong:
    """A row with a wrong prediction.

    Attributes:
        index: Position of the row.
        target, prediction: In words.
        confidence: As in `records.evaluation.Mistake`.
        error: Error of numbers.
    """

    index: int
    target: str
    prediction: str
    confidence: float | None
    error: float | None


def mistakes(measured: Measured, most: int) -> tuple[list[Wrong], int | None]:
    """The most confident mistakes (numbers: the largest errors), and their total number (numbers: None).

    Args:
        measured: Outputs and targets.
        most: Maximum number of mistakes.
    """
    predictions, targets, probabilities = measured.predictions(), measured.targets, measured.probabilities()
    if measured.task == "regression" or probabilities is None:
        errors = predictions - targets
        order = np.argsort(-np.abs(errors), kind="stable")[:most]
        return [
            Wrong(int(i), f"{targets[i]:.3f}", f"{predictions[i]:.3f}", None, float(errors[i])) for i in order
        ], None
    if measured.task == "single_label":
        is_wrong, sure = predictions != targets, probabilities.max(axis=1)
    else:
        differs = predictions != targets.astype(bool)
        is_wrong = differs.any(axis=1)
        sure = np.where(differs, np.where(predictions, probabilities, 1 - probabilities), 0.0).max(axis=1)
    order = np.flatnonzero(is_wrong)
    order = order[np.argsort(-sure[order], kind="stable")]
    found = [
        Wrong(
            int(i),
            in_words(measured.task, targets[i], measured.labels),
            in_words(measured.task, predictions[i], measured.labels),
            float(sure[i]),
            None,
        )
        for i in order[:most]
    ]
    return found, len(order)
