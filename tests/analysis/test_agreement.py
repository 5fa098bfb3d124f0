"""Statistics that agree with themselves: intervals, tests, seeds needed and words on one screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.analysis.differences import GAPS
from finetune.analysis.replicates import within
from finetune.analysis.statistics import UNKNOWN, Inference, seeds_needed
from finetune.measurement.units import Scale, possible_range
from finetune.records.report import Difference, Group
from finetune.reports.comparison import comparison_summary
from finetune.reports.figures.canvas import limits, possible_ends
from tests.analysis.making import Run, group_of, variant_of

ACCURACY = Scale("accuracy", fraction=True, unit="points")


def compared(folder: Path, ours: list[int], theirs: list[int], others: int = 3) -> Group:
    """Presets by their missed rows of validation and test, of 20 each, by seed; and others that are like `none`."""
    runs = [Run("none", seed, wrong=(1, wrong, wrong)) for seed, wrong in enumerate(theirs)]
    runs += [Run("mine", seed, wrong=(1, wrong, wrong)) for seed, wrong in enumerate(ours)]
    for number in range(others):
        runs += [
            Run(f"other{number}", seed, wrong=(1, wrong + (seed + number) % 2, wrong))
            for seed, wrong in enumerate(theirs)
        ]
    return group_of(folder, runs)


def reported(group: Group, name: str = "mine") -> Difference:
    return variant_of(group, name).differences["test"]["accuracy"]


def test_an_interval_that_excludes_0_never_stands_alone_beside_not_significant(tmp_path: Path) -> None:
    # 4 or 5 rows of 20: significant alone, and not as one of many.
    group = compared(tmp_path, [1, 2, 1, 2, 1], [6, 6, 6, 6, 6])
    found = reported(group)
    assert found.low is not None
    assert found.p is not None
    assert found.p_holm is not None
    assert found.tests is not None
    assert found.low > 0
    assert found.p < 0.05 <= found.p_holm, "the example no longer shows what it is for"
    assert found.distinguishable is False
    note = f"p {found.p:.2g}, adjusted for {found.tests} tests {found.p_holm:.2g}"
    assert note in group.headline
    assert note in variant_of(group, "mine").change_reason
    verdicts = [
        line for line in comparison_summary(group).splitlines() if line.startswith("Verdict") and "mine" in line
    ]
    assert note in verdicts[0]


def test_seeds_needed_are_those_of_the_adjusted_test(tmp_path: Path) -> None:
    from statsmodels.stats.power import TTestPower

    found = reported(compared(tmp_path, [4, 5, 4, 5, 7], [6, 6, 6, 6, 6]))
    assert found.tests is not None
    assert found.tests > 1
    values = [value for value in found.values if value is not None]
    assert found.seeds_needed == seeds_needed(values, 0.05 / found.tests)
    assert found.seeds_needed > (seeds_needed(values) or 0)
    effect = TTestPower().solve_power(effect_size=None, nobs=found.seeds_needed, alpha=0.05 / found.tests, power=0.8)
    observed = abs(sum(values) / len(values)) / (sum((v - sum(values) / 5) ** 2 for v in values) / 4) ** 0.5
    assert effect <= observed * 1.001


def test_intervals_end_where_values_end(tmp_path: Path) -> None:
    group = compared(tmp_path, [0, 1, 3], [9, 10, 8], others=0)
    for variant in group.variants:
        for kind in ("train", "validation", "test", *GAPS):
            for metric, summary in getattr(variant, kind).items():
                low, high = possible_range(metric, int(kind in GAPS))
                assert summary.low is None or low <= summary.low <= (summary.high or high) <= high, (kind, metric)
        for kind, numbers in variant.differences.items():
            for metric, difference in numbers.items():
                low, high = possible_range(metric, 2 if kind in GAPS else 1)
                assert difference.low is None or low <= difference.low <= (difference.high or high) <= high


def test_two_seeds_have_no_interval_where_it_would_say_nothing(tmp_path: Path) -> None:
    group = compared(tmp_path, [2, 9], [8, 7], others=0)  # t = 12.7 times a large error
    found = reported(group)
    assert (found.low, found.p, found.distinguishable) == (None, None, None)
    assert variant_of(group, "mine").change == "not enough evidence"
    assert any(text.startswith("2 seeds are too few for a useful interval") for text in group.caveats)


def test_three_seeds_of_equal_sign_are_no_significance(tmp_path: Path) -> None:
    group = compared(tmp_path, [5, 3, 1], [6, 6, 6], others=0)
    found = reported(group)
    assert all(value is not None and value > 0 for value in found.values)
    assert found.distinguishable is False
    assert variant_of(group, "mine").change == "no significant difference"
    assert "not significant" in group.headline


def test_an_interval_is_cut_and_that_of_two_left_out_by_its_width() -> None:
    wide, narrow = Inference(-0.4, 1.3, 0.2), Inference(0.9, 1.1, 0.01)
    assert within(wide, (0, 1), 3) == Inference(0, 1, 0.2)
    assert within(wide, (0, 1), 2) == UNKNOWN
    assert within(narrow, (0, 1), 2) == Inference(0.9, 1, 0.01)
    assert within(UNKNOWN, (0, 1), 2) == UNKNOWN


@pytest.mark.parametrize(
    ("metric", "differences", "expected"),
    [
        ("accuracy", 0, (0, 1)),
        ("macro_f1", 2, (-2, 2)),
        ("mcc", 0, (-1, 1)),
        ("mcc", 1, (-2, 2)),
        ("r2", 0, (-float("inf"), 1)),
    ],
)
def test_what_values_can_be(metric: str, differences: int, expected: tuple[float, float]) -> None:
    assert possible_range(metric, differences) == expected


def test_axes_end_where_values_end() -> None:
    low, high = limits([96.0, 100.0], possible=possible_ends(ACCURACY))
    assert low < 96
    assert 100 < high < 100.1  # half of a mark
    assert limits([96.0, 100.0])[1] > 100.2
