"""Recipe, preset and options -> one frozen Recipe, and the origin of each value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.errors import Problem, RecipeError
from finetune.recipe.checks import find_problems
from finetune.recipe.choices import Choices
from finetune.recipe.choosing import trial_problems
from finetune.recipe.flat import flatten
from finetune.recipe.layers import (
    Layer,
    Named,
    Origin,
    Overrides,
    PresetInput,
    RecipeInput,
    read_overrides,
    read_preset,
    read_recipe,
    without_techniques,
)
from finetune.recipe.merging import Merged
from finetune.recipe.plain import to_plain
from finetune.recipe.scaling import OFF, rules_of
from finetune.recipe.schema import Recipe
from finetune.recipe.validation import build_recipe

DEFAULT_RECIPE = "tweets"
DEFAULT_RECIPE_FOR_OWN_DATA = "your-data"


@dataclass(frozen=True)
class Resolved:
    """A recipe and the origin of each of its values: dotted key -> "default", a file, or an option."""

    recipe: Recipe
    origins: dict[str, str]


def load_recipe(
    recipe: RecipeInput | None = None,
    *,
    preset: PresetInput | None = None,
    model: str | Path | None = None,
    data: str | Path | None = None,
    overrides: Overrides | None = None,
    seed: int | Iterable[int] = (),
    metric: str | Path | Iterable[str | Path] = (),
) -> Recipe:
    """The recipe that a run with these arguments would use; see `resolve`.

    Raises:
        RecipeError: With every problem found, each naming its key and where it was written.
    """
    seeds = seed if isinstance(seed, Iterable) else [seed]
    metrics = [metric] if isinstance(metric, str | Path) else metric
    return resolve(recipe, preset, model, data, overrides, seeds, metrics).recipe


def resolve(
    recipe: RecipeInput | None = None,
    preset: PresetInput | None = None,
    model: str | Path | None = None,
    data: str | Path | None = None,
    overrides: Overrides | None = None,
    seeds: Iterable[int] = (),
    metrics: Iterable[str | Path] = (),
) -> Resolved:
    """Build a recipe. Precedence: schema default < recipe < preset < other arguments.

    A preset that chooses by the data (`auto`) leaves its rules in `choices`: `choose` applies them to the facts.

    Args:
        recipe: Name or path; or a dict with the sections of a recipe file and, if wanted, a "name", or what
            `Recipe.to_dict` returns; or a Recipe. Default: the embedded demo, or with `data` the template for own data.
        preset: Set of techniques that replaces those of the recipe: name or path; or a dict of one name with its
            techniques, {"mine": {"dropout": {"hidden": 0.2}}}.
        model: Hub id, folder or package path that replaces the recipe's model section.
        data: File, folder or other source that replaces the recipe's data section: its columns belong to its own file.
        overrides: Dotted key -> value, such as {"training.epochs": 5, "techniques.r_drop": "off"}; or
            `training.epochs=5` texts, whose values are read as YAML.
        seeds: Replace `training.seeds`.
        metrics: Paths of evaluate modules, added to `training.metrics`.

    Raises:
        RecipeError: With every problem found, each naming its key and where it was written.
    """
    problems: list[Problem] = []
    default = DEFAULT_RECIPE if data is None else DEFAULT_RECIPE_FOR_OWN_DATA
    source = read_recipe(default if recipe is None else recipe, problems)
    bundle = None if preset is None else _read_preset(preset, problems)
    lowest = source.layer if preset is None else without_techniques(source.layer, problems)
    merged = Merged(lowest)
    set_by_user = read_overrides(overrides, problems)
    choices = _choices(source, bundle, set_by_user)
    for layer in (
        *([] if bundle is None else [bundle.layer]),
        *_section_layers(model, data, problems),
        *_floor_layers(source.layer, set_by_user),
        *(layer for layer in set_by_user if choices is None or not _turns_off(layer)),
        *_seed_layers(seeds),
    ):
        merged.add(layer)
    if modules := to_plain(list(metrics)):
        merged.append("training", "metrics", modules, Origin("--metric", "metric"))
    built = build_recipe(source.name, source.preset if bundle is None else bundle.name, merged)
    problems += merged.problems
    if problems or not isinstance(built, Recipe):
        raise RecipeError(problems + ([] if isinstance(built, Recipe) else built))
    across = find_problems(built)
    if across:
        raise RecipeError([_blame_written(problem, merged) for problem in across])
    if choices is not None:
        built = built.model_copy(update={"choices": choices})
        if wrong := list(trial_problems(built)):
            raise RecipeError(wrong)
    elif bundle is None:
        built = built.model_copy(update={"decisions": source.decisions})
    return Resolved(built, _origins(built, merged))


def _choices(source: Named, bundle: Named | None, set_by_user: Iterable[Layer]) -> Choices | None:
    """The rules of the preset that chooses by the data, with what no rule may change."""
    by_user = {layer.origin.override: _value_of(layer) for layer in set_by_user if layer.origin.override is not None}
    if bundle is not None:
        return Choices(origin=bundle.layer.origin.text, rules=bundle.rules, overrides=by_user) if bundle.rules else None
    if source.choices is None:
        return None
    return source.choices.model_copy(update={"overrides": {**source.choices.overrides, **by_user}})


def _value_of(layer: Layer) -> Any:
    """The value of a layer that holds one overridden value."""
    value: Any = layer.content
    for part in (layer.origin.override or "").split("."):
        value = value[part]
    return value


def _turns_off(layer: Layer) -> bool:
    """A technique that a rule may turn on, once the data is known."""
    key = layer.origin.override or ""
    return key.startswith("techniques.") and _value_of(layer) in OFF


def _read_preset(preset: PresetInput, problems: list[Problem]) -> Named | None:
    """One that cannot be read is a problem beside the others, not the end of the search."""
    try:
        return read_preset(preset, problems)
    except RecipeError as error:
        problems += error.problems
        return None


def _section_layers(model: Any, data: Any, problems: list[Problem]) -> list[Layer]:
    layers = []
    for section, key, value in (("model", "id", model), ("data", "source", data)):
        origin = Origin(f"--{section}", section)
        if isinstance(value, str | Path):
            layers.append(Layer(origin, {section: {key: str(value)}}, replaces=section))
        elif value is not None:
            why = f"expected a name or a path, found {type(value).__name__}."
            problems.append(origin.blame(Problem(why, f"{section}.{key}")))
    return layers


def _floor_layers(source: Layer, set_by_user: Iterable[Layer]) -> list[Layer]:
    """Epochs that are set for a run are the length of it: the floor of steps of the recipe does not raise them."""
    origins = {layer.origin.override: layer.origin for layer in set_by_user}
    has_floor = "min_steps" in source.content.get("training", {})
    if not has_floor or "training.epochs" not in origins or "training.min_steps" in origins:
        return []
    return [Layer(origins["training.epochs"], {"training": {"min_steps": 0}})]


def _seed_layers(seeds: Iterable[int]) -> list[Layer]:
    written = to_plain(list(seeds))
    return [Layer(Origin("--seed", "seed"), {"training": {"seeds": written}})] if written else []


def _blame_written(problem: Problem, merged: Merged) -> Problem:
    """A check across keys blames one that may have its default, which was written nowhere."""
    origin = merged.origin_of(problem.key)
    return problem if origin is None else origin.blame(problem)


def _origins(recipe: Recipe, merged: Merged) -> dict[str, str]:
    """The origin of every value; a mapping such as data.minimum has that of its last entry."""
    written = {key: origin.text for key, origin in merged.origins.items()}
    by_size = [f"techniques.{name}" for name, settings in recipe.rules.items() if "" in rules_of(settings)]
    origins = {}
    for key in (key for key in flatten(recipe.to_dict()) if "." in key):  # name and preset are no values
        technique = key.rpartition(".")[0] if key.rpartition(".")[0] in by_size else key  # one rule for all of it
        below = [origin for name, origin in written.items() if name.startswith(f"{technique}.")]
        origins[key] = written.get(key) or (below[-1] if below else "default")
    return origins
