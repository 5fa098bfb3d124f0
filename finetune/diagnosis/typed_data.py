"""How the rows and the encoder of a run are named in another command."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from finetune.diagnosis.observations import Observed
from finetune.errors import Change
from finetune.recipe import HUB_PREFIX, MEMORY_PREFIX, Recipe, load_recipe
from finetune.recipe.library import recipe_names
from finetune.records.schema import OWN_TRAINER, RunRecord

# Section -> keys that are no settings of a command: options name them, or experiments set them for their runs.
NOT_SET = {"model": ("id", "sha256"), "data": ("source", "folds", "fold", "folds_of", "check")}


def with_commands(observed: Observed, record: RunRecord) -> Observed:
    """With what the commands of a plan need to know. Recipes are read for it, which a verdict alone does not need."""
    return replace(observed, data=typed_data(record), has_own_test=has_own_test(record))


def typed_data(record: RunRecord) -> str:
    """The recipe whose data it is, or the data with its settings: `tweets`, `--data x.csv --set data.text=Review`.

    The model is named if it is not the recipe's. `--data DATA` for data that was in memory.
    """
    recipe = record.recipe
    name, source = str(recipe.get("name", "")), str(recipe["data"]["source"])
    if name == OWN_TRAINER or source.startswith(MEMORY_PREFIX):
        return Observed.data
    shipped = load_recipe(name) if name in recipe_names() else None
    if shipped is not None and shipped.data.source == source:
        return _typed([name], shipped, record)
    return _typed(["--data", source], load_recipe(data=source), record)


def has_own_test(record: RunRecord) -> bool:
    """Whether test is a split of its own, as far as the recipe tells. A folder or a set of the hub usually holds one;
    of a file with several parts (sheets, splits in a JSON document) it is not known."""
    data = record.recipe["data"]
    source = str(data["source"])
    named = data.get("test") is not None or data.get("split_column") is not None
    has_parts = source.startswith(HUB_PREFIX) or source.endswith(".zip") or Path(source).is_dir()
    return bool(record.data.rows.get("test")) and (named or has_parts)


def _typed(words: list[str], plain: Recipe, record: RunRecord) -> str:
    """With the settings that differ from a recipe as it is without any."""
    usual, recipe = plain.model_dump(mode="json"), record.recipe
    words += [] if recipe["model"]["id"] == usual["model"]["id"] else ["--model", recipe["model"]["id"]]
    settings = {
        f"{section}.{key}": value
        for section, apart in NOT_SET.items()
        for key, value in recipe[section].items()
        if key not in apart and key in usual[section] and value != usual[section][key]
    }
    return " ".join([shlex.join(words), *([Change(settings=settings).for_command_line()] if settings else [])])
