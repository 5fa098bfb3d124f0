"""The vector of a text from a frozen encoder, as the head would read it before training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from finetune.errors import Change, ModelError, first_line
from finetune.model_files import loading_errors
from finetune.models.configuration import WITHOUT_HUB, locate_model, not_loaded
from finetune.models.layers import POOLING
from finetune.models.load import load_quietly
from finetune.models.pooling import Pooling, resolve_pooling
from finetune.recipe import ModelSection

ANOTHER = Change(text="name another.")
TOKENS_AT_ONCE = 8192  # rows × longest text of a batch: 32 texts of 256 tokens
MOST_AT_ONCE = 64  # rows of a batch
# What modules raise for tokens that they have no embedding for, inputs they do not know, or too little memory.
READING_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError)


class FrozenEncoder:
    """A pretrained encoder in fp32 and eval mode, without a head.

    Attributes:
        config: Configuration of the checkpoint.
        pooling: Pooling that the head would read, and why.
        parameters: Number of parameters of the encoder, including its unused pooler.
        dimension: Length of the vector of a text.
        lacking: Weights that the checkpoint lacks, which are random.

    Args:
        section: The model section of the recipe.

    Raises:
        ModelError: The model is missing, cannot be loaded, is a decoder, or cannot pool as the recipe says.
    """

    def __init__(self, section: ModelSection) -> None:
        self._section = section
        location = locate_model(section)
        self.config: Any = encoder_config(section)
        self.pooling: Pooling = resolve_pooling(section, location, self.config)
        # A checkpoint of ours has pooled already: its first token is the mean.
        self._averages = self.pooling.kind != "cls" and getattr(self.config, POOLING, None) is None
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, missing = _load_encoder(section, location)
        self._model = model.to(self._device).eval()
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.dimension = int(getattr(self.config, "hidden_size", 0) or self.config.dim)
        self.lacking = sorted(name for name in missing if "pooler" not in name)

    def features(
        self, items: Sequence[dict[str, Any]], collate: Callable[[Sequence[dict[str, Any]]], dict[str, torch.Tensor]]
    ) -> NDArray[np.float32]:
        """(texts, dimension) of length 1, in the order of `items`: the mean over unmasked tokens, or the first token,
        of the last hidden state.

        Args:
            items: Tokens of each text, truncated and unpadded.
            collate: Pads a batch; its labels are not read.

        Raises:
            ModelError: The model does not take these tokens, or returns non-finite values.
        """
        order = sorted(range(len(items)), key=lambda index: len(items[index]["input_ids"]))
        found = np.zeros((len(items), self.dimension), dtype=np.float32)
        try:
            with torch.no_grad():
                for rows in _batches(order, [len(item["input_ids"]) for item in items]):
                    found[rows] = self._pooled(collate([items[row] for row in rows]))
        except READING_ERRORS as error:
            raise self._refused(f"cannot read these texts: {first_line(error)}.") from error
        if not np.isfinite(found).all():
            raise self._refused("returns values that are not finite: its weights are damaged.")
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(norms, 1e-12), dtype=np.float32)

    def _pooled(self, batch: dict[str, torch.Tensor]) -> NDArray[np.float32]:
        inputs = {name: values.to(self._device) for name, values in batch.items() if name != "labels"}
        hidden = self._model(**inputs).last_hidden_state.float()
        pooled = masked_mean(hidden, inputs["attention_mask"]) if self._averages else hidden[:, 0]
        return np.asarray(pooled.cpu().numpy(), dtype=np.float32)

    def _refused(self, why: str) -> ModelError:
        return ModelError(f"'{self._section.id}' {why}", key="model.id", found=self._section.id)


def masked_mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens that are not padding.

    Args:
        hidden: (texts, tokens, dimension).
        mask: (texts, tokens), 1 for tokens and 0 for padding.

    Returns:
        (texts, dimension).
    """
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def encoder_config(section: ModelSection) -> Any:
    """The configuration of a checkpoint whose tokens attend to the whole text.

    Raises:
        ModelError: There is none, or it belongs to a decoder.
    """
    try:
        config = AutoConfig.from_pretrained(locate_model(section), revision=section.revision, trust_remote_code=False)
    except loading_errors() as error:
        raise not_loaded(section, error, ANOTHER) from error
    kind = config.model_type
    decodes = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if decodes or getattr(config, "is_decoder", False) or getattr(config, "is_encoder_decoder", False):
        why = f"'{section.id}' ('{kind}') is or has a decoder. Name an encoder: bert, roberta, …"
        raise ModelError(why, *WITHOUT_HUB, key="model.id", found=section.id)
    return config


def _load_encoder(section: ModelSection, location: str) -> tuple[Any, set[str]]:
    """The encoder, and names of the weights that it lacks."""
    try:
        model, report = load_quietly(AutoModel, location, revision=section.revision)
    except loading_errors() as error:
        raise not_loaded(section, error, ANOTHER) from error
    return model, set(report["missing_keys"])


def _batches(order: Sequence[int], sizes: Sequence[int]) -> Iterable[list[int]]:
    """Positions in ascending length, so that there is little padding and no batch holds too many tokens."""
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) == MOST_AT_ONCE or (len(batch) + 1) * sizes[row] > TOKENS_AT_ONCE):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
