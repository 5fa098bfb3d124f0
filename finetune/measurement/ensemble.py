"""The ensemble of several models: the mean of their predictions for the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.measurement.scores import Floats, softmax

_LEAST = 1e-12  # of a probability: the logit of what all members rule out stays finite


def mean_predictions(task: str, logits: Sequence[NDArray[Any]]) -> Floats:
    """Mean predictions of the members.

    Args:
        task: single_label, multi_label or regression.
        logits: Logits of each member, (rows, outputs); (rows, 1) or (rows,) for regression.

    Returns:
        (rows, outputs) probabilities, which add up to 1 per row for single_label and are independent for multi_label;
        (rows,) numbers for regression.
    """
    members = np.stack([np.asarray(each, dtype=np.float64) for each in logits])
    if task == "regression":
        return np.asarray(members.reshape(len(members), -1).mean(axis=0))
    probabilities = softmax(members) if task == "single_label" else _sigmoid(members)
    return np.asarray(probabilities.mean(axis=0))


def ensemble_logits(task: str, logits: Sequence[NDArray[Any]]) -> Floats:
    """Logits whose probabilities are the mean of the members'; arguments of `mean_predictions`."""
    means = mean_predictions(task, logits)
    if task == "regression":
        return means
    means = np.clip(means, _LEAST, 1.0)
    return np.log(means) if task == "single_label" else np.log(means) - np.log(np.clip(1 - means, _LEAST, 1.0))


def _sigmoid(logits: Floats) -> Floats:
    """Without overflow: exp of nothing above 0."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1 + small)
