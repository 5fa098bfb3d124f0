"""How the rows and the encoder of a run are named in another command."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from finetune.diagnosis.observations import Observed
from finetune.errors import Change
from finetune.recipe import Recipe, load_recipe
from finetune.recipe.library import recipe_names
from finetune.records.schema import OWN_TRAINER, RunRecord

OF_CELLS = ("folds", "fold", "folds_of", "check")  # keys of `data` that experiments set for their runs
MEMORY = "memory:"  # data without a file


def with_commands(observed: Observed, record: RunRecord) -> Observed:
    """With what the commands of a plan need to know. Recipes are read for it, which a verdict alone does not need."""
    return replace(observed, data=typed_data(record), has_own_test=has_own_test(record))


def typed_data(record: RunRecord) -> str:
    """The recipe whose data it is, or the data with its settings: `tweets`, `--data x.csv --set data.text=Review`.

    The model is named if it is not the recipe's. `--data DATA` for data that was in memory.
    """
    recipe = record.recipe
    name, source = str(recipe.get("name", "")), str(recipe["data"]["source"])
    if name == OWN_TRAINER or source.startswith(MEMORY):
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
    has_parts = source.startswith("hub:") or source.endswith(".zip") or Path(source).is_dir()
    return bool(record.data.rows.get("test")) and (named or has_parts)


def _typed(words: list[str], plain: Recipe, record: RunRecord) -> str:
    """With the settings that differ from a recipe as it is without any."""
    usual = plain.model_dump(mode="json")
    model, data = record.recipe["model"]["id"], record.recipe["data"]
    words += [] if model == usual["model"]["id"] else ["--model", model]
    settings = {
        f"model.{key}": value
        for key, value in record.recipe["model"].items()
        if key not in ("id", "sha256") and key in usual["model"] and value != usual["model"][key]
    }
    settings |= {
        f"data.{key}": value
        for key, value in data.items()
        if key != "source" and key not in OF_CELLS and key in usual["data"] and value != usual["data"][key]
    }
    return " ".join([shlex.join(words), *([Change(settings=settings).for_command_line()] if settings else [])])
