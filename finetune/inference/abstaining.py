"""The confidence threshold above which a classifier predicts, so that its predictions have the requested accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.errors import Change, RecipeError
from finetune.measurement.gap import LEVEL
from finetune.measurement.intervals import proportion_interval
from finetune.measurement.units import percent_text
from finetune.models.served import Confidences
from finetune.tasks import Task

LEAST = 20  # validation rows that are answered, below which their accuracy says nothing


@dataclass(frozen=True)
class Threshold:
    """A threshold chosen on validation.

    Attributes:
        confidence: Calibrated probability of the predicted class; rows below it get no prediction.
        wanted: Accuracy that it was chosen for.
        accuracy: Accuracy on the validation rows at or above the threshold.
        low, high: 95 % interval of the accuracy (Wilson's). It ignores that the threshold was chosen on the same rows.
        answered: Number of validation rows at or above the threshold.
        rows: Number of validation rows.
    """

    confidence: float
    wanted: float
    accuracy: float
    low: float
    high: float
    answered: int
    rows: int

    def __str__(self) -> str:
        share = percent_text(self.answered / self.rows)
        return (
            f"predicts at a confidence of {percent_text(self.confidence, 1)} or more: on validation {self.answered} of "
            f"{self.rows} rows ({share}), of which {percent_text(self.accuracy, 1)} were right "
            f"[{percent_text(self.low, 1)}, {percent_text(self.high, 1)}]"
        )


def choose_threshold(found: Confidences | None, accuracy: float, task: Task) -> Threshold:
    """The lowest threshold with the requested accuracy on validation, which gives a prediction for the most rows.

    Args:
        found: The model's confidences on validation; None if it has none.
        accuracy: Requested accuracy, in (0, 1).
        task: Of the model.

    Raises:
        RecipeError: The model does not predict single classes, has no confidences, or does not reach the accuracy on at
            least `LEAST` rows.
    """
    if not 0 < accuracy < 1:
        raise RecipeError("expected a fraction between 0 and 1, such as 0.95.", argument="accuracy", found=accuracy)
    if task != "single_label":
        what = "numbers" if task == "regression" else "any number of labels"
        why = f"is for models that predict one class for a text; this one predicts {what}. Leave it out."
        raise RecipeError(why, argument="accuracy", found=accuracy)
    if found is None:
        why = (
            "this model has no record of its confidence on validation: it was saved by another program or an older "
            "version. Leave it out."
        )
        raise RecipeError(why, argument="accuracy", found=accuracy)
    points = list(zip(found.confidence, found.answered, found.right, strict=True))
    enough = [(right / answered, point, answered, right) for point, answered, right in points if answered >= LEAST]
    reached = [entry for entry in enough if entry[0] >= accuracy]
    if not reached:
        if not enough:
            why = f"validation has {found.rows} rows, and {LEAST} are needed to choose a threshold."
            raise RecipeError(why, argument="accuracy", found=accuracy)
        best, _, answered, _ = max(enough)
        why = f"not reached on validation: its {answered} most confident rows reach {percent_text(best, 1)}."
        lower = Change(arguments={"accuracy": int(1000 * best) / 1000})
        raise RecipeError(why, lower, argument="accuracy", found=accuracy)
    share, point, answered, _ = reached[-1]
    low, high = proportion_interval(share, answered, LEVEL)
    return Threshold(point, accuracy, share, low, high, answered, found.rows)
