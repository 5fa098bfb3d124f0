"""Puts the kernels into a model that is ready to be trained."""

from __future__ import annotations

from typing import Any

from torch import nn

from finetune.kernels import attention
from finetune.kernels.dropout import FastDropout
from finetune.kernels.first_token import compute_first_token_only, reads_first_token
from finetune.kernels.head import Fp32Linear, output_map


def install_kernels(model: Any, is_read_elsewhere: bool, bf16: bool) -> list[str]:
    """Exchange what this model's architecture allows; the rest stays as it is.

    Args:
        model: A sequence classifier, on the device where it is trained, with all that techniques changed in it.
        is_read_elsewhere: Code that is not ours may look at the last layer's output.
        bf16: Passes run under bf16 autocast.

    Returns:
        Names of the kernels that are now in the model: dropout, attention, first_token or mean_pooling, fp32_logits.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    installed = []
    plain = [module for module in model.modules() if type(module) is nn.Dropout]
    if on_cpu and plain:
        for module in plain:
            module.__class__ = FastDropout
        installed.append("dropout")
    uses_sdpa = model.config._attn_implementation == "sdpa"
    if on_cpu and uses_sdpa:
        attention.register()
        model.set_attn_implementation(attention.NAME)
        installed.append("attention")
    if uses_sdpa and not is_read_elsewhere and reads_first_token(model):
        installed.append(compute_first_token_only(model))
    head = output_map(model) if bf16 else None
    if head is not None:
        head.__class__ = Fp32Linear
        installed.append("fp32_logits")
    return installed
