"""What the head of a classifier reads of the encoder's output: the first token, or a mean of all tokens.

The heads of transformers read the first token ([CLS]). A sentence encoder was trained on the mean of its tokens; its
first token, and the pooler behind it, never had to hold a text. `model.pooling: auto` goes by what the encoder was
trained with: the files of sentence-transformers say it, or config.json does. Pairs of texts are the exception: a
sentence encoder has never pooled them, so the head reads the first token, which BERT was pretrained on for pairs.
How plain transformers is made to compute a mean: `pooling_layer.py`.

Source: Reimers & Gurevych 2019, arXiv:1908.10084, and the files that its library writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from finetune.errors import Change, ModelError, Problem
from finetune.models.head import is_classifier
from finetune.models.json_files import read_json
from finetune.models.layers import POOLING
from finetune.models.pooling_layer import HEADS
from finetune.recipe import ModelSection

_KEY = "model.pooling"
_SETTING = "classifier_pooling"  # of configurations whose head can average by itself (ModernBERT): cls or mean
_UNREADABLE = "unknown"
_POSITIONS = "adds terms for relative positions to the attention of every layer, so that none can attend to all alike"
_OBSTACLES = {
    "mpnet": _POSITIONS,
    "deberta": _POSITIONS,
    "deberta-v2": _POSITIONS,
    "albert": "has one set of weights for all its layers, so that none can be added",
}


@dataclass(frozen=True)
class Pooling:
    """What the head reads.

    Attributes:
        kind: cls, the first token; mean, of all tokens; attention, their mean with learned weights.
        reason: Why.
        adds_layer: A layer that the checkpoint lacks computes it.
        of_single_texts: The encoder was trained with it on single texts, as sentence encoders are.
        warnings: Where the encoder was trained with something else.
    """

    kind: str
    reason: str
    adds_layer: bool = False
    of_single_texts: bool = False
    warnings: tuple[Problem, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


def resolve_pooling(section: ModelSection, location: str, config: Any) -> Pooling:
    """Decide what the head reads.

    Args:
        section: The recipe's model.
        location: Folder of the model, or its hub id.
        config: As the checkpoint has it.

    Raises:
        ModelError: The architecture cannot compute the pooling that the recipe names, or the checkpoint pools
            already, in another way.
    """
    present = getattr(config, POOLING, None)
    if present is not None:
        if section.pooling not in ("auto", present):
            why = f"the last layer of this checkpoint was added to pool: {present}. It cannot pool in another way."
            raise ModelError(why, Change(settings={_KEY: "auto"}), key=_KEY, found=section.pooling)
        return Pooling(present, "the checkpoint has a layer for it")
    if section.pooling == "auto":
        return _by_training(section, location, config)
    obstacle = None if section.pooling == "cls" else _obstacle(config, section.pooling)
    if obstacle is not None:
        changes = [Change(settings={_KEY: kind}) for kind in ("mean", "cls") if _obstacle(config, kind) is None]
        raise ModelError(f"{section.pooling} is not possible: {obstacle}.", *changes, key=_KEY, found=section.pooling)
    trained = trained_pooling(section, location)
    is_known = trained not in (None, section.pooling)
    reason = f"instead of {trained}, with which the encoder was trained on single texts" if is_known else "as set"
    return _pooling(config, section.pooling, reason)


def trained_pooling(section: ModelSection, location: str) -> str | None:
    """The pooling that sentence-transformers trained the encoder with: mean, cls, or other names of its own, joined
    with +. None without its modules.json, or a pooling module in it.

    Args:
        section: The recipe's model.
        location: Folder of the model, or its hub id; without a network, its files in the cache.
    """
    modules = read_json(section, location, "modules.json")
    paths = [
        module["path"]
        for module in (modules if isinstance(modules, list) else [])
        if str(module.get("type", "")).endswith(".Pooling")
    ]
    if not paths:
        return None
    settings = read_json(section, location, f"{paths[0]}/config.json")
    return _UNREADABLE if not isinstance(settings, dict) else _mode(settings)


def apply_pooling(config: Any, pooling: Pooling) -> None:
    """Write it into the configuration that a model is built from: the setting of its own, or one more layer."""
    if hasattr(config, _SETTING):
        setattr(config, _SETTING, pooling.kind)
    elif pooling.adds_layer:
        config.num_hidden_layers += 1
        setattr(config, POOLING, pooling.kind)


def _by_training(section: ModelSection, location: str, config: Any) -> Pooling:
    own = getattr(config, _SETTING, "cls")
    if is_classifier(config):
        return Pooling(own, "the checkpoint is a classifier, and was trained with it")
    trained = trained_pooling(section, location)
    if trained is None:
        says_so = "config.json says so" if hasattr(config, _SETTING) else "no modules.json names another pooling"
        return Pooling(own, says_so)
    obstacle = _obstacle(config, trained)
    if obstacle is None:
        pooling = _pooling(config, trained, "the encoder was trained with it, as modules.json says")
        return replace(pooling, of_single_texts=trained != "cls")
    why = (
        f"the encoder was trained with {trained} pooling, but the head reads {own}: {obstacle}. What the head reads "
        "was not trained to hold a text: expect lower scores, most of all on few texts."
    )
    changes = (Change(settings={_KEY: own}, note="accepts it"), Change(text="choose another encoder."))
    problem = Problem(why, _KEY, found="auto", changes=changes)
    reason = f"{trained}, which the encoder was trained with, is not possible"
    return Pooling(own, reason, of_single_texts=trained != "cls", warnings=(problem,))


def _pooling(config: Any, kind: str, reason: str) -> Pooling:
    return Pooling(kind, reason, adds_layer=kind != "cls" and not hasattr(config, _SETTING))


def _obstacle(config: Any, kind: str) -> str | None:
    """Why this architecture cannot pool in this way, as a clause; None where it can."""
    architecture = f"architecture '{config.model_type}'"
    if kind == "cls" or (kind == "mean" and hasattr(config, _SETTING)):
        return None
    if kind not in ("mean", "attention"):
        return "finetune knows cls, mean and attention"
    if hasattr(config, _SETTING):
        return f"the head of {architecture} averages by itself, and knows cls and mean"
    if config.model_type in _OBSTACLES:
        return f"{architecture} {_OBSTACLES[config.model_type]}"
    if config.model_type not in HEADS:
        return f"layers and head of {architecture} are not known here. Known: {', '.join(HEADS)}"
    return "in a decoder the first token attends to itself alone" if getattr(config, "is_decoder", False) else None


def _mode(settings: dict[str, Any]) -> str:
    """Of the configuration of a pooling module: a name or a list of them, or a flag for each that is on.

    `pooling_mode_mean_tokens` is on unless it is turned off, as in sentence-transformers.
    """
    named = settings.get("pooling_mode")
    if named is not None:
        return "+".join([named] if isinstance(named, str) else map(str, named))
    prefix = "pooling_mode_"
    flags = {f"{prefix}mean_tokens": True, **settings}
    return "+".join(
        name.removeprefix(prefix).removesuffix("_tokens").removesuffix("_token")
        for name, is_on in flags.items()
        if name.startswith(prefix) and is_on is True
    )
