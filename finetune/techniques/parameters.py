"""The parameters of a model, as techniques see them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Position of a parameter in the model, for techniques that depend on depth.

    Attributes:
        depth: 0 for the embeddings, 1 … `layers` for the encoder's layers from the bottom, `layers` + 1 for what
            comes after them (pooler, final norm) and for the head.
        layers: Number of layers of the encoder.
        is_head: Whether it belongs to the classification head.
    """

    depth: int
    layers: int
    is_head: bool


@dataclass(frozen=True)
class WeightNames:
    """Names of the parameters of a prepared model, grouped by what techniques may do to them.

    Attributes:
        trainable: Parameters that the optimizer updates.
        head: Parameters outside the encoder, trainable or not.
        decayed: Parameters that penalties may act on: neither biases nor normalisation weights.
        pretrained: Parameters of the encoder whose pretrained value is known under the same name.
    """

    trainable: frozenset[str]
    head: frozenset[str]
    decayed: frozenset[str]
    pretrained: frozenset[str]
