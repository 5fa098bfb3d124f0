"""Which records may stand in one table: what is refused, what is named and skipped, what is kept apart."""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.analysis.collect import collect
from finetune.analysis.comparison import report_of
from finetune.errors import OutputError
from finetune.records.comparison import ComparisonFolder
from tests.analysis.making import Run, cell_folder, variant_of, write_comparison, write_run
from tests.raising import refusal

RUNS = [Run(name, seed, wrong=(0, 4 + seed, 5 - seed)) for name in ("none", "strong") for seed in range(3)]
BROKEN = RUNS[4]  # strong, seed 1


def comparison(folder: Path) -> Path:
    return write_comparison(folder / "compared", RUNS)


def loose(folder: Path, *runs: Run) -> list[Path]:
    return [write_run(folder / f"run-{number}", run) for number, run in enumerate(runs)]


def refused(paths: list[Path], baseline: str | None = None) -> str:
    return refusal(OutputError, collect, paths, baseline)


# --- damaged files ---------------------------------------------------------------------------------------------


def rewrite(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def assert_only_the_broken_cell_is_left_out(folder: Path, file: str) -> None:
    report = report_of([folder])
    assert len(report.skipped) == 1
    assert f"{cell_folder(BROKEN)}/{file}" in report.skipped[0]
    none, strong = (variant_of(report.groups[0], name) for name in ("none", "strong"))
    assert len(none.test["accuracy"].values) == 3
    assert len(strong.test["accuracy"].values) == 2
    assert strong.runs[1].status == "failed"
    assert strong.runs[1].error == "its record is damaged"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(b'{"schema_version": 1}', id="bare"),
    ],
)
def test_a_record_that_cannot_be_read_is_named_and_the_others_are_kept(tmp_path: Path, content: bytes) -> None:
    folder = comparison(tmp_path)
    (folder / cell_folder(BROKEN) / "run.json").write_bytes(content)
    assert_only_the_broken_cell_is_left_out(folder, "run.json")


def test_a_half_written_record_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    halve(folder / cell_folder(BROKEN) / "run.json")
    assert_only_the_broken_cell_is_left_out(folder, "run.json")


def predictions(folder: Path) -> Path:
    return folder / cell_folder(BROKEN) / "predictions.npz"


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"\x93NUMPY"], ids=["empty", "text", "half an array"])
def test_predictions_that_are_no_archive_are_named_and_skipped(tmp_path: Path, content: bytes) -> None:
    folder = comparison(tmp_path)
    predictions(folder).write_bytes(content)
    assert_only_the_broken_cell_is_left_out(folder, "predictions.npz")


def test_missing_predictions_are_named_and_skipped(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    predictions(folder).unlink()
    assert_only_the_broken_cell_is_left_out(folder, "predictions.npz")


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    np.savez(predictions(folder), selected_test_logits=np.array([{"a": 1}, None], dtype=object))
    assert_only_the_broken_cell_is_left_out(folder, "predictions.npz")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numpy leaves the file to gc
def test_a_truncated_archive_is_named_and_skipped(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    halve(predictions(folder))
    assert_only_the_broken_cell_is_left_out(folder, "predictions.npz")


def test_an_archive_with_flipped_bytes_is_named_and_skipped(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    content = bytearray(predictions(folder).read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = max(archive.infolist(), key=lambda info: info.compress_size)
    start = entry.header_offset + 30 + len(entry.filename) + 20
    for position in range(start + 5, start + entry.compress_size - 5):
        content[position] ^= 0xFF
    predictions(folder).write_bytes(content)
    assert_only_the_broken_cell_is_left_out(folder, "predictions.npz")


def test_an_archive_that_lacks_an_array_is_named_and_skipped(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    with np.load(predictions(folder)) as file:
        arrays = dict(file)
    del arrays["test_targets"]
    np.savez(predictions(folder), **arrays)
    assert_only_the_broken_cell_is_left_out(folder, "predictions.npz")


def test_damaged_texts_are_named_and_not_shown(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    ComparisonFolder(folder).texts.write_text("{", encoding="utf-8")
    collections, skipped = collect([folder])
    assert collections[0].texts == {}
    assert "texts are not shown" in skipped[0]


def test_damaged_loose_runs_are_skipped_and_named(tmp_path: Path) -> None:
    paths = loose(tmp_path, *RUNS)
    (paths[1] / "run.json").write_text("{", encoding="utf-8")
    collections, skipped = collect(paths)
    assert len(collections[0].runs) == 5
    assert "run-1/run.json" in skipped[0]


def test_when_no_record_can_be_read_all_are_named(tmp_path: Path) -> None:
    paths = loose(tmp_path, *RUNS[:2])
    for path in paths:
        (path / "run.json").write_text("{", encoding="utf-8")
    told = refused(paths)
    assert "not a readable run record" in told
    assert all(path.name in told for path in paths)


# --- manifests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_manifest_of_another_version_is_refused(tmp_path: Path, version: object) -> None:
    folder = comparison(tmp_path)
    rewrite(ComparisonFolder(folder).manifest_path, manifest_version=version)
    told = refused([folder])
    assert f"manifest version {version}" in told
    assert "this program reads 1" in told


@pytest.mark.parametrize("content", ["", "{", "[]", '{"manifest_version": 1}', "null"])
def test_a_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    folder = comparison(tmp_path)
    ComparisonFolder(folder).manifest_path.write_text(content, encoding="utf-8")
    assert "comparison.json" in refused([folder])


# --- what does not belong together -----------------------------------------------------------------------------


def test_records_of_other_data_are_refused(tmp_path: Path) -> None:
    paths = loose(tmp_path, Run("none"), Run("strong", fingerprint="other"))
    told = refused(paths)
    assert "run-0" in told
    assert "run-1" in told
    assert "the fingerprint of its rows: data and other" in told


def test_records_of_other_settings_are_refused_naming_them(tmp_path: Path) -> None:
    paths = loose(tmp_path, Run("none"), Run("strong", recipe={"training": {"epochs": 9}}))
    assert "training.epochs: 3 and 9" in refused(paths)


def test_a_comparison_whose_preset_has_other_techniques_in_one_run_is_refused_naming_them(tmp_path: Path) -> None:
    mine = [Run("mine", seed, techniques={"l2": {"strength": 0.1 * (1 + seed)}}) for seed in range(2)]
    folder = write_comparison(tmp_path, [Run("none", seed) for seed in range(2)] + mine)
    assert "techniques.l2.strength: 0.1 and 0.2" in refused([folder])


def test_a_technique_that_one_of_two_runs_lacks_makes_two_variants(tmp_path: Path) -> None:
    mine = [Run("mine", 0, techniques={"l2": {"strength": 0.1}}), Run("mine", 1)]
    found = collect(loose(tmp_path, Run("none"), *mine))[0][0]
    assert [entry.name for entry in found.variants] == ["none", "mine l2.strength=0.1", "mine"]


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    told = refused(loose(tmp_path, Run("none"), Run("strong", 3), Run("strong", 3)))
    assert "two runs of strong with seed 3" in told
    assert "Leave one of them out" in told


def test_the_same_folder_twice_is_the_same_run(tmp_path: Path) -> None:
    paths = loose(tmp_path, *RUNS)
    assert len(collect([*paths, paths[0], tmp_path / "run-1" / ".." / "run-1"])[0][0].runs) == 6


def test_a_comparison_that_is_named_beside_its_folder_is_reported_once(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    assert [collection.name for collection in collect([tmp_path, folder, folder / ".." / folder.name])[0]] == ["made"]


def test_records_of_different_schema_versions_are_refused(tmp_path: Path) -> None:
    paths = loose(tmp_path, *RUNS)
    rewrite(paths[2] / "run.json", schema_version=2)
    told = refused(paths)
    assert "run-2" in told
    assert "schema version 2; this program reads version 1" in told


@pytest.mark.parametrize("key", ["validation", "test", "unlabelled"])
def test_rows_that_were_moved_are_the_same_rows(tmp_path: Path, key: str) -> None:
    here, elsewhere = ({"data": {key: f"{folder}/rows.csv"}} for folder in ("here", "elsewhere"))
    assert len(collect(loose(tmp_path, Run("none", recipe=here), Run("strong", recipe=elsewhere)))[0][0].runs) == 2


def test_folds_and_seeds_and_names_may_differ(tmp_path: Path) -> None:
    runs = [
        Run(name, seed, fold, fingerprint=f"f{fold}") for name in ("none", "l") for seed in (0, 1) for fold in (0, 1)
    ]
    assert len(collect(loose(tmp_path, *runs))[0][0].runs) == 8


def test_folds_and_a_single_split_are_refused_together(tmp_path: Path) -> None:
    assert "data.folds: None and 3" in refused(loose(tmp_path, Run("none"), Run("strong", fold=0)))


# --- baselines -------------------------------------------------------------------------------------------------


def test_runs_without_a_baseline_are_refused_with_what_to_type(tmp_path: Path) -> None:
    told = refused(loose(tmp_path, Run("light"), Run("strong")))
    assert "no run of preset none is among light, strong" in told
    assert told.endswith("Try: --baseline light")


def test_an_unknown_baseline_of_a_comparison_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    told = refused([comparison(tmp_path)], "strng")
    assert "Did you mean strong?" in told


def test_another_baseline_turns_the_differences_round(tmp_path: Path) -> None:
    folder = comparison(tmp_path)
    there, back = report_of([folder]).groups[0], report_of([folder], "strong").groups[0]
    assert back.baseline == "strong"
    assert back.variants[0].name == "strong"
    forth = variant_of(there, "strong").differences["test"]["accuracy"].values
    assert variant_of(back, "none").differences["test"]["accuracy"].values == pytest.approx([-value for value in forth])


def test_a_single_preset_is_its_own_baseline(tmp_path: Path) -> None:
    collections, _ = collect(loose(tmp_path, Run("light", 0), Run("light", 1)))
    assert collections[0].baseline == "light"
    assert [variant.baseline for variant in collections[0].variants] == [None]


# --- groups ----------------------------------------------------------------------------------------------------


def test_two_recipes_are_two_groups_and_never_averaged(tmp_path: Path) -> None:
    runs = [*RUNS, *(Run(run.variant, run.seed, wrong=(0, 9, 9), name="other") for run in RUNS)]
    report = report_of(loose(tmp_path, *runs))
    assert [group.name for group in report.groups] == ["made", "other"]
    made, other = (variant_of(group, "none").test["accuracy"] for group in report.groups)
    assert made.values == pytest.approx([0.75, 0.80, 0.85])
    assert other.values == pytest.approx([0.55, 0.55, 0.55])


def test_groups_of_one_name_are_told_apart_by_their_data(tmp_path: Path) -> None:
    elsewhere = [Run(run.variant, run.seed, recipe={"data": {"source": "b/e.csv"}}) for run in RUNS]
    assert [group.name for group in report_of(loose(tmp_path, *RUNS, *elsewhere)).groups] == [
        "made 1: d.csv",
        "made 2: e.csv",
    ]


def test_a_comparison_and_loose_runs_stay_apart(tmp_path: Path) -> None:
    folder, paths = comparison(tmp_path), loose(tmp_path / "loose", *RUNS[:2], *RUNS[3:5])
    assert [collection.kind for collection in collect([folder, *paths])[0]] == ["compare", "runs"]


def test_two_comparisons_without_a_record_are_refused_in_words(tmp_path: Path) -> None:
    folders = [write_comparison(tmp_path / name, RUNS) for name in ("a", "b")]
    for folder in folders:
        shutil.rmtree(folder / "cells")
    with pytest.raises(OutputError, match="no run has finished"):
        report_of(folders)


# --- places ----------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in refused([tmp_path / "missing"])


def test_a_folder_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    assert "holds no run.json and no comparison.json" in refused([tmp_path])


def test_a_folder_of_comparisons_is_not_said_to_hold_none(tmp_path: Path) -> None:
    comparison(tmp_path)
    collections, _ = collect([tmp_path])
    assert len(collections) == 1


def test_runs_below_a_folder_are_found(tmp_path: Path) -> None:
    loose(tmp_path, *RUNS)
    assert len(collect([tmp_path])[0][0].runs) == 6


def test_unfinished_loose_runs_keep_their_state(tmp_path: Path) -> None:
    runs = [*RUNS, Run("strong", 7, status="interrupted"), Run("strong", 8, status="failed", error="boom")]
    strong = variant_of(report_of(loose(tmp_path, *runs)).groups[0], "strong")
    assert [run.status for run in strong.runs] == ["finished"] * 3 + ["interrupted", "failed"]
    assert strong.failed == 2


def test_runs_of_a_preset_with_settings_of_their_own_stand_side_by_side_by_what_differs(tmp_path: Path) -> None:
    for number, (preset, techniques) in enumerate(
        [
            ("none", {}),
            ("none", {"l1": {"strength": 0.5, "target": "head"}}),
            ("strong", {"dropout": {"hidden": 0.2, "attention": 0.1}}),
            ("strong", {"dropout": {"hidden": 0.3, "attention": 0.1}}),
        ]
    ):
        for seed in (0, 1):
            write_run(tmp_path / f"{number}-{seed}", Run(preset, seed, techniques=techniques))
    collection = collect([tmp_path])[0][0]
    assert [entry.name for entry in collection.variants] == [
        "none",
        "none l1.strength=0.5, l1.target=head",
        "strong dropout.hidden=0.2",
        "strong dropout.hidden=0.3",
    ]
    assert collection.baseline == "none"
