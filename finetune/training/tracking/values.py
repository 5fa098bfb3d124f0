"""Names of the values and settings that trackers get. They stay the same between versions (docs/tracking.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from finetune.measurement.gap import compute_gap
from finetune.portable import portable
from finetune.recipe import PATH_KEYS, flatten
from finetune.records.schema import Checkpoint
from finetune.training.prepare import Prepared

Values = Mapping[str, float | None]
_LOGGED = ("loss", "grad_norm", "learning_rate", "epoch")  # of what Trainer logs in an epoch


def training_values(logs: Mapping[str, Any]) -> dict[str, float]:
    """Trainer's logs about training itself.

    Its closing summary is left out: for a resumed run it covers only the last session.
    """
    return {name: logs[name] for name in _LOGGED if name in logs} if "loss" in logs else {}


def evaluation_values(scores: Mapping[str, Values], loss: str, prefix: str = "eval_") -> dict[str, float]:
    """Scores of validation as `eval_<name>`, of the train sample as `eval_train_<name>`, gaps as `eval_gap_<name>`.

    The evaluation loss is called `loss`, as in every Trainer. Undefined values are left out: for nan, one tracker
    writes 0 and another a text.

    Args:
        scores: Scores of train_probe and validation.
        loss: Name of the evaluation loss.
        prefix: Prefix of all names.
    """
    train, validation = (_defined(scores[split]) for split in ("train_probe", "validation"))
    parts = {"": validation, "train_": train, "gap_": compute_gap(train, validation)}
    return {f"{prefix}{part}{_name(name, loss)}": value for part, of in parts.items() for name, value in of.items()}


def final_values(selected: Checkpoint, loss: str) -> dict[str, float]:
    """Metrics of the final weights: `eval_selected_…` as above, and `test_<name>`."""
    scores = {"train_probe": selected.train_probe, "validation": selected.validation}
    return {
        **evaluation_values(scores, loss, "eval_selected_"),
        "eval_selected_epoch": selected.epoch,
        **{f"test_{_name(name, loss)}": value for name, value in _defined(selected.test or {}).items()},
    }


def _name(metric: str, loss: str) -> str:
    return "loss" if metric == loss else metric


def _defined(scores: Values) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if value is not None and math.isfinite(value)}


def settings(prepared: Prepared, seed: int, group: str | None) -> dict[str, Any]:
    """The settings of a run by dotted key, with preset, seed, group and data. Paths of data are left out; other paths
    are reduced to the file name.
    """
    recipe = prepared.recipe
    hidden = {"name", "training.seeds", *(f"data.{key}" for key in PATH_KEYS)}
    written = {key: value for key, value in flatten(portable(recipe.recorded())).items() if key not in hidden}
    about = {
        "recipe": recipe.name,
        "preset": recipe.preset or "own",
        "seed": seed,
        "group": group,
        "data.fingerprint": prepared.data.fingerprint,
        "data.train_rows": len(prepared.data.train),
        "data.validation_rows": len(prepared.data.validation),
    }
    return {key: _plain(value) for key, value in {**written, **about}.items() if value not in (None, [], {})}


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
