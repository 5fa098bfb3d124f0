"""Values of a preset that depend on the size of the data: rules in the YAML file, never in code.

alpha: {by_rows: {from 0: 1, from 300: 4, from 5000: 2}}        # 4 for 300 to 4,999 training rows
freeze: {by_rows: {from 0: {layers: 0.5}, from 5000: off}}      # a whole technique
smoothing: {by_classes: {from 2: 0.05, from 3: 0.1}}            # by the number of classes
label_smoothing: {by_classes: {from 0: off, from 2: {}}}        # none if no class excludes another
r_drop: {by_classes: {from 0: off, from 1: {}}}                 # none for regression
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from finetune.errors import Problem, setting_text
from finetune.recipe.schema import DataSection, Recipe
from finetune.techniques import TECHNIQUES, Technique

RULES = ("by_rows", "by_classes")
OFF = ("off", None)
_START = re.compile(r"from (0|[1-9][0-9]*)")
NOMINAL = {"by_rows": 1000, "by_classes": 2}  # until the data is read


@dataclass(frozen=True)
class Size:
    """Size of a data set, as far as rules use it.

    Attributes:
        rows: Training rows.
        classes: Labels of which a row has exactly one; 1 for several labels per row, 0 for regression.
    """

    rows: int
    classes: int

    def count(self, rule: str) -> int:
        """The count that a rule uses."""
        return self.rows if rule == "by_rows" else self.classes


def has_rule(settings: Any) -> bool:
    """Whether the settings of a technique depend on the size of the data."""
    return _rule_of(settings) is not None or (
        isinstance(settings, dict) and any(_rule_of(value) is not None for value in settings.values())
    )


def settings_at(settings: Any, size: Size) -> Any:
    """The settings of one technique for data of this size; None if it is off at this size."""
    while _rule_of(settings) is not None:
        settings = _value_at(settings, size)
    if settings in OFF:
        return None
    return {key: _value_at(value, size) for key, value in settings.items()}


def sizes(settings: Any) -> Iterator[Size]:
    """One size from every range that the rules of a technique distinguish."""
    starts: dict[str, set[int]] = {rule: {NOMINAL[rule]} for rule in RULES}
    for rule, table in _tables(settings):
        starts[rule] |= {_start(key) for key in table}
    for rows, classes in itertools.product(*(sorted(starts[rule]) for rule in RULES)):
        yield Size(rows, classes)


def rule_problems(settings: Any) -> Iterator[Problem]:
    """Problems of the rules of one technique; keys are relative to it."""
    if not isinstance(settings, dict):
        return
    for key, value in [("", settings), *((f".{key}", value) for key, value in settings.items())]:
        rule = _rule_of(value)
        if rule is None:
            continue
        table = value[rule]
        why = _problem_of(rule, value, is_whole=key == "")
        if why:
            yield Problem(why, key, found=table)
        elif key == "":
            for entry in table.values():
                yield from rule_problems(entry)


def _problem_of(rule: str, value: dict[str, Any], is_whole: bool) -> str:
    """What is wrong with one rule, of a whole technique or of one setting; "" if nothing is."""
    table = value[rule]
    if len(value) > 1:
        others = ", ".join(other for other in value if other != rule)
        return (
            f"{rule} cannot be combined with other keys; write the values of {others} inside its ranges "
            "(of a copy: finetune cp)."
        )
    if not isinstance(table, dict) or not table or not all(_START.fullmatch(str(start)) for start in table):
        return f"expected ranges such as {{{rule}: {{from 0: 1, from 300: 4}}}}, found {table!r}."
    first = 0 if rule == "by_rows" else 2
    if min(map(_start, table)) > first:
        return f"{rule} has no range for the smallest data; add one that starts with 'from {first}'."
    if is_whole and not all(entry in OFF or isinstance(entry, dict) for entry in table.values()):
        return f"{rule}: expected settings or off for each range, found {list(table.values())!r}."
    return ""


def techniques_at(written: dict[str, Any], size: Size) -> dict[str, Technique]:
    """The techniques that are on for data of this size, from well-formed settings."""
    concrete = {name: settings_at(settings, size) for name, settings in written.items()}
    return {name: TECHNIQUES[name](**settings) for name, settings in concrete.items() if settings is not None}


def planned_rows(data: DataSection) -> int | None:
    """Number of training rows, if the recipe alone fixes it; None if the data decides."""
    size = data.train_size if data.subset is None else data.subset
    return size if isinstance(size, int) else None


def nominal_size(recipe: Recipe) -> Size:
    """The size of the data as given by the recipe; 1,000 rows and two classes if it gives none."""
    rows, labels = planned_rows(recipe.data), recipe.data.labels
    task = "single_label" if recipe.data.task == "auto" else recipe.data.task
    classes = NOMINAL["by_classes"] if labels is None else len(labels)
    return Size(NOMINAL["by_rows"] if rows is None else rows, counted_classes(task, classes))


def counted_classes(task: str, labels: int) -> int:
    """What `by_classes` counts for a task with so many labels."""
    return {"single_label": labels, "multi_label": 1, "regression": 0}[task]


def apply_rules(recipe: Recipe, rows: int, classes: int) -> Recipe:
    """The recipe with the techniques that its rules give for data of this size; unchanged without rules."""
    if not recipe.rules:
        return recipe
    return recipe.model_copy(update={"techniques": techniques_at(recipe.rules, Size(rows, classes))})


def describe_rule(value: Any) -> str:
    """A rule in words: "1 from 0 rows, 4 from 300, off from 5000"."""
    rule = _rule_of(value)
    assert rule is not None, "called for rules only"
    unit = rule.removeprefix("by_")
    parts = [f"{_in_words(entry)} from {_start(key)}" for key, entry in value[rule].items()]
    return ", ".join([f"{parts[0]} {unit}", *parts[1:]])


def rules_of(settings: Any) -> dict[str, Any]:
    """Key -> rule of one technique; the key "" is a rule for all of it."""
    if _rule_of(settings) is not None:
        return {"": settings}
    return {key: value for key, value in settings.items() if _rule_of(value) is not None}


def _tables(settings: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every rule of one technique with its ranges, also those inside the ranges of another."""
    for value in (settings, *settings.values()) if isinstance(settings, dict) else ():
        rule = _rule_of(value)
        if rule is not None:
            yield rule, value[rule]
            for entry in value[rule].values():
                yield from _tables(entry)


def describe_rules(rules: dict[str, Any]) -> dict[str, str]:
    """Dotted key -> rule in words, for the settings of several techniques as written."""
    return {
        f"techniques.{name}.{key}".rstrip("."): describe_rule(rule)
        for name, settings in rules.items()
        for key, rule in rules_of(settings).items()
    }


def _rule_of(value: Any) -> str | None:
    return next((rule for rule in RULES if isinstance(value, dict) and rule in value), None)


def _value_at(value: Any, size: Size) -> Any:
    rule = _rule_of(value)
    if rule is None:
        return value
    table = value[rule]
    smallest = min(table, key=_start)  # a rule by classes may begin with two, and then holds for none as well
    return table[max((key for key in table if _start(key) <= size.count(rule)), key=_start, default=smallest)]


def _start(key: str) -> int:
    return int(key.removeprefix("from "))


def _in_words(entry: Any) -> str:
    if entry in OFF:
        return "off"
    if not isinstance(entry, dict):
        return setting_text(entry)
    return ", ".join(f"{key} {setting_text(value)}" for key, value in entry.items())
