"""The rules of `--preset auto`: each acts for some data, says why, and is no stronger than its evidence."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from finetune.recipe import choose, resolve
from finetune.recipe.choices import NO_EVIDENCE, Rule
from finetune.recipe.conditions import FACTS, holds
from tests.running import REPOSITORY

RECIPE = resolve("your-data", "auto").recipe
assert RECIPE.choices is not None
RULES = RECIPE.choices.rules
RESULTS = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
PAGE = (REPOSITORY / "docs" / "auto.md").read_text(encoding="utf-8")


def facts(**changes: Any) -> dict[str, Any]:
    """Of an ordinary small set."""
    found: dict[str, Any] = {
        "task": "single_label",
        "rows": 300,
        "validation_rows": 500,
        "classes": 2,
        "rows_per_class": 150,
        "rarest_class": 150,
        "largest_class": 0.5,
        "score": "accuracy",
        "words": 20,
        "long_texts": 0.0,
        "unlabelled": 0,
        "pooling": "mean",
        "width": 384,
    }
    assert found.keys() == FACTS.keys()
    return {**found, **changes}


def example(rule: Rule) -> dict[str, Any]:
    """Facts for which a rule fires."""
    values: dict[str, Any] = {}
    for name, condition in rule.when.items():
        if isinstance(condition, list):
            values[name] = condition[0]
        elif not FACTS[name].names:
            words = dict(itertools.pairwise(condition.split()))
            values[name] = float(words["from"]) if "from" in words else float(words["below"]) - 1
        else:
            values[name] = condition
    return facts(**values)


def fired(**changes: Any) -> dict[str, dict[str, Any]]:
    return {decision.rule: decision.set for decision in choose(RECIPE, facts(**changes)).decisions}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_fires_for_some_facts_and_says_why(name: str) -> None:
    chosen = choose(RECIPE, example(RULES[name]))
    decision = next(each for each in chosen.decisions if each.rule == name)
    assert decision.because
    assert decision.evidence
    assert f"Evidence: {decision.evidence} (rule {name})" in decision.text
    assert not re.search(r"\{|\}|None", decision.because + decision.advise)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.when])
def test_no_rule_fires_where_nothing_is_known(name: str) -> None:
    assert not holds(RULES[name].when, dict.fromkeys(FACTS))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_evidence_is_a_row_of_the_results_or_said_to_be_missing(rule: Rule) -> None:
    if rule.evidence == NO_EVIDENCE:
        assert not {key for key in rule.set if key != "preset"}, (
            "a value that differs from plain training needs evidence"
        )
        return
    assert rule.evidence.startswith("docs/results.md, ")
    named = re.findall(r"`[^`]+`", rule.evidence)
    assert named
    assert all(row in RESULTS for row in named)


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.evidence != NO_EVIDENCE], ids=str)
def test_numbers_of_a_reason_stand_in_the_results(rule: Rule) -> None:
    """No figure that nobody measured: each with a decimal point is in docs/results.md, in its table or its text."""
    numbers = re.findall(r"\d+\.\d+", rule.because)
    assert numbers
    assert all(number in RESULTS for number in numbers)


def test_without_evidence_it_is_plain_fine_tuning() -> None:
    plain = resolve("your-data", "none").recipe
    for changes in ({"pooling": "cls"}, {"rows": 5000}, {"width": 768}, {"task": "regression", "classes": None}):
        chosen = choose(RECIPE, facts(**changes))
        assert (chosen.training, chosen.techniques) == (plain.training, {})


def test_more_steps_are_for_many_classes_and_the_first_token() -> None:
    assert fired(pooling="cls", classes=6)["steps-for-many-classes"] == {"training.min_steps": 600}
    assert "steps-for-many-classes" not in fired(pooling="cls", classes=3)
    assert "steps-for-many-classes" not in fired(pooling="mean", classes=6)


def test_head_start_is_for_macro_f1_of_many_classes_in_few_rows() -> None:
    few = {"rows": 100, "classes": 6, "rows_per_class": 16.7}
    assert fired(**few, score="macro_f1")["head-start-for-macro-f1"] == {"techniques.head_start": {}}
    assert "head-start-for-macro-f1" not in fired(**few)


def test_head_start_is_for_few_rows_of_many_classes_or_labels() -> None:
    start = {"techniques.head_start": {}}
    assert fired(classes=77, rows_per_class=3.9)["head-start-for-many-classes"] == start
    assert fired(classes=77, rows=1000, rows_per_class=13)["head-start-for-many-classes"] == start
    assert "head-start-for-many-classes" not in fired(classes=6, rows_per_class=50)
    assert "head-start-for-many-classes" not in fired(classes=12, rows=360, rows_per_class=30)
    assert fired(task="multi_label", classes=28, rows_per_class=12)["head-start-for-several-labels"] == start
    assert "head-start-for-several-labels" not in fired(task="multi_label", classes=4, rows_per_class=90)


def test_on_twenty_rows_it_says_what_it_cannot_know_and_what_to_do() -> None:
    chosen = choose(RECIPE, facts(rows=12, validation_rows=4, rows_per_class=6, rarest_class=6))
    said = " ".join(decision.text for decision in chosen.decisions)
    assert "12 training and 4 validation rows cannot tell settings apart" in said
    assert "finetune compare --folds 5" in said
    assert "Label more rows" in said
    assert chosen.training == RECIPE.training


def test_the_page_describes_every_fact_and_every_rule() -> None:
    assert all(f"| `{name}` | {fact.about}" in PAGE for name, fact in FACTS.items())
    assert all(f"`{name}`" in PAGE for name in RULES)
