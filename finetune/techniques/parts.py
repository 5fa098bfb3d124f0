"""Functions of techniques that treat parts of a model differently."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from finetune.errors import ModelError
from finetune.models.layers import is_in_pooling_layer
from finetune.techniques.changes import turned_off

if TYPE_CHECKING:
    from torch import nn


@contextlib.contextmanager
def refused_by(technique: str) -> Iterator[None]:
    """Add the technique that needs the layers to a ModelError about where they are.

    Raises:
        ModelError: Any raised inside, with the name of the technique.
    """
    try:
        yield
    except ModelError as error:
        raise ModelError(
            replace(problem, key=f"techniques.{technique}", changes=(*problem.changes, turned_off(technique)))
            for problem in error.problems
        ) from error


def layer_number(name: str) -> int | None:
    """The number of the encoder's layer that a parameter is in, from 0; None for embeddings, pooler and head."""
    found = re.search(r"\.(\d+)\.", name)
    return None if found is None else int(found[1])


def is_in_encoder(model: Any, name: str) -> bool:
    """Whether a parameter belongs to the encoder and not to the head."""
    return name.startswith(f"{model.base_model_prefix}.")


def freeze_encoder_except(model: nn.Module, is_trained: Callable[[str], bool]) -> None:
    """Freeze the encoder's parameters, except those whose name `is_trained`.

    A pooler keeps training with the head: checkpoints often lack it, and then it starts from random values as the
    head does; most architectures count the same map as part of their head. So do the trainable weights of an added
    pooling layer.
    """
    for name, parameter in model.named_parameters():
        is_pooling = ".pooler." in name or is_in_pooling_layer(model, name)
        if is_in_encoder(model, name) and not is_pooling and not is_trained(name):
            parameter.requires_grad_(False)
