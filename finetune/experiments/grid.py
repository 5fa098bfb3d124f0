"""The points of a sweep: the values of one or several keys, as the variants of a comparison."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finetune.errors import Change, Problem, RecipeError, suggest
from finetune.experiments.asked import Asked, Preset, key_problems
from finetune.experiments.options import Options
from finetune.experiments.variants import OFF, Variant, compared_variants
from finetune.measurement.units import is_number
from finetune.recipe import preset_name
from finetune.recipe.choosing import techniques_of
from finetune.recipe.layers import entries_of, key_of, merged_overrides
from finetune.recipe.plain import to_plain
from finetune.recipe.yaml_file import parse_yaml
from finetune.records.schema import OWN
from finetune.techniques import TECHNIQUES

EXAMPLE = {"techniques.l1.strength": [0, 0.1, 1, 10]}
MOST_RUNS = 100  # that are started without being asked twice: more are an evening on a GPU, and weeks on a CPU
SECTIONS = ("techniques.", "training.", "data.", "model.")  # left out of the names of points


def read_vary(vary: Any) -> dict[str, list[Any]]:
    """The values of each key, in ascending order where they are numbers.

    Args:
        vary: A mapping of dotted keys to values, or `key=value,value` texts.

    Raises:
        RecipeError: Lists every problem found.
    """
    problems: list[Problem] = []
    found: dict[str, list[Any]] = {}
    for key, values in (_read_entry(entry) for entry in entries_of(vary)):
        if key in found:
            problems.append(_problem(key, "is varied twice. Give all its values once."))
        found[key] = _sorted(list(to_plain(values))) if isinstance(values, list | tuple | range) else [values]
        problems += _value_problems(key, found[key])
    if not found:
        raise RecipeError("gives nothing to vary.", Change(arguments={"vary": EXAMPLE}), argument="vary", found="")
    if problems:
        raise RecipeError(problems)
    return found


def _read_entry(entry: Any) -> tuple[str, Any]:
    """A key and its values."""
    if isinstance(entry, Mapping) and isinstance(key_of(entry), str):
        return next(iter(entry.items()))
    key, equals, written = entry.partition("=") if isinstance(entry, str) else ("", "", "")
    if not equals or not key.strip():
        raise RecipeError(
            "expected KEY=VALUE,VALUE,…", Change(arguments={"vary": EXAMPLE}), argument="vary", found=entry
        )
    return key.strip(), parse_yaml(f"[{written}]", f"--vary {entry}")


def _problem(key: str, why: str, *changes: Change) -> Problem:
    return Problem(why, key, changes=changes, where=f"--vary {key}", where_in_python="vary")


def _value_problems(key: str, values: list[Any]) -> list[Problem]:
    if any(value in values[:number] for number, value in enumerate(values)):
        return [_problem(key, f"gives a value twice among {_typed(values)}: the same runs twice.")]
    if len(values) < 2:
        return [_problem(key, f"a sweep needs two or more values, found {_typed(values) or 'none'}.")]
    if any(isinstance(value, dict | list) or value is None for value in values):
        return [_problem(key, f"expected single values, found {_typed(values)}.")]
    bad = [value for value in values if isinstance(value, float) and not math.isfinite(value)]
    return [_problem(key, f"{bad[0]} is not a value.")] if bad else []


def _typed(values: Sequence[Any]) -> str:
    return ",".join(map(str, values))


def _sorted(values: list[Any]) -> list[Any]:
    """Numbers ascending, with `off` before them; anything else in its order."""
    numbers = [value for value in values if is_number(value)]
    rest = [value for value in values if not is_number(value)]
    return [*rest, *sorted(numbers)] if numbers and rest in ([OFF], []) else values


def grid_variants(vary: Mapping[str, Sequence[Any]], preset: Preset, options: Options) -> list[Variant]:
    """One variant per point; the first is the reference of the others.

    A strength of 0, which techniques refuse, means the preset without that technique.

    Args:
        vary: Key -> values; the first key is the axis of the figure.
        preset: Preset that every point starts from.
        options: Shared by all; settings of techniques hold at every point.

    Raises:
        RecipeError: Lists every problem of keys and values.
    """
    base = Asked(preset_name(preset), preset, is_vary=True)
    problems = [problem for key in vary for problem in [*_name_problems(key), *key_problems(base, key)]]
    if problems:
        raise RecipeError([replace(each, where=f"--vary {each.key}", where_in_python="vary") for each in problems])
    shared, of_techniques = _apart(options)
    present = options.resolve(None if preset == OWN else preset)
    may_be_chosen = set() if present.choices is None else techniques_of(present.choices)
    on = set(present.rules or present.techniques) | may_be_chosen
    asked, points = [], {}
    for values in itertools.product(*vary.values()):
        point = dict(zip(vary, values, strict=True))
        settings = merged_overrides(of_techniques, [_settings(key, value, on) for key, value in point.items()])
        name = point_name(point)
        points[name] = point
        asked.append(replace(base, name=name, settings=settings))
    try:
        variants = compared_variants(asked, asked[0].name, replace(options, overrides=shared))
    except RecipeError as error:  # a fault of a key is one of each of its values
        raise RecipeError(list({problem.for_command_line(): problem for problem in error.problems}.values())) from None
    return [replace(variant, point=points[variant.name], preset=base.name) for variant in variants]


def point_name(point: Mapping[str, Any]) -> str:
    """`l1.strength=0.1`, with further keys after a comma; usable as a folder name."""
    parts = []
    for key, value in point.items():
        section = next((section for section in SECTIONS if key.startswith(section)), "")
        written = f"{value:g}" if isinstance(value, float) else str(value).replace("/", "-").replace("\\", "-")
        parts.append(f"{key.removeprefix(section)}={written}")
    return ", ".join(parts)


def _name_problems(key: str) -> list[Problem]:
    """A technique is misspelt, or a key is not a single setting."""
    section, *parts = key.split(".")
    if section == "techniques" and len(parts) == 2 and parts[0] not in TECHNIQUES:
        return [Problem(f"'{parts[0]}' is not a technique.{suggest(parts[0], TECHNIQUES)}", key)]
    if section == "techniques" and len(parts) == 2 and parts[1] not in TECHNIQUES[parts[0]].model_fields:
        return [Problem(f"unknown key.{suggest(parts[1], TECHNIQUES[parts[0]].model_fields)}", key)]
    if section in ("techniques", "training", "data", "model") and len(parts) < 1 + (section == "techniques"):
        return [Problem("is not a single setting.", key, changes=(Change(arguments={"vary": EXAMPLE}),))]
    return []


def _apart(options: Options) -> tuple[Any, list[Any]]:
    """Settings of the recipe, and those of techniques, which hold for every point."""
    shared: list[Any] = []
    techniques: list[Any] = []
    for entry in entries_of(options.overrides):
        (techniques if key_of(entry).startswith("techniques.") else shared).append(entry)
    return shared, techniques


def _settings(key: str, value: Any, on: set[str]) -> dict[str, Any]:
    """What a value sets: nothing, or a technique off, for a strength of 0 that stands for its absence."""
    section, *parts = key.split(".")
    is_zero = is_number(value) and value == 0
    if section == "techniques" and (value == OFF or (is_zero and len(parts) == 2 and _refuses_0(*parts))):
        return {f"techniques.{parts[0]}": OFF} if parts[0] in on else {}
    return {key: value}


def _refuses_0(technique: str, setting: str) -> bool:
    """Whether 0 is outside what a setting may be, and just so."""
    schema = TECHNIQUES[technique].model_json_schema()["properties"][setting]
    return any(kind.get("exclusiveMinimum") == 0 for kind in schema.get("anyOf", [schema]))
