"""JSON files beside the weights of a model: in its folder, or on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finetune.recipe import ModelSection


def read_json(section: ModelSection, location: str, name: str) -> Any:
    """The content of a file of the model; None if it is missing or cannot be read.

    Args:
        section: The model section of the recipe.
        location: Folder of the model, or its hub id; without a network, its files in the cache.
        name: Path of the file within the folder.
    """
    from transformers.utils import cached_file  # slow to import: a report reads its own model folder, and nothing else

    path = cached_file(
        location,
        name,
        revision=section.revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    try:
        return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
