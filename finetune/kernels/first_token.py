"""The last layer computes only what the head reads: the first token.

A BERT-like classifier looks at the last layer's first token alone. Keys and values are needed of all tokens; queries,
feed-forward maps and everything after the attention only of the first. That saves most of a layer's work. Of a layer
that was added to average all tokens (queries and keys are 0, values the tokens) no product of matrices is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

# Heads that read the first token and nothing else of the last layer.
FIRST_TOKEN_HEADS = (
    "BertForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
    "CamembertForSequenceClassification",
    "ElectraForSequenceClassification",
)


def reads_first_token(model: Any) -> bool:
    """Whether the rest of the last layer's output goes nowhere.

    Not so where something else may look at it: a hook on the layer's output, or on that of what holds it.
    """
    if type(model).__name__ not in FIRST_TOKEN_HEADS or model.config.is_decoder:
        return False
    encoder = model.base_model.encoder
    return not any(module._forward_hooks for module in (encoder.layer[-1], encoder, model.base_model))


def compute_first_token_only(model: Any) -> str:
    """Give the last layer a forward pass that returns (batch, 1, width): other tokens are not there to be misread.

    Returns:
        Name of the kernel: mean_pooling where the layer averages, else first_token.
    """
    layer = model.base_model.encoder.layer[-1]
    kind, averages = type(layer), _averages(layer.attention.self)
    layer.__class__ = type(kind.__name__, (_Mean if averages else _FirstToken, kind), {})
    return "mean_pooling" if averages else "first_token"


def _averages(attention: Any) -> bool:
    """Whether every token attends to all alike, and to what they are, and no training changes that."""
    maps = (attention.query, attention.key, attention.value)
    if any(type(module) is not nn.Linear or module.weight.requires_grad for module in maps):
        return False
    width = attention.value.weight.shape[0]
    return (
        not attention.query.weight.any()
        and not any(module.bias is None or module.bias.requires_grad or module.bias.any() for module in maps)
        and torch.equal(attention.value.weight, torch.eye(width, device=attention.value.weight.device))
        and attention.dropout.p == 0
    )


class _FirstToken:
    """Mixed into the class of a BERT-like layer."""

    attention: Any
    feed_forward_chunk: Any
    training: bool

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, *of_a_decoder: Any, **others: Any
    ) -> Tensor:
        first = hidden_states[:, :1]
        mixed = self.mixed(first, hidden_states, None if attention_mask is None else attention_mask[:, :, :1], **others)
        output: Tensor = self.feed_forward_chunk(self.attention.output(mixed, first))
        return output

    def mixed(self, first: Tensor, tokens: Tensor, mask: Tensor | None, **others: Any) -> Tensor:
        """What the first token takes of all tokens, (batch, 1, width)."""
        inner = self.attention.self

        def heads(values: Tensor) -> Tensor:
            return values.view(*values.shape[:2], -1, inner.attention_head_size).transpose(1, 2)

        attend = ALL_ATTENTION_FUNCTIONS[inner.config._attn_implementation]
        mixed, _ = attend(
            inner,
            heads(inner.query(first)),
            heads(inner.key(tokens)),
            heads(inner.value(tokens)),
            mask,
            dropout=inner.dropout.p if self.training else 0.0,
            scaling=inner.scaling,
            **others,
        )
        return mixed.reshape(*first.shape[:2], -1)


class _Mean(_FirstToken):
    """Of a layer that averages all tokens."""

    def mixed(self, first: Tensor, tokens: Tensor, mask: Tensor | None, **others: Any) -> Tensor:
        if mask is None:
            return tokens.mean(1, keepdim=True)
        seen = mask[:, 0].transpose(1, 2).to(tokens.dtype)  # (batch, tokens, 1)
        return (tokens * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
