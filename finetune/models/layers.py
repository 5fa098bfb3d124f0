"""Layers, depths and linear maps of an encoder, independent of the names in its architecture.

No torch import: modules are recognised by what they contain.
"""

from __future__ import annotations

import re
from typing import Any

from finetune.errors import ModelError

# model_type -> the list of layers, below the base model.
_LAYERS = {
    "bert": "encoder.layer",
    "roberta": "encoder.layer",
    "xlm-roberta": "encoder.layer",
    "camembert": "encoder.layer",
    "electra": "encoder.layer",
    "deberta-v2": "encoder.layer",
    "mpnet": "encoder.layer",
    "distilbert": "transformer.layer",
    "modernbert": "layers",
}
POOLING = "finetune_pooling"
"""Key of a configuration whose last layer was added to pool (`pooling_layer.py`): mean or attention."""
_ATTENDS = re.compile(r"\.(query|key|q_lin|k_lin)\.")


def encoder_layers(model: Any) -> dict[str, Any]:
    """Path -> layer, from the bottom to the top; without an added pooling layer.

    Raises:
        ModelError: The architecture is unknown here, or its layers share their weights (albert).
    """
    layers = _all_layers(model)
    layers.pop(pooling_path(model) or "", None)
    return layers


def pooling_path(model: Any) -> str | None:
    """Path of the added pooling layer, which is the last one; None without it. It comes after the encoder's layers, as
    a pooler does.
    """
    return None if _added_for(model) is None else list(_all_layers(model))[-1]


def is_in_pooling_layer(model: Any, name: str) -> bool:
    """Whether a module or parameter belongs to the added pooling layer."""
    path = pooling_path(model)
    return path is not None and name.startswith(f"{path}.")


def constant_names(model: Any) -> frozenset[str]:
    """Names of parameters that are constants and never train: those of the added pooling layer, without query and key
    if it attends.
    """
    attends = _added_for(model) == "attention"
    return frozenset(
        name
        for name, _ in model.named_parameters()
        if is_in_pooling_layer(model, name) and not (attends and _ATTENDS.search(name))
    )


def _added_for(model: Any) -> str | None:
    """The pooling that the last layer was added for; modules without a configuration have no such layer."""
    kind: str | None = getattr(getattr(model, "config", None), POOLING, None)
    return kind


def _all_layers(model: Any) -> dict[str, Any]:
    kind = str(model.config.model_type)
    if kind == "albert":
        raise ModelError("architecture 'albert' shares one set of weights among its layers, so they cannot differ.")
    if kind not in _LAYERS:
        raise ModelError(f"the layers of architecture '{kind}' are not known here. Known: {', '.join(_LAYERS)}.")
    path = f"{model.base_model_prefix}.{_LAYERS[kind]}"
    return {f"{path}.{index}": layer for index, layer in enumerate(model.get_submodule(path))}


def depth_of(name: str, layers: dict[str, Any], prefix: str) -> int:
    """Depth of a parameter: 0 embeddings, 1 … L layers, L + 1 the modules after them, including the head.

    Args:
        name: Name of the parameter in the whole classifier.
        layers: From `encoder_layers`.
        prefix: `model.base_model_prefix`.
    """
    for index, path in enumerate(layers):
        if name.startswith(f"{path}."):
            return index + 1
    inside = name.startswith(f"{prefix}.")
    # A layer that is not among `layers` was added to pool.
    shared = re.search(r"embeddings|\.encoder\.(?!layer\.)|relative_attention", name)
    return 0 if inside and shared else len(layers) + 1


def word_embeddings(model: Any) -> Any:
    """The module that turns token ids into vectors."""
    return model.get_input_embeddings()


def linear_paths(model: Any) -> list[str]:
    """Paths of the linear maps inside the encoder's layers; pooler and head are not among them.

    Raises:
        ModelError: As in `encoder_layers`.
    """
    layers = encoder_layers(model)
    return [
        f"{path}.{name}"
        for path, layer in layers.items()
        for name, module in layer.named_modules()
        if type(module).__name__ == "Linear"
    ]
