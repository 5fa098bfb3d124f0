"""NEFTune: noise on the word embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finetune.errors import ModelError
from finetune.models.layers import word_embeddings
from finetune.techniques.base import Technique
from finetune.techniques.changes import turned_off
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import Tensor, nn


def largest_noise(lengths: Tensor, width: int, strength: float) -> Tensor:
    """a / √(L d) for texts of L tokens, (batch,), and embeddings of width d."""
    return strength / (lengths * width).sqrt()


class NEFTune(Technique, ModelChanges):
    """NEFTune: add uniform noise to the word embeddings in training, so that exact embeddings are not memorised.

        e ← e + u · a / √(L d),   u ~ U(−1, 1) for each number

    L is the number of tokens of the text itself, d the width of the embeddings: the noise of a text has the same
    expected length a/√3 whatever its number of tokens, so that each token of a long text gets less.

    The noise is drawn anew in each forward pass of training, for each row; padding gets none and does not count, so
    that a text is treated the same in every batch (transformers' implementation counts the padding). Evaluation has no
    noise.
    Range: of `strength` a: near 0 it has no effect; 5, the published value for texts of 512 tokens and a width of 4096,
    gives noise as large as the embeddings themselves at 32 tokens and a width of 384 (±0.045 against a standard
    deviation of 0.05).
    Cost: 1 × plain fine-tuning.
    Raises: ModelError if the configuration names no padding token.
    Relations: `hidden_noise` adds noise to every layer's input; together they add up. `fgm` perturbs the noisy
    embeddings, with the same noise in both of its passes.
    Evidence: instruction tuning of large language models; none found for encoder classification.
    Source: Jain et al. 2023, arXiv:2310.05914. Departs from it in: L without padding; the default a is 1, not 5.
    """

    family: ClassVar[str] = "consistency and noise"
    source: ClassVar[str] = "Jain et al. 2023, arXiv:2310.05914"
    search: ClassVar[Mapping[str, SearchRange]] = {"strength": SearchRange(0.1, 3)}

    strength: float = Field(1.0, gt=0, le=100, description="a, the noise of a text: the largest length, times √3.")

    def prepare_model(self, model: nn.Module) -> None:
        import torch

        config: Any = model.config
        padding = config.pad_token_id
        if padding is None:
            raise ModelError(
                "config.json of this model has no pad_token_id, so padding cannot be distinguished from text.",
                turned_off("neftune"),
                key="techniques.neftune",
            )

        def add_noise(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not module.training:
                return output
            is_text = (inputs[0] != padding).to(output.dtype)
            bounds = largest_noise(is_text.sum(dim=1).clamp(min=1), output.shape[-1], self.strength)
            noise = torch.empty_like(output).uniform_(-1, 1) * bounds[:, None, None] * is_text[..., None]
            return output + noise

        word_embeddings(model).register_forward_hook(add_noise)
