"""An encoder layer that computes the mean of all tokens, so that a head that reads the first token reads the mean.

The saved model has to load with plain transformers, whose heads know no other token. So the layer is an ordinary one of
the architecture, with constants for weights; n unmasked tokens h_1 … h_n enter it, h_1 being the first:

    query = key = 0                 every token attends to all unmasked ones alike:  m = Σ h_i / n
    value = I, output = C · I       LayerNorm(C m + h_1) = LayerNorm(m + h_1 / C)
    feed-forward = 0                its LayerNorm (weight 1, bias 0, as the one before) has nothing left to do
    dense = S · I, bias = POINT     what the output map reads:  activation(POINT + S · LayerNorm(m + h_1 / C))

`dense` is the first map of the head, which trains on. POINT is where its activation is nearly linear; where that is not
0, each row of the output map sums to 0 at the start, so that a constant in what it reads changes no logit.

For `attention` the key is I. The start is the same, but the query has a gradient: what trains is attention pooling,
where each attention head finds weights of its own. Query and key train, and nothing else of the layer.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import torch
from torch import nn

from finetune.models.layers import POOLING, constant_names, pooling_path

OUTPUT_SCALE = 1024.0
"""C: a thousandth of the first token is left. As a power of two it costs no precision in bf16, and C times the largest
outputs of encoders (some tens) stays below the 65504 of fp16, in which saved models are used."""

FEATURE_SCALE = 0.3
"""S, the standard deviation of what the output map reads: that of mean-pooled features themselves (MiniLM: 0.2 to 0.3).
At 0.05, which is what a pooler leaves, the output map would learn six times as slowly; at 1 tanh would bend."""


class Head(NamedTuple):
    """A head: first token -> dense -> activation -> output map.

    Attributes:
        dense: Path of its first linear map.
        output: Path of its last one.
        point: Where the activation between them is nearly linear.
    """

    dense: str
    output: str
    point: float = 0.0  # of tanh


_ROBERTA = Head("classifier.dense", "classifier.out_proj")
# model_type -> the head of its sequence classifier.
HEADS: dict[str, Head] = {
    "bert": Head("bert.pooler.dense", "classifier"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    # GELU'' = φ(z) (2 − z²) is 0 at √2.
    "electra": Head("classifier.dense", "classifier.out_proj", point=math.sqrt(2)),
    # ReLU: above 0 for all that is within 1 / S = 3.3 standard deviations.
    "distilbert": Head("pre_classifier", "classifier", point=1.0),
}
_VALUE = re.compile(r"(^|\.)(value|v_lin)$")
_KEY = re.compile(r"(^|\.)(key|k_lin)$")
_OUTPUT = re.compile(r"(^|\.)attention\.(output\.dense|out_lin)$")


def finish_pooling_layer(model: Any, is_new: bool) -> None:
    """Give the pooling layer of a built model its weights and freeze those that are constants; without one, nothing.

    Args:
        model: A sequence classifier.
        is_new: The checkpoint has no weights for this layer; else they are loaded, as the dense map of the head is.
    """
    path = pooling_path(model)
    if path is None:
        return
    layer = model.get_submodule(path)
    if is_new:
        with torch.no_grad():
            _start_layer(layer, attends=getattr(model.config, POOLING) == "attention")
            _start_head(model)
    for module in layer.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # no encoder was trained with tokens, or parts of their sum, missing from the mean
    for name in constant_names(model):
        model.get_parameter(name).requires_grad_(False)


def _start_layer(layer: nn.Module, attends: bool) -> None:
    for path, module in layer.named_modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
            if _VALUE.search(path) or (attends and _KEY.search(path)):
                nn.init.eye_(module.weight)
            elif _OUTPUT.search(path):
                nn.init.eye_(module.weight).mul_(OUTPUT_SCALE)


def _start_head(model: Any) -> None:
    head = HEADS[model.config.model_type]
    dense, output = model.get_submodule(head.dense), model.get_submodule(head.output)
    nn.init.eye_(dense.weight).mul_(FEATURE_SCALE)
    nn.init.constant_(dense.bias, head.point)
    if head.point:
        output.weight.sub_(output.weight.mean(dim=1, keepdim=True))
