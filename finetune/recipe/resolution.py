"""Recipe file + preset + command-line overrides -> one frozen Recipe, and where each value came from."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from finetune.errors import RecipeError, suggest
from finetune.recipe.checks import find_problems
from finetune.recipe.flat import flatten
from finetune.recipe.library import find_preset, find_recipe
from finetune.recipe.scaling import (
    NOMINAL,
    OFF,
    Size,
    describe_rules,
    has_rule,
    rule_problems,
    rules_of,
    settings_at,
    sizes,
)
from finetune.recipe.schema import DataSection, ModelSection, Recipe, TrainingSection
from finetune.recipe.yaml_file import parse_yaml, read_yaml
from finetune.techniques import TECHNIQUES, Technique

SECTIONS: dict[str, type[BaseModel]] = {
    "model": ModelSection,
    "data": DataSection,
    "training": TrainingSection,
}
RECIPE_KEYS = ("model", "data", "training", "techniques")
DEFAULT_RECIPE = "tweets"
DEFAULT_RECIPE_FOR_OWN_DATA = "your-data"
MAPPINGS = ("data.minimum",)  # values that are mappings themselves: merged entry by entry
MAPPED_WHOLE = ("data.label_map", "data.split_names")  # replaced, but for --set of one entry
# Texts that YAML would read as something else: --set 'data.template={title}: {body}', --set 'data.delimiter=|'.
TEXTS = ("data.template", "data.delimiter", "data.label_separator")


@dataclass(frozen=True)
class Resolved:
    """A recipe and the origin of each of its values: dotted key -> "default", a file, or an option."""

    recipe: Recipe
    origins: dict[str, str]


@dataclass(frozen=True)
class _Layer:
    """Some values and where they were written."""

    origin: str
    content: dict[str, Any]


def resolve(
    recipe: str | None = None,
    preset: str | None = None,
    model: str | None = None,
    data: str | None = None,
    overrides: Iterable[str] = (),
    seeds: Iterable[int] = (),
    metrics: Iterable[str] = (),
) -> Resolved:
    """Build the recipe of a command line. Precedence: schema default < recipe < preset < options and --set.

    Args:
        recipe: Name or path; left out, the embedded demo, or the template for own data when `data` is given.
        preset: Name or path of a bundle of techniques; it replaces the techniques that the recipe lists.
        model: Replaces the recipe's model section by this id, folder or package path.
        data: Replaces the recipe's data section (its columns belong to its own file) by this file or folder.
        overrides: `dotted.key=value` texts; the value is read as YAML; `techniques.NAME=off` takes one out.
        seeds: Replace `training.seeds`.
        metrics: Paths of evaluate modules, added to `training.metrics`.

    Raises:
        RecipeError: With every problem found, each naming file and key.
    """
    problems: list[str] = []
    name = recipe or (DEFAULT_RECIPE_FOR_OWN_DATA if data else DEFAULT_RECIPE)
    layers = [_recipe_layer(name, problems)]
    preset_name = None if preset is None else Path(preset).stem
    if preset is not None:
        layers = [_without_techniques(layer, problems) for layer in layers]
        layers.append(_collect(problems, "preset", _preset_layer, preset, problems))
    if model is not None:
        layers.append(_Layer("--model", {"model": {"id": model}}))
    if data is not None:
        layers.append(_Layer("--data", {"data": {"source": data}}))
    layers += [_collect(problems, "--set", _override_layer, text, problems) for text in overrides]
    if seeds := list(seeds):
        layers.append(_Layer("--seed", {"training": {"seeds": seeds}}))
    merged, origins = _merge(layers, problems)
    if metrics := list(metrics):
        training = merged.setdefault("training", {})
        written = training.get("metrics", [])
        if isinstance(written, list):  # anything else is the schema's to refuse
            training["metrics"] = [*written, *metrics]
            origins["training.metrics"] = "--metric"
    built = _build(Path(name).stem, preset_name, merged, origins, problems)
    if built is None or problems:
        raise RecipeError(problems)
    crossed = find_problems(built)
    if crossed:
        raise RecipeError([problem.at(_origin_of(problem.key, origins)) for problem in crossed])
    return Resolved(built, _all_origins(built, origins))


def _collect(problems: list[str], origin: str, read: Callable[..., _Layer], *arguments: Any) -> _Layer:
    """Read a layer; one that cannot be read is a problem beside the others, not the end of the search."""
    try:
        return read(*arguments)
    except RecipeError as error:
        problems += [problem.for_command_line() for problem in error.problems]
        return _Layer(origin, {})


def _recipe_layer(name: str, problems: list[str]) -> _Layer:
    path = find_recipe(name)
    content = read_yaml(path, str(path) if path.suffix in name else path.name)
    origin = path.name
    return _Layer(origin, _known_sections(content, origin, problems))


def _without_techniques(layer: _Layer, problems: list[str]) -> _Layer:
    """A preset is the whole bundle: what the recipe lists beside it would make `none` something else than none."""
    for key in layer.content.get("techniques", {}):
        if key not in TECHNIQUES:
            problems.append(f"{layer.origin}: techniques.{key} is not a technique.{suggest(key, TECHNIQUES)}")
    return _Layer(layer.origin, {key: value for key, value in layer.content.items() if key != "techniques"})


def _preset_layer(name: str, problems: list[str]) -> _Layer:
    path = find_preset(name)
    origin = f"presets/{path.name}"
    content = read_yaml(path, origin)
    for key in content:
        if key not in TECHNIQUES:
            problems.append(
                f"{origin}: '{key}' is not a technique; a preset holds techniques only."
                f"{suggest(key, TECHNIQUES)} Try: finetune ls techniques"
            )
    return _Layer(origin, {"techniques": {key: value for key, value in content.items() if key in TECHNIQUES}})


def _known_sections(content: dict[str, Any], origin: str, problems: list[str]) -> dict[str, Any]:
    known = {}
    for key, value in content.items():
        if key not in RECIPE_KEYS:
            problems.append(f"{origin}: '{key}' is not a section of a recipe.{suggest(key, RECIPE_KEYS)}")
        elif value is not None and not isinstance(value, dict):
            problems.append(f"{origin}: {key}: expected 'key: value' lines below it, found {value!r}.")
        else:
            known[key] = value or {}
    return known


def _override_layer(text: str, problems: list[str]) -> _Layer:
    key, equals, value = text.partition("=")
    key = key.strip()
    parts = key.split(".")
    origin = f"--set {key}"
    if not equals or not all(parts):
        problems.append(f"--set {text}: expected dotted.key=value, for example training.epochs=5.")
        return _Layer(origin, {})
    if parts[0] not in RECIPE_KEYS:
        problems.append(f"--set {text}: '{parts[0]}' is not a section with keys.{suggest(parts[0], RECIPE_KEYS)}")
        return _Layer(origin, {})
    if len(parts) == 1:
        options = {"model": "--model", "data": "--data"}.get(key)
        instead = f"; for the whole section: {options} …" if options else ""
        problems.append(f"--set {text}: '{key}' is a section; set its keys, for example {key}.KEY=VALUE{instead}.")
        return _Layer(origin, {})
    nested: Any = value if key in TEXTS and _is_bare(value) else parse_yaml(value, f"--set {key}")
    for part in reversed(parts):
        nested = {part: nested}
    return _Layer(origin, nested)


def _is_bare(value: str) -> bool:
    """Neither quoted nor null, so that YAML has nothing to read in it."""
    return value.strip()[:1] not in ("", "'", '"') and value.strip().lower() not in ("null", "~")


def _merge(layers: list[_Layer], problems: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Later layers win, key by key. --model and --data replace their whole section: its other keys describe
    the file that is being replaced (columns, hash, revision)."""
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {"": layers[0].origin}  # of what nobody wrote: the recipe should have
    for layer in layers:
        if layer.origin in ("--model", "--data"):
            section = layer.origin.removeprefix("--")
            merged.pop(section, None)
            origins = {key: origin for key, origin in origins.items() if not key.startswith(f"{section}.")}
        _merge_into(merged, layer.content, layer.origin, origins, "", problems)
    return merged, origins


def _merge_into(
    target: dict[str, Any],
    content: dict[str, Any],
    origin: str,
    origins: dict[str, str],
    prefix: str,
    problems: list[str],
) -> None:
    for key, value in content.items():
        dotted = f"{prefix}{key}"
        if prefix == "techniques." and value is None and not origin.startswith("--set"):
            problems.append(f"{origin}: techniques.{key} is empty. Write {key}: {{}} for its defaults, or {key}: off.")
        elif prefix == "techniques." and value in OFF:
            was_on = target.pop(key, None) is not None
            if not was_on and origin.startswith("--set"):
                problems.append(f"{origin}=off: '{key}' is not on.{suggest(key, target)}")
            elif key not in TECHNIQUES:
                problems.append(f"{origin}: techniques.{key} is not a technique.{suggest(key, TECHNIQUES)}")
            origins.update({k: origin for k in list(origins) if k.startswith(f"{dotted}.")})
        elif isinstance(value, dict) and (
            prefix in ("", "techniques.")
            or dotted in MAPPINGS
            or (dotted in MAPPED_WHOLE and origin.startswith(f"--set {dotted}."))
        ):
            if not value:
                origins.setdefault(dotted, origin)
            existing = target.setdefault(key, {})
            if (
                origin.startswith("--set")
                and isinstance(existing, dict)
                and "" in rules_of(existing)
                and not has_rule(value)
            ):
                # One value of a technique that a rule switches: it holds wherever the technique is on.
                (table,) = existing.values()
                for settings in (settings for settings in table.values() if isinstance(settings, dict)):
                    _merge_into(settings, value, origin, origins, f"{dotted}.", problems)
            elif isinstance(existing, dict):
                _merge_into(existing, value, origin, origins, f"{dotted}.", problems)
            else:
                _refuse_scalar(dotted, existing, origins, problems)
        else:
            target[key] = value
            origins[dotted] = origin


def _refuse_scalar(dotted: str, found: Any, origins: dict[str, str], problems: list[str]) -> None:
    name = dotted.removeprefix("techniques.")
    known = f" Known: {', '.join(TECHNIQUES[name].model_fields)}." if name in TECHNIQUES else ""
    problems.append(f"{_where(dotted, origins)}: {dotted}: expected its settings, found {found!r}.{known}")


def _build(
    name: str, preset: str | None, merged: dict[str, Any], origins: dict[str, str], problems: list[str]
) -> Recipe | None:
    sections: dict[str, Any] = {}
    for key, section in SECTIONS.items():
        sections[key] = _validate(section, merged.get(key, {}), key, origins, problems)
    written = merged.get("techniques", {})
    for key, settings in written.items():
        if key not in TECHNIQUES:
            where = _where(f"techniques.{key}", origins)
            problems.append(
                f"{where}: techniques.{key} is not a technique.{suggest(key, TECHNIQUES)} Try: finetune ls techniques"
            )
        elif not isinstance(settings, dict):
            _refuse_scalar(f"techniques.{key}", settings, origins, problems)
        else:
            _check_settings(key, settings, origins, problems)
    if problems:
        return None
    rules = written if any(has_rule(settings) for settings in written.values()) else {}
    recipe = Recipe(name=name, preset=preset, techniques={}, rules=rules, **sections)
    return recipe.model_copy(update={"techniques": _techniques_at(written, _nominal_size(recipe))})


def _check_settings(name: str, settings: dict[str, Any], origins: dict[str, str], problems: list[str]) -> None:
    """Settings must be right for data of any size."""
    malformed = list(rule_problems(settings))
    for key, what in malformed:
        dotted = f"techniques.{name}.{key}".rstrip(".")
        problems.append(f"{_where(dotted, origins)}: {dotted}: {what}.")
    if malformed:
        return
    found: list[str] = []
    for size in sizes(settings):
        concrete = settings_at(settings, size)
        if concrete is not None:
            _validate(TECHNIQUES[name], concrete, f"techniques.{name}", origins, found)
    problems += dict.fromkeys(found)


def _techniques_at(written: dict[str, Any], size: Size) -> dict[str, Technique]:
    concrete = {name: settings_at(settings, size) for name, settings in written.items()}
    return {name: TECHNIQUES[name](**settings) for name, settings in concrete.items() if settings is not None}


def _nominal_size(recipe: Recipe) -> Size:
    """What the recipe says of the size of its data; 1,000 rows and two labels where it says nothing."""
    rows, labels = recipe.data.train_size, recipe.data.labels
    return Size(
        rows if isinstance(rows, int) else NOMINAL["by_rows"],
        len(labels) if labels is not None else NOMINAL["by_classes"],
    )


def at_size(recipe: Recipe, rows: int, classes: int) -> Recipe:
    """The recipe with the techniques that its rules want for data of this size; the same one without rules."""
    if not recipe.rules:
        return recipe
    return recipe.model_copy(update={"techniques": _techniques_at(recipe.rules, Size(rows, classes))})


def _validate(
    schema: type[BaseModel], values: dict[str, Any], prefix: str, origins: dict[str, str], problems: list[str]
) -> BaseModel | None:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problems.extend(_explain(schema, detail, prefix, origins) for detail in _once_per_key(error))
        return None


def _once_per_key(error: ValidationError) -> list[dict[str, Any]]:
    """A union reports one error per member; the reader needs one per key."""
    by_key: dict[Any, dict[str, Any]] = {}
    for detail in error.errors(include_url=False):
        by_key.setdefault(detail["loc"][:1], dict(detail))
    return list(by_key.values())


def _explain(schema: type[BaseModel], detail: dict[str, Any], prefix: str, origins: dict[str, str]) -> str:
    key = ".".join(str(part) for part in detail["loc"][:1])
    dotted = f"{prefix}.{key}" if key else prefix
    where = _where(dotted, origins)
    if detail["type"] == "extra_forbidden":
        return f"{where}: {dotted} is not a key.{suggest(key, schema.model_fields)}"
    if detail["type"] == "missing":
        return f"{where}: {dotted} is missing: {schema.model_fields[key].description} Add it, or: --set {dotted}=…"
    message = detail["msg"].removeprefix("Value error, ")
    found = "" if detail["type"] == "value_error" and not key else f"; found {detail['input']!r}"
    # YAML reads 1 as a number and TRUE as a truth value; columns and labels are texts.
    quoted = isinstance(detail["input"], int | float) and detail["type"] == "string_type"
    advice = ' Put it in quotes, as in: --set \'data.labels=["0", "1"]\'' if quoted else ""
    return f"{where}: {dotted}: {message[:1].lower()}{message[1:]}{found}.{advice}"


def _where(dotted: str, origins: dict[str, str]) -> str:
    """Where a key, or something below or beside it, was written; the recipe if nowhere."""
    section = dotted.rpartition(".")[0]
    below = (origin for key, origin in origins.items() if key.startswith(f"{dotted}."))
    beside = (origin for key, origin in origins.items() if section and key.startswith(f"{section}."))
    return origins.get(dotted) or next(below, None) or next(beside, origins[""])


def _origin_of(key: str, origins: dict[str, str]) -> str:
    """Where a key or something below it was written; "" if nowhere."""
    return origins.get(key) or next((origin for k, origin in origins.items() if k.startswith(f"{key}.")), "")


def _all_origins(recipe: Recipe, written: dict[str, str]) -> dict[str, str]:
    """The origin of every value; a mapping such as data.minimum has that of its last entry."""
    origins = {}
    by_size = [f"techniques.{name}" for name, settings in recipe.rules.items() if "" in rules_of(settings)]
    for key in (key for key in flatten(recipe.to_dict()) if "." in key):  # name and preset are no values
        technique = key.rpartition(".")[0] if key.rpartition(".")[0] in by_size else key  # one rule for all of it
        below = [origin for name, origin in written.items() if name.startswith(f"{technique}.")]
        origins[key] = written.get(key) or (below[-1] if below else "default")
    return origins


def differences(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ; a key that one side lacks shows as None there."""
    a, b = ({**flatten(recipe.to_dict()), **describe_rules(recipe.rules)} for recipe in (first, second))
    return {
        key: (a.get(key), b.get(key))
        for key in dict.fromkeys([*a, *b])
        if json.dumps(a.get(key)) != json.dumps(b.get(key))
    }


def is_preset_file(path: str) -> bool:
    """Whether a YAML file is a preset (techniques at its top level) rather than a recipe (sections).

    Raises:
        RecipeError: It is missing or no YAML.
    """
    if not Path(path).is_file():
        raise RecipeError(f"{path}: no such file. Try: finetune ls")
    content = read_yaml(Path(path), path)
    return not any(key in RECIPE_KEYS for key in content)
