"""The last layer computes only what the head reads: the first token.

A BERT-like classifier looks at the last layer's first token alone. Keys and values are needed of all tokens; queries,
both feed-forward maps and everything after the attention only of the first. That saves most of a layer's work.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
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


def compute_first_token_only(model: Any) -> None:
    """Give the last layer a forward pass that returns (batch, 1, width): other tokens are not there to be misread."""
    layer = model.base_model.encoder.layer[-1]
    kind = type(layer)
    layer.__class__ = type(kind.__name__, (_FirstToken, kind), {})


class _FirstToken:
    """Mixed into the class of a BERT-like layer."""

    attention: Any
    feed_forward_chunk: Any
    training: bool

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, *of_a_decoder: Any, **others: Any
    ) -> Tensor:
        inner = self.attention.self
        first = hidden_states[:, :1]

        def heads(values: Tensor) -> Tensor:
            return values.view(*values.shape[:2], -1, inner.attention_head_size).transpose(1, 2)

        attend = ALL_ATTENTION_FUNCTIONS[inner.config._attn_implementation]
        mixed, _ = attend(
            inner,
            heads(inner.query(first)),
            heads(inner.key(hidden_states)),
            heads(inner.value(hidden_states)),
            None if attention_mask is None else attention_mask[:, :, :1],
            dropout=inner.dropout.p if self.training else 0.0,
            scaling=inner.scaling,
            **others,
        )
        attended = self.attention.output(mixed.reshape(*first.shape[:2], -1), first)
        output: Tensor = self.feed_forward_chunk(attended)
        return output
