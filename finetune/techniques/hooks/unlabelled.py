"""Learning from texts without labels, in batches beside the labelled ones."""

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
    """What an optimizer step knows before its passes. In every process and with any accumulation it is the same.

    Attributes:
        logits: (texts, outputs), float32, of the unlabelled texts of this step as they are written, in eval mode.
        labelled: (rows, outputs), likewise, of training rows drawn at random.
        labels: (rows,), (rows, outputs) or (rows,) float, of these rows.
        frequencies: (outputs,), the share of each class in the training rows.
        memory: Name -> tensor. What is put here the next step finds, also when a run is resumed.
        step: Optimizer steps that were taken before this one.
        steps: Of the whole schedule.
    """

    logits: Tensor
    labelled: Tensor
    labels: Tensor
    frequencies: Tensor
    memory: dict[str, Tensor]
    step: int
    steps: int


class UnlabelledTargets(NamedTuple):
    """What each unlabelled text of a step is trained towards: targets (texts, …) and weights (texts,) float32."""

    targets: Tensor
    weights: Tensor


class Unlabelled:
    """One technique per run may have these hooks. It says `unlabelled = "needed"`.

    In each step the clean model predicts some unlabelled texts; from that the technique makes targets. Then altered
    texts are passed through the model in training mode, and the objective gets the weighted mean of their losses.
    """

    def unlabelled_texts(self) -> int:
        """Unlabelled texts in a step, for each row of a labelled batch; at least 1."""
        return 1

    def altered_view(self) -> Mapping[str, Augmentation]:
        """What alters the texts that are trained on, by a name for each; applied in their order."""
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
