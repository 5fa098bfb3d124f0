"""Learning from texts without labels, in batches in addition to the labelled ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from finetune.techniques.budget import Budget
from finetune.techniques.hooks.augmentation import Augmentation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class UnlabelledStep:
    """State of an optimizer step before its passes, the same in every process and with any accumulation.

    Attributes:
        logits: (texts, outputs), float32, of the unlabelled texts of this step as they are written, in eval mode.
        labelled: (rows, outputs), likewise, of training rows drawn at random.
        labels: (rows,), (rows, outputs) or (rows,) float, of these rows.
        frequencies: (outputs,), the share of each class in the training rows.
        memory: Name -> tensor, kept for the next step, also when a run is resumed.
        step: Optimizer steps that were taken before this one.
        steps: Optimizer steps of the whole schedule.
    """

    logits: Tensor
    labelled: Tensor
    labels: Tensor
    frequencies: Tensor
    memory: dict[str, Tensor]
    step: int
    steps: int


class UnlabelledTargets(NamedTuple):
    """Training targets of the unlabelled texts of a step: targets (texts, …) and weights (texts,) float32."""

    targets: Tensor
    weights: Tensor


class Unlabelled:
    """One technique per run may have these hooks. It declares `unlabelled = "needed"`.

    In each step the clean model predicts some unlabelled texts, and the technique makes targets from these predictions.
    Altered texts are then passed through the model in training mode, and the weighted mean of their losses is added to
    the objective.
    """

    def unlabelled_texts(self) -> int:
        """Unlabelled texts in a step, for each row of a labelled batch; at least 1."""
        return 1

    def altered_view(self) -> Mapping[str, Augmentation]:
        """Names of the alterations of the texts that are trained on, in the order in which they are applied."""
        return {}

    def starts_at(self, budget: Budget) -> int:
        """The first optimizer step, from 0, that has unlabelled texts; those before cost nothing."""
        return 0

    def unlabelled_targets(self, step: UnlabelledStep) -> UnlabelledTargets:
        """Targets for the texts of a step, without gradients; by default no text counts. Nothing random may happen."""
        return UnlabelledTargets(step.logits.argmax(dim=-1), step.logits.new_zeros(len(step.logits)))

    def unlabelled_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(texts,), the losses of altered texts: logits (texts, outputs) float32, targets as they were made.

        By default cross-entropy towards classes or probabilities.
        """
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets, reduction="none")
