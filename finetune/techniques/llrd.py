"""Layer-wise learning-rate decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from finetune.models.layers import encoder_layers
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.parameters import Part, WeightNames
from finetune.techniques.parts import refused_by
from finetune.techniques.search import SearchRange, linear

if TYPE_CHECKING:
    from torch import nn

SHOWN = (6, 12)  # layers of usual models, to show what a decay amounts to


class LLRD(Technique, ModelChanges, TrainingPlan):
    """Layer-wise learning-rate decay: lower layers, which are more general, get a lower learning rate.

        η_l = η · τ · ξ^(L − l)      l = L the top layer, l = 0 the embeddings; head, pooler and final norm: η · τ

    This holds in every step, whatever the schedule. Weights that all layers share (relative positions, DeBERTa's
    convolution) are treated like the embeddings.

    Range: near 1 it is plain fine-tuning; 0.8 leaves the embeddings of 12 layers 7 % of the learning rate.
    Cost: 1.0 ×.
    Raises: ModelError if layers share their weights (albert) or are unknown.
    Relations: the factor multiplies the learning rates that other techniques set (`head_first`, `lora`, `train_only`).
    It lowers the mean learning rate: compare it with `top` at 2 to 2.5, or the comparison is one of learning rates.
    `weight_decay` by `total_shrink` is solved for η, so weights with a higher rate shrink more. `l2_sp`, and
    `weight_decay` by strength, follow each layer's learning rate, so they act less on lower layers.
    Evidence: none at BERT-large: RTE 69.7 ± 3.2 vs 69.5 ± 2.5, MRPC 91.3 vs 90.8, CoLA 63.0 vs 63.0 (Zhang et al. 2021,
    arXiv:2006.05987, Table 2).
    Source: Howard & Ruder 2018, arXiv:1801.06146, §3.2. Departs from it in: ξ near 1 instead of 1/2.6, as encoders of
    many layers need.
    """

    family: ClassVar[str] = "shrinkage of the step"
    source: ClassVar[str] = "Howard & Ruder 2018, arXiv:1801.06146, §3.2"
    search: ClassVar[Mapping[str, SearchRange]] = {"decay": linear(0.8, 0.99)}

    decay: float = Field(
        0.95, gt=0, lt=1, description="ξ, learning rate of a layer relative to that of the layer above."
    )

    top: float = Field(1.0, gt=0, le=10, description="τ, learning rate of head and top layer relative to the recipe's.")

    def effect(self, budget: Budget) -> str:
        shown = (f"× {self.top * self.decay**layers:.3g} below {layers} layers" for layers in SHOWN)
        head = "" if self.top == 1 else f"learning rate of head and top layer × {self.top:g}, "
        return f"{head}learning rate of the embeddings {', '.join(shown)}"

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return names.trainable - names.head

    def prepare_model(self, model: nn.Module) -> None:
        with refused_by("llrd"):
            encoder_layers(model)

    def rate_factor(self, part: Part, budget: Budget) -> float:
        return float(self.top * self.decay ** max(0, part.layers - part.depth))
