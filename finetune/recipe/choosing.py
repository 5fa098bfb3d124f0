"""A preset that chooses by the data: rules and facts -> one recipe, with the decisions and their reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune.errors import Change, Problem, RecipeError, setting_text, settings_text, suggest
from finetune.recipe.choices import Choices, Decision, Rule
from finetune.recipe.conditions import Facts, fact_text, holds
from finetune.recipe.layers import Layer, Origin, read_preset
from finetune.recipe.merging import Merged
from finetune.recipe.scaling import OFF
from finetune.recipe.schema import Recipe
from finetune.recipe.validation import build_recipe

SECTIONS = ("model", "data", "training")
# A key that a user sets in another way: the number of epochs says how many steps there are.
SET_BY = {"training.min_steps": ("training.epochs",)}
_LEAST = "training.min_steps"  # a floor: a rule does not lower that of the recipe


def choose(recipe: Recipe, facts: Facts) -> Recipe:
    """The recipe with the decisions of its rules for these facts; unchanged if its preset has no such rules.

    If the chosen preset scales values with the size of the data, `apply_rules` comes after this.

    Args:
        recipe: The resolved recipe.
        facts: Name in `conditions.FACTS` -> value.

    Raises:
        RecipeError: A value that a rule sets is invalid together with the user's settings.
    """
    if recipe.choices is None or recipe.decisions:
        return recipe
    fired = {name: rule for name, rule in recipe.choices.rules.items() if holds(rule.when, facts)}
    acting = {name: _acting(recipe, fired, name) for name in fired}
    chosen = _built(recipe, acting)
    decisions = [
        _decision(recipe, name, rule, acting[name], _kept(recipe.choices, fired, name), facts)
        for name, rule in fired.items()
    ]
    return chosen.model_copy(update={"decisions": decisions})


def decided_origins(recipe: Recipe) -> dict[str, str]:
    """Dotted key -> the rule that set it; a technique also under its name alone, the chosen preset with its file."""
    if recipe.choices is None:
        return {}
    origins: dict[str, str] = {}
    for decision in recipe.decisions:
        if "preset" in decision.set:
            file = _base_preset(decision.set["preset"]).origin.text
            origins |= {f"techniques.{name}": file for name in recipe.techniques}
        where = f"{recipe.choices.origin}, rule {decision.rule}"
        origins |= {key: where for key in decision.set if key != "preset"}
    return origins


def trial_problems(recipe: Recipe) -> Iterator[Problem]:
    """Problems of the values that rules set: each rule is tried alone, with the user's settings."""
    choices = recipe.choices
    assert choices is not None, "called for presets that choose"
    for name, rule in choices.rules.items():
        preset = rule.set.get("preset")
        try:
            if preset is not None:
                _base_preset(preset)
            _built(recipe, {name: _acting(recipe, {name: rule}, name)})
        except RecipeError as error:
            yield from (problem.at(f"{choices.origin}, rule {name}") for problem in error.problems)
    for key, value in choices.overrides.items():
        if key.startswith("techniques.") and value in OFF and not _may_turn_on(choices, key):
            technique = key.removeprefix("techniques.")
            why = f"is not set by any rule, so it cannot be turned off.{suggest(technique, techniques_of(choices))}"
            yield Problem(why, key, found="off", where=f"--set {key}", where_in_python="overrides")


def techniques_of(choices: Choices) -> set[str]:
    """Names of the techniques that rules, or the presets they choose, turn on."""
    names = {key.split(".")[1] for key in choices.settable() if key.startswith("techniques.")}
    for rule in choices.rules.values():
        if "preset" in rule.set:
            names |= set(_base_preset(rule.set["preset"]).content["techniques"])
    return names


def _may_turn_on(choices: Choices, key: str) -> bool:
    return key.split(".")[1] in techniques_of(choices)


def _base_preset(preset: Any) -> Layer:
    """
    Raises:
        RecipeError: It is none, or chooses by the data itself.
    """
    problems: list[Problem] = []
    named = read_preset(preset, problems)
    if named.rules:
        why = f"'{preset}' chooses by the data itself; a rule must name a preset that lists techniques."
        problems.append(Problem(why, "preset", found=preset, changes=(Change(command="finetune ls presets"),)))
    if problems:
        raise RecipeError(problems)
    return named.layer


def _acting(recipe: Recipe, fired: dict[str, Rule], name: str) -> dict[str, Any]:
    """What a rule sets and nobody decides otherwise: dotted key -> value."""
    assert recipe.choices is not None
    kept = _kept(recipe.choices, fired, name)
    acting = {key: value for key, value in fired[name].set.items() if key not in kept}
    if isinstance(acting.get(_LEAST), int):
        acting[_LEAST] = max(acting[_LEAST], recipe.training.min_steps)
    return acting


def _kept(choices: Choices, fired: dict[str, Rule], name: str) -> dict[str, str]:
    """Keys of a rule that do not act -> who decided: what the user set, or a later rule."""
    later = list(fired)[list(fired).index(name) + 1 :]
    kept = {}
    for key in fired[name].set:
        by_user = [each for each in choices.overrides if each in (key, *SET_BY.get(key, ())) or _is_below(key, each)]
        by_rule = [each for each in later if key in fired[each].set]
        if by_user:
            kept[key] = f"--set {by_user[0]}={setting_text(choices.overrides[by_user[0]])}"
        elif by_rule:
            kept[key] = f"rule {by_rule[-1]}"
    return kept


def _is_below(key: str, upper: str) -> bool:
    return key.startswith(f"{upper}.")


def _built(recipe: Recipe, acting: dict[str, dict[str, Any]]) -> Recipe:
    """
    Raises:
        RecipeError: With everything that is wrong.
    """
    choices = recipe.choices
    assert choices is not None
    content = recipe.to_dict()
    merged = Merged(Layer(Origin("the recipe"), {key: content[key] for key in SECTIONS}))
    presets = [settings["preset"] for settings in acting.values() if "preset" in settings]
    for preset in presets[-1:]:
        merged.add(_base_preset(preset))
    for name, settings in acting.items():
        for key, value in settings.items():
            if key != "preset":
                merged.add(Layer(Origin(f"{choices.origin}, rule {name}"), _nested(key, value)))
    for key, value in choices.overrides.items():
        is_off = value in OFF and key.removeprefix("techniques.") not in merged.values.get("techniques", {})
        if key.startswith("techniques.") and not is_off:
            merged.add(Layer(Origin(f"--set {key}", "overrides", key), _nested(key, value)))
    built = build_recipe(recipe.name, recipe.preset, merged)
    problems = [*merged.problems, *([] if isinstance(built, Recipe) else built)]
    if problems or not isinstance(built, Recipe):
        raise RecipeError(problems)
    return built.model_copy(update={"choices": choices})


def _nested(key: str, value: Any) -> dict[str, Any]:
    nested = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _decision(
    recipe: Recipe, name: str, rule: Rule, acting: dict[str, Any], kept: dict[str, str], facts: Facts
) -> Decision:
    shown = {fact: fact_text(value) for fact, value in facts.items()}
    because, advise = rule.because.format_map(shown), rule.advise.format_map(shown)
    named = {fact: facts.get(fact) for fact in rule.when}
    parts = [f"sets {', '.join(_setting(recipe, key, value) for key, value in acting.items())}"] if acting else []
    parts += [f"leaves {key} to {who} (the rule: {setting_text(rule.set[key])})" for key, who in kept.items()]
    on = ", ".join(f"{fact} {shown[fact]}" for fact in rule.when)
    lead = f"{recipe.preset} {', '.join(parts) or 'advises'}" + (f" [{on}]" if on else "")
    text = f"{lead}. {' '.join(filter(None, (because, advise)))} Evidence: {rule.evidence} (rule {name})"
    return Decision(
        rule=name,
        set=acting,
        kept=kept,
        facts=named,
        because=because,
        advise=advise,
        evidence=rule.evidence,
        text=text,
    )


def _setting(recipe: Recipe, key: str, value: Any) -> str:
    """`training.min_steps=600 (recipe: 0)`."""
    section, _, rest = key.partition(".")
    before = getattr(recipe.training, rest, None) if section == "training" else None
    return settings_text({key: value}) + ("" if before in (None, value) else f" (recipe: {setting_text(before)})")
