"""The content of a recipe, before anything is trained: its resolved values, and the differences between two recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetune.errors import RecipeError, suggest

if TYPE_CHECKING:
    from finetune.recipe import Recipe

NAMES = ("name", "preset")  # keys that say what a recipe is called, and not what it does


def describe_recipe(recipe: Any, preset: Any, model: str | None, data: str | None, overrides: Any) -> dict[str, Any]:
    """Every value with its origin, the data, dropout, cumulative weight decay and training time.

    A recipe whose own data is not there yet can still be shown; `data` must be there.

    Raises:
        RecipeError: The recipe is wrong.
        DataError: `data` cannot be read.
    """
    from finetune.data.load import load_data
    from finetune.recipe import resolve
    from finetune.training.plan import describe_plan

    resolved = resolve(recipe, preset, model, data, overrides)
    return describe_plan(resolved, None if data is None else load_data(resolved.recipe.data))


def describe_technique(name: str | None, known: dict[str, Any]) -> dict[str, Any]:
    """One of the known techniques.

    Raises:
        RecipeError: There is no such technique.
    """
    if name is None:
        families: dict[str, list[str]] = {}
        for each, about in known.items():
            families.setdefault(about["family"], []).append(each)
        listed = "; ".join(f"{family}: {', '.join(names)}" for family, names in families.items())
        raise RecipeError(f"finetune show technique: which one? {listed}")
    if name not in known:
        raise RecipeError(f"'{name}' is not a technique.{suggest(name, known)} Try: finetune ls techniques")
    return {name: known[name]}


def differing_values(first: str, second: str) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> the values of two recipes, or of two presets on the default recipe, where they differ.

    Raises:
        RecipeError: One is neither a recipe nor a preset.
    """
    from finetune.recipe import differences

    found = differences(_recipe_or_preset(first), _recipe_or_preset(second))
    return {key: pair for key, pair in found.items() if key not in NAMES}


def _recipe_or_preset(name: str) -> Recipe:
    """A preset is shown on the default recipe, so that both sides are recipes."""
    from finetune.recipe import is_preset_file, resolve
    from finetune.recipe.library import SUFFIXES, is_preset

    preset = is_preset_file(name) if name.endswith(SUFFIXES) else is_preset(name)
    return resolve(preset=name).recipe if preset else resolve(name).recipe
