"""The choice and the regions of a sweep, on written runs whose every figure can be computed on paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from finetune.analysis.sweep import sweep_of
from finetune.records.comparison import ComparisonFolder
from finetune.records.sweep import SweepReport
from finetune.reports.figures.path import path
from finetune.reports.sweep_page import palette_of, sections
from tests.analysis.making import Run, write_comparison

KEY = "techniques.l1.strength"


def path_of(folder: Path, wrong: Mapping[object, list[tuple[int, int, int]]]) -> SweepReport:
    """Value -> missed rows of train sample, validation and test, of 20 each, by seed; the first is the reference."""
    first = f"l1={next(iter(wrong))}"
    runs = [
        Run(f"l1={value}", seed=seed, wrong=missed, techniques={"l1": {"strength": value}})
        for value, seeds in wrong.items()
        for seed, missed in enumerate(seeds)
    ]
    made = ComparisonFolder(write_comparison(folder, runs, {f"l1={value}": first for value in wrong} | {first: None}))
    manifest = made.read()
    points = [
        entry.model_copy(update={"point": {KEY: value}, "preset": "none"})
        for entry, value in zip(manifest.variants, wrong, strict=True)
    ]
    made.write(manifest.model_copy(update={"kind": "sweep", "variants": points, "baseline": first}))
    return sweep_of(folder)


def test_the_choice_is_the_best_on_validation_and_test_takes_no_part_in_it(tmp_path: Path) -> None:
    # Validation is best at 1; test is best at 10, and must not be looked at.
    found = path_of(
        tmp_path,
        {
            0: [(0, 6, 6), (0, 7, 6), (0, 8, 6)],
            1: [(2, 4, 5), (2, 4, 6), (2, 5, 4)],
            10: [(4, 5, 1), (4, 5, 1), (4, 5, 1)],
            100: [(9, 9, 9), (9, 10, 9), (9, 9, 9)],
        },
    )
    assert found.chosen is not None
    assert found.chosen.name == "l1=1"
    assert found.chosen.test["accuracy"].mean == pytest.approx(1 - 5 / 20)
    assert found.chosen.optimism == pytest.approx((1 - 13 / 60) - (1 - 5 / 20))
    assert found.chosen.difference is not None
    assert found.chosen.difference.mean == pytest.approx(1 / 20)  # to l1=0: 6 − 5 of 20 rows
    assert found.axis == "log"
    verdicts = {point.name: point.verdict for point in found.points}
    assert verdicts["l1=0"] == "overfits"  # gap 7/20, every seed above 0
    assert verdicts["l1=100"] == "underfits"  # train 55 %, and 1 reaches 78 % on validation
    assert "underfits or does not learn at `l1=100`" in found.headline
    [reason] = [point.verdict_reason for point in found.points if point.name == "l1=100"]
    assert reason.endswith("is lower than the validation accuracy of `l1=1`, the choice, 78.3 %")  # 1 − 13/60


def test_the_page_names_the_train_sample_and_draws_no_panel_without_numbers(tmp_path: Path) -> None:
    found = path_of(tmp_path, {0: [(0, 6, 6), (0, 7, 6)], 1: [(2, 4, 5), (2, 4, 6)]})
    shown = str(sections(found, palette_of(found)))
    assert "train (sample) 20" in shown
    assert "train_probe 20" not in shown
    assert len(path(found, palette_of(found)).panels) == 3  # no weights were recorded


def test_the_choice_at_the_end_of_the_range_says_that_the_best_may_lie_beyond(tmp_path: Path) -> None:
    found = path_of(tmp_path, {0: [(0, 6, 6)] * 2, 1: [(1, 5, 5)] * 2, 10: [(2, 3, 4), (2, 4, 4)]})
    assert "It is the largest value that was tried: the best may be larger." in found.headline
    assert any("3 points on the same validation rows" in text for text in found.caveats)


@pytest.mark.parametrize(
    ("values", "axis"),
    [((0, 1, 8), "log"), ((0, 1, 7), "linear"), (("off", 0.1, 0.5), "linear"), (("a", "b"), "names")],
)
def test_the_axis_follows_from_the_values(tmp_path: Path, values: tuple[object, ...], axis: str) -> None:
    assert path_of(tmp_path, {value: [(1, 5, 5)] for value in values}).axis == axis
