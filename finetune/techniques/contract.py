"""The contract of a technique: what it must have to be listed, set from YAML and trusted to act."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from finetune.errors import suggest
from finetune.techniques.base import Technique
from finetune.techniques.hooks import HOOKS, Unlabelled

FAMILIES = (
    "penalty",
    "constraint",
    "shrinkage of the step",
    "dropout",
    "consistency and noise",
    "targets",
    "averaging",
    "initialisation",
    "augmentation",
    "unlabelled texts",
)
_BOUNDS = {"minimum", "exclusiveMinimum"}


def contract_problems(technique: Any) -> list[str]:
    """What is missing or wrong in a class; an empty list means nothing is."""
    if not (isinstance(technique, type) and issubclass(technique, Technique) and technique is not Technique):
        return [f"{technique!r} is not a subclass of finetune.techniques.Technique."]
    title = technique.__name__
    missing = [name for name in ("family", "source") if not hasattr(technique, name)]
    problems = [f"{title}.{name}: is missing (a class variable)." for name in missing]
    if hasattr(technique, "family") and technique.family not in FAMILIES:
        problems.append(f"{title}.family: '{technique.family}' is not one of {', '.join(FAMILIES)}.")
    if not (technique.__doc__ or "").strip():
        problems.append(f"{title}: has no docstring; `finetune ls techniques` shows its first line.")
    if not technique.cost > 0:
        problems.append(f"{title}.cost: {technique.cost} is not above 0; 1.0 is the time of plain fine-tuning.")
    makes_targets = getattr(technique, "unlabelled_targets", default := Unlabelled.unlabelled_targets) is not default
    if makes_targets and technique.unlabelled != "needed":
        problems.append(f"{title}.unlabelled: makes targets for unlabelled texts, so it must be 'needed'.")
    return [*problems, *_field_problems(technique), *_search_problems(technique), *_hook_problems(technique)]


def _field_problems(technique: type[Technique]) -> Iterator[str]:
    properties = technique.model_json_schema().get("properties", {})
    for key, field in technique.model_fields.items():
        if key in HOOKS:
            yield f"{technique.__name__}.{key}: is the name of a hook; give the setting another name."
        if not field.description:
            yield f"{technique.__name__}.{key}: has no description; write Field(…, description=…)."
        for schema in properties[key].get("anyOf", [properties[key]]):
            if schema.get("type") in ("number", "integer") and not _BOUNDS & set(schema):
                yield f"{technique.__name__}.{key}: has no lower bound; write Field(…, gt=0)."


def _search_problems(technique: type[Technique]) -> Iterator[str]:
    for key, found in technique.search.items():
        if key not in technique.model_fields:
            yield f"{technique.__name__}.search: '{key}' is not a setting.{suggest(key, technique.model_fields)}"
        if not found.low < found.high or (found.is_log and found.low <= 0):
            why = "is empty" if found.low >= found.high else "is logarithmic, so it must begin above 0"
            yield f"{technique.__name__}.search: {key}: {found.low:g} to {found.high:g} {why}."


def _hook_problems(technique: type[Technique]) -> Iterator[str]:
    """A misspelt hook would never be called: nothing would happen, and nobody would notice."""
    classes = [kind for kind in reversed(technique.__mro__) if issubclass(kind, Technique) and kind is not Technique]
    for name, value in [item for kind in classes for item in vars(kind).items()]:
        if name.startswith("_") or hasattr(BaseModel, name) or not inspect.isfunction(value):
            continue
        if name not in HOOKS:
            yield f"{technique.__name__}.{name}: is not a hook.{suggest(name, HOOKS)} Helpers start with an underscore."
            continue
        expected = list(inspect.signature(HOOKS[name]).parameters)
        actual = list(inspect.signature(value).parameters)
        if len(expected) != len(actual):
            yield f"{technique.__name__}.{name}: takes ({', '.join(actual)}), expected ({', '.join(expected)})."
