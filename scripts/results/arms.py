"""The arms of arms.yaml, and the settings that they amount to in this build."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from finetune.recipe.schema import DataSection, ModelSection, TrainingSection

FILE = Path(__file__).with_name("arms.yaml")
REFERENCE = "none-cls-5e-5"
MOST_EPOCHS = 60
BUDGET = ("training.epochs", "training.learning_rate")  # what a value set for a run keeps from being chosen
SECTIONS = {"model": ModelSection, "data": DataSection, "training": TrainingSection}


@dataclass(frozen=True)
class Arm:
    """One entry of arms.yaml, see there; `base` and `base_by_task` are what all arms share."""

    name: str
    preset: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    where_known: dict[str, Any] = field(default_factory=dict)
    min_steps: int | None = None
    with_validation: bool = False
    chooses_budget: bool = False
    rival: str | None = None
    venv: str | None = None
    by_task: dict[str, dict[str, Any]] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    base_by_task: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def definition(self) -> dict[str, Any]:
        """What decides the numbers: a record of another definition is made anew."""
        shared = {} if self.rival else {"base": self.base, "base_by_task": self.base_by_task}
        own = {
            "preset": self.preset,
            "set": self.set,
            "by_task": self.by_task,
            "min_steps": self.min_steps,
            "with_validation": self.with_validation,
            "chooses_budget": self.chooses_budget,
            "rival": self.rival,
        }
        return shared | {key: value for key, value in own.items() if value}

    def overrides(self, n: int, rows: Path, task: str) -> dict[str, Any]:
        """Dotted key -> value, for n training rows in this folder."""
        of_task = {**self.base_by_task.get(task, {}), **self.by_task.get(task, {})}
        known = {key: value for key, value in self.where_known.items() if is_known(key)}
        base = {key: value for key, value in self.base.items() if not (self.chooses_budget and key in BUDGET)}
        values = {} if self.chooses_budget else {"training.min_steps": 0}  # else the arm says how long it trains
        values |= {**base, **known, **of_task, "data.task": task, **self.set}
        values = {key: _filled(value, rows) for key, value in values.items()}
        if self.min_steps:
            values["training.epochs"] = epochs_of_steps(
                self.min_steps, n, values["training.batch_size"], values["training.epochs"]
            )
        return values


def read_arms(path: Path = FILE) -> dict[str, Arm]:
    """All arms, in the order of the file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    shared = {"base": content["base"], "base_by_task": content["by_task"]}
    return {name: Arm(name, **shared, **entry) for name, entry in content["arms"].items()}


def read_targets(path: Path = FILE) -> list[dict[str, Any]]:
    targets: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["targets"]
    return targets


def read_pairs(path: Path = FILE) -> list[dict[str, str]]:
    """Arms to compare with each other, beside the reference."""
    pairs: list[dict[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))["pairs"]
    return pairs


def is_known(key: str) -> bool:
    """Whether recipes of this build have the key; names of techniques are checked when the recipe is read."""
    section, _, name = key.partition(".")
    return section not in SECTIONS or name in SECTIONS[section].model_fields


def epochs_of_steps(steps: int, n: int, batch_size: int, least: int) -> int:
    """Epochs that have as many optimizer steps: at least `least`, at most 60."""
    return min(max(least, math.ceil(steps / math.ceil(n / batch_size))), max(MOST_EPOCHS, least))


def _filled(value: Any, rows: Path) -> Any:
    return value.replace("{rows}", str(rows)) if isinstance(value, str) else value
