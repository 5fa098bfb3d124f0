"""Early stopping, and keeping the best checkpoint instead of the last."""

from typing import ClassVar, Self

from pydantic import Field

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.kept_weights import KeptWeights, SelectionRule
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.outcome import Outcome


class EarlyStopping(Technique, TrainingPlan, KeptWeights):
    """Stop when validation no longer improves, and keep the best checkpoint.

    There is one evaluation per epoch. Training stops after `patience` evaluations in a row without a gain of more
    than `min_delta` over the last value that counted as a gain, but not before `min_epochs`. Smaller gains
    add up: the reference value does not follow them (in transformers' callback it does, so slow progress stops it). The
    checkpoint of the best evaluation is kept; equal scores are decided by the lower loss.

    A run that has not begun to learn is not stopped: patience counts from the first evaluation whose validation
    `metric` beats the trivial answer beyond chance. The trivial answer is the best one that is the same for every text:
    the most frequent class of the validation rows (as probabilities: the label frequencies), for several labels the
    frequency of each, for numbers the mean, whose correlation counts as 0.

        t = (m − m₀) / s,   s² = (n−1)/n · Σ_i (d_i − d̄)²,   d_i = m − m₀ without row i;   one-sided p < 0.05, n − 1 df

    For accuracy and losses, which are means over the n validation rows, this is the paired t-test. A metric for which
    another such answer could be better (F1, exact match and average precision of several labels, absolute error and
    Spearman of numbers, ECE, your own) is replaced by log loss or squared error in this test. A run that never passes
    the test continues to its last epoch.

    With `stop` false the run trains to its last epoch, and only the best checkpoint is kept. Where the learning rate
    falls to 0 over the planned epochs, a run that stops before never trains at the low rates, and with few validation
    rows three epochs without a gain are often chance.

    In a short run `patience` is limited to the number of epochs − 1, which keeps the best checkpoint and stops nothing.

    Range: `patience` 1 stops at the first epoch without a gain, which with few validation rows is random; epochs − 1 or
    more never stops (a warning says so). `min_delta` near 0 counts every gain; above the standard error of the metric
    (3.1 points of accuracy at 200 rows) hardly any. `min_epochs` has an effect from patience + 2 on: before that, there
    is nothing to stop.
    Cost: ×1.0 declared; what it saves by stopping is not counted in advance.
    Raises: RecipeError if min_epochs could never act (above 1, and at most patience + 1 or with `stop` false) or leaves
    no epoch to stop at.
    Relations: with `ema` or `swa` it measures and keeps the averaged weights; `wise_ft` starts from the selected ones.
    Evidence: the best checkpoint on 200 validation rows looks about 2.9 points better than it is (simulated, 20
    checkpoints): that is why test is separate.
    Source: Prechelt 1998, "Early Stopping — But When?". Departs from it in: patience against the last counted gain
    instead of a rise between strips, and not before the run has begun to learn.
    """

    family: ClassVar[str] = "shrinkage of the step"
    source: ClassVar[str] = "Prechelt 1998, Early Stopping - But When?"

    metric: str = Field(
        "score",
        description="Validation metric: score (accuracy; multi-label: average precision; R²), loss, or any other "
        "metric.",
    )
    patience: int = Field(
        3, ge=1, description="Evaluations in a row without a gain before stopping, once the run has begun to learn."
    )
    stop: bool = Field(True, description="false: train to the last epoch; the best checkpoint is kept in both cases.")
    min_delta: float = Field(0.001, ge=0, description="A gain must exceed this, in units of the metric.")
    min_epochs: int = Field(1, ge=1, description="Never stop before this many epochs.")

    def problems(self, budget: Budget) -> list[Problem]:
        if self.min_epochs == 1:
            return []
        never = Change(settings={".min_epochs": 1}, note="the default: patience alone decides")
        if not self.stop:
            why = f"{self.min_epochs} never acts: with stop=false training never stops early."
            return [
                Problem(why, ".min_epochs", found=self.min_epochs, changes=(never, Change(settings={".stop": True})))
            ]
        earliest = self.selection_rule().within(budget.epochs).patience + 1
        if self.min_epochs >= budget.epochs:
            why = f"{self.min_epochs} of {_epochs(budget)}: training could never stop early."
            fewer = [Change(settings={".min_epochs": budget.epochs - 1})] if budget.epochs - 1 > earliest else []
            return [Problem(why, ".min_epochs", found=self.min_epochs, changes=(*fewer, never))]
        if self.min_epochs <= earliest:
            why = (
                f"{self.min_epochs} never acts: with patience {earliest - 1} training stops after epoch {earliest} at "
                "the earliest."
            )
            fits = earliest + 1 < budget.epochs
            later = [Change(settings={".min_epochs": earliest + 1}, note="or more")] if fits else []
            return [Problem(why, ".min_epochs", found=self.min_epochs, changes=(never, *later))]
        return []

    def warnings(self, budget: Budget) -> list[Problem]:
        if not self.stop:
            return self._unused_patience()
        if self.patience < budget.epochs - 1:
            return []
        why = (
            f"with patience {self.patience}, {_epochs(budget)} cannot be stopped early: only the "
            "best checkpoint is kept."
        )
        longer = Change(settings={"training.epochs": self.patience + 2}, note="or more")
        return [Problem(why, ".patience", found=self.patience, changes=(longer,))]

    def _unused_patience(self) -> list[Problem]:
        if self.patience == type(self).model_fields["patience"].default:
            return []
        why = f"{self.patience} has no effect: with stop=false training never stops early."
        return [Problem(why, ".patience", found=self.patience, changes=(Change(settings={".stop": True}),))]

    def effect(self, budget: Budget) -> str | None:
        if not self.stop:
            return "never stops; keeps the best checkpoint"
        patience = self.selection_rule().within(budget.epochs).patience
        return None if patience == self.patience else f"patience {patience} in {_epochs(budget)}"

    def outcome(self, run: Outcome) -> str | None:
        if run.stopped is None:  # a refit has no validation to go by
            return None
        kept = f"the weights of epoch {run.selected_epoch:g} are kept"
        if not self.stop:
            return f"{kept}, of {run.epochs:g} epochs"
        stopped = "stopped early at" if run.stopped else "never stopped:"
        return f"{stopped} epoch {run.epochs:g} of {run.budget.epochs}; {kept}"

    def with_epochs_scaled(self, factor: float) -> Self:
        if not self.stop:  # nothing is counted
            return self
        least = (
            self.min_epochs if self.min_epochs == 1 else round(self.min_epochs * factor)
        )  # 1: patience alone decides
        return self.model_copy(update={"patience": round(self.patience * factor), "min_epochs": least})

    def selection_rule(self) -> SelectionRule:
        return SelectionRule(self.metric, self.patience, self.min_delta, self.min_epochs, self.stop)


def _epochs(budget: Budget) -> str:
    return "1 epoch" if budget.epochs == 1 else f"{budget.epochs} epochs"
