"""Mixup of hidden states."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from finetune.models.layers import encoder_layers
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.losses import Losses, TrainStep
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.parts import refused_by
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import Tensor, nn

_STATE = "_mixup"  # attribute of the classifier that holds its `_Mixer`


class Mix(NamedTuple):
    """The mixture of one pass: `weight` (rows,) in [½, 1] of the row itself, `partner` (rows,) indices."""

    weight: Tensor
    partner: Tensor


def draw_mix(rows: int, alpha: float) -> Mix:
    """λ ~ Beta(α, α), the larger of λ and 1 − λ, for each row; each row gets a partner that is another row.

    Partners are neighbours on a random circle of all rows; a single row is its own. Draws come from torch's global CPU
    generator, even if the model is on a GPU.
    """
    import torch

    weight = torch.distributions.Beta(alpha, alpha).sample((rows,))
    circle = torch.randperm(rows)
    partner = torch.empty_like(circle)
    partner[circle] = circle.roll(1)
    return Mix(torch.maximum(weight, 1 - weight), partner)


def expected_weight(alpha: float) -> float:
    """Mean of max(l, 1 − l) for l ~ Beta(α, α): ½ + 4^−α / (α B(α, α))."""
    log_beta = 2 * math.lgamma(alpha) - math.lgamma(2 * alpha)
    return 0.5 + math.exp(-alpha * math.log(4) - log_beta) / alpha


def mix_rows(values: Tensor, mix: Mix) -> Tensor:
    """λ v_i + (1 − λ) v_partner(i) for each row i of values (rows, …)."""
    weight = mix.weight.to(values).reshape(-1, *[1] * (values.dim() - 1))
    return weight * values + (1 - weight) * values[mix.partner.to(values.device)]


class _Mixer:
    """Pre-forward hook of a layer, and the state of a pass: techniques keep no state.

    It acts on a layer's input and not on the output of the layer below: other techniques may discard that output.
    """

    def __init__(self, model: nn.Module, alpha: float) -> None:
        self._model = model
        self._alpha = alpha
        self.done: Mix | None = None  # the mix of the last pass
        self.next: Mix | None = None  # what the next pass is to use instead of a fresh draw

    def __call__(self, _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self._model.training:
            return None
        hidden = args[0] if args else kwargs["hidden_states"]
        self.done = mix = self.next or draw_mix(len(hidden), self._alpha)
        mixed = mix_rows(hidden, mix)
        return ((mixed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": mixed})


class Mixup(Technique, ModelChanges, Losses):
    """Mixup: train on mixtures of the hidden states and the targets of two texts.

        h̃_i = λ_i h_i + (1 − λ_i) h_j        at the input of one encoder layer, position by position
        loss_i = λ_i loss(z̃_i, y_i) + (1 − λ_i) loss(z̃_i, y_j),     λ_i = max(l, 1 − l),  l ~ Beta(α, α)

    h: hidden states (tokens × width); j: another random row of the same micro-batch; every row is a partner once; z̃_i:
    logits of the mixture; λ_i in [½, 1], one draw for each row and pass.

    The row itself always has the larger weight, and its own attention mask is kept: a longer partner is cut to its
    length, and beyond the end of a shorter partner that partner's padding states are mixed in. Mixing losses is mixing
    targets: for multi-label and regression the gradients are those of the mixed target. Class weights go with the
    target they belong to. A micro-batch of a single row cannot be mixed and is trained on as it is.

    Range: α near 0 mixes next to nothing; at 1 λ is uniform over [½, 1]; at 16 every mixture is nearly half and half.
    depth 0 mixes the embeddings; near 1 it mixes before the last layer, where mostly [CLS] counts. In between, depth ×
    layers is rounded down: 0.75 mixes what enters layer 10 of 12, 5 of 6, 4 of 4.
    Cost: × 1.0, hardly any extra memory.
    Raises: ModelError on ALBERT, whose layers are one layer, and where the layers of an architecture are not known.
    Relations: the losses of `label_smoothing`, `focal`, `multi_sample_dropout` and the second pass of `r_drop` are
    mixed too, with the same λ and partners; `sam` and `fgm` repeat the same mix. `confidence_penalty` sees the
    mixture. Combined with `dropout` above 0.1 the effect is strong: both add noise to the same states.
    Evidence: MixText gains most at 10–200 labelled texts and with unlabelled ones (Chen et al. 2020); with labels
    only, small; none found at about 1,000.
    Source: Verma et al. 2019, arXiv:1806.05236; Chen et al. 2020, arXiv:2004.12239 (TMix). Departs from it in: one
    fixed layer; a λ for each row; no row is its own partner; no unlabelled texts.
    """

    family: ClassVar[str] = "consistency and noise"
    source: ClassVar[str] = "Verma et al. 2019, arXiv:1806.05236"
    search: ClassVar[Mapping[str, SearchRange]] = {"alpha": SearchRange(0.1, 2)}

    alpha: float = Field(
        0.4, gt=0, le=100, description="α of Beta(α, α), from which the weights of the rows are drawn."
    )
    depth: float = Field(0.75, ge=0, lt=1, description="Fraction of the encoder's layers below the mixing.")

    def effect(self, budget: Budget) -> str:
        return f"a row keeps {expected_weight(self.alpha) * 100:.0f} % of itself on average"

    def prepare_model(self, model: nn.Module) -> None:
        with refused_by("mixup"):
            layers = list(encoder_layers(model).values())
        mixer = _Mixer(model, self.alpha)
        setattr(model, _STATE, mixer)
        layers[math.floor(self.depth * len(layers))].register_forward_pre_hook(mixer, with_kwargs=True)

    def change_pass(self, step: TrainStep) -> TrainStep:
        mixer: _Mixer = getattr(step.model, _STATE)
        mix = mixer.done
        assert mix is not None, "a pass of training goes through every layer"
        weight, partner = mix.weight.to(step.logits.device), mix.partner.to(step.logits.device)

        def losses_for(logits: Tensor, labels: Tensor) -> Tensor:
            own, others = step.losses_for(logits, labels), step.losses_for(logits, labels[partner])
            return weight * own + (1 - weight) * others

        def forward() -> TrainStep:
            mixer.next = mix
            try:
                return step.forward()
            finally:
                mixer.next = None

        weights = mix_rows(step.row_weights, mix)
        return dataclasses.replace(step, losses_for=losses_for, forward=forward, row_weights=weights)
