"""Mapping of each architecture's settings to dropouts, and the dropout that a built model really applies.

transformers ignores configuration keys that an architecture does not know, so nothing is assumed: settings are
mapped per `model_type` and read back from the modules. No torch import: modules are recognised by class name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from finetune.models.layers import is_in_pooling_layer

KINDS = ("hidden", "attention", "classifier")

_BERT_LIKE: dict[str, tuple[str, ...]] = {
    "hidden": ("hidden_dropout_prob",),
    "attention": ("attention_probs_dropout_prob",),
    "classifier": ("classifier_dropout",),
}
# model_type -> kind -> configuration keys. "module:NAME" is a module that no key of the configuration reaches.
_KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "bert": _BERT_LIKE,
    "roberta": _BERT_LIKE,
    "xlm-roberta": _BERT_LIKE,
    "camembert": _BERT_LIKE,
    "electra": _BERT_LIKE,
    "distilbert": {
        "hidden": ("dropout",),
        "attention": ("attention_dropout",),
        "classifier": ("seq_classif_dropout",),
    },
    # cls_dropout is read by the head with getattr, so that the configuration class does not declare it.
    "deberta-v2": {**_BERT_LIKE, "classifier": ("cls_dropout",)},
    "modernbert": {
        "hidden": ("embedding_dropout", "mlp_dropout"),
        "attention": ("attention_dropout",),
        "classifier": ("classifier_dropout",),
    },
    "mpnet": {**_BERT_LIKE, "classifier": ("module:classifier.dropout",)},
    "albert": {**_BERT_LIKE, "classifier": ("classifier_dropout_prob",)},
}
_HEAD_OF_CHECKPOINT = "_finetune_head_dropout"  # carried from configuration to built model, then removed
_DROPOUT_CLASSES = ("Dropout", "FastDropout", "StableDropout")
_ATTENTION = re.compile(r"(?:\bself|\battn|\battention)\.(?:attention_dropout|dropout|out_drop)$")
# Where `attention.dropout` follows the output projection instead of the attention weights.
_ATTENTION_OUTPUT = {"mpnet": re.compile(r"\.attention\.dropout$")}


@dataclass(frozen=True)
class DropoutSite:
    """One place where a model drops activations.

    Attributes:
        path: Module path, or module path and attribute where the probability is a plain number.
        kind: hidden, attention, classifier or pooler; adapter for LoRA's, which no setting of the model reaches.
        probability: Probability applied in training.
    """

    path: str
    kind: str
    probability: float


def known_architectures() -> list[str]:
    return sorted(_KEYS)


def supported_kinds(model_type: str) -> set[str]:
    """The dropouts of this architecture; empty if it is not known here."""
    return set(_KEYS.get(model_type, {}))


def configured_dropout(config: Any) -> dict[str, float]:
    """Kind -> probability in a configuration, for kinds with a single one; a head without one of its own follows
    `hidden`.
    """
    keys = _KEYS.get(config.model_type, {})
    found: dict[str, float] = {}
    for kind in KINDS:
        values = {getattr(config, key, None) for key in keys.get(kind, ()) if not key.startswith("module:")}
        stated = {float(value) for value in values if value is not None}
        if kind == "classifier" and kind in keys and not stated and "hidden" in found:
            stated = {found["hidden"]}
        if len(stated) == 1:
            found[kind] = stated.pop()
    return found


def apply_dropout(config: Any, probabilities: dict[str, float]) -> None:
    """Write dropout probabilities into a configuration, before the model is built.

    A head without a setting of its own follows `hidden`; it is pinned first, so that raising `hidden` raises
    nothing else.
    """
    keys = _KEYS[config.model_type]
    if "classifier" not in probabilities:
        checkpoint = getattr(config, keys["hidden"][0])
        for key in keys["classifier"]:
            if key.startswith("module:"):
                setattr(config, _HEAD_OF_CHECKPOINT, checkpoint)
            elif getattr(config, key, None) is None:
                setattr(config, key, checkpoint)
    for kind, probability in probabilities.items():
        for key in keys[kind]:
            if not key.startswith("module:"):
                setattr(config, key, probability)


def apply_module_dropout(model: Any, probabilities: dict[str, float]) -> None:
    """Set the probabilities that no configuration key reaches, on the built model."""
    pinned = vars(model.config).pop(_HEAD_OF_CHECKPOINT, None)
    if pinned is not None:
        probabilities = {**probabilities, "classifier": pinned}
    for kind, probability in probabilities.items():
        for key in _KEYS[model.config.model_type][kind]:
            if key.startswith("module:"):
                model.get_submodule(key.removeprefix("module:")).p = probability


def dropout_sites(model: Any) -> list[DropoutSite]:
    """Walk a built sequence classifier and return every dropout it applies, in module order.

    An added pooling layer applies none, whatever the others are set to.
    """
    sites = []
    for path, module in model.named_modules():
        if is_in_pooling_layer(model, path):
            continue
        if type(module).__name__ in _DROPOUT_CLASSES:
            sites.append(DropoutSite(path, _kind(model, path), float(module.p)))
        else:
            sites += [
                DropoutSite(f"{path}.{attribute}", _kind(model, f"{path}.{attribute}"), float(value))
                for attribute, value in vars(module).items()
                if isinstance(value, int | float) and not isinstance(value, bool) and attribute.endswith("dropout")
            ]
    return sites


def _kind(model: Any, path: str) -> str:
    if ".lora_dropout." in path:
        return "adapter"
    inside_encoder = path.startswith(f"{model.base_model_prefix}.")
    if not inside_encoder:
        return "pooler" if path.startswith("pooler") else "classifier"
    output = _ATTENTION_OUTPUT.get(str(model.config.model_type))
    if output is not None and output.search(path):
        return "hidden"
    return "attention" if _ATTENTION.search(path) else "hidden"
