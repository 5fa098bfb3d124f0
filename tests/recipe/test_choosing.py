"""A preset that chooses by the data: its rules, what wins over what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune.errors import RecipeError
from finetune.recipe import choose, resolve
from finetune.recipe.conditions import FACTS, condition_problem, describe_condition, holds
from finetune.techniques.dropout import Dropout
from tests.raising import refusal

Write = Callable[..., Path]
MINIMAL: dict[str, Any] = {"model": {"id": "m"}, "data": {"source": "d.csv"}}
FEW: dict[str, Any] = {"rows": 40, "classes": 3, "task": "single_label", "pooling": "mean"}
MANY = {**FEW, "rows": 4000}
SAID = {"because": "There are {rows} rows.", "evidence": "no evidence yet"}
RULES: dict[str, Any] = {
    "base": {"set": {"preset": "none"}, **SAID},
    "few": {
        "when": {"rows": "below 100"},
        "set": {"training.learning_rate": 1e-4, "techniques.dropout.hidden": 0.3, "training.min_steps": 300},
        **SAID,
    },
    "mean": {"when": {"pooling": "mean"}, "set": {"training.learning_rate": 3e-4}, **SAID},
    "many": {"when": {"rows": "from 1000"}, "advise": "Compare.", **SAID},
}


def resolved(rules: dict[str, Any] = RULES, recipe: Any = MINIMAL, **asked: Any) -> Any:
    return resolve(recipe, {"mine": {"rules": rules}}, **asked).recipe


# --- conditions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "holding"),
    [
        ("from 150", [150, 600, 10**6]),
        ("below 600", [0, 149, 150, 599]),
        ("from 150 below 600", [150, 599]),
        ("from 0.5 below 0.6", [0.5, 0.55]),
    ],
)
def test_a_range_contains_its_start_and_not_its_end(condition: str, holding: list[float]) -> None:
    values = [0, 0.5, 0.55, 0.6, 149, 150, 599, 600, 10**6]
    assert condition_problem("rows", condition) == ""
    assert all(holds({"rows": condition}, {"rows": value}) == _within(condition, value) for value in values)
    assert all(_within(condition, value) for value in holding)


def _within(condition: str, value: float) -> bool:
    words = condition.split()
    bounds = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    return bounds.get("from", 0) <= value < bounds.get("below", float("inf"))


def test_all_conditions_must_hold_and_what_is_not_known_does_not() -> None:
    when = {"rows": "below 100", "task": ["multi_label", "single_label"]}
    assert holds(when, FEW)
    assert not holds(when, MANY)
    assert not holds(when, {**FEW, "task": "regression"})
    assert not holds(when, {**FEW, "rows": None})
    assert not holds(when, {"rows": 40})
    assert holds({}, {})
    assert describe_condition(when) == "rows below 100, task multi_label or single_label"


@pytest.mark.parametrize(
    ("fact", "condition", "why"),
    [
        ("rowz", "below 5", "unknown fact. Did you mean rows?"),
        ("rows", 5, "expected 'from 150'"),
        ("rows", "", "expected 'from 150'"),
        ("rows", "below", "expected 'from 150'"),
        ("rows", "from -1", "expected 'from 150'"),
        ("rows", "from 600 below 600", "can hold for no number"),
        ("pooling", "max", "expected one of cls, mean, attention"),
        ("pooling", [], "expected one of cls, mean, attention"),
    ],
)
def test_a_malformed_condition_is_refused(fact: str, condition: Any, why: str) -> None:
    rules = {"odd": {"when": {fact: condition}, "advise": "Look.", **SAID}}
    said = refusal(RecipeError, resolved, rules)
    assert f"preset mine: rules.odd.when.{fact}: {why}" in said


# --- what wins -------------------------------------------------------------------------------------------------


def test_rules_set_values_in_their_order_and_say_why() -> None:
    recipe = choose(resolved(), FEW)
    assert (recipe.training.learning_rate, recipe.training.min_steps) == (3e-4, 300)
    assert recipe.techniques == {"dropout": Dropout(hidden=0.3)}
    assert [decision.rule for decision in recipe.decisions] == ["base", "few", "mean"]
    few, mean = recipe.decisions[1:]
    assert few.kept == {"training.learning_rate": "rule mean"}
    assert mean.set == {"training.learning_rate": 3e-4}
    assert few.facts == {"rows": 40}
    assert mean.text == (
        "mine sets training.learning_rate=0.0003 (recipe: 5e-05) [pooling mean]. There are 40 rows. "
        "Evidence: no evidence yet (rule mean)"
    )


def test_where_no_condition_holds_the_recipe_stays() -> None:
    recipe = choose(resolved(), {**MANY, "pooling": "cls"})
    assert recipe.training == resolve(MINIMAL).recipe.training
    assert recipe.techniques == {}
    assert [decision.rule for decision in recipe.decisions] == ["base", "many"]
    assert recipe.decisions[-1].text.startswith("mine advises [rows 4000]. There are 4000 rows. Compare. Evidence: no")


def test_what_the_user_sets_wins_and_is_said() -> None:
    overrides = ["training.learning_rate=0.002", "techniques.dropout=off"]
    recipe = choose(resolved(overrides=overrides), FEW)
    assert recipe.training.learning_rate == 0.002
    assert recipe.techniques == {}
    few = recipe.decisions[1]
    assert few.set == {"training.min_steps": 300}
    assert few.kept == {
        "training.learning_rate": "--set training.learning_rate=0.002",
        "techniques.dropout.hidden": "--set techniques.dropout=off",
    }
    assert "leaves training.learning_rate to --set training.learning_rate=0.002 (the rule: 0.0001)" in few.text


def test_a_setting_of_the_user_joins_the_technique_that_a_rule_turns_on() -> None:
    recipe = choose(resolved(overrides={"techniques.dropout.classifier": 0.5}), FEW)
    assert recipe.techniques == {"dropout": Dropout(hidden=0.3, classifier=0.5)}
    assert choose(resolved(overrides={"techniques.dropout.classifier": 0.5}), MANY).techniques == {
        "dropout": Dropout(classifier=0.5)
    }


def test_epochs_of_the_user_win_over_steps_of_a_rule() -> None:
    recipe = choose(resolved(overrides={"training.epochs": 2}), FEW)
    assert (recipe.training.epochs, recipe.training.min_steps) == (2, 0)
    assert recipe.decisions[1].kept["training.min_steps"] == "--set training.epochs=2"


def test_a_rule_raises_the_fewest_steps_and_does_not_lower_them() -> None:
    recipe = {**MINIMAL, "training": {"min_steps": 1000}}
    assert choose(resolved(recipe=recipe), FEW).training.min_steps == 1000


def test_a_chosen_preset_brings_its_techniques_and_its_rules_by_size() -> None:
    recipe = choose(resolved({"base": {"set": {"preset": "medium"}, **SAID}}), FEW)
    assert list(recipe.techniques) == list(resolve(MINIMAL, "medium").recipe.techniques)
    assert recipe.rules == resolve(MINIMAL, "medium").recipe.rules
    assert recipe.preset == "mine"


def test_the_same_facts_choose_the_same_again() -> None:
    first = resolved(overrides=["training.batch_size=8"])
    assert choose(choose(first, FEW), FEW) == choose(first, FEW)
    assert choose(resolve(first.to_dict()).recipe, FEW) == choose(first, FEW)
    assert choose(resolve(choose(first, FEW).to_dict()).recipe, FEW).training == choose(first, FEW).training
    further = resolve(first, overrides={"training.learning_rate": 0.5}).recipe
    assert choose(further, FEW).training.learning_rate == 0.5
    assert resolve(first, "none").recipe.choices is None


def test_other_recipes_are_as_they_were() -> None:
    recipe = resolve(MINIMAL, "strong").recipe
    assert choose(recipe, FEW) is recipe
    assert not {"choices", "decisions"} & set(recipe.to_dict())


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"set": {"preset": "none"}, "evidence": "x"}, "rules.odd.because: is missing."),
        ({"set": {"preset": "none"}, "because": "", "evidence": "x"}, "rules.odd.because: string should have at least"),
        ({"set": {"preset": "none"}, "because": "x"}, "rules.odd.evidence: is missing."),
        ({**SAID}, "rules.odd: does nothing: give it set, advise or both."),
        ({"sets": {}, **SAID}, "rules.odd.sets: unknown key. Did you mean set?"),
        ({"set": {"data.subset": 5}, **SAID}, "rules.odd.set.data.subset: a rule sets preset, training.KEY"),
        ({"set": {"training.seeds": [1]}, **SAID}, "rules.odd.set.training.seeds: only the user chooses seeds"),
        ({"advise": "Use {rowz}.", **SAID}, "rules.odd.advise: names {rowz}, which is not a fact. Did you mean rows?"),
        ({"advise": "Use {.", **SAID}, "rules.odd.advise: names"),
        ({"advise": "Use contrast: {}.", **SAID}, "rules.odd.advise: names {}, which is not a fact."),
        ({"advise": "Use {rows:9}.", **SAID}, "rules.odd.advise: names {rows}, which is not a fact."),
        ("none", "rules.odd: expected when, set, advise, because, evidence, found 'none'."),
    ],
)
def test_a_malformed_rule_is_refused_with_its_key(rule: Any, why: str) -> None:
    assert why in refusal(RecipeError, resolved, {"odd": rule})


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"training.epochs": 0}, "training.epochs: input should be greater than or equal to 1"),
        ({"training.epohcs": 3}, "training.epohcs: unknown key. Did you mean epochs?"),
        ({"techniques.dropuot": {}}, "unknown technique. Did you mean dropout"),
        ({"techniques.dropout.hidden": 7}, "techniques.dropout.hidden"),
        ({"preset": "strng"}, "'strng' is not a preset. Did you mean strong?"),
        ({"preset": "auto"}, "'auto' chooses by the data itself"),
    ],
)
def test_a_value_that_could_never_act_is_refused_before_any_data_is_read(settings: Any, why: str) -> None:
    said = refusal(RecipeError, resolved, {"odd": {"when": {"rows": "from 10"}, "set": settings, **SAID}})
    assert "rule odd" in said
    assert why in said


@pytest.mark.parametrize("rules", [{}, [], "none", None])
def test_a_preset_without_rules_below_the_key_is_refused(rules: Any) -> None:
    assert "preset mine: rules: expected names with rules" in refusal(RecipeError, resolved, rules)


def test_techniques_beside_rules_are_refused() -> None:
    preset = {"mine": {"rules": RULES, "dropout": {"hidden": 0.2}}}
    said = refusal(RecipeError, resolve, MINIMAL, preset)
    assert "dropout: cannot be combined with rules: let a rule set techniques.dropout" in said


def test_what_no_rule_turns_on_cannot_be_turned_off() -> None:
    said = refusal(RecipeError, resolved, overrides=["techniques.drpout=off"])
    assert "--set techniques.drpout: is not set by any rule, so it cannot be turned off. Did you mean dropout?" in said


def test_rules_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"rules": RULES}, sort_keys=False), encoding="utf-8")
    recipe = resolve(MINIMAL, path).recipe
    assert recipe.choices is not None
    assert recipe.choices.origin == "presets/mine.yaml"
    assert choose(recipe, FEW).training == choose(resolved(), FEW).training


def test_every_fact_has_a_description() -> None:
    assert all(fact.about.endswith(".") for fact in FACTS.values())
