"""Mixout: dropout of the change of weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finetune.models.layers import linear_paths
from finetune.techniques.base import Technique
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.parameters import WeightNames
from finetune.techniques.parts import layer_number, refused_by
from finetune.techniques.search import SearchRange, linear

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


def mixed_weights(weights: Tensor, pretrained: Tensor, probability: float) -> Tensor:
    """[M ⊙ w₀ + (1 − M) ⊙ w − p w₀] / (1 − p) with M ~ Bernoulli(p) for each weight; its mean over M is w.

    The same as w₀ + dropout_p(w − w₀), which is how it is computed: torch's dropout draws 1 − M and divides by 1 − p.

    All shapes are equal.
    """
    import torch.nn.functional as F

    return pretrained + F.dropout(weights - pretrained, probability)


def mixing_forward(probability: float) -> Callable[[nn.Linear, Tensor], Tensor]:
    """The forward pass of a linear map whose weights are mixed in training. It holds `pretrained_weight`."""
    import torch.nn.functional as F

    def forward(module: nn.Linear, inputs: Tensor) -> Tensor:
        weight: Tensor = module.weight
        if module.training and weight.requires_grad:  # a frozen one has its pretrained values
            weight = mixed_weights(weight, module.pretrained_weight, probability)  # type: ignore[arg-type]
        return F.linear(inputs, weight, module.bias)

    return forward


class Mixout(Technique, ModelChanges):
    """Mixout: replace random weights by their pretrained values in each forward pass.

        w̃ = [M ⊙ w₀ + (1 − M) ⊙ w − p w₀] / (1 − p),   M ~ Bernoulli(p) for each weight, drawn anew in each pass

    The mean of w̃ is w, so that evaluation uses w as it is. The matrices of the linear maps inside the encoder's
    layers are mixed; biases, norms and embeddings are not, nor are pooler and head, which may have started from random
    values. The usual dropout stays as it is. w₀ is held in a buffer that is never saved.

    Range: near 0 it is plain fine-tuning; near 1 gradients grow noisy (they are divided by 1 − p) and the weights
    hardly leave w₀. Values from 0.1 to 0.9 have been used.
    Cost: 1.3 ×, three passes over the weights of the layers in each forward pass; memory for one more copy of them.
    Raises: ModelError if the layers are unknown or shared (albert).
    Relations: can be combined with `dropout`, `l2_sp` (the same target without noise) and `freeze` (frozen layers are
    not mixed). With `reinit` there is no w₀; with `lora` and `train_only` the matrices are frozen.
    Evidence: BERT-large, RTE 71.3 vs 69.5, MRPC 90.4 vs 90.8, CoLA 61.6 vs 63.0 with corrected Adam (Zhang et al. 2021,
    arXiv:2006.05987, Table 2); the larger gains in older work are due to an optimizer without bias correction.
    Source: Lee et al. 2020, arXiv:1909.11299. Departs from it in: head and pooler are not mixed; dropout is kept.
    """

    family: ClassVar[str] = "dropout"
    source: ClassVar[str] = "Lee et al. 2020, arXiv:1909.11299"
    cost: ClassVar[float] = 1.3
    search: ClassVar[Mapping[str, SearchRange]] = {"probability": linear(0.1, 0.9)}

    probability: float = Field(0.5, gt=0, lt=1, description="p, fraction of the weights replaced in each pass.")

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        matrices = names.pretrained & names.decayed
        return frozenset(name for name in matrices if layer_number(name) is not None)

    def prepare_model(self, model: nn.Module) -> None:
        with refused_by("mixout"):
            paths = linear_paths(model)
        for path in paths:
            module: Any = model.get_submodule(path)
            module.register_buffer("pretrained_weight", module.weight.detach().clone(), persistent=False)
            module.forward = MethodType(mixing_forward(self.probability), module)
