"""Simple models and findings of the data reach the reader of a comparison and of a curve."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from finetune.analysis.curve import curve_of
from finetune.records.report import Group, Report
from finetune.records.schema import Baseline, Finding
from finetune.reports.comparison import comparison_table
from finetune.reports.curve import curve_table
from finetune.reports.curve_page import write_curve as write_curve_report
from finetune.reports.html import render_html
from tests.analysis.curves import curve_run, write_curve
from tests.analysis.making import Run, group_of

LEAK = Finding(check="leaks", level="problem", text="5 rows of test are also in train.", examples=["test row 4"])
INFO = Finding(check="majority", level="info", text="60 % are 'good'.", advice="Nothing")


def tfidf(test: float | None, train: float = 1.0) -> Baseline:
    """A simple model with these accuracies; validation as test."""
    scores = {"train_probe": {"accuracy": train}, "validation": {"accuracy": test}, "test": {"accuracy": test}}
    return Baseline(
        name="tfidf", about="linear", scores=scores, gap={"accuracy": None if test is None else train - test}
    )


def group_with(tmp_path: Path, test: float) -> Group:
    runs = [
        Run(name, seed, wrong=(0, 4, 4), baselines=[tfidf(test)], findings=[LEAK, INFO])
        for name in ("none", "strong")
        for seed in (0, 1)
    ]
    return group_of(tmp_path, runs)


def shown(table: object) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


@pytest.mark.parametrize(("test", "beaten"), [(0.9, True), (0.8, True), (0.7, False)])
def test_a_comparison_says_when_no_preset_beats_tfidf(tmp_path: Path, test: float, beaten: bool) -> None:
    """Four of 20 rows are missed by all presets: 80 %."""
    found = [text for text in group_with(tmp_path, test).caveats if "TF-IDF" in text]
    assert bool(found) is beaten
    assert all(text.startswith("No preset beats TF-IDF") for text in found)


def test_only_problems_are_things_to_mind(tmp_path: Path) -> None:
    caveats = group_with(tmp_path, 0.5).caveats
    assert "Data: 5 rows of test are also in train." in caveats
    assert not any("60 %" in text for text in caveats)


def test_simple_models_stand_below_the_presets(tmp_path: Path) -> None:
    group = group_with(tmp_path, 0.7)
    line = next(line for line in shown(comparison_table(group)).splitlines() if "TF-IDF" in line)
    assert re.findall(r"[+\d.]+", line) == ["100.0", "70.0", "70.0", "+30.0"]
    page = render_html(Report(title="t", groups=[group], skipped=[]))
    assert "TF-IDF" in page
    assert "5 rows of test are also in train." in page
    assert "test row 4" in page


def test_folds_show_the_mean_of_their_simple_models(tmp_path: Path) -> None:
    scores = (0.5, 0.7, 0.9)
    runs = [
        Run(name, 0, fold, fingerprint=f"fold {fold}", baselines=[tfidf(score)])
        for name in ("none", "strong")
        for fold, score in enumerate(scores)
    ]
    (found,) = group_of(tmp_path, runs).baselines
    assert found.scores["test"]["accuracy"] == pytest.approx(0.7)
    assert found.gap["accuracy"] == pytest.approx(0.3)


def test_one_fold_without_a_figure_leaves_the_mean_open(tmp_path: Path) -> None:
    runs = [
        Run(name, 0, fold, fingerprint=f"fold {fold}", baselines=[tfidf(score)])
        for name in ("none", "strong")
        for fold, score in enumerate((0.5, None))
    ]
    (found,) = group_of(tmp_path, runs).baselines
    assert found.scores["test"]["accuracy"] is None
    assert found.scores["train_probe"]["accuracy"] == 1


def test_a_curve_shows_what_tfidf_does_with_as_many_labels(tmp_path: Path) -> None:
    simple = {100: 0.6, 200: 0.7, 400: 0.75}
    runs = [
        curve_run("none", size, seed, 0.3, baselines=[tfidf(score + 0.02 * seed)])
        for size, score in simple.items()
        for seed in (0, 1)
    ]
    curve = curve_of(write_curve(tmp_path, runs, ["none"], list(simple)))
    assert [point.tfidf for point in curve.presets[0].points] == pytest.approx([0.61, 0.71, 0.76])
    assert "61.0 %" in shown(curve_table(curve))
    page = write_curve_report(curve, tmp_path / "report")[1].read_text(encoding="utf-8")
    assert "TF-IDF" in page
