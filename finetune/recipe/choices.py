"""A preset that chooses by the data: its rules as written in a YAML file, and their decisions.

rules:
  steps-for-many-classes:
    when: {classes: from 6, rows: from 150 below 600}  # facts: finetune/recipe/conditions.py
    set: {training.min_steps: 600}                     # preset, training.KEY, techniques.NAME or techniques.NAME.KEY
    advise: "Compare it: finetune compare …"           # instead of `set`, or beside it
    because: "With six classes and {rows} rows …"      # {rows} and other facts may be named
    evidence: "docs/results.md, `none-cls-5e-5-600`"   # or: no evidence yet

Rules apply in order: a later one overrides an earlier one. Settings of the user override all rules.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, ValidationError

from finetune.errors import Problem, settings_text, suggest
from finetune.recipe.conditions import FACTS, condition_problem, describe_condition
from finetune.recipe.section import Section

NO_EVIDENCE = "no evidence yet"


class Rule(Section):
    """One rule of a preset."""

    when: dict[str, Any] = Field({}, description="Fact -> condition; all must hold.")
    set: dict[str, Any] = Field({}, description="Dotted key -> value; `preset` -> the base preset.")
    advise: str = Field("", description="Advice that a rule cannot carry out itself.")
    because: str = Field(min_length=1, description="The reason, as sentences.")
    evidence: str = Field(min_length=1, description="The measurement, and where it is documented; or: no evidence yet.")

    def describe(self) -> str:
        """The condition and the action of the rule, in one line."""
        acts = [settings_text(self.set)] if self.set else []
        return f"{describe_condition(self.when)}: {', '.join([*acts, *(['advice'] if self.advise else [])])}"


class Decision(Section):
    """Result of one rule on this data."""

    rule: str
    set: dict[str, Any] = Field({}, description="Dotted key -> value that takes effect.")
    kept: dict[str, str] = Field({}, description="Dotted key that the rule would set -> what overrode it.")
    facts: dict[str, Any] = Field({}, description="The facts that its condition names.")
    because: str
    advise: str = ""
    evidence: str
    text: str = Field(description="The whole decision as printed.")


class Choices(Section):
    """The rules of a preset, until the data is known and after."""

    origin: str = Field(description="File in which the rules are written.")
    rules: dict[str, Rule]
    overrides: dict[str, Any] = Field({}, description="Dotted key -> value set by the user, which no rule changes.")

    def settable(self) -> set[str]:
        """Dotted keys that rules can set."""
        return {key for rule in self.rules.values() for key in rule.set}


def describe_choices(choices: Choices | None) -> dict[str, str]:
    """`rule NAME` -> its condition and its action."""
    return {} if choices is None else {f"rule {name}": rule.describe() for name, rule in choices.rules.items()}


def read_rules(content: Mapping[str, Any], problems: list[Problem]) -> dict[str, Rule]:
    """The rules of a preset file; errors in their form go to `problems`, with keys that begin with rules."""
    rules: dict[str, Rule] = {}
    written = content["rules"]
    beside = [key for key in content if key != "rules"]
    if beside:
        why = f"cannot be combined with rules: let a rule set techniques.{beside[0]}, or a preset."
        problems.append(Problem(why, beside[0], found=content[beside[0]]))
    if not isinstance(written, dict) or not written:
        problems.append(Problem(f"expected names with rules, found {written!r}.", "rules", found=written))
        return {}
    for name, entry in written.items():
        key = f"rules.{name}"
        if not isinstance(entry, dict):
            problems.append(Problem(f"expected {', '.join(Rule.model_fields)}, found {entry!r}.", key, found=entry))
            continue
        try:
            rule = Rule.model_validate(entry)
        except ValidationError as error:
            problems += [_problem(key, detail) for detail in error.errors(include_url=False)]
            continue
        found = [problem.below(key) for problem in _rule_problems(rule)]
        problems += found
        rules |= {} if found else {name: rule}
    return rules


def _problem(prefix: str, detail: Any) -> Problem:
    name = str(detail["loc"][0]) if detail["loc"] else ""
    key = f"{prefix}.{name}".rstrip(".")
    if detail["type"] == "extra_forbidden":
        return Problem(f"unknown key.{suggest(name, Rule.model_fields)}", key, found=detail["input"])
    if detail["type"] == "missing":
        return Problem(f"is missing. {Rule.model_fields[name].description}", key)
    message = detail["msg"]
    return Problem(f"{message[:1].lower()}{message[1:]}; found {detail['input']!r}.", key, found=detail["input"])


def _rule_problems(rule: Rule) -> Iterator[Problem]:
    """Of its form; whether the values are right is seen when they are tried."""
    for name, condition in rule.when.items():
        if why := condition_problem(name, condition):
            yield Problem(why, f".when.{name}", found=condition)
    for key, value in rule.set.items():
        section, *parts = key.split(".")
        if key != "preset" and (section not in ("training", "techniques") or not parts or not all(parts)):
            why = "a rule sets preset, training.KEY, techniques.NAME or techniques.NAME.KEY."
            yield Problem(why, f".set.{key}", found=value)
        elif key == "training.seeds":
            yield Problem("only the user chooses seeds.", f".set.{key}", found=value)
    if not rule.set and not rule.advise:
        yield Problem("does nothing: give it set, advise or both.", found=rule.when)
    for field in ("because", "advise"):
        unknown = _unknown_name(getattr(rule, field))
        if unknown is not None:
            why = f"names {{{unknown}}}, which is not a fact.{suggest(unknown, FACTS)} Double a literal brace."
            yield Problem(why, f".{field}", found=getattr(rule, field))


def _unknown_name(text: str) -> str | None:
    """What stands between braces and is no fact; None where all are. Formats, such as {rows:5}, are none either."""
    try:
        parts = [(name, *rest) for _, name, *rest in string.Formatter().parse(text) if name is not None]
    except ValueError:  # a single brace
        return text
    return next((name for name, form, conversion in parts if name not in FACTS or form or conversion), None)
