"""What techniques that treat parts of a model differently have in common."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from finetune.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


@contextlib.contextmanager
def refused_by(technique: str) -> Iterator[None]:
    """A ModelError about where the layers are says which technique asked, and what to type.

    Raises:
        ModelError: Any that came from within, with the name of the technique.
    """
    try:
        yield
    except ModelError as error:
        raise ModelError(f"techniques.{technique}: {error} Try: --set techniques.{technique}=off") from error


def layer_number(name: str) -> int | None:
    """Which of the encoder's layers a parameter's name lies in, from 0; None for embeddings, pooler and head."""
    found = re.search(r"\.(\d+)\.", name)
    return None if found is None else int(found[1])


def is_in_encoder(model: Any, name: str) -> bool:
    """Whether a parameter is not the head's."""
    return name.startswith(f"{model.base_model_prefix}.")


def freeze_encoder_except(model: nn.Module, wanted: Callable[[str], bool]) -> None:
    """Let the encoder's parameters rest, but for those whose name is wanted.

    A pooler keeps training with the head: checkpoints often lack it, and then it starts from random values as the
    head does; most architectures count the same map as part of their head.
    """
    for name, parameter in model.named_parameters():
        if is_in_encoder(model, name) and ".pooler." not in name and not wanted(name):
            parameter.requires_grad_(False)
