"""HyPe: noise on the hidden states between the layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from finetune.errors import Change, Problem
from finetune.models.dropout import dropout_sites
from finetune.models.layers import encoder_layers
from finetune.techniques.base import Technique
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.parts import refused_by
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import Tensor, nn

Distribution = Literal["normal", "uniform"]


def noise_like(hidden: Tensor, sigma: float, distribution: Distribution) -> Tensor:
    """Independent draws of N(0, σ²) or U(−σ, σ), of the shape and type of `hidden`."""
    import torch

    if distribution == "normal":
        return sigma * torch.randn_like(hidden)
    return torch.empty_like(hidden).uniform_(-sigma, sigma)


class HiddenNoise(Technique, ModelChanges):
    """HyPe: add a little noise to the input of each encoder layer in training.

        h_l ← h_l + ε,   ε ~ N(0, σ²) or U(−σ, σ) for each number,   l = 1 … layers

    h_l is the hidden state that enters layer l, (batch, tokens, width); after layer normalisation its values are about
    1 or somewhat smaller.

    The noise is drawn anew in each forward pass of training. Hidden states are fp32 in bf16 runs too, so the noise is
    not rounded away where it is added; but the linear maps behind it compute in bf16, where any noise below σ ≈ 1e-3
    only changes the rounding: on MiniLM-L6 σ = 1e-6, 1e-5 and 1e-4 all changed the output by 3e-3 (in fp32 by 2σ). For
    the published σ to have its published effect, train with `training.precision: fp32`.
    Range: of `sigma`: 1e-5 is the published value; near 1 the noise is as large as the signal.
    Cost: 1 × plain fine-tuning.
    Raises: ModelError for architectures whose layers are not known or share their weights (albert).
    Relations: published with the model's dropout turned off, since dropout is far larger noise: a run with dropout gets
    a warning (try: --set techniques.dropout.hidden=0 --set techniques.dropout.attention=0). Adds to `neftune`.
    Evidence: BERT-large, mean of RTE, MRPC, CoLA and STS-B: 79.15 → 80.75 (normal, σ = 1e-5, dropout 0), but 79.92 with
    dropout 0.1; RoBERTa-large on 1,000 rows of MNLI 60.9 ± 11.9 → 79.9 ± 1.5, mostly by fewer collapsed runs.
    Source: Yuan et al. 2023, arXiv:2212.08853. Departs from it in: dropout is not turned off automatically.
    """

    family: ClassVar[str] = "consistency and noise"
    source: ClassVar[str] = "Yuan et al. 2023, arXiv:2212.08853"
    search: ClassVar[Mapping[str, SearchRange]] = {"sigma": SearchRange(1e-06, 0.01)}

    sigma: float = Field(
        1e-5, gt=0, le=1, description="σ, standard deviation (normal) or bound (uniform), in hidden-state units."
    )
    distribution: Distribution = Field("normal", description="normal: N(0, σ²); uniform: U(−σ, σ).")

    def model_warnings(self, model: nn.Module) -> list[Problem]:
        strongest = max((site.probability for site in dropout_sites(model) if site.kind != "classifier"), default=0.0)
        if strongest == 0:
            return []
        kinds = sorted({site.kind for site in dropout_sites(model) if site.kind != "classifier" and site.probability})
        why = (
            f"the model's own dropout of {strongest:g} is much larger noise, and the published gain was measured "
            "without dropout."
        )
        without = Change(settings={f"techniques.dropout.{kind}": 0 for kind in kinds})
        return [Problem(why, ".sigma", found=self.sigma, changes=(without,))]

    def prepare_model(self, model: nn.Module) -> None:
        with refused_by("hidden_noise"):
            layers = encoder_layers(model)

        def add_noise(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not module.training:
                return None
            if not args:
                hidden = kwargs["hidden_states"]
                return args, {**kwargs, "hidden_states": hidden + noise_like(hidden, self.sigma, self.distribution)}
            return (args[0] + noise_like(args[0], self.sigma, self.distribution), *args[1:]), kwargs

        for layer in layers.values():
            layer.register_forward_pre_hook(add_noise, with_kwargs=True)
