"""Scores of one split, from logits and targets.

Nearly every score is a function of sums over rows (hits, false alarms, squared errors, …). `row_terms` gives the
summands and `scores_from_sums` the function, so that a bootstrap is one matrix product (see `gap.gap_intervals`).
Scores are in [0, 1] or [−1, 1], R² at most 1; losses are in nats (nll), probability² (brier) or label units (rmse, mae;
mse: squared).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15  # of the calibration error, equally filled
IMBALANCED = 0.6  # fraction of the largest class above which always predicting it looks like a good accuracy
LOSSES = frozenset({"nll", "brier", "ece", "rmse", "mse", "mae"})  # lower is better; everything else: higher is better


@dataclass(frozen=True)
class Measure:
    """The metrics of a task. Use `measure_of` if the main score may be another one.

    Attributes:
        score: The main score, which comes first in gap and report.
        selects: Metric that selects a checkpoint. For multi-label not F1, which is 0 until the first logit crosses 0.5.
        loss: The evaluation loss.
        loss_unit: Its unit.
        shown: Rows of the final table.
        names: All metrics that `compute_scores` returns.
    """

    score: str
    selects: str
    loss: str
    loss_unit: str
    shown: tuple[str, ...]
    names: tuple[str, ...]


MEASURES = {
    "single_label": Measure(
        score="accuracy",
        selects="accuracy",
        loss="nll",
        loss_unit="nats",
        shown=("accuracy", "macro_f1", "nll"),
        names=("accuracy", "macro_f1", "mcc", "nll", "brier", "ece"),
    ),
    "multi_label": Measure(
        score="micro_f1",
        selects="average_precision",
        loss="nll",
        loss_unit="nats",
        shown=("micro_f1", "macro_f1", "nll"),
        names=("micro_f1", "macro_f1", "exact_match", "average_precision", "nll", "brier"),
    ),
    # Not a correlation: it is 0.99 for predictions that are all too close to the mean, or in other units.
    "regression": Measure(
        score="r2",
        selects="r2",
        loss="rmse",
        loss_unit="label units",
        shown=("r2", "rmse", "mae", "pearson", "spearman"),
        names=("r2", "rmse", "mae", "pearson", "mse", "spearman"),
    ),
}
CORRELATION = Measure(
    score="pearson",
    selects="pearson",
    loss="mse",
    loss_unit="label units²",
    shown=("pearson", "spearman", "mse"),
    names=("pearson", "mse", "mae", "spearman"),
)
"""Of a regression in records before algorithm version 3."""


def main_score(task: str, majority: float | None, requested: str) -> str:
    """The score that selects checkpoints and comes first in reports.

    Args:
        task: single_label, multi_label or regression.
        majority: Fraction of the training rows in the largest class; None without classes.
        requested: auto, or a score of single_label; other tasks have one main score each.
    """
    if task != "single_label":
        return MEASURES[task].score
    if requested != "auto":
        return requested
    return "macro_f1" if majority is not None and majority > IMBALANCED else MEASURES[task].score


def measure_of(task: str, score: str | None) -> Measure:
    """The metrics of a task with this main score; None, as in old records, means the task's main score at that time."""
    if task == "regression" and score in (None, CORRELATION.score):
        return CORRELATION
    measure = MEASURES[task]
    if score is None or score == measure.score:
        return measure
    others = tuple(name for name in measure.shown if name != score)
    return replace(measure, score=score, selects=score, shown=(score, *others))


def softmax(logits: Floats) -> Floats:
    """Row-wise softmax; logits (rows, K)."""
    return np.exp(log_softmax(logits))


def log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def compute_scores(task: str, logits: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
    """All scores of a split.

    Args:
        task: single_label, multi_label or regression.
        logits: (rows, K); (rows, 1) or (rows,) for regression.
        targets: (rows,) class indices, (rows, K) zeros and ones, or (rows,) numbers.

    Returns:
        Name -> value, the names of `MEASURES`. macro_f1 is over classes that occur in targets or predictions; nll
        and brier of multi-label are per label; a correlation of constants is nan.
    """
    logits, targets = _as_arrays(task, logits, targets)
    sums = row_terms(task, logits, targets).sum(axis=0)
    scores = {name: float(value) for name, value in scores_from_sums(task, sums).items()}
    if task == "single_label":
        scores["ece"] = expected_calibration_error(softmax(logits), targets)
    if task == "multi_label":
        from sklearn.metrics import average_precision_score  # slow to import, and needed here only

        scores["average_precision"] = float(average_precision_score(targets, logits, average="micro"))
    if task == "regression":
        from scipy.stats import rankdata  # slow to import, and needed here only

        ranks = rankdata(logits), rankdata(targets)
        scores["spearman"] = float(np.corrcoef(*ranks)[0, 1]) if min(np.ptp(rank) for rank in ranks) > 0 else np.nan
    return scores


def row_terms(task: str, logits: NDArray[Any], targets: NDArray[Any]) -> Floats:
    """The summands of each row, (rows, terms); their column sums go into `scores_from_sums`."""
    logits, targets = _as_arrays(task, logits, targets)
    return _TERMS[task](logits, targets)


def scores_from_sums(task: str, sums: Floats) -> dict[str, Floats]:
    """Scores from summed terms, (…, terms) -> name -> (…)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _FROM_SUMS[task](sums)


def label_counts(terms: Floats, labels: int) -> Floats:
    """The terms of classes, (…, terms), that count each label: hits, predicted and true, (…, 3 × labels)."""
    return terms[..., -3 * labels :]


def f1_of(hits: Any, predicted: Any, true: Any) -> Floats:
    """F1 from counts of one shape; nan if a label is neither present nor predicted."""
    marked = np.asarray(predicted + true)
    return np.where(marked > 0, 2 * hits / np.where(marked > 0, marked, 1), np.nan)


def label_probabilities(task: str, logits: NDArray[Any], temperature: float = 1.0) -> Floats | None:
    """(rows, K): for classes, calibrated by the temperature and summing to 1; for several labels, one probability each;
    None for numbers.
    """
    wide = np.asarray(logits, dtype=np.float64)
    if task == "single_label":
        return softmax(wide / temperature)
    return 1 / (1 + np.exp(-np.clip(wide, -500, 500))) if task == "multi_label" else None


def expected_calibration_error(probabilities: Floats, targets: NDArray[Any], bins: int = BINS) -> float:
    """Mean |confidence − accuracy| over equally filled bins of the top class's confidence (adaptive ECE).

    Nixon et al. 2019, arXiv:1904.01685. Equal confidences may fall in neighbouring bins.
    """
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == targets
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return float(sum(abs(confidence[part].mean() - hit[part].mean()) * len(part) for part in parts) / len(order))


def fit_temperature(logits: NDArray[Any], targets: NDArray[Any]) -> float:
    """The T > 0 that minimises the NLL of logits / T (Guo et al. 2017, arXiv:1706.04599), within [0.05, 20]."""
    from scipy.optimize import minimize_scalar  # slow to import, and needed here only

    logits, targets = _as_arrays("single_label", logits, targets)

    def nll(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature))[np.arange(len(targets)), targets].mean())

    optimum = minimize_scalar(nll, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(optimum.x))


def _as_arrays(task: str, logits: NDArray[Any], targets: NDArray[Any]) -> tuple[Floats, NDArray[Any]]:
    values = np.asarray(logits, dtype=np.float64)
    if task == "regression":
        return values.reshape(len(values)), np.asarray(targets, dtype=np.float64)
    return values, np.asarray(targets, dtype=np.int64 if task == "single_label" else np.float64)


def _single_label_terms(logits: Floats, targets: NDArray[Any]) -> Floats:
    """Columns: 1, nll, brier, then K each of hits, predicted, true."""
    classes = logits.shape[1]
    log_probabilities = log_softmax(logits)
    true = np.eye(classes)[targets]
    predicted = np.eye(classes)[logits.argmax(axis=1)]
    nll = -log_probabilities[np.arange(len(targets)), targets]
    brier = ((np.exp(log_probabilities) - true) ** 2).sum(axis=1)
    return np.column_stack([np.ones(len(targets)), nll, brier, true * predicted, predicted, true])


def _single_label_from_sums(sums: Floats) -> dict[str, Floats]:
    classes = (sums.shape[-1] - 3) // 3
    rows, nll, brier = sums[..., 0], sums[..., 1], sums[..., 2]
    hits, predicted, true = (sums[..., 3 + k * classes : 3 + (k + 1) * classes] for k in range(3))
    correct = hits.sum(axis=-1)
    # Matthews correlation for K classes (Gorodkin 2004), from the same counts.
    covariance = correct * rows - (predicted * true).sum(axis=-1)
    spread = np.sqrt((rows**2 - (predicted**2).sum(axis=-1)) * (rows**2 - (true**2).sum(axis=-1)))
    return {
        "accuracy": correct / rows,
        "macro_f1": _macro_f1(hits, predicted, true),
        "mcc": np.where(spread > 0, covariance / np.where(spread > 0, spread, 1.0), 0.0),
        "nll": nll / rows,
        "brier": brier / rows,
    }


def _multi_label_terms(logits: Floats, targets: NDArray[Any]) -> Floats:
    """Columns: 1, nll, brier, exact, then K each of hits, predicted, true. A label is predicted above 0.5."""
    nll = (np.logaddexp(0.0, logits) - targets * logits).mean(axis=1)
    brier = ((1 / (1 + np.exp(-np.clip(logits, -500, 500))) - targets) ** 2).mean(axis=1)
    predicted = (logits > 0).astype(np.float64)
    exact = (predicted == targets).all(axis=1)
    return np.column_stack([np.ones(len(targets)), nll, brier, exact, targets * predicted, predicted, targets])


def _multi_label_from_sums(sums: Floats) -> dict[str, Floats]:
    labels = (sums.shape[-1] - 4) // 3
    rows = sums[..., 0]
    hits, predicted, true = (sums[..., 4 + k * labels : 4 + (k + 1) * labels] for k in range(3))
    all_hits, all_marked = hits.sum(axis=-1), (predicted + true).sum(axis=-1)
    return {
        "micro_f1": np.where(all_marked > 0, 2 * all_hits / np.where(all_marked > 0, all_marked, 1.0), 0.0),
        "macro_f1": _macro_f1(hits, predicted, true),
        "exact_match": sums[..., 3] / rows,
        "nll": sums[..., 1] / rows,
        "brier": sums[..., 2] / rows,
    }


def _macro_f1(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """Mean F1 over the classes that occur in targets or predictions (scikit-learn's rule)."""
    marked = predicted + true
    occurs = marked > 0
    f1 = np.where(occurs, 2 * hits / np.where(occurs, marked, 1.0), 0.0)
    result: Floats = f1.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)
    return result


def _regression_terms(logits: Floats, targets: NDArray[Any]) -> Floats:
    """Columns: 1, x, y, x², y², xy (both centred, for precision), squared error, absolute error."""
    x, y, error = logits - logits.mean(), targets - targets.mean(), logits - targets
    return np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y, error**2, np.abs(error)])


def _regression_from_sums(sums: Floats) -> dict[str, Floats]:
    rows, x, y, xx, yy, xy, squared, absolute = np.moveaxis(sums, -1, 0)
    variance_x, variance_y = xx / rows - (x / rows) ** 2, yy / rows - (y / rows) ** 2
    covariance = xy / rows - x * y / rows**2
    spread = np.sqrt(np.maximum(variance_x, 0) * np.maximum(variance_y, 0))
    mse = squared / rows
    return {
        # Of the variance around the mean of these very rows; undefined where they are all alike.
        "r2": np.where(variance_y > 0, 1 - mse / np.where(variance_y > 0, variance_y, 1.0), np.nan),
        "rmse": np.sqrt(mse),
        "mae": absolute / rows,
        "pearson": np.where(spread > 0, covariance / np.where(spread > 0, spread, 1.0), np.nan),
        "mse": mse,
    }


_TERMS: dict[str, Callable[[Floats, NDArray[Any]], Floats]] = {
    "single_label": _single_label_terms,
    "multi_label": _multi_label_terms,
    "regression": _regression_terms,
}
_FROM_SUMS: dict[str, Callable[[Floats], dict[str, Floats]]] = {
    "single_label": _single_label_from_sums,
    "multi_label": _multi_label_from_sums,
    "regression": _regression_from_sums,
}
