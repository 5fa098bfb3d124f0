"""Names of the parameters of a prepared model, grouped by what techniques may do to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from finetune.models.head import head_names
from finetune.techniques import WeightNames


def weight_names(model: Any, pretrained: Iterable[str]) -> WeightNames:
    """Sort the parameters of a model.

    Args:
        model: Prepared by the techniques.
        pretrained: Names of the encoder's parameters as they were loaded.
    """
    from transformers import Trainer  # seconds to import, and `finetune show` does without

    present = dict(model.named_parameters())
    decayed = Trainer.get_decay_parameter_names(None, model)  # it uses no self
    return WeightNames(
        trainable=frozenset(name for name, value in present.items() if value.requires_grad),
        head=head_names(model),
        decayed=frozenset(decayed),
        pretrained=frozenset(name for name in pretrained if name in present),
    )
