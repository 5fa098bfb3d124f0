"""What one run's numbers say, and the next command. One seed can show a gap; it cannot compare presets."""

from finetune.measurement.scores import measure_of
from finetune.records.schema import FinishedRecord, Gap, RunRecord

NO_CORRELATION = 0.05  # Matthews correlation of predictions that hardly depend on the text
BARELY = 0.01  # above the majority share: a model within one point of it has learned next to nothing


def is_degenerate(record: FinishedRecord) -> bool:
    """Whether the selected checkpoint does no better than one answer for all texts."""
    return _degeneration(record) is not None


def diagnose(record: FinishedRecord) -> str:
    """One sentence on the selected checkpoint: degenerate, overfits, overfits in confidence only, or no sign of it."""
    measure = measure_of(record.data.task, record.data.score)
    degeneration = _degeneration(record)
    if degeneration is not None:
        return degeneration
    by_score = _is_positive(record.selected.gap[measure.score])
    by_loss = _is_positive(record.selected.gap[measure.loss])
    rows = record.data.rows["validation"]
    if by_score:
        return "overfits: the model that ships is better on what it was trained on than on new texts."
    if by_loss:
        return (
            "overfits in confidence only: the loss is worse on new texts, the score is not (as far as the rows tell)."
        )
    return f"no sign of overfitting that {rows} validation rows could show."


def _degeneration(record: FinishedRecord) -> str | None:
    measure = measure_of(record.data.task, record.data.score)
    majority = _majority_share(record)
    score = record.selected.validation[measure.score]
    # Whichever score leads: one answer for all texts has at most the accuracy of the largest class, and no correlation.
    accuracy = record.selected.validation.get("accuracy")
    mcc = record.selected.validation.get("mcc") or 0.0
    if majority is not None and accuracy is not None and accuracy <= majority + BARELY and mcc < NO_CORRELATION:
        return (
            f"degenerate: validation accuracy {accuracy:.1%} is no better than always naming the most frequent class "
            f"({majority:.1%}); train longer, or with a larger learning rate."
        )
    if score is None:
        return f"degenerate: validation {measure.score} is undefined, so all predictions are alike; train longer."
    if record.data.task == "multi_label" and score == 0:
        return "degenerate: no label is ever predicted; train longer, or with a larger learning rate."
    return None


def next_command(record: RunRecord, recipe: str, preset: str | None) -> tuple[str, str]:
    """A command worth typing next, and why. `recipe` (options included) and `preset` are what the user typed."""
    if not record.techniques:
        return (
            f"finetune run {recipe} --preset strong --seed {record.seed}",
            "what regularization does to this gap",
        )
    return (
        f"finetune compare {recipe} --presets none,{preset or 'own'}",
        "whether it is more than chance: the same over five seeds, with and without",
    )


def _majority_share(record: RunRecord) -> float | None:
    if record.data.task != "single_label":
        return None
    counts = record.data.classes["validation"]
    return max(counts.values()) / record.data.rows["validation"]


def _is_positive(gap: Gap) -> bool:
    return gap.low is not None and gap.low > 0
