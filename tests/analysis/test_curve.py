"""Records of a curve -> its report: levels and differences by size, what more labels bring, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from finetune.analysis.collect import collect, kind_of
from finetune.analysis.curve import curve_of
from finetune.errors import OutputError
from finetune.records.comparison import ComparisonFolder, Manifest
from finetune.records.curve import CurveReport, PresetCurve
from finetune.reports.curve_page import sections
from finetune.reports.palette import Palette
from tests.analysis.curves import ROWS, curve_run, falling, made_curve, write_curve
from tests.analysis.making import Run as PlainRun
from tests.analysis.making import group_of
from tests.raising import refuses

SIZES = (100, 200, 400, 800)


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> CurveReport:
    return curve_of(made_curve(tmp_path_factory.mktemp("curve"), falling, ("none", "strong")))


def preset_of(curve: CurveReport, name: str = "none") -> PresetCurve:
    return next(preset for preset in curve.presets if preset.name == name)


def counted(preset: str, size: int, seed: int) -> float:
    """Test rows that `curve_run` lets be missed, as a share."""
    return round(falling(preset, size, seed) * ROWS) / ROWS


def test_a_point_is_the_mean_over_the_seeds_of_its_size(curve: CurveReport) -> None:
    for point in preset_of(curve).points:
        expected = sum(1 - counted("none", point.size, seed) for seed in range(3)) / 3
        assert point.test["accuracy"].mean == pytest.approx(expected)
        assert point.train["accuracy"].mean == pytest.approx(1.0)
        assert point.gap["accuracy"].mean == pytest.approx(1 - expected)  # validation is missed as test is
        assert point.gap["accuracy"].low is not None
        assert [run.seed for run in point.runs] == [0, 1, 2]


def test_differences_are_paired_within_a_size(curve: CurveReport) -> None:
    for point in preset_of(curve, "strong").points:
        found = point.differences["test"]["accuracy"]
        pairs = [counted("none", point.size, seed) - counted("strong", point.size, seed) for seed in range(3)]
        assert found.values == pytest.approx(pairs)
        assert found.p_holm is None or found.p_holm >= (found.p or 0)
    assert all(point.differences == {} for point in preset_of(curve).points)


def test_the_law_foresees_what_the_truth_is_at_twice_and_five_times_the_rows(curve: CurveReport) -> None:
    law = preset_of(curve).laws["accuracy"]
    for prediction, factor in zip(law.predictions, (2, 5), strict=True):
        truth = 1 - (0.05 + 2 * (800 * factor) ** -0.5)
        assert prediction.size == 800 * factor
        assert prediction.low is not None
        assert prediction.high is not None
        assert prediction.low <= truth <= prediction.high
        assert prediction.change_low is not None
        assert 0 <= prediction.change_low <= prediction.change <= (prediction.change_high or 0)
    assert law.check is not None
    assert law.check.miss == pytest.approx(law.check.measured - law.check.predicted)
    assert law.outlook == "rising"
    assert "twice the rows (1,600) would give accuracy" in law.words


def test_labels_for_a_point_more_are_never_beyond_five_times(curve: CurveReport) -> None:
    for preset in curve.presets:
        labels = preset.laws["accuracy"].labels
        assert labels is not None
        assert labels.limit == 4000
        assert all(rows is None or 800 < rows <= 4000 for rows in (labels.low, labels.rows, labels.high))
        assert preset.laws["nll"].labels is None
        assert preset.laws["accuracy"].line[-1].size == pytest.approx(4000)


def test_a_loss_falls_where_a_score_rises(curve: CurveReport) -> None:
    for prediction in preset_of(curve).laws["nll"].predictions:
        assert prediction.change < 0
        assert (prediction.change_low or 0) <= prediction.change <= (prediction.change_high or 0) <= 0


def test_a_curve_that_does_not_rise_is_called_flat(tmp_path: Path) -> None:
    flat = curve_of(made_curve(tmp_path, lambda preset, size, seed: 0.2 + 0.005 * (seed - 1)))
    law = preset_of(flat).laws["accuracy"]
    assert law.outlook in ("flat", "too wide")
    assert law.predictions[0].change == pytest.approx(0, abs=1e-9)
    assert law.labels is not None
    assert law.labels.rows is None


def test_a_wide_interval_is_not_sold_as_a_forecast(tmp_path: Path) -> None:
    wild = {(100, 0): 0.4, (100, 1): 0.2, (200, 0): 0.2, (200, 1): 0.34, (400, 0): 0.3, (400, 1): 0.15}
    found = curve_of(made_curve(tmp_path, lambda _, size, seed: wild[size, seed], sizes=(100, 200, 400), seeds=2))
    law = preset_of(found).laws["accuracy"]
    assert law.outlook == "too wide"
    assert "cannot tell" in law.words
    assert law.check is None  # three sizes: none is left to foresee


def test_two_sizes_have_no_law_and_say_why(tmp_path: Path) -> None:
    found = curve_of(made_curve(tmp_path, falling, sizes=(100, 200)))
    assert preset_of(found).laws == {}
    told = "No power law was fitted to test accuracy of `none`: 2 sizes have numbers, and a power law has 3 constants: "
    assert any(text.startswith(told) for text in found.caveats)


def test_a_preset_whose_runs_failed_is_named_and_the_other_has_its_law(tmp_path: Path) -> None:
    sizes = (100, 200, 400, 800)
    runs = [curve_run(name, size, 0, falling(name, size, 0)) for size in sizes for name in ("none", "strong")]
    failed = [run for run in runs if run.variant in ("strong, 400 rows", "strong, 800 rows", "strong, 100 rows")]
    runs = [replace(run, status="failed", error="out of memory") if run in failed else run for run in runs]
    found = curve_of(write_curve(tmp_path, runs, ["none", "strong"], sizes))
    assert "accuracy" in preset_of(found).laws
    told = [text for text in found.caveats if text.startswith("No power law was fitted to test accuracy of `strong`: ")]
    assert [text.partition("strong`: ")[2] for text in told] == [
        "1 size has numbers, and a power law has 3 constants: no run of the others has one."
    ]
    assert not any("Failures" in text for text in found.caveats)


def test_the_headline_is_about_the_sizes_that_have_numbers(tmp_path: Path) -> None:
    sizes = (100, 200, 400)
    runs = [curve_run(name, size, 0, falling(name, size, 0)) for size in sizes for name in ("none", "strong")]
    runs = [replace(r, status="failed") if r.variant == "strong, 400 rows" else r for r in runs]
    headline = curve_of(write_curve(tmp_path / "one", runs, ["none", "strong"], sizes)).headline
    assert headline.startswith("Test accuracy changes from 100 to 400 training rows from ")
    assert "; from 100 to 200 training rows from " in headline
    runs = [replace(run, status="failed") if "400" in run.variant else run for run in runs]
    headline = curve_of(write_curve(tmp_path / "both", runs, ["none", "strong"], sizes)).headline
    assert headline.startswith("From 100 to 200 training rows, test accuracy changes from ")


def test_a_law_of_many_seeds_without_an_interval_is_not_told_to_take_three(tmp_path: Path) -> None:
    same = curve_of(made_curve(tmp_path, lambda *_: 0.2, sizes=(100, 200, 400), seeds=5))
    law = preset_of(same).laws["accuracy"]
    assert law.outlook == "no interval"
    assert "--seeds" not in law.words


def test_one_seed_of_four_sizes_has_the_interval_of_the_fit_and_says_where_it_is_from(tmp_path: Path) -> None:
    found = curve_of(made_curve(tmp_path, falling, seeds=1))
    assert preset_of(found).laws["accuracy"].predictions[0].low is not None
    told = next(text for text in found.caveats if text.startswith("One seed: "))
    assert "there are no intervals" not in told
    assert "The interval of a fit is that of its distance to the measured sizes." in told


def test_one_seed_has_a_law_of_three_sizes_and_no_interval(tmp_path: Path) -> None:
    found = curve_of(made_curve(tmp_path, falling, sizes=(100, 200, 400), seeds=1))
    law = preset_of(found).laws["accuracy"]
    assert law.outlook == "no interval"
    assert law.predictions[0].low is None
    assert any("One seed" in text for text in found.caveats)


def test_a_failed_run_is_told_and_the_rest_is_analysed(tmp_path: Path) -> None:
    sizes = (100, 200, 400)
    runs = [curve_run("none", size, seed, falling("none", size, seed)) for seed in (0, 1) for size in sizes]
    runs[1] = replace(runs[1], status="failed", error="out of memory")
    found = curve_of(write_curve(tmp_path, runs, ["none"], sizes))
    assert [len(point.test["accuracy"].values) for point in preset_of(found).points] == [2, 1, 2]
    assert preset_of(found).laws["accuracy"].predictions[0].low is not None
    assert any("1 of 6 runs did not finish" in text for text in found.caveats)


def test_raised_epochs_are_told(curve: CurveReport) -> None:
    assert curve.longer == ["100 rows: 6 epochs instead of 3, so that a model is trained for 30 steps."]


def test_a_run_that_planned_no_steps_is_told_without_them(tmp_path: Path) -> None:
    folder = made_curve(tmp_path, falling, sizes=(100, 200), seeds=1)
    path = next(folder.glob("cells/none-100-*/run.json"))
    record = json.loads(path.read_text(encoding="utf-8"))
    record["budget"]["steps"] = None
    del record["checksum"]
    path.write_text(json.dumps(record), encoding="utf-8")
    assert curve_of(folder).longer == ["100 rows: 6 epochs instead of 3."]


def test_the_table_of_fits_asks_for_rows_by_the_step_of_its_score(curve: CurveReport) -> None:
    def titles(score: str) -> list[str]:
        named = curve.model_copy(update={"score": score})
        return [column.title for block in sections(named, Palette([]))[3].blocks for column in block.columns]

    assert "One point more" in titles("accuracy")
    assert "0.01 more" in titles("mcc")


def test_another_baseline_turns_the_differences_round(tmp_path: Path) -> None:
    folder = made_curve(tmp_path, falling, ("none", "strong"), sizes=(100, 200, 400), seeds=2)
    one, other = curve_of(folder), curve_of(folder, "strong")
    there = preset_of(one, "strong").points[0].differences["test"]["accuracy"].mean
    back = preset_of(other, "none").points[0].differences["test"]["accuracy"].mean
    assert there is not None
    assert back == pytest.approx(-there)
    with refuses(OutputError, match=r"--baseline nonne: .* compares none, strong\. Did you mean none\?"):
        curve_of(folder, "nonne")


def test_runs_measured_on_other_rows_are_refused(tmp_path: Path) -> None:
    import numpy as np

    folder = made_curve(tmp_path, falling, sizes=(100, 200, 400), seeds=2)
    predictions = next((folder / "cells").glob("*seed1*")) / "predictions.npz"
    with np.load(predictions) as archive:
        arrays = dict(archive)
    arrays["test_rows"] = arrays["test_rows"][::-1]
    np.savez_compressed(predictions, **arrays)
    with pytest.raises(OutputError, match=r"were measured on different rows \(test\)"):
        curve_of(folder)


def test_runs_of_other_settings_are_refused(tmp_path: Path) -> None:
    sizes = (100, 200, 400)
    runs = [curve_run("none", size, 0, 0.2) for size in sizes]
    runs[2].recipe["training"]["batch_size"] = 99
    with pytest.raises(OutputError, match=r"differ in training\.batch_size"):
        curve_of(write_curve(tmp_path, runs, ["none"], sizes))


def test_a_report_of_folders_leaves_a_curve_out_and_says_so(tmp_path: Path) -> None:
    made_curve(tmp_path / "curve", falling, sizes=(100, 200, 400), seeds=1)
    group_of(tmp_path / "compare", [PlainRun("none"), PlainRun("strong")])
    collections, skipped = collect([tmp_path])
    assert [collection.kind for collection in collections] == ["compare"]
    assert any("is a learning curve. Its report: finetune report" in text for text in skipped)
    assert kind_of(tmp_path / "curve") == "curve"
    assert kind_of(tmp_path / "compare") == "compare"


def test_manifests_from_before_curves_are_read(tmp_path: Path) -> None:
    group_of(tmp_path, [PlainRun("none"), PlainRun("strong")])
    content = ComparisonFolder(tmp_path).read().model_dump()
    for variant in content["variants"]:
        del variant["preset"], variant["size"]
    assert Manifest.model_validate(content).variants[0].size is None
