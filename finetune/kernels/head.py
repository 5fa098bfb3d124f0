"""The map that computes the logits, in fp32 also where the rest of a pass is in bf16.

Rounded to bf16, logits lie on a grid of 1/64 at 4 and of 1/2 at 100: saturated classes and numbers far from 0 would be
learned, measured and selected by rounding. The map is a few thousand multiply-adds a row.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Fp32Linear(nn.Linear):
    """What `nn.Linear` computes without autocast."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.to(self.weight.dtype), self.weight, self.bias)


def output_map(model: Any) -> nn.Linear | None:
    """The head's last linear map, if it is a plain one with an output for each logit."""
    prefix = f"{model.base_model_prefix}."
    maps = [
        module
        for name, module in model.named_modules()
        if type(module) in (nn.Linear, Fp32Linear)
        and module.out_features == model.config.num_labels
        and not name.startswith(prefix)
    ]
    return maps[-1] if maps else None
