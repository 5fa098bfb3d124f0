"""Verdict and observations -> steps to take, in order. The steps are in plan.yaml."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

from finetune.diagnosis.observations import Observed
from finetune.records.diagnosis import Step, VerdictName

FILE = Path(__file__).with_name("plan.yaml")


@functools.cache
def read_plan() -> tuple[dict[str, Any], ...]:
    """All entries, in the order of the file."""
    return tuple({"when": {}, **entry} for entry in yaml.safe_load(FILE.read_text(encoding="utf-8")))


def plan_for(verdict: VerdictName, observed: Observed) -> list[Step]:
    """The steps for a verdict whose conditions hold, or are not known to fail."""
    return [
        _step(entry, observed)
        for entry in read_plan()
        if verdict in entry["for"] and all(_holds(name, limit, observed) for name, limit in entry["when"].items())
    ]


def _step(entry: dict[str, Any], observed: Observed) -> Step:
    fields = {key: value for key, value in entry.items() if key not in ("for", "when")}
    return Step.model_validate({**fields, "command": entry["command"].replace("{data}", observed.data)})


def _holds(name: str, limit: Any, observed: Observed) -> bool:
    """Raises KeyError for a condition that nobody knows."""
    if name == "no_technique":
        return limit not in observed.techniques
    facts = {"own_test": observed.has_own_test, "behind_tfidf": observed.is_behind_tfidf}
    if name in facts:
        return limit is facts[name]
    side, _, what = name.partition("_")
    known = {"per_class": observed.per_class, "validation": observed.validation_rows, "train": observed.train_rows}
    value = known[what]
    if value is None:
        return side == "from"  # what is for few rows needs them to be few
    return {"below": value < limit, "from": value >= limit}[side]
