"""One style for every number: each form, its sign, its unit, and a dash for what is not known."""

import math

import pytest

from finetune.measurement.units import (
    DASH,
    Estimated,
    Scale,
    change_text,
    count_text,
    estimate_text,
    integer_text,
    listed,
    metric_name,
    multiple_text,
    number_text,
    percent_text,
    scale,
    score_text,
    signed,
    time_text,
)

UNKNOWN = (None, math.nan, math.inf)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.6721, "67.2 %"),
        ("accuracy", 1.0, "100.0 %"),
        ("macro_f1", 0.0, "0.0 %"),
        ("nll", 0.1124, "0.112"),
        ("mcc", -0.25, "−0.250"),
        ("mcc", -0.0001, "0.000"),
        ("my_metric", 3.0, "3.000"),
        *(("accuracy", value, DASH) for value in UNKNOWN),
    ],
)
def test_scores(metric: str, value: float | None, text: str) -> None:
    assert score_text(metric, value) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.052, "+5.2 points"),
        ("accuracy", -0.006, "−0.6 points"),
        ("accuracy", 0.0, "0.0 points"),
        ("accuracy", -0.0001, "0.0 points"),
        ("nll", 0.112, "+0.112 nats"),
        ("pearson", -0.05, "−0.050"),
        ("mse", 0.5, "+0.500"),
        *(("nll", value, DASH) for value in UNKNOWN),
    ],
)
def test_gaps_and_differences(metric: str, value: float | None, text: str) -> None:
    assert change_text(metric, value) == text
    assert change_text(metric, value, unit=False) == text.split(" ")[0]


@pytest.mark.parametrize(
    ("metric", "estimate", "text"),
    [
        ("accuracy", Estimated(-0.006, -0.019, 0.006), "−0.6 points [−1.9, +0.6]"),
        ("nll", Estimated(0.9, 0.7274, 1.07), "+0.900 nats [+0.727, +1.070]"),
        ("accuracy", Estimated(0.01, None, None), "+1.0 points"),
        ("accuracy", Estimated(0.01, 0.0, math.nan), "+1.0 points"),
        ("accuracy", Estimated(None, None, None), DASH),
        ("accuracy", None, DASH),
    ],
)
def test_estimates_have_their_interval_where_there_is_one(metric: str, estimate: Estimated | None, text: str) -> None:
    assert estimate_text(metric, estimate) == text


def test_intervals_of_values_have_no_signs() -> None:
    assert scale("accuracy").range(Estimated(0.8, 0.781, 0.812)) == "[78.1, 81.2]"
    assert scale("mcc").range(Estimated(0.0, -0.1, 0.1)) == "[−0.100, 0.100]"
    assert scale("accuracy").estimated_level(Estimated(0.8, 0.781, 0.812)) == "80.0 % [78.1, 81.2]"
    assert scale("accuracy").estimated_level(Estimated(0.8, None, None)) == "80.0 %"
    assert scale("accuracy").range(None) == ""
    assert scale("accuracy").interval(Estimated(0.8, None, 0.9)) == ""


def test_amounts_have_a_unit_and_no_sign() -> None:
    assert scale("accuracy").amount(0.036) == "3.6 points"
    assert scale("nll").amount(0.17) == "0.170 nats"
    assert scale("mse").amount(0.17) == "0.170"
    assert scale("nll").amount(None) == DASH


def test_spread_has_a_dash_for_a_single_run() -> None:
    assert scale("accuracy").spread(0.789, 0.004) == "78.9 ± 0.4"
    assert scale("nll").spread(0.5, None) == f"0.500 ± {DASH}"
    assert scale("nll").spread(None, None) == DASH


def test_titles_name_the_unit() -> None:
    assert scale("accuracy").title == "accuracy, %"
    assert scale("accuracy").change_title == "accuracy, points"
    assert scale("nll").title == scale("nll").change_title == "log loss, nats"
    assert scale("pearson").title == "Pearson r"
    assert Scale("mine", fraction=True, unit="points").level(0.5) == "50.0 %"


def test_every_metric_has_a_name() -> None:
    assert metric_name("nll") == "log loss"
    assert metric_name("macro_f1") == "macro-F1"
    assert metric_name("mine") == "mine"


@pytest.mark.parametrize(
    ("fraction", "digits", "text"),
    [
        (0.582, 0, "58 %"),
        (1.0, 0, "100 %"),
        (0.0, 0, "0 %"),
        (0.004, 0, "< 1 %"),
        (0.123456, 1, "12.3 %"),
        (0.0001, 1, "< 0.1 %"),
        *((value, 0, DASH) for value in UNKNOWN),
    ],
)
def test_percent(fraction: float | None, digits: int, text: str) -> None:
    assert percent_text(fraction, digits) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (41.2, "41 s"), (119.9, "120 s"), (120, "2.0 min"), (738, "12.3 min"), (7200, "2.0 h"), (None, DASH)],
)
def test_times(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(1.56, "1.56×"), (1.0, "1×"), (3.5, "3.5×"), (10.0, "10×"), (None, DASH)])
def test_multiples(value: float | None, text: str) -> None:
    assert multiple_text(value) == text


def test_a_multiple_may_be_rounded() -> None:
    assert multiple_text(1.449, 1) == "1.4×"
    assert multiple_text(100.0, 0) == "100×"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (2000, "2,000 rows"), (22_000_000, "22,000,000 rows")],
)
def test_counts_have_a_plural(count: int, text: str) -> None:
    assert count_text(count, "row") == text


def test_plain_numbers() -> None:
    assert number_text(1.005, 1) == "1.0"
    assert number_text(-2.5, 1) == "−2.5"
    assert number_text(-0.001, 1) == "0.0"
    assert number_text(None, 1) == DASH
    assert integer_text(1234567) == "1,234,567"
    assert integer_text(None) == DASH


def test_zero_has_no_sign() -> None:
    assert signed(-0.0001, 1) == signed(0.0001, 1) == "0.0"
    assert signed(-1, 1) == "−1.0"


@pytest.mark.parametrize(
    ("parts", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists(parts: list[str], text: str) -> None:
    assert listed(parts) == text
