"""Scores of simple models on the same rows, in seconds: the majority class, and TF-IDF with a linear model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.checks.base import draw_rows
from finetune.checks.tfidf import TextFeatures
from finetune.data.rows import Data, Rows, target_reader
from finetune.measurement.beyond_chance import constant_logits
from finetune.measurement.gap import compute_gap
from finetune.measurement.scores import compute_scores, log_softmax
from finetune.records.schema import Baseline, Scores
from finetune.tasks import Task

FITTED = 20_000  # training rows: more take minutes and add little to a linear model
STRENGTH = 10.0  # inverse L2 penalty; better than 1 on six of seven sets of 2,600 to 9,000 rows, by 0.1 to 5 points
Floats = NDArray[np.float64]


def measure_baselines(data: Data) -> list[Baseline]:
    """Both baselines, fitted on train and measured on train sample, validation and test like a fine-tuned model.

    majority: the label frequencies of train as probabilities for every row; for numbers, their mean. tfidf: logistic
    regression (each label by itself for multi-label; ridge for numbers) on word 1–2-grams and character 3–5-grams; of
    pairs also on how much the texts have in common. Fitted on at most 20,000 training rows.
    """
    train = draw_rows(data.train, FITTED)
    targets = encode_targets(data, train)
    features = TextFeatures(train)
    predict = fit_linear(data.task, features.of(train), targets, len(data.labels or [0]))
    constant = constant_logits(data.task, targets, len(data.labels or [0]))
    fitted = "" if train is data.train else f", fitted on {FITTED:,} of {len(data.train):,} training rows"
    splits = {name: (rows, encode_targets(data, rows)) for name, rows in data.measured_splits().items()}
    majority = {
        name: finite_scores(data.task, np.tile(constant, (len(rows), 1)), truth)
        for name, (rows, truth) in splits.items()
    }
    linear = {
        name: finite_scores(data.task, predict(features.of(rows)), truth) for name, (rows, truth) in splits.items()
    }
    regression = "ridge" if data.labels is None else "logistic"
    return [
        _baseline("mean", "mean of the training rows", majority)
        if data.labels is None
        else _baseline("majority", "label frequencies of the training rows", majority),
        _baseline("tfidf", f"TF-IDF of words and characters + {regression} regression{fitted}", linear),
    ]


def _baseline(name: str, about: str, scores: dict[str, Scores]) -> Baseline:
    train, validation = ({k: v for k, v in scores[of].items() if v is not None} for of in ("train_probe", "validation"))
    return Baseline(name=name, about=about, scores=scores, gap={**compute_gap(train, validation)})


def encode_targets(data: Data, rows: Rows) -> NDArray[Any]:
    """(rows,) class indices, (rows, labels) zeros and ones, or (rows,) numbers."""
    kind = np.int64 if data.task == "single_label" else np.float64
    return np.array(list(map(target_reader(data.task, data.labels), rows.labels)), dtype=kind)


def fit_linear(
    task: Task, features: Any, targets: NDArray[Any], labels: int, strength: float | None = None
) -> Callable[[Any], Floats]:
    """Logistic regression; for several labels one each; for numbers ridge regression.

    Args:
        task: single_label, multi_label or regression.
        features: (rows, features), sparse or not.
        targets: As returned by `encode_targets`.
        labels: Number of classes or labels.
        strength: Inverse of the L2 penalty; None: 10, for numbers 1.

    Returns:
        A function from features to logits, (rows, K).
    """
    if task == "regression":
        from scipy.sparse import issparse
        from sklearn.linear_model import Ridge  # slow to import, and needed here only

        solver = "sparse_cg" if issparse(features) and features.shape[1] > 1 else "auto"
        ridge = Ridge(alpha=1.0 / (strength or 1.0), solver=solver).fit(features, targets)
        return lambda rows: ridge.predict(rows).reshape(-1, 1)
    strength = strength or STRENGTH
    if task == "multi_label":
        columns = [_fit_classes(features, column, 2, strength) for column in targets.T.astype(np.int64)]
        return lambda rows: np.column_stack([logits[:, 1] - logits[:, 0] for logits in (fit(rows) for fit in columns)])
    return _fit_classes(features, targets, labels, strength)


def _fit_classes(features: Any, targets: NDArray[Any], classes: int, strength: float) -> Callable[[Any], Floats]:
    """A function from features to log-probabilities, (rows, classes).

    A class without a row (of a sample, or of a label that all or no rows have) gets the probability of half a row.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, and needed here only

    present = np.unique(targets)
    missing = math.log(0.5 / len(targets))
    model = None
    if len(present) > 1:
        model = LogisticRegression(C=strength, tol=1e-3, max_iter=200).fit(features, targets)

    def predict(rows: Any) -> Floats:
        logits = np.full((rows.shape[0], classes), missing)
        if model is None:
            logits[:, present] = 0.0
            return logits
        scores = np.asarray(model.decision_function(rows), dtype=np.float64)
        # Of two classes there is one score, that of the second. Not predict_log_proba: float32 rounds it to -inf.
        logits[:, present] = log_softmax(
            scores if scores.ndim > 1 else np.column_stack([np.zeros_like(scores), scores])
        )
        return logits

    return predict


def finite_scores(task: Task, logits: Floats, targets: NDArray[Any]) -> Scores:
    """All scores; None for a score that is undefined on these rows."""
    scores = compute_scores(task, logits, targets)
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}
