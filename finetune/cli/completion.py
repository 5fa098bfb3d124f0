"""Shell completion: names of recipes, presets and techniques, and keys of --set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import typer

from finetune.recipe import library


def complete_recipe(incomplete: str) -> list[str]:
    """Shipped recipes."""
    return [name for name in library.recipe_names() if name.startswith(incomplete)]


def complete_preset(incomplete: str) -> list[str]:
    """Shipped presets."""
    return [name for name in library.preset_names() if name.startswith(incomplete)]


def complete_presets(incomplete: str) -> list[str]:
    """The last of several presets separated by commas: `none,st` -> `none,strong`."""
    before, comma, last = incomplete.rpartition(",")
    chosen = before.split(",")
    return [f"{before}{comma}{name}" for name in complete_preset(last) if name not in chosen]


OF_COLUMNS = ("text", "text_pair", "label", "id", "group", "order_by", "split_column")  # keys of `data`


def complete_setting(context: typer.Context, incomplete: str) -> list[str]:
    """Keys of a recipe, `training.epochs=`, those of techniques included; values that are a choice; and columns of the
    data that the command names, `data.text=Review`."""
    from finetune.recipe.keys import known_keys

    key, equals, value = incomplete.partition("=")
    known = known_keys()
    if equals and key.partition(".")[::2] in {("data", name) for name in OF_COLUMNS}:
        return [f"{key}={column}" for column in _columns(context.params) if column.startswith(value)]
    if equals:
        return [f"{key}={each}" for each in known.get(key, ()) if each.startswith(value)]
    return [f"{name}=" for name in known if name.startswith(key)]


def _columns(given: Mapping[str, Any]) -> list[str]:
    """Of the file in `--data`, or of the argument of `check`, which may be one."""
    from finetune.workflows.column_names import column_names

    source = given.get("data") or given.get("source")
    return column_names(str(source)) if source else []


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


def complete_seeds(incomplete: str) -> list[str]:
    """The number of seeds that a comparison finds out by itself."""
    return [text for text in ("auto:10",) if text.startswith(incomplete)]
