"""Every key that a recipe can have, for completion."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from finetune.recipe.schema import Recipe
from finetune.recipe.section import Section
from finetune.techniques import TECHNIQUES


def known_keys() -> dict[str, tuple[str, ...]]:
    """Dotted key -> its possible values if they are a choice (true and false, names), else nothing."""
    keys: dict[str, tuple[str, ...]] = {}
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys |= {f"{name}.{key}": _choices(entry.annotation) for key, entry in section.model_fields.items()}
    for name, technique in TECHNIQUES.items():
        keys[f"techniques.{name}"] = ("{}", "off")
        keys |= {
            f"techniques.{name}.{key}": _choices(entry.annotation) for key, entry in technique.model_fields.items()
        }
    return keys


def _choices(kind: Any) -> tuple[str, ...]:
    """The values of a Literal or a bool, also within a union; empty for any other type."""
    if kind is bool:
        return ("true", "false")
    if get_origin(kind) is Literal:
        return tuple(str(value) for value in get_args(kind))
    return tuple(value for part in get_args(kind) for value in _choices(part))
