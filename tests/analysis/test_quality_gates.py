"""`--fail-on`: what it understands, what it refuses before an hour of training, and what it fails."""

from pathlib import Path

import pytest

from finetune.analysis.quality_gates import Fields, Term, failed_quality_gates, parse_quality_gate
from finetune.errors import RecipeError
from finetune.records.report import Group
from tests.analysis.making import Run, group_of

NAMES = ("none", "strong", "strong without l2", "mine.v2")
METRICS = ("accuracy", "macro_f1", "nll")


def terms(text: str, has_test: bool = True, may_set: bool = True) -> list[list[Term]]:
    return parse_quality_gate(text, Fields(NAMES, METRICS, has_test, may_set))


def refused(text: str, has_test: bool = True, may_set: bool = True) -> str:
    with pytest.raises(RecipeError) as caught:
        terms(text, has_test, may_set)
    [problem] = caught.value.problems
    assert (problem.argument, problem.found) == ("fail_on", text)
    return problem.for_command_line()


# --- grammar ---------------------------------------------------------------------------------------------------


def test_a_term_is_field_sign_and_number() -> None:
    assert terms("gap.accuracy > 0.15") == [
        [Term("gap.accuracy > 0.15", None, "gap", "accuracy", difference=False, sign=">", number=0.15)]
    ]


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("space", ["", " ", "   "])
def test_every_sign_is_understood_with_and_without_spaces(sign: str, space: str) -> None:
    [[term]] = terms(f"  gap.accuracy{space}{sign}{space}0.15 ")
    assert (term.sign, term.number) == (sign, 0.15)


@pytest.mark.parametrize(
    ("number", "value"), [("-0.1", -0.1), ("+2", 2), (".5", 0.5), ("1e-3", 0.001), ("2E+1", 20), ("3.", 3)]
)
def test_numbers_may_have_signs_and_exponents(number: str, value: float) -> None:
    assert terms(f"gap.nll > {number}")[0][0].number == value


def test_and_binds_stronger_than_or() -> None:
    found = terms("gap.accuracy > 0.1 and test.nll > 1 or failed > 0")
    assert [[term.kind for term in alternative] for alternative in found] == [["gap", "test"], ["failed"]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["test.accuracy", "difference.gap.nll", "degenerate"])
def test_a_preset_may_stand_before_a_field_whatever_its_name(name: str, field: str) -> None:
    [[term]] = terms(f"{name}.{field} < 0.5")
    assert term.variant == name
    assert term.difference == field.startswith("difference")


@pytest.mark.parametrize("kind", ["train", "validation", "test", "gap", "gap_last"])
def test_every_kind_of_figure_can_be_named(kind: str) -> None:
    assert terms(f"{kind}.nll > 1")[0][0].kind == kind
    assert terms(f"difference.{kind}.nll > 1")[0][0].difference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "gap.accuracy",
        "gap.accuracy >",
        "> 0.1",
        "gap.accuracy > ",
        "gap.accuracy = 0.1",
        "gap.accuracy => 0.1",
        "gap.accuracy > 15%",
        "gap.accuracy > 15 %",
        "gap.accuracy > nan",
        "gap.accuracy > inf",
        "gap.accuracy > 0,15",
        "gap.accuracy > 1.2.3",
        "gap.accuracy > .",
        "0 < gap.accuracy < 1",
        "gap.accuracy > 0.1 and",
        "or gap.accuracy > 0.1",
        "gap.accuracy > 0.1 and and test.nll > 1",
        "gap.accuracy > 0.1 AND test.nll > 1",
        "gap.accuracy > 0.1; import os",
        "gap.accuracy > 0.1 # always",
        "(gap.accuracy > 0.1)",
        "not gap.accuracy > 0.1",
        "__import__('os').system('true') > 0",
        "gap.__class__ > 0",
        "strong.__dict__ > 0",
        "verdict > 0",
        "name > 0",
        "differences.gap.nll > 0",
        "gap > 0.1",
        "gap. > 0.1",
        ".gap.accuracy > 0.1",
        "gap.accuracy.mean > 0.1",
        "difference.failed > 0",
        "difference > 0",
        "difference.difference.gap.nll > 0",
        "failed.accuracy > 0",
        "strong > 0",
        "light.gap.accuracy > 0",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("gap.acuracy > 0.1", "Did you mean accuracy?"),
        ("gpa.accuracy > 0.1", "Did you mean gap?"),
        ("difference.accuracy > 0.1", "Did you mean difference.test.accuracy?"),
        ("strong.accuracy > 0.1", "Did you mean strong.test.accuracy?"),
        ("strng.gap.accuracy > 0.1", "Did you mean strong"),
        ("faild > 0", "Did you mean failed?"),
        ("gap.precision > 0.1", "accuracy, macro_f1, nll"),
    ],
)
def test_a_misspelt_field_is_refused_with_a_suggestion(text: str, suggestion: str) -> None:
    assert suggestion in refused(text)


def test_test_figures_need_a_test_split() -> None:
    assert "there is no test split" in refused("test.accuracy < 0.7", has_test=False)
    assert "there is no test split" in refused("strong.difference.test.accuracy < 0", has_test=False)
    assert "Try: --set data.test=FILE" in refused("test.accuracy < 0.7", has_test=False)
    assert "--set" not in refused("test.accuracy < 0.7", has_test=False, may_set=False)  # by finetune report
    assert terms("validation.accuracy < 0.7", has_test=False)


def test_a_preset_called_like_a_figure_does_not_hide_the_figure() -> None:
    [[term]] = parse_quality_gate("gap.accuracy > 0.1", Fields(["none", "gap"], METRICS, True))
    assert term.kind == "gap"


def test_a_preset_whose_name_holds_an_and_can_be_named() -> None:
    [[term]] = parse_quality_gate("l1 and l2.gap.accuracy > 0.1", Fields(["none", "l1 and l2"], METRICS, True))
    assert term.variant == "l1 and l2"


def test_a_refusal_shows_an_expression_that_would_do() -> None:
    assert refused("gap.accuracy").endswith("Try: --fail-on 'gap.accuracy > 0.15'")


# --- evaluation ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    """none: gap 0.3, test 0.7. strong, which is recommended: gap 0.1, test 0.8. broken never finished."""
    runs = [Run("none", seed, wrong=(0, 6, 6)) for seed in range(2)]
    runs += [Run("strong", seed, wrong=(2, 4, 4)) for seed in range(2)]
    runs += [Run("broken", seed, status="failed", error="boom") for seed in range(2)]
    return group_of(tmp_path_factory.mktemp("gates"), runs)


def failures(group: Group, *texts: str) -> list[str]:
    fields = Fields([variant.name for variant in group.variants], list(group.metrics), has_test=True)
    return failed_quality_gates([parse_quality_gate(text, fields) for text in texts], group)


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("gap.accuracy > 0.05", True),
        ("gap.accuracy > 0.15", False),
        ("none.gap.accuracy > 0.15", True),
        ("test.accuracy < 0.8", False),
        ("test.accuracy <= 0.8", True),
        ("test.accuracy == 0.8", True),
        ("test.accuracy != 0.8", False),
        ("none.test.accuracy < strong", None),
        ("difference.test.accuracy < 0", False),
        ("difference.test.accuracy > 0.05", True),
        ("difference.gap.accuracy > 0", False),
        ("failed > 0", True),  # of all presets
        ("strong.failed > 0", False),
        ("broken.failed >= 2", True),
        ("broken.degenerate > 0", False),
        ("gap.accuracy > 0.05 and test.accuracy < 0.5", False),
        ("gap.accuracy > 0.05 and test.accuracy > 0.5", True),
        ("gap.accuracy > 0.9 or test.accuracy > 0.5", True),
        ("gap.accuracy > 0.9 or test.accuracy < 0.5 or failed > 3", False),
        ("gap.nll > 0.15 and train.accuracy < 0.95", True),
    ],
)
def test_gates_fail_as_they_say(group: Group, text: str, fails: bool | None) -> None:
    if fails is None:
        with pytest.raises(RecipeError):
            failures(group, text)
    else:
        assert bool(failures(group, text)) == fails


def test_a_failed_gate_is_told_with_its_figure(group: Group) -> None:
    assert failures(group, "none.gap.accuracy > 0.15") == ["none.gap.accuracy > 0.15: none has 0.3 in made"]


def test_all_parts_of_a_failed_and_are_told(group: Group) -> None:
    [told] = failures(group, "gap.accuracy > 0.05 and test.accuracy > 0.5")
    assert "strong has 0.1" in told
    assert "strong has 0.8" in told


@pytest.mark.parametrize(
    "text", ["broken.gap.accuracy > 5", "broken.test.accuracy < 0", "broken.difference.test.nll > 9"]
)
def test_a_figure_that_is_not_there_fails(group: Group, text: str) -> None:
    [told] = failures(group, text)
    assert "no such value" in told
    assert "no run has finished" in told


def test_the_difference_of_a_baseline_to_itself_is_0(group: Group) -> None:
    assert not failures(group, "none.difference.gap.accuracy < 0")
    assert failures(group, "none.difference.gap.accuracy == 0")


def test_every_gate_is_told_once(group: Group) -> None:
    assert len(failures(group, "gap.accuracy > 0", "gap.accuracy > 5", "test.accuracy > 0")) == 2


def test_of_an_ablation_the_preset_that_is_taken_apart_is_meant(tmp_path: Path) -> None:
    runs = [Run(name, wrong=(0, 6, 6)) for name in ("none", "mine", "mine without l2")]
    [told] = failures(group_of(tmp_path, runs, {"mine without l2": "mine"}), "gap.accuracy > 0.2")
    assert "mine has 0.3" in told
