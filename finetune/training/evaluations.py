"""One evaluation during training: from Trainer's logs and metrics to the form that a record keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune.records.schema import Evaluation

GAP_SPLITS = ("train_probe", "validation")  # measured at every evaluation
HAS_LEARNED = "eval_has_learned"  # beside the metrics, where a rule chooses the checkpoint: 1 or 0


def split_scores(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Trainer's `eval_<split>_<metric>` -> split -> metric -> value, for train sample and validation."""
    return {split: _without(metrics, f"eval_{split}_") for split in GAP_SPLITS}


def _without(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {key.removeprefix(prefix): value for key, value in metrics.items() if key.startswith(prefix)}


def make_evaluation(
    state: Any, logs: Mapping[str, Any], scores: Mapping[str, Mapping[str, float | None]]
) -> Evaluation:
    """The evaluation at the current step.

    Args:
        state: Trainer's state.
        logs: Trainer's last log about training.
        scores: Scores of train sample and validation.
    """
    return Evaluation(
        step=state.global_step,
        epoch=round(state.epoch or 0.0, 6),
        objective=logs.get("loss"),
        learning_rate=logs.get("learning_rate"),
        grad_norm=logs.get("grad_norm"),
        train_probe=dict(scores["train_probe"]),
        validation=dict(scores["validation"]),
    )
