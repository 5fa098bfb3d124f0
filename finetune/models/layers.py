"""Where things are in an encoder, whatever its architecture calls them: layers, depths, linear maps.

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


def encoder_layers(model: Any) -> dict[str, Any]:
    """Path -> layer, from the bottom to the top.

    Raises:
        ModelError: The architecture is unknown here, or its layers share their weights (albert).
    """
    kind = str(model.config.model_type)
    if kind == "albert":
        raise ModelError("architecture 'albert' shares one set of weights among its layers, so they cannot differ.")
    if kind not in _LAYERS:
        raise ModelError(f"the layers of architecture '{kind}' are not known here. Known: {', '.join(_LAYERS)}.")
    path = f"{model.base_model_prefix}.{_LAYERS[kind]}"
    return {f"{path}.{index}": layer for index, layer in enumerate(model.get_submodule(path))}


def depth_of(name: str, layers: dict[str, Any], prefix: str) -> int:
    """How far up a parameter sits: 0 embeddings, 1 … L layers, L + 1 what comes after them, the head included.

    Args:
        name: Of the parameter, in the whole classifier.
        layers: From `encoder_layers`.
        prefix: `model.base_model_prefix`.
    """
    for index, path in enumerate(layers):
        if name.startswith(f"{path}."):
            return index + 1
    inside = name.startswith(f"{prefix}.")
    return 0 if inside and re.search(r"embeddings|\.encoder\.|relative_attention", name) else len(layers) + 1


def word_embeddings(model: Any) -> Any:
    """The module that turns token ids into vectors."""
    return model.get_input_embeddings()


def linear_paths(model: Any) -> list[str]:
    """Paths of the linear maps inside the encoder's layers; pooler and head are not among them.

    Raises:
        ModelError: As `encoder_layers`.
    """
    layers = encoder_layers(model)
    return [
        f"{path}.{name}"
        for path, layer in layers.items()
        for name, module in layer.named_modules()
        if type(module).__name__ == "Linear"
    ]
