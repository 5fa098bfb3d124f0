"""Dropout on a CPU with masks that are cheap to draw."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from finetune.kernels.masks import apply_mask, draw_mask, drawn_probability

MASKABLE = (torch.float32, torch.bfloat16, torch.float16)


class FastDropout(nn.Dropout):
    """What `nn.Dropout` computes, from another random stream."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not can_mask(input, self.p):
            return super().forward(input)
        dropped: Tensor = _Dropped.apply(input, self.p)
        return dropped


def can_mask(values: Tensor, probability: float) -> bool:
    """Whether these kernels know how: on this device, in this precision, and with this probability to 1 %."""
    error = abs(drawn_probability(probability) - probability)
    return error < 0.01 * min(probability, 1 - probability) and values.device.type == "cpu" and values.dtype in MASKABLE


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, probability: float) -> Tensor:
        mask = draw_mask(values.shape, probability)
        ctx.save_for_backward(mask)
        ctx.probability = probability
        return apply_mask(values, mask, probability)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return apply_mask(gradient, mask, ctx.probability), None
