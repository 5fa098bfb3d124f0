"""What `--preset auto` would add for this data, where it is not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetune.data.rows import Data
from finetune.errors import settings_text
from finetune.recipe import Recipe
from finetune.recipe.choices import Rule
from finetune.recipe.conditions import fact_text, holds
from finetune.recipe.layers import read_preset
from finetune.training.choice_facts import measure_facts

AUTO = "auto"


def auto_notes(recipes: Sequence[Recipe], data: Data) -> list[str]:
    """A note for each technique that a rule of `auto` turns on for this data and that none of the recipes has.

    Args:
        recipes: Those that are to be trained; if one of them chooses by the data itself, there is nothing to add.
        data: The data of the first one.
    """
    if any(recipe.choices is not None or recipe.decisions for recipe in recipes):
        return []
    facts = measure_facts(recipes[0], data)
    used = {f"techniques.{name}" for recipe in recipes for name in recipe.techniques}
    rules = [rule for rule in read_preset(AUTO, []).rules.values() if holds(rule.when, facts)]
    return [
        _note(rule, facts) for rule in rules if any(key.startswith("techniques.") for key in rule.set.keys() - used)
    ]


def _note(rule: Rule, facts: dict[str, Any]) -> str:
    on = ", ".join(f"{fact} {fact_text(facts[fact])}" for fact in rule.when)
    return (
        f"preset {AUTO} would set {settings_text(rule.set)} for this data [{on}]. Evidence: {rule.evidence}; "
        "docs/auto.md"
    )
