"""Merging of layers: later ones win, key by key."""

from __future__ import annotations

from typing import Any

from finetune.errors import Problem, suggest
from finetune.recipe.layers import Layer, Origin
from finetune.recipe.scaling import OFF, has_rule, rule_problems, rules_of
from finetune.techniques import TECHNIQUES

MAPPINGS = ("data.minimum",)  # values that are mappings themselves: merged entry by entry
MAPPED_WHOLE = ("data.label_map", "data.split_names", "data.keep")  # replaced, but for an override of one entry


class Merged:
    """Values of all layers so far, and the origin of each.

    Attributes:
        values: Section -> key -> value; for techniques, name -> settings.
        origins: Dotted key -> where the value was written; "" for missing values that the recipe should have.
        problems: What could not be merged.
    """

    def __init__(self, lowest: Layer) -> None:
        self.values: dict[str, Any] = {}
        self.origins = {"": lowest.origin}
        self.problems: list[Problem] = []
        self.add(lowest)

    def add(self, layer: Layer) -> None:
        """Put a layer on top. A layer that replaces a section also drops its other keys, which describe the replaced
        one.
        """
        if layer.replaces is not None:
            self.values.pop(layer.replaces, None)
            below = f"{layer.replaces}."
            self.origins = {key: origin for key, origin in self.origins.items() if not key.startswith(below)}
        self._merge(self.values, layer.content, layer.origin, "")

    def append(self, section: str, key: str, values: list[Any], origin: Origin) -> None:
        """Append to a list; a value that is not a list is left for the schema to refuse."""
        written = self.values.setdefault(section, {}).get(key, [])
        if isinstance(written, list):
            self.values[section][key] = [*written, *values]
            self.origins[f"{section}.{key}"] = origin

    def origin_of(self, dotted: str) -> Origin | None:
        """Where a key, or a key below it, was written; None if it has its default."""
        return self.origins.get(dotted) or next(self._below(dotted), None)

    def blame(self, problem: Problem) -> Problem:
        """The problem with the place where its key, or one below or beside it, was written; the recipe if nowhere."""
        section = problem.key.rpartition(".")[0]
        beside = next(self._below(section), None) if section else None
        return (self.origin_of(problem.key) or beside or self.origins[""]).blame(problem)

    def _below(self, dotted: str) -> Any:
        return (origin for key, origin in self.origins.items() if key.startswith(f"{dotted}."))

    def _merge(self, target: dict[str, Any], content: dict[str, Any], origin: Origin, prefix: str) -> None:
        for key, value in content.items():
            dotted = f"{prefix}{key}"
            if prefix == "techniques." and value is None and origin.override is None:
                why = f"is empty. Write {key}: {{}} for its defaults, or {key}: off."
                self.problems.append(origin.blame(Problem(why, dotted)))
            elif prefix == "techniques." and value in OFF:
                self._turn_off(target, str(key), origin)
            elif isinstance(value, dict) and _merges_entries(dotted, prefix, origin):
                self._merge_mapping(target, key, value, origin, dotted)
            else:
                target[key] = value
                self.origins[dotted] = origin

    def _turn_off(self, techniques: dict[str, Any], name: str, origin: Origin) -> None:
        dotted = f"techniques.{name}"
        was_on = techniques.pop(name, None) is not None
        if not was_on and origin.override is not None:
            why = f"is not on, so it cannot be turned off.{suggest(name, techniques)}"
            self.problems.append(origin.blame(Problem(why, dotted, found="off")))
        elif name not in TECHNIQUES:
            self.problems.append(origin.blame(Problem(f"unknown technique.{suggest(name, TECHNIQUES)}", dotted)))
        self.origins.update({key: origin for key in list(self.origins) if key.startswith(f"{dotted}.")})

    def _merge_mapping(
        self, target: dict[str, Any], key: str, value: dict[str, Any], origin: Origin, dotted: str
    ) -> None:
        if not value:
            self.origins.setdefault(dotted, origin)
        present = target.setdefault(key, {})
        if not isinstance(present, dict):
            self.problems.append(self.blame(no_settings(dotted, present)))
        elif dotted.startswith("techniques.") and origin.override and "" in rules_of(present) and not has_rule(value):
            # One value of a technique that a rule switches: what is set for a run wins over the rule.
            if not list(
                rule_problems(present)
            ):  # else there is nothing to merge with, and validation says what is wrong
                self._merge_into_ranges(present, value, origin, dotted)
        else:
            self._merge(present, value, origin, f"{dotted}.")

    def _merge_into_ranges(self, rule: dict[str, Any], value: dict[str, Any], origin: Origin, dotted: str) -> None:
        """Set it in every range, also where the technique is off: a setting that does nothing would not be seen."""
        (table,) = rule.values()
        for start, entry in table.items():
            table[start] = {} if entry in OFF else entry
            if "" in rules_of(table[start]):
                self._merge_into_ranges(table[start], value, origin, dotted)
            else:
                self._merge(table[start], value, origin, f"{dotted}.")


def no_settings(dotted: str, value: Any) -> Problem:
    """A technique, or a mapping of the recipe, was given a single value."""
    name = dotted.removeprefix("techniques.")
    keys = f" Known: {', '.join(TECHNIQUES[name].model_fields)}." if name in TECHNIQUES else ""
    return Problem(f"expected its settings, found {value!r}.{keys}", dotted, found=value)


def _merges_entries(dotted: str, prefix: str, origin: Origin) -> bool:
    """Whether a mapping is merged with the one that is there; otherwise it replaces it."""
    one_entry = origin.override is not None and origin.override.startswith(f"{dotted}.")
    return prefix in ("", "techniques.") or dotted in MAPPINGS or (dotted in MAPPED_WHOLE and one_entry)
