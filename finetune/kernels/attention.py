"""Attention on a CPU for training on short texts: few passes over memory, masks that are cheap to draw.

torch's own kernels are made for long texts: without dropout they go block by block, which is slower below a few
hundred tokens; with dropout they materialise everything in many small steps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from finetune.kernels.dropout import can_mask
from finetune.kernels.masks import apply_mask, draw_mask

NAME = "finetune_short_texts"  # under which transformers knows it
LONGEST = 256  # tokens: beyond, weights of all pairs of tokens no longer fit into the caches


def register() -> None:
    """Make `NAME` known to transformers, with the masks of its `sdpa`. May be called again."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers' `sdpa` computes, by our own code in training on short texts.

    Args:
        module: The attention module.
        query: (batch, heads, queries, width).
        key: (batch, heads, tokens, width).
        value: As `key`.
        attention_mask: Bool, (batch or 1, 1, queries or 1, tokens), true where a query sees a token; None: everywhere.
        dropout: Of the weights.
        scaling: Of the scores; None: 1 / √width.
        others: Passed on to `sdpa`.

    Returns:
        (batch, queries, heads, width), and no weights.
    """
    ours = (
        (module.training or torch.is_grad_enabled())
        and query.device.type == "cpu"
        and key.shape[2] <= LONGEST
        and key.shape[1] == query.shape[1]
        and (dropout == 0 or can_mask(query, dropout))
        and (attention_mask is None or attention_mask.dtype == torch.bool)
        and not getattr(module, "is_causal", False)
        and others.get("position_bias") is None
    )
    if not ours:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return output, None
    if torch.is_autocast_enabled("cpu"):  # as for torch's own attention
        query, key, value = (part.to(torch.get_autocast_dtype("cpu")) for part in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    attended: Tensor = _Attention.apply(query, key, value, attention_mask, dropout, scale)
    return attended.transpose(1, 2).contiguous(), None


class _Attention(torch.autograd.Function):
    """softmax(q kᵀ · scale + mask), dropped out, times v. The softmax is float32 whatever the rest is."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float
    ) -> Tensor:
        shape = query.shape
        query, key, value = (part.reshape(-1, *part.shape[2:]) for part in (query * scale, key, value))
        scores = torch.bmm(query, key.transpose(1, 2)).float()
        if mask is not None:
            hidden = torch.zeros(mask.shape).masked_fill_(mask.logical_not(), torch.finfo(torch.float32).min)
            scores.view(*shape[:2], *scores.shape[1:]).add_(hidden)
        weights = torch.softmax(scores, -1).to(value.dtype)
        kept = draw_mask(weights.shape, dropout) if dropout else None
        used = weights if kept is None else apply_mask(weights, kept, dropout)
        ctx.save_for_backward(query, key, value, weights, kept, used)
        ctx.dropout, ctx.scale = dropout, scale
        return torch.bmm(used, value).view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, weights, kept, used = ctx.saved_tensors
        shape, gradient = gradient.shape, gradient.reshape(-1, *gradient.shape[2:])
        of_value = torch.bmm(used.transpose(1, 2), gradient)
        of_weights = torch.bmm(gradient, value.transpose(1, 2))
        if kept is not None:
            of_weights = apply_mask(of_weights, kept, ctx.dropout)
        full = weights.float()
        of_scores = (full * of_weights).sub_(full * (full * of_weights).sum(-1, keepdim=True)).to(value.dtype)
        of_query = torch.bmm(of_scores, key).mul_(ctx.scale)
        of_key = torch.bmm(of_scores.transpose(1, 2), query)
        heads = shape[:2]
        tokens = (*heads, *key.shape[1:])
        return of_query.view(shape), of_key.view(tokens), of_value.view(tokens), None, None, None
