"""Layers from which a recipe is built: a file, a dict or a Recipe, a preset, options. Each layer has an origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from finetune.errors import Change, Problem, RecipeError, suggest
from finetune.recipe.choices import Choices, Decision, Rule, read_rules
from finetune.recipe.keys import known_keys
from finetune.recipe.library import SUFFIXES, find_preset, find_recipe
from finetune.recipe.plain import to_plain
from finetune.recipe.schema import Recipe
from finetune.recipe.yaml_file import parse_yaml, read_yaml
from finetune.techniques import TECHNIQUES

RECIPE_KEYS = ("model", "data", "training", "techniques")
# Texts that YAML would read as something else: --set 'data.template={title}: {body}', --set 'data.delimiter=|'.
TEXTS = (
    *("data.template", "data.delimiter", "data.label_separator"),
    *("data.quote_char", "data.escape", "data.comment", "data.decimal"),
)
MOST_MEANT = 3  # keys in one question
LIST_TECHNIQUES = Change(command="finetune ls techniques")

T = TypeVar("T")
RecipeInput = str | Path | Mapping[str, Any] | Recipe
PresetInput = str | Path | Mapping[str, Mapping[str, Any]]
Overrides = Mapping[str, Any] | Iterable[str | Mapping[str, Any]]


@dataclass(frozen=True)
class Origin:
    """Where a value was written.

    Attributes:
        text: A file, or an option of the command line.
        in_python: The same, if Python has another name for it.
        override: Dotted key of a single overridden value; None for anything else.
    """

    text: str
    in_python: str = ""
    override: str | None = None

    def blame(self, problem: Problem) -> Problem:
        """The problem with this origin as the place where the value was written."""
        return problem.at(self.text, self.in_python)


@dataclass(frozen=True)
class Layer:
    """Some values of a recipe.

    Attributes:
        origin: Where they were written.
        content: Section -> key -> value; for techniques, name -> settings.
        replaces: A section that replaces those of lower layers completely.
    """

    origin: Origin
    content: dict[str, Any]
    replaces: str | None = None


@dataclass(frozen=True)
class Named:
    """A layer with the name of its recipe or preset.

    Attributes:
        name: Name of the recipe or preset.
        layer: Its values.
        preset: The preset that a recipe came with.
        rules: Rules of a preset that chooses by the data.
        choices: Rules of a recipe that came with such a preset.
        decisions: Decisions of those rules, for a recipe.
    """

    name: str
    layer: Layer
    preset: str | None = None
    rules: dict[str, Rule] = field(default_factory=dict)
    choices: Choices | None = None
    decisions: list[Decision] = field(default_factory=list)


def read_recipe(recipe: Any, problems: list[Problem]) -> Named:
    """A recipe by name or path, as a dict or as an object; errors in its sections go to `problems`.

    Raises:
        RecipeError: There is no such recipe, its file cannot be read, or the value is none of these kinds.
    """
    if isinstance(recipe, Recipe):
        return _recipe_of_dict(recipe.to_dict(), problems)
    if isinstance(recipe, Mapping):
        return _recipe_of_dict(to_plain(recipe), problems)
    if not isinstance(recipe, str | Path):
        why = f"expected a name, a path, a dict or a Recipe, found {type(recipe).__name__}."
        raise RecipeError(why, where="recipe")
    path = find_recipe(str(recipe))
    content = read_yaml(path, str(path) if path.suffix in str(recipe) else path.name)
    origin = Origin(path.name)
    return Named(path.stem, Layer(origin, _known_sections(content, origin, problems)))


def _recipe_of_dict(content: dict[str, Any], problems: list[Problem]) -> Named:
    """As a file, or as `Recipe.to_dict` writes it: with name, preset and the rules of its techniques."""
    origin = Origin("the recipe")
    name, preset = content.pop("name", "recipe"), content.pop("preset", None)
    rules = content.pop("rules", None)
    choices, decisions = content.pop("choices", None), content.pop("decisions", None) or []
    if preset is not None and "techniques" not in content:
        change = Change(arguments={"preset": preset})
        why = "names a preset, but the recipe lists no techniques."
        problems.append(origin.blame(Problem(why, "preset", found=preset, changes=(change,))))
    if rules:
        content["techniques"] = rules
    problems += [
        origin.blame(Problem(_NOT_A_NAME.format(text), key, found=text))
        for key, text in (("name", name), ("preset", preset))
        if not (text is None and key == "preset") and not _is_name(text)
    ]
    return Named(
        str(name),
        Layer(origin, _known_sections(content, origin, problems)),
        preset,
        choices=None if choices is None else _recorded(Choices, choices, "choices", origin, problems),
        decisions=_recorded(list[Decision], decisions, "decisions", origin, problems) or [],
    )


def _recorded(kind: type[T], value: Any, key: str, origin: Origin, problems: list[Problem]) -> T | None:
    """What a preset chose by the data, as a recipe keeps it; None where it is damaged, which is a problem."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, (key, *first["loc"])))
        why = f"expected what Recipe.to_dict writes: {place}: {first['msg'][:1].lower()}{first['msg'][1:]}."
        problems.append(origin.blame(Problem(why, key, found=value)))
        return None


_NOT_A_NAME = "expected a text that can be a folder name, found {!r}."


def _is_name(name: Any) -> bool:
    """Whether it can be part of a folder's name."""
    return (
        isinstance(name, str)
        and name.strip() not in ("", ".", "..")
        and not any(letter in "/\\" or ord(letter) < 32 for letter in name)
    )


def _known_sections(content: dict[str, Any], origin: Origin, problems: list[Problem]) -> dict[str, Any]:
    sections = {}
    for key, value in content.items():
        if key not in RECIPE_KEYS:
            why = f"unknown section.{suggest(str(key), RECIPE_KEYS)}"
            problems.append(origin.blame(Problem(why, str(key), found=value)))
        elif value is not None and not isinstance(value, dict):
            problems.append(origin.blame(Problem(f"expected keys with values, found {value!r}.", key, found=value)))
        else:
            sections[key] = value or {}
    return sections


def without_techniques(layer: Layer, problems: list[Problem]) -> Layer:
    """A recipe without its techniques: a preset replaces all of them, or `none` would not be none."""
    problems += [
        layer.origin.blame(Problem(f"unknown technique.{suggest(str(key), TECHNIQUES)}", f"techniques.{key}"))
        for key in layer.content.get("techniques", {})
        if key not in TECHNIQUES
    ]
    return Layer(layer.origin, {key: value for key, value in layer.content.items() if key != "techniques"})


def preset_name(preset: PresetInput) -> str:
    """The name of a preset: a file name without folder and suffix, or the single key of a dict."""
    if isinstance(preset, Mapping):
        return str(next(iter(preset), ""))
    path = Path(preset)
    return path.stem if path.suffix in SUFFIXES else str(preset)


def read_preset(preset: Any, problems: list[Problem]) -> Named:
    """A preset by name or path, or as a dict {name: techniques}; unknown techniques go to `problems`.

    One that chooses by the data has `rules` instead of techniques.

    Raises:
        RecipeError: There is no such preset, its file cannot be read, or the dict is not of that form.
    """
    if isinstance(preset, Mapping):
        content, origin = _preset_of_dict(preset), Origin(f"preset {preset_name(preset)}")
    elif isinstance(preset, str | Path):
        path = find_preset(str(preset))
        origin = Origin(f"presets/{path.name}")
        content = read_yaml(path, origin.text)
    else:
        raise RecipeError(f"expected a name, a path or a dict, found {type(preset).__name__}.", where="preset")
    name = preset_name(preset)
    if "rules" in content:
        found: list[Problem] = []
        rules = read_rules(content, found)
        problems += [origin.blame(problem) for problem in found]
        return Named(name, Layer(origin, {"techniques": {}}), rules=rules)
    for key in content:
        if key not in TECHNIQUES:
            why = f"'{key}' is not a technique; a preset holds techniques only.{suggest(str(key), TECHNIQUES)}"
            changes = (LIST_TECHNIQUES, _WRAP) if name in TECHNIQUES else (LIST_TECHNIQUES,)
            problems.append(origin.blame(Problem(why, found=key, changes=changes)))
    return Named(name, Layer(origin, {"techniques": {key: content[key] for key in content if key in TECHNIQUES}}))


_FORM = '{"mine": {"dropout": {"hidden": 0.2}}}'
_WRAP = Change(text=f"name the preset, as in {_FORM}")


def _preset_of_dict(preset: Mapping[str, Any]) -> dict[str, Any]:
    if len(preset) != 1:
        why = f"expected one name with its techniques, as in {_FORM}, found {len(preset)} entries."
        raise RecipeError(why, where="preset")
    ((name, content),) = preset.items()
    if not _is_name(name):
        raise RecipeError(_NOT_A_NAME.format(name), where="preset")
    if not isinstance(content, Mapping):
        raise RecipeError(f"expected its techniques, as in {_FORM}, found {content!r}.", where=f"preset {name}")
    plain: dict[str, Any] = to_plain(content)
    return plain


def read_overrides(overrides: Overrides | None, problems: list[Problem]) -> list[Layer]:
    """A layer for each value: `dotted.key=value` texts, whose values are YAML, a dict of typed values, or both."""
    layers: list[Layer | None] = []
    for part in parts_of(overrides or ()):
        if isinstance(part, Mapping):
            layers += [_typed_override(key, to_plain(value), problems) for key, value in part.items()]
        else:
            layers.append(_written_override(part, problems))
    return [layer for layer in layers if layer is not None]


def named_metrics(overrides: Overrides) -> list[str]:
    """The modules that a setting of `training.metrics` names; none if it is malformed, which is refused elsewhere."""
    layers = read_overrides(overrides, [])
    values = (layer.content.get("training", {}).get("metrics") for layer in layers)
    return [module for value in values if isinstance(value, list) for module in value if isinstance(module, str)]


def parts_of(overrides: Overrides) -> list[str | Mapping[str, Any]]:
    """The parts of some overrides: texts, or mappings of typed values."""
    return [overrides] if isinstance(overrides, str | Mapping) else list(overrides)


def entries_of(overrides: Overrides) -> list[str | Mapping[str, Any]]:
    """The single settings of some overrides: texts, or mappings of one key."""
    entries: list[str | Mapping[str, Any]] = []
    for part in parts_of(overrides):
        entries += [{key: value} for key, value in part.items()] if isinstance(part, Mapping) else [part]
    return entries


def key_of(entry: str | Mapping[str, Any]) -> str:
    """The dotted key of a single setting."""
    return next(iter(entry)) if isinstance(entry, Mapping) else entry.partition("=")[0].strip()


def set_keys(overrides: Overrides) -> list[str]:
    """The dotted keys that are overridden."""
    return [key_of(entry) for entry in entries_of(overrides)]


def merged_overrides(overrides: Overrides, further: Overrides) -> Overrides:
    """Settings followed by further ones."""
    if isinstance(overrides, Mapping) and isinstance(further, Mapping):
        return {**overrides, **further}
    return [*parts_of(overrides), *parts_of(further)]


def _typed_override(key: Any, value: Any, problems: list[Problem]) -> Layer | None:
    origin = Origin("overrides", override=str(key))
    if not isinstance(key, str) or not all(key.split(".")):
        why = f"expected dotted keys such as training.epochs, found {key!r}."
        problems.append(origin.blame(Problem(why, found=key)))
        return None
    return _override(key, value, origin, problems)


def _written_override(text: str, problems: list[Problem]) -> Layer | None:
    key, equals, written = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        why = "expected dotted.key=value, for example training.epochs=5."
        problems.append(Problem(why, found=text, where=f"--set {text}", where_in_python=f"overrides: {text}"))
        return None
    origin = Origin(f"--set {key}", "overrides", key)
    try:
        value = written if key in TEXTS and _is_bare(written) else parse_yaml(written, origin.text)
    except RecipeError as error:
        problems += error.problems
        return None
    return _override(key, value, origin, problems)


def _override(key: str, value: Any, origin: Origin, problems: list[Problem]) -> Layer | None:
    section, *parts = key.split(".")
    preset, colon, first = section.partition(":")
    if colon and first in RECIPE_KEYS:
        why = f"only a comparison can have settings of one preset ({preset}:)."
        change = Change(settings={key.removeprefix(f"{preset}:"): value})
        problems.append(origin.blame(Problem(why, key, found=value, changes=(change,))))
        return None
    if section not in RECIPE_KEYS:
        meant = _meant(key)
        hint = f" Did you mean {' or '.join(meant)}?" if meant else suggest(section, RECIPE_KEYS)
        why = f"'{section}' is not a section of a recipe.{hint}"
        problems.append(origin.blame(Problem(why, key, found=value)))
        return None
    if not parts:
        entry = {"techniques.NAME": "off"} if key == "techniques" else {f"{key}.KEY": "VALUE"}
        changes = (Change(settings=entry), *_instead_of_section(key, value))
        why = "names a whole section; set one of its keys."
        problems.append(origin.blame(Problem(why, key, found=value, changes=changes)))
        return None
    nested = value
    for part in reversed((section, *parts)):
        nested = {part: nested}
    return Layer(origin, nested)


def _meant(key: str) -> list[str]:
    """Keys that are written without their section: `epochs` is training.epochs, `l1` techniques.l1."""
    found = [known for known in known_keys() if known.endswith(f".{key}")]
    return [known for known in found if known.count(".") == 1 + key.count(".")][:MOST_MEANT]


def _instead_of_section(section: str, value: Any) -> tuple[Change, ...]:
    """The argument that stands for a whole section."""
    if section in ("model", "data") and isinstance(value, str):
        return (Change(arguments={section: value}),)
    return (Change(arguments={"preset": "none"}),) if section == "techniques" else ()


def _is_bare(value: str) -> bool:
    """A quote alone, or neither quoted nor null, so that YAML has nothing to read in it."""
    starts_bare = value.strip()[:1] not in ("", "'", '"') and value.strip().lower() not in ("null", "~")
    return starts_bare or value in ("'", '"')


def is_preset_file(path: str) -> bool:
    """Whether a YAML file is a preset (techniques at its top level) rather than a recipe (sections).

    Raises:
        RecipeError: It is missing or not YAML.
    """
    if not Path(path).is_file():
        raise RecipeError("no such file.", Change(command="finetune ls"), where=path)
    content = read_yaml(Path(path), path)
    return not any(key in RECIPE_KEYS for key in content)
