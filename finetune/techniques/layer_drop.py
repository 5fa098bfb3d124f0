"""LayerDrop: whole encoder layers are skipped at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finetune.models.layers import encoder_layers
from finetune.techniques.base import Technique
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.parts import refused_by
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import Tensor, nn


def kept_or_skipped(hidden: Tensor, output: Tensor, skip: Tensor) -> Tensor:
    """`hidden` where `skip`, a single bool, is true, else `output`; both (batch, tokens, width).

    The one that is not returned gets a gradient of exactly 0, and an infinite value in it has no effect.
    """
    import torch

    return torch.where(skip, hidden, output)


class LayerDrop(Technique, ModelChanges):
    """LayerDrop: skip each encoder layer at random in training, so that no layer relies on the one before it.

        h_{l+1} = h_l with probability p, else layer_l(h_l)        anew for each layer and forward pass

    h_l is the hidden state that enters layer l. All rows of a forward pass skip the same layers, as published.

    A skipped layer is still computed, and its result is discarded: its parameters get a gradient of exactly 0, which
    training in several processes requires; AdamW then moves them by its momentum alone. Evaluation uses all layers, and
    nothing is rescaled. All layers are skipped at once with probability p^layers.
    Range: of `probability`: near 0 it has no effect, near 1 only the word embeddings are left; 0.2 is the highest
    published value, for models pre-trained with it. With p = 0.05 a BERT-base loses 0.6 of its 12 layers per pass on
    average.
    Cost: 1 × plain fine-tuning: no time is saved, see above.
    Raises: ModelError for architectures whose layers are not known or share their weights (albert).
    Relations: adds to `dropout`. With `r_drop` the two passes of a row may skip different layers.
    Evidence: none found for encoder classification with models that were not pre-trained with it; they degrade when
    many layers are skipped, small models most.
    Source: Fan et al. 2020, arXiv:1909.11556. Departs from it in: used in fine-tuning only, and nothing is pruned.
    """

    family: ClassVar[str] = "dropout"
    source: ClassVar[str] = "Fan et al. 2020, arXiv:1909.11556"
    search: ClassVar[Mapping[str, SearchRange]] = {"probability": SearchRange(0.01, 0.2)}

    probability: float = Field(
        0.05, gt=0, lt=1, description="p, probability that a layer is skipped in a forward pass."
    )

    def prepare_model(self, model: nn.Module) -> None:
        import torch

        with refused_by("layer_drop"):
            layers = encoder_layers(model)

        def drop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            if not module.training:
                return output
            hidden = args[0] if args else kwargs["hidden_states"]
            skip = torch.rand((), device=hidden.device) < self.probability
            if isinstance(output, tuple):  # hidden state first, then attention weights or nothing
                return (kept_or_skipped(hidden, output[0], skip), *output[1:])
            return kept_or_skipped(hidden, output, skip)

        for layer in layers.values():
            layer.register_forward_hook(drop, with_kwargs=True)
