"""Whether a run learned anything, by the checkpoint that it selected."""

from finetune.measurement.scores import measure_of
from finetune.measurement.units import metric_name, score_text
from finetune.records.schema import FinishedRecord, RunRecord

NO_CORRELATION = 0.05  # Matthews correlation of predictions that hardly depend on the text
BARELY = 0.01  # above the majority's fraction: a model within one point of it has learned next to nothing


def is_degenerate(record: FinishedRecord) -> bool:
    """Whether the selected checkpoint is no better than the same prediction for every text."""
    return degeneration(record) is not None


def degeneration(record: FinishedRecord) -> str | None:
    """Why the selected checkpoint is no better than the same prediction for every text, and what to do.

    None if it is better.
    """
    measure = measure_of(record.data.task, record.data.score)
    majority = _majority_fraction(record)
    score = record.selected.validation[measure.score]
    # Whichever score leads: one answer for all texts has at most the accuracy of the largest class, and no correlation.
    accuracy = record.selected.validation.get("accuracy")
    mcc = record.selected.validation.get("mcc") or 0.0
    if majority is not None and accuracy is not None and accuracy <= majority + BARELY and mcc < NO_CORRELATION:
        return (
            f"Validation accuracy {score_text('accuracy', accuracy)} is no better than always predicting the most "
            f"frequent class ({score_text('accuracy', majority)}). {_what_to_do(record)}"
        )
    if record.data.task == "regression":
        return _no_better_than_mean(record)
    if score is None:
        return (
            f"Validation {metric_name(measure.score)} is undefined, because all predictions are the same. "
            f"{_what_to_do(record)}"
        )
    if record.data.task == "multi_label" and score == 0:
        return f"No label is ever predicted{_with_thresholds(record)}. {_what_to_do(record)}"
    return None


def _no_better_than_mean(record: FinishedRecord) -> str | None:
    """Of numbers: errors that are not below those of one number for every text, however well the predictions correlate.

    That number is the mean of the training rows, where it was measured, or the mean of validation, of which R² is 0.
    """
    scores = record.selected.validation
    mse, r2 = scores.get("mse"), scores.get("r2")
    limits = (each.scores.get("validation", {}).get("mse") for each in record.data.baselines if each.name == "mean")
    limit = next((limit for limit in limits if limit is not None), None)
    if scores.get("pearson") is None:
        why = f"{metric_name('pearson')} is undefined, because all predictions are the same"
    elif mse is not None and limit is not None and mse >= limit:
        why = f"RMSE {score_text('rmse', mse**0.5)} is not below {score_text('rmse', limit**0.5)}, that of the mean"
    elif r2 is not None and r2 <= 0:
        why = f"R² is {score_text('r2', r2)}, and 0 is that of the same number for every text"
    else:
        return None
    return f"Validation {why}. {_what_to_do(record)}"


def _with_thresholds(record: FinishedRecord) -> str:
    """What is predicted with the thresholds that were chosen on validation, which the saved model uses."""
    if record.thresholds is None:
        return ""
    score = record.thresholds.validation["micro_f1"]
    known = "undefined" if score is None else score_text("micro_f1", score)
    return f" at a probability of 0.5 (with the thresholds that were chosen on validation, micro-F1 is {known})"


def _what_to_do(record: FinishedRecord) -> str:
    """More epochs change nothing where early stopping ended the run before the last one, or of several labels."""
    if can_start_ahead(record):
        return "Start the head from logistic regressions on the frozen features (`head_start`)."
    if early_stop_text(record) is None:
        return "Train longer, or with a larger learning rate."
    return "Training stopped early: use more patience, or a larger learning rate."


def can_start_ahead(record: FinishedRecord) -> bool:
    """Whether `head_start` may help labels that are never predicted.

    Of several rare labels, a head that begins at random may stay below 0.5: on 28 labels 600 steps did not change that,
    and `head_start` did (docs/results.md).
    """
    return record.data.task == "multi_label" and not {"head_start", "head_first"} & record.techniques.keys()


def early_stop_text(record: RunRecord) -> str | None:
    """`stopped early at epoch 4 of 40`; None for a run that did not stop early, and for records without this
    information."""
    budget, last = record.budget, record.last
    if last is None or budget.early_stopping is None or not budget.early_stopping.stopped:
        return None
    assert budget.steps is not None, "a run that trained has a number of steps"
    epochs = budget.steps / (budget.steps_per_epoch or budget.steps)
    return f"stopped early at epoch {last.epoch:g} of {epochs:g}"


def _majority_fraction(record: RunRecord) -> float | None:
    if record.data.task != "single_label":
        return None
    counts = record.data.classes["validation"]
    return max(counts.values()) / record.data.rows["validation"]
