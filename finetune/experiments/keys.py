"""Content keys: sha256 over everything that determines the numbers of a run, and over nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import finetune
from finetune.own_code import content_digest
from finetune.recipe import PATH_KEYS, READING_KEYS, Recipe
from finetune.records.schema import SCHEMA_VERSION
from finetune.techniques import own_sources
from finetune.training.version import ALGORITHM_VERSION

DECIDES_NUMBERS = ("data", "kernels", "measurement", "models", "recipe", "techniques", "training")  # folders of code


def run_key(recipe: Recipe, seed: int, data: str, model: str) -> str:
    """Key of a training run.

    The code is represented by `ALGORITHM_VERSION`, which is raised when it would give other numbers: a corrected
    docstring must not make finished runs stale. `code_digest` detects any other difference of the code.

    Args:
        recipe: Recipe of the run; its name, its list of seeds, the paths of its files, how they are read and its
            trackers are left out.
        seed: Seed of the run.
        data: Fingerprint of the splits.
        model: Fingerprint of the pretrained model.

    Raises:
        RecipeError: A metric of the user is missing.
    """
    content: dict[str, Any] = recipe.recorded()
    del content["name"], content["training"]["seeds"]
    for origin in ("rules", "choices", "decisions"):
        content.pop(origin, None)  # the values are those that they gave
    del content["training"]["min_steps"]  # the epochs are those that it gave
    for key in (*PATH_KEYS, *READING_KEYS, "folds_of"):  # whose rows the fingerprint knows
        del content["data"][key]
    del content["model"]["id"]
    content["training"]["metrics"] = [content_digest(Path(module)) for module in recipe.training.metrics]
    own = own_sources(recipe.techniques)
    if own:
        content["techniques_code"] = own
    return _sha256(
        {
            "recipe": content,
            "seed": seed,
            "data": data,
            "model": model,
            "algorithm": ALGORITHM_VERSION,
            "schema": SCHEMA_VERSION,
        }
    )


def job_key(kind: str, inputs: list[str], options: Mapping[str, Any]) -> str:
    """Key of a job that starts from other jobs: its kind, inputs and options."""
    return _sha256({"kind": kind, "inputs": inputs, "options": dict(options), "algorithm": ALGORITHM_VERSION})


def code_digest() -> str:
    """sha256 over the sources that determine the numbers of a run; a new report does not change it."""
    root = Path(finetune.__file__).parent
    digest = hashlib.sha256()
    for folder in DECIDES_NUMBERS:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
