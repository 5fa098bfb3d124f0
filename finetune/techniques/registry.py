"""The techniques of this process by name: the built-in ones, and those that users add."""

from __future__ import annotations

import copyreg
import importlib
import pickle
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from finetune.errors import RecipeError
from finetune.techniques.base import Technique
from finetune.techniques.contract import contract_problems
from finetune.techniques.origins import ClassOrigin, FileOrigin, Origin, PackageOrigin

ENTRY_POINTS = "finetune.techniques"  # the group in which packages declare NAME = "module:Class"
BUILT_IN = {  # name, which is also that of its module -> class
    "weight_decay": "WeightDecay",
    "l2": "L2",
    "l1": "L1",
    "elastic_net": "ElasticNet",
    "l2_sp": "L2SP",
    "confidence_penalty": "ConfidencePenalty",
    "max_norm": "MaxNorm",
    "freeze": "Freeze",
    "train_only": "TrainOnly",
    "lora": "LoRA",
    "llrd": "LLRD",
    "head_first": "HeadFirst",
    "head_start": "HeadStart",
    "contrast": "Contrast",
    "longer": "Longer",
    "dropout": "Dropout",
    "multi_sample_dropout": "MultiSampleDropout",
    "layer_drop": "LayerDrop",
    "mixout": "Mixout",
    "token_masking": "TokenMasking",
    "r_drop": "RDrop",
    "mixup": "Mixup",
    "fgm": "FGM",
    "sam": "SAM",
    "neftune": "NEFTune",
    "hidden_noise": "HiddenNoise",
    "label_smoothing": "LabelSmoothing",
    "focal": "Focal",
    "ema": "EMA",
    "swa": "SWA",
    "wise_ft": "WiSEFT",
    "reinit": "Reinit",
    "early_stopping": "EarlyStopping",
    "aeda": "AEDA",
    "eda": "EDA",
    "synonyms": "Synonyms",
    "contextual": "Contextual",
    "back_translation": "BackTranslation",
    "adapt": "Adapt",
    "match": "Match",
}
TECHNIQUES: dict[str, type[Technique]] = {
    name: getattr(importlib.import_module(f"finetune.techniques.{name}"), title) for name, title in BUILT_IN.items()
}
_ADDED: dict[str, Origin] = {}  # name -> where a user's technique comes from


def use_technique(technique: str | Path | type[Technique]) -> str:
    """Add your own technique to this process and to the worker processes that it starts.

    Args:
        technique: `path.py:Class`, or a class, which may be defined in a notebook. Calling it again with an edited file
            or a class of the same name defined anew replaces the earlier version.

    Returns:
        Its name in recipes: the name of the class in lower case with underscores.

    Raises:
        RecipeError: It cannot be loaded, breaks the contract, has the name of another technique, or could not be sent
            to worker processes.
    """
    if not isinstance(technique, type):
        origin = FileOrigin.parse(str(technique))
        return _add(_snake_case(origin.name), origin)
    name = _snake_case(technique.__name__)
    return _add(name, ClassOrigin(technique))


def carry_techniques() -> bytes:
    """The techniques that were added to this process, for `receive_techniques` in another one.

    Raises:
        RecipeError: A class refers to something that can no longer be pickled.
    """
    origins = {name: each for name, each in _ADDED.items() if not isinstance(each, PackageOrigin)}
    return pickle.dumps(
        {name: origin.pickled() if isinstance(origin, ClassOrigin) else origin for name, origin in origins.items()}
    )


def receive_techniques(carried: bytes) -> None:
    """Add the techniques of another process, from `carry_techniques`.

    Raises:
        RecipeError: One cannot be loaded here.
    """
    for name, origin in pickle.loads(carried).items():
        _add(name, origin)


def own_sources(techniques: Mapping[str, Technique]) -> dict[str, str]:
    """Name -> sha256 of the source, for the user's own techniques in a recipe. Built-in ones are identified by the
    version of the program.

    Raises:
        RecipeError: One has no source text.
    """
    digests = {name: source_digest(type(technique)) for name, technique in techniques.items()}
    return {name: digest for name, digest in digests.items() if digest is not None}


def source_digest(technique: type[Technique]) -> str | None:
    """sha256 of the source; None for a built-in technique."""
    if technique.__module__.startswith("finetune.techniques."):
        return None
    name = _name_of(technique)
    return (ClassOrigin(technique) if name is None else _ADDED[name]).digest()


def changed_sources(techniques: Mapping[str, Technique], recorded: Mapping[str, str]) -> list[str]:
    """Names of the user's techniques whose source is not the recorded one.

    Args:
        techniques: Techniques of a recipe.
        recorded: Name -> digest, from the record of a run.
    """
    sources = own_sources({name: techniques[name] for name in recorded if name in techniques})
    return [name for name, digest in recorded.items() if name in techniques and sources.get(name) != digest]


def add_packages() -> None:
    """Add the techniques that installed packages declare.

    Raises:
        RecipeError: One cannot be loaded, breaks the contract, or has a name that is in use.
    """
    for point in metadata.entry_points(group=ENTRY_POINTS):
        _add(point.name, PackageOrigin(point))


def _add(name: str, origin: Origin) -> str:
    technique = origin.load()
    if TECHNIQUES.get(name) is technique:
        return name
    if name in TECHNIQUES and (name not in _ADDED or _ADDED[name].title != origin.title):
        raise origin.error(f"a technique is called '{name}' already; give the class another name.")
    _check(technique, origin)
    if isinstance(origin, ClassOrigin):
        origin.pickled()  # refused now instead of when a worker starts
    TECHNIQUES[name] = technique
    _ADDED[name] = origin
    copyreg.pickle(technique, _reduce)
    return name


def _check(technique: Any, origin: Origin) -> None:
    problems = contract_problems(technique)
    if problems:
        raise RecipeError([problem for text in problems for problem in origin.error(text).problems])


def _name_of(technique: type[Technique]) -> str | None:
    """The name of a class that was added; None if it was not, or has been replaced."""
    return next((name for name in _ADDED if TECHNIQUES.get(name) is technique), None)


def _reduce(technique: Technique) -> tuple[Any, ...]:
    """Pickled by its name: the process that reads it has the class from `receive_techniques`."""
    name = _name_of(type(technique))
    if name is None:
        why = "was redefined after this recipe was read. Read the recipe again."
        raise ClassOrigin(type(technique)).error(why)
    return _restore, (name,), technique.__getstate__()


def _restore(name: str) -> Technique:
    if name not in TECHNIQUES:
        raise RecipeError(f"techniques.{name} is not known in this process, which was not sent its class.")
    technique = TECHNIQUES[name]
    return technique.__new__(technique)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


add_packages()
