"""Merged values -> a Recipe, with every value that is missing, unknown, of the wrong kind or out of range named."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from finetune.errors import Change, Problem, suggest
from finetune.recipe.layers import LIST_TECHNIQUES
from finetune.recipe.merging import Merged, no_settings
from finetune.recipe.scaling import has_rule, nominal_size, rule_problems, settings_at, sizes, techniques_at
from finetune.recipe.schema import DataSection, ModelSection, Recipe, TrainingSection
from finetune.techniques import TECHNIQUES

SECTIONS: dict[str, type[BaseModel]] = {
    "model": ModelSection,
    "data": DataSection,
    "training": TrainingSection,
}


def build_recipe(name: str, preset: str | None, merged: Merged) -> Recipe | list[Problem]:
    """The recipe, or what is wrong with its values."""
    sections: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, schema in SECTIONS.items():
        sections[key] = _validate(schema, merged.values.get(key, {}), key, problems)
    written = merged.values.get("techniques", {})
    for key, settings in written.items():
        problems += _technique_problems(key, settings)
    if problems:
        return [merged.blame(problem) for problem in problems]
    rules = written if any(has_rule(settings) for settings in written.values()) else {}
    recipe = Recipe(name=name, preset=preset, techniques={}, rules=rules, **sections)
    return recipe.model_copy(update={"techniques": techniques_at(written, nominal_size(recipe))})


def problems_of_value(recipe: Recipe, key: str, value: float) -> list[Problem]:
    """Problems of another number for a dotted key that is a number in this recipe."""
    section, *parts = key.split(".")
    values, schema = recipe.to_dict()[section], SECTIONS.get(section)
    if section == "techniques":
        name, *parts = parts
        values, schema = values[name], TECHNIQUES[name]
    problems: list[Problem] = []
    if schema is not None and len(parts) == 1:  # deeper ones are of a user's mapping, which has no bounds of its own
        _validate(schema, {**values, parts[0]: value}, key.rpartition(".")[0], problems)
    return problems


def _technique_problems(name: str, settings: Any) -> list[Problem]:
    """Settings must be right for data of any size."""
    prefix = f"techniques.{name}"
    if name not in TECHNIQUES:
        return [Problem(f"unknown technique.{suggest(name, TECHNIQUES)}", prefix, changes=(LIST_TECHNIQUES,))]
    if not isinstance(settings, dict):
        return [no_settings(prefix, settings)]
    malformed = [problem.below(prefix) for problem in rule_problems(settings)]
    if malformed:
        return malformed
    problems: list[Problem] = []
    for size in sizes(settings):
        concrete = settings_at(settings, size)
        if concrete is not None:
            _validate(TECHNIQUES[name], concrete, prefix, problems)
    return [problem for number, problem in enumerate(problems) if problem not in problems[:number]]


def _validate(schema: type[BaseModel], values: Any, prefix: str, problems: list[Problem]) -> BaseModel | None:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problems += [_explain(schema, detail, prefix, values) for detail in _once_per_key(error)]
        return None


def _once_per_key(error: ValidationError) -> list[dict[str, Any]]:
    """A union reports one error per member; the reader needs one per key."""
    by_key: dict[Any, dict[str, Any]] = {}
    for detail in error.errors(include_url=False):
        by_key.setdefault(detail["loc"][:1], dict(detail))
    return list(by_key.values())


def _explain(schema: type[BaseModel], detail: dict[str, Any], prefix: str, values: Any) -> Problem:
    key = ".".join(str(part) for part in detail["loc"][:1])
    dotted = f"{prefix}.{key}" if key else prefix
    if detail["type"] == "extra_forbidden":
        return Problem(f"unknown key.{suggest(key, schema.model_fields)}", dotted, found=detail["input"])
    if detail["type"] == "missing":
        why = f"is missing. {schema.model_fields[key].description}"
        return Problem(why, dotted, changes=(Change(settings={dotted: "VALUE"}),))
    message = detail["msg"].removeprefix("Value error, ")
    found = "" if detail["type"] == "value_error" and not key else f"; found {detail['input']!r}"
    why = f"{message[:1].lower()}{message[1:]}{found}."
    # YAML reads 1 as a number and TRUE as a truth value; columns and labels are texts.
    if detail["type"] == "string_type" and isinstance(detail["input"], int | float):
        quoted = Change(settings={dotted: _as_texts(values[key])})
        return Problem(f"{why} Put it in quotes.", dotted, found=detail["input"], changes=(quoted,))
    return Problem(why, dotted, found=detail["input"])


def _as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_texts(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_as_texts(entry) for entry in value]
    return str(value) if isinstance(value, int | float) else value
