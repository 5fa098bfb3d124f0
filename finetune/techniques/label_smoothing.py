"""Label smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.losses import Losses
from finetune.techniques.outcome import Outcome
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import Tensor


SHOWN = 6  # classes whose targets are written out


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy against q = (1 − ε) onehot(y) + ε/K, in nats.

    Shapes: logits (batch, K) float; labels (batch,) int64 in [0, K). Returns (batch,).
    """
    log_probabilities = logits.log_softmax(dim=-1)
    nll = -log_probabilities.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return (1 - smoothing) * nll - smoothing * log_probabilities.mean(dim=-1)


class LabelSmoothing(Technique, Losses):
    """Label smoothing: a target of (1 − ε) for the right class and ε/K for all, so that the model is not overconfident.

        loss_i = (1 − ε) · nll_i + ε · mean_k(−log p_ik)

    It mostly lowers the loss gap and the confidence; accuracy changes little. A class weight multiplies the whole loss
    of its row (torch's weighted form smooths inside the weights: with two classes, ε = 0.1 and an imbalance beyond 19
    to 1 the best answer to a row of the frequent class is then the rare one,
    findings/torch-class-weights-turn-label-smoothing-around.sh).

    Range: near 0 nothing changes; near 1 the labels hardly matter. Usual values: 0.05 for two classes, 0.1 for more.
    Cost: ×1.0.
    Raises: RecipeError on multi-label and regression, which have no distribution over classes to smooth.
    Relations: `focal` also replaces the loss: mutually exclusive. Can be combined with class weights, `r_drop` and
    `mixup`.
    Evidence: improves calibration out of domain and may hurt it in domain (Desai & Durrett 2020); accuracy about
    unchanged.
    Source: Szegedy et al. 2016, arXiv:1512.00567, §7. Departs from it in: nothing.
    """

    family: ClassVar[str] = "targets"
    source: ClassVar[str] = "Szegedy et al. 2016, arXiv:1512.00567, §7"
    search: ClassVar[Mapping[str, SearchRange]] = {"smoothing": SearchRange(0.01, 0.3)}

    smoothing: float = Field(0.1, gt=0, lt=1, description="ε, fraction of the target spread over all classes.")

    def problems(self, budget: Budget) -> list[Problem]:
        if budget.task in ("regression", "multi_label"):
            why = f"has no meaning for {budget.task}: there is no distribution over classes to smooth."
            return [Problem(why, changes=(Change(settings={"": "off"}),))]
        return []

    def outcome(self, run: Outcome) -> str | None:
        if run.classes is None:
            return None
        rest = self.smoothing / run.classes
        right = 1 - self.smoothing + rest
        if run.classes > SHOWN:
            return f"targets for {run.classes} classes: {right:.4g} for the right one, {rest:.4g} for each other"
        row = [right if number == run.classes - 2 else rest for number in range(run.classes)]
        shown = ", ".join(f"{target:.4g}" for target in row)
        return f"targets for {run.classes} classes: [{shown}] where class {run.classes - 1} is right"

    def example_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return smoothed_cross_entropy(logits, labels, self.smoothing)
