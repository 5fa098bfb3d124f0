"""What the shell offers for the last word: names of recipes, presets and techniques, and keys of --set."""

from __future__ import annotations

from typing import get_args

from finetune.recipe import library


def complete_recipe(incomplete: str) -> list[str]:
    """Shipped recipes."""
    return [name for name in library.recipe_names() if name.startswith(incomplete)]


def complete_preset(incomplete: str) -> list[str]:
    """Shipped presets."""
    return [name for name in library.preset_names() if name.startswith(incomplete)]


def complete_presets(incomplete: str) -> list[str]:
    """The last of several presets with commas: `none,st` -> `none,strong`."""
    before, comma, last = incomplete.rpartition(",")
    chosen = before.split(",")
    return [f"{before}{comma}{name}" for name in complete_preset(last) if name not in chosen]


def complete_setting(incomplete: str) -> list[str]:
    """Keys of a recipe, `training.epochs=`, those of techniques included, and values that are a choice."""
    from finetune.recipe.keys import known_keys

    key, equals, value = incomplete.partition("=")
    known = known_keys()
    if equals:
        return [f"{key}={each}" for each in known.get(key, ()) if each.startswith(value)]
    return [f"{name}=" for name in known if name.startswith(key)]


def complete_technique(incomplete: str) -> list[str]:
    """Techniques of the registry."""
    from finetune.techniques import TECHNIQUES

    return [name for name in TECHNIQUES if name.startswith(incomplete)]


def complete_metric(incomplete: str) -> list[str]:
    """Scores that are measured."""
    from finetune.measurement.scores import MEASURES

    names = dict.fromkeys(name for measure in MEASURES.values() for name in measure.names)
    return [name for name in names if name.startswith(incomplete)]


def complete_final(incomplete: str) -> list[str]:
    """Models that a comparison can end with."""
    from finetune.records.comparison import FinalName

    return [name for name in get_args(FinalName) if name.startswith(incomplete)]


def complete_format(incomplete: str) -> list[str]:
    """Formats that a model can be exported to."""
    from finetune.reports.export import TITLES

    return [name for name in TITLES if name.startswith(incomplete)]
