"""Diagnosis of a single run, and the next command. One seed can show a gap; it cannot compare presets."""

import math
import shlex
from collections.abc import Sequence
from typing import Any

from finetune.measurement.scores import measure_of
from finetune.measurement.units import count_text, metric_name, score_text
from finetune.records.facts import ENOUGH_STEPS
from finetune.records.schema import OWN, FinishedRecord, Gap, RunRecord

NO_CORRELATION = 0.05  # Matthews correlation of predictions that hardly depend on the text
OWN_RATE = ("lora", "train_only", "freeze")  # techniques with a learning rate that replaces that of the recipe
BARELY = 0.01  # above the majority's fraction: a model within one point of it has learned next to nothing


def is_degenerate(record: FinishedRecord) -> bool:
    """Whether the selected checkpoint is no better than the same prediction for every text."""
    return _degeneration(record) is not None


def diagnose(record: FinishedRecord) -> str:
    """One or two sentences on the selected checkpoint: did not learn, overfits, is overconfident only, or no sign."""
    measure = measure_of(record.data.task, record.data.score)
    degeneration = _degeneration(record)
    if degeneration is not None:
        return degeneration
    if record.budget.trained_on_validation:
        return "None: it was trained on validation, too, so no gap can be measured; only test says how good it is."
    score, loss = metric_name(measure.score), metric_name(measure.loss)
    if _is_positive(record.selected.gap[measure.score]):
        return f"Overfits: {score} is better on the training data than on new texts."
    if _is_positive(record.selected.gap[measure.loss]):
        return (
            f"Overconfident only: {loss} is worse on new texts; the {score} gap does not differ significantly from 0."
        )
    rows = count_text(record.data.rows["validation"], "validation row")
    return f"No sign of overfitting that {rows} could show."


def _degeneration(record: FinishedRecord) -> str | None:
    measure = measure_of(record.data.task, record.data.score)
    majority = _majority_fraction(record)
    score = record.selected.validation[measure.score]
    # Whichever score leads: one answer for all texts has at most the accuracy of the largest class, and no correlation.
    accuracy = record.selected.validation.get("accuracy")
    mcc = record.selected.validation.get("mcc") or 0.0
    if majority is not None and accuracy is not None and accuracy <= majority + BARELY and mcc < NO_CORRELATION:
        return (
            f"Did not learn: validation accuracy {score_text('accuracy', accuracy)} is no better than always "
            f"predicting the most frequent class ({score_text('accuracy', majority)}). {_remedy(record)}"
        )
    if record.data.task == "regression":
        return _no_better_than_mean(record)
    if score is None:
        return (
            f"Did not learn: validation {metric_name(measure.score)} is undefined, because all predictions are the "
            f"same. {_remedy(record)}"
        )
    if record.data.task == "multi_label" and score == 0:
        return f"Did not learn: no label is ever predicted. {_remedy(record)}"
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
    return f"Did not learn: validation {why}. {_remedy(record)}"


def _remedy(record: FinishedRecord) -> str:
    """More epochs change nothing where early stopping ended the run before the last one, or of several labels."""
    if _can_start_ahead(record):
        return "Start the head from logistic regressions on the frozen features (`head_start`)."
    if early_stop_text(record) is None:
        return "Train longer, or with a larger learning rate."
    return "Training stopped early: use more patience, or a larger learning rate."


def _can_start_ahead(record: FinishedRecord) -> bool:
    """Of several rare labels, a head that begins at random may stay below 0.5: on 28 labels 600 steps did not change
    that, and `head_start` did (docs/results.md)."""
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


def remedy(record: FinishedRecord) -> dict[str, Any]:
    """Settings that give a run that did not learn more to learn from; empty for a run that did.

    For several labels a head start; else more patience if early stopping ended the run, more steps if they are few, a
    larger learning rate (that of the technique, if it has its own), or twice the epochs if the run chooses its learning
    rate itself.
    """
    if not is_degenerate(record):
        return {}
    budget, training = record.budget, record.recipe["training"]
    per_epoch = budget.steps_per_epoch or 1
    epochs = math.ceil((budget.steps or 0) / per_epoch)
    if _can_start_ahead(record):
        return {"techniques.head_start": {}}
    if early_stop_text(record) is not None and budget.early_stopping is not None:
        return {"techniques.early_stopping.patience": 2 * budget.early_stopping.patience}
    if (budget.steps or 0) < ENOUGH_STEPS:
        return {"training.epochs": math.ceil(ENOUGH_STEPS / per_epoch)}
    own = {
        f"techniques.{name}.learning_rate": 2 * record.techniques[name].settings["learning_rate"]
        for name in OWN_RATE
        if name in record.techniques and record.techniques[name].settings.get("learning_rate")
    }
    if own:
        return own
    if isinstance(training["learning_rate"], float):
        return {"training.learning_rate": 2 * training["learning_rate"]}
    return {"training.epochs": 2 * epochs}


def next_command(
    record: FinishedRecord, recipe: str, preset: str | None, changed: Sequence[str] = ()
) -> tuple[str, str]:
    """A command worth typing next, and why.

    Args:
        record: The record of the run.
        recipe: As the user typed it, options included; for a run that did not learn, with its `remedy`.
        preset: As the user typed it.
        changed: Settings besides the preset that changed its techniques, as `key=value`.
    """
    chosen = f" --preset {shlex.quote(preset)}" if preset is not None else ""
    if is_degenerate(record):
        return f"finetune run {recipe}{chosen} --seed {record.seed}", "a model that did not learn shows no gap"
    if not record.techniques:
        why = (
            "which preset closes this gap and keeps the score? strong lost score on 5 of 9 data sets with 300 rows, "
            "and on 3 of 7 with 1,000 (docs/results.md)"
        )
        return f"finetune compare {recipe} --presets none,light,medium,strong --seeds 3", why
    why = "is the effect significant? 5 seeds, against no regularization"
    if changed:
        variant = f"mine={preset or OWN}:{','.join(changed)}"
        return f"finetune compare {recipe} --variant {shlex.quote(variant)}", why
    return f"finetune compare {recipe} --presets {shlex.quote(f'none,{preset or OWN}')}", why


def _majority_fraction(record: RunRecord) -> float | None:
    if record.data.task != "single_label":
        return None
    counts = record.data.classes["validation"]
    return max(counts.values()) / record.data.rows["validation"]


def _is_positive(gap: Gap) -> bool:
    return gap.low is not None and gap.low > 0
