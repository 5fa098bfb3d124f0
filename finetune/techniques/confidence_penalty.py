"""Confidence penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.losses import Losses, TrainStep
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import Tensor


def class_entropy(logits: Tensor) -> Tensor:
    """H(softmax(z)) = −Σ_k p_k log p_k, in nats. (batch, K) -> (batch,)."""
    log_probabilities = logits.log_softmax(dim=-1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


def label_entropy(logits: Tensor) -> Tensor:
    """Mean over labels of H(σ(z)) = −σ(z) log σ(z) − σ(−z) log σ(−z), in nats. (batch, labels) -> (batch,)."""
    from torch.nn.functional import logsigmoid

    terms = logits.sigmoid() * logsigmoid(logits) + (-logits).sigmoid() * logsigmoid(-logits)
    return -terms.mean(dim=-1)


class ConfidencePenalty(Technique, Losses):
    """Confidence penalty: reward predictions with high entropy, so that the model does not become overconfident.

        objective = loss − β · mean_i w_i H(p_i),   H(p) = −Σ_k p_k log p_k

    p_i: predicted distribution of row i under dropout; H in nats, at most log K; w_i: class weight of the row, 1
    without class weights. For multi-label, H is the mean over labels of each label's Bernoulli entropy, at most
    log 2, as the loss is a mean over labels.

    Evaluation still measures the plain loss. The logged objective can become negative: with K classes its floor is −β
    log K.

    Range: β near 0 changes nothing; where β is about the loss of a learned row (1 and more), uniform predictions
    minimise the objective. Values from 0.01 to 0.3 have been tried.
    Cost: × 1.0, no extra memory.
    Raises: RecipeError on regression, which predicts no distribution.
    Relations: `label_smoothing` is the same idea with the two arguments of the divergence exchanged; used together,
    they act twice. The penalty is added to the objective, so it can be combined with every other technique; with
    `r_drop` the first of the two passes is penalised.
    Evidence: none found for encoder classification.
    Source: Pereyra et al. 2017, arXiv:1701.06548, §3. Departs from it in: the multi-label form; class weights; no
    threshold below which the entropy is left alone.
    """

    family: ClassVar[str] = "penalty"
    source: ClassVar[str] = "Pereyra et al. 2017, arXiv:1701.06548"
    search: ClassVar[Mapping[str, SearchRange]] = {"strength": SearchRange(0.01, 0.5)}

    strength: float = Field(0.1, gt=0, le=10, description="β, weight of one nat of entropy in units of the loss.")

    def problems(self, budget: Budget) -> list[Problem]:
        if budget.task == "regression":
            why = "has no meaning for regression: a number has no distribution whose entropy could be raised."
            return [Problem(why, changes=(Change(settings={"": "off"}),))]
        return []

    def train_loss(self, loss: Tensor, step: TrainStep) -> Tensor:
        entropy = label_entropy(step.logits) if step.task == "multi_label" else class_entropy(step.logits)
        return loss - self.strength * (step.row_weights * entropy).mean()
