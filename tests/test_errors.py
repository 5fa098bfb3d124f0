"""A problem is an object: what each surface writes of it."""

from __future__ import annotations

import pickle
import shlex
from typing import Any

import pytest

from finetune.errors import Change, DataError, Problem, RecipeError, first_line, shorten, suggest
from finetune.recipe.yaml_file import parse_yaml

PROBLEM = Problem(
    "5 of 5 epochs.",
    ".patience",
    found=5,
    changes=(Change(settings={".patience": 4}), Change(settings={"training.epochs": 6}, note="or more")),
)


def test_each_surface_writes_changes_in_its_own_words() -> None:
    change = Change(settings={"training.epochs": 5, "data.text": None}, arguments={"drop_leaks": True, "jobs": 4})
    assert change.for_command_line() == "--set training.epochs=5 --set data.text=null --drop-leaks --jobs 4"
    assert change.for_python() == 'overrides={"training.epochs": 5, "data.text": None}, drop_leaks=True, jobs=4'


def test_a_problem_names_where_key_and_ways_out() -> None:
    problem = PROBLEM.below("techniques.early_stopping").at("mine.yaml")
    assert problem.for_command_line() == (
        "mine.yaml: techniques.early_stopping.patience: 5 of 5 epochs. "
        "Try: --set techniques.early_stopping.patience=4, or --set training.epochs=6 (or more)"
    )
    assert problem.for_python() == (
        "mine.yaml: techniques.early_stopping.patience: 5 of 5 epochs. "
        'Try: overrides={"techniques.early_stopping.patience": 4}, or overrides={"training.epochs": 6} (or more)'
    )


def test_keys_become_complete_below_a_prefix_and_complete_ones_stay() -> None:
    below = PROBLEM.below("techniques.early_stopping")
    assert below.key == "techniques.early_stopping.patience"
    assert [list(change.settings) for change in below.changes] == [
        ["techniques.early_stopping.patience"],
        ["training.epochs"],
    ]
    assert below.below("techniques.other") == below
    off = Problem("has no meaning.", changes=(Change(settings={"": "off"}),)).below("techniques.l1")
    assert (off.key, dict(off.changes[0].settings)) == ("techniques.l1", {"techniques.l1": "off"})


@pytest.mark.parametrize(
    ("message", "line"),
    [("no file.\nTry again.", "no file"), (" two parts: one. two ", "two parts: one. two"), ("", "OSError")],
)
def test_of_an_error_of_a_library_the_first_line_is_said(message: str, line: str) -> None:
    assert first_line(OSError(message)) == line


@pytest.mark.parametrize(
    ("names", "shown"), [([], ""), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")]
)
def test_of_many_names_the_first_are_said(names: list[str], shown: str) -> None:
    assert shorten(names, 2) == shown


def test_an_option_that_names_the_key_is_not_followed_by_it() -> None:
    problem = Problem("is wrong.", "training.epochs").at("--set training.epochs", "overrides")
    assert problem.for_command_line() == "--set training.epochs: is wrong."
    assert problem.for_python() == "overrides: training.epochs: is wrong."


def test_an_argument_without_an_option_has_the_name_that_the_help_gives_it() -> None:
    problem = Problem("holds no model.", argument="model", found="runs", changes=(Change(arguments={"repo": "a/b"}),))
    assert problem.for_command_line() == "--model runs: holds no model. Try: --repo a/b"
    names = {"model": "MODEL", "repo": "REPO"}
    assert problem.for_command_line(names) == "MODEL runs: holds no model. Try: REPO a/b"
    assert RecipeError(problem).for_command_line(names) == problem.for_command_line(names)


def test_a_place_keeps_its_name_in_python_unless_it_has_another() -> None:
    assert Problem("is wrong.", "a.b").at("--seed", "seed").for_python() == "seed: a.b: is wrong."
    assert Problem("is wrong.", "a.b").at("mine.yaml").for_python() == "mine.yaml: a.b: is wrong."


@pytest.mark.parametrize(
    "value",
    [
        *[5, 1e-5, 0.1, True, None, "text", "5", "1e-5", ".5", "-3", "5.", "true", "NULL", "~", "", "off", "a b"],
        *["a\x01b", "\x1f", "a: b", "a:", "- a", "# a", "a #b", "a:b", ["0"], {}],
    ],
)
def test_a_setting_is_read_back_as_the_value_that_it_was(value: Any) -> None:
    (typed,) = shlex.split(Change(settings={"data.text": value}).for_command_line().removeprefix("--set "))
    read = parse_yaml(typed.removeprefix("data.text="), "test")
    assert read == value
    assert type(read) is type(value)


def test_an_error_carries_all_problems_and_survives_a_process() -> None:
    error = RecipeError([PROBLEM, "a sentence."])
    again = pickle.loads(pickle.dumps(error))
    assert again.problems == error.problems == [PROBLEM, Problem("a sentence.")]
    assert str(again) == str(error)
    assert again.for_command_line().splitlines()[1] == "a sentence."


def test_a_change_that_is_a_sentence_stands_at_the_end() -> None:
    alone = DataError("no text.", Change(text="Name the column."), key="data.text")
    assert alone.for_command_line() == "data.text: no text. Name the column."
    beside = DataError("no text.", Change(settings={"data.text": "COLUMN"}), Change(text="name it text"))
    assert beside.for_command_line() == "no text. Try: --set data.text=COLUMN, or name it text"


def test_a_suggestion_is_the_closest_name_or_all_of_them() -> None:
    assert suggest("epoch", ["epochs", "seeds"]) == " Did you mean epochs?"
    assert suggest("xyzzy", ["seeds", "epochs"]) == " Known: epochs, seeds."
    assert suggest("xyzzy", []) == ""


def test_very_many_problems_and_very_long_ones_are_cut() -> None:
    error = RecipeError([Problem("x" * 10**6), *(Problem(f"problem {number}") for number in range(1000))])
    lines = error.for_command_line().splitlines()
    assert len(lines) == 41
    assert lines[-1] == "and 961 more problems like these."
    assert lines[0].endswith(" … (1000000 characters)")
    assert len(error.problems) == 1001


def test_a_suggestion_prefers_what_starts_with_the_name() -> None:
    assert suggest("acc", ["accuracy", "mcc", "nll"]) == " Did you mean accuracy?"
    assert suggest("Macro", ["macro_f1", "micro_f1"]) == " Did you mean macro_f1?"
