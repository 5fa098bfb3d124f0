"""`finetune curve` as users type it: what is run in which order, kept, continued, written and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune.records.schema import RunRecord
from finetune.records.store import read_record
from tests.analysis.curves import falling, made_curve
from tests.cli.invoking import error_lines, invoke
from tests.cli.test_compare import write_recipe
from tests.experiments.inline import RecordingExecutor

pytestmark = pytest.mark.usefixtures("workers", "without_plots")

SIZES = "8,16,48"
STOPS_AFTER = 4  # cells


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("curve")
    write_recipe(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    """For speed: 8 rows are one step an epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.experiments.sizes.MIN_STEPS", 10)
        yield


@pytest.fixture(scope="module")
def made(place: Path, workers: type[RecordingExecutor]) -> dict[str, Any]:
    """A curve that was stopped after some cells, and then continued by the same command."""
    workers.stops_after = STOPS_AFTER
    stopped = invoke(*command("made"))
    assert stopped.exit_code == 130
    assert "To continue, type the same command again" in stopped.stderr
    first, workers.folders, workers.stops_after = workers.folders, [], None
    done = invoke(*command("made", "--resume", "--json"))
    assert done.exit_code == 0, done.stderr
    return {"first": first, "then": workers.folders, "done": done}


def command(output: str, *more: object) -> tuple[object, ...]:
    return ("curve", "small.yaml", "--sizes", SIZES, "--presets", "none,light", "--seeds", "2", "-o", output, *more)


def records(folder: Path) -> list[RunRecord]:
    return [read_record(path) for path in sorted(folder.glob("cells/*/run.json"))]


def test_cells_run_seed_by_seed_and_a_stopped_curve_goes_on_where_it_was(made: dict[str, Any]) -> None:
    order = [folder.rsplit("-", 1)[0] for folder in [*made["first"], *made["then"]]]
    # Of a seed the longest first; 8 and 16 rows take the same number of steps.
    cells = [f"{preset}-{size}-rows" for size in (48, 8, 16) for preset in ("none", "light")]
    assert order == [f"{cell}-seed{seed}" for seed in (0, 1) for cell in cells]
    assert len(made["first"]) == STOPS_AFTER


def test_presets_of_a_seed_and_size_train_on_the_same_rows_and_sizes_are_nested(place: Path, made: Any) -> None:
    found = records(place / "made")
    assert {record.data.rows["train"] for record in found} == {8, 16, 48}
    assert {record.data.rows["test"] for record in found} == {16}
    assert all(record.recipe["data"]["subset_seed"] == record.seed for record in found)
    drawn = {(record.seed, record.data.rows["train"]): set() for record in found}
    for record in found:
        drawn[record.seed, record.data.rows["train"]].add(record.data.fingerprint)
    assert all(len(fingerprints) == 1 for fingerprints in drawn.values())
    assert drawn[0, 8] != drawn[1, 8]


def test_small_sizes_are_trained_longer_and_it_is_said(place: Path, made: Any) -> None:
    epochs = {record.data.rows["train"]: record.recipe["training"]["epochs"] for record in records(place / "made")}
    assert epochs == {8: 10, 16: 5, 48: 5}
    assert "note: 8 training rows: 10 epochs instead of 5, 10 optimizer steps instead of 5" in made["done"].stderr
    assert json.loads((place / "made" / "curve.json").read_text())["longer"][0].startswith("8 rows: 10 epochs")


def test_the_curve_is_written_in_three_forms_and_on_stdout(place: Path, made: dict[str, Any]) -> None:
    assert json.loads(made["done"].stdout) == json.loads((place / "made" / "curve.json").read_text())
    page = (place / "made" / "curve.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "![" in (place / "made" / "curve.md").read_text()
    assert (place / "made" / "figures" / "learning.png").stat().st_size > 1000
    assert not list((place / "made").glob("cells/*/model"))  # a curve is no model


def test_the_same_command_again_runs_nothing_and_another_size_only_its_own_cells(
    place: Path, made: Any, workers: type[RecordingExecutor]
) -> None:
    shutil.copytree(place / "made", place / "again")
    workers.folders = []
    again = invoke("curve", "small.yaml", "--sizes", "16,48", "--presets", "none", "--seeds", "1,", "-o", "again")
    assert again.exit_code == 0, again.stderr
    assert workers.folders == []
    assert "10 runs of an earlier command" in again.stderr
    assert "No power law was fitted" in again.stdout
    more = invoke("curve", "small.yaml", "--sizes", "16,32,48", "--presets", "none", "--seeds", "1,", "-o", "again")
    assert more.exit_code == 0, more.stderr
    assert [folder.rsplit("-", 1)[0] for folder in workers.folders] == ["none-32-rows-seed1"]


def test_a_dry_run_trains_nothing(made: Any, workers: type[RecordingExecutor]) -> None:
    workers.folders = []
    result = invoke(*command("made", "--dry-run", "--json"))
    described = json.loads(result.stdout)
    assert described["to_run"] == 0
    assert len(described["cells"]) == 12
    assert workers.folders == []


def test_a_report_of_a_curve_draws_the_curve(tmp_path: Path) -> None:
    folder = made_curve(tmp_path / "curve", falling, ("none", "strong"), (100, 200, 400), seeds=2)
    result = invoke("report", folder, "--baseline", "strong")
    assert result.exit_code == 0, result.stderr
    assert "− strong" in result.stdout
    assert json.loads((folder / "curve.json").read_text())["baseline"] == "strong"
    assert not (folder / "report.html").exists()
    gated = invoke("report", folder, "--fail-on", "failed > 0")
    assert gated.exit_code == 2
    assert "holds a curve, which has no quality gates" in gated.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sizes", "8,100"), "error: --sizes 8,100: there are 48 training rows. Try: --sizes 8,48"),
        (("--sizes", "2,40"), "error: --sizes 2,40: a size is at least 4 rows, two for each of 2 classes."),
        (
            ("--sizes", "40,8"),
            "error: --sizes 40,8: expected ascending numbers of training rows, each once. Try: --sizes 8,40",
        ),
        (("--sizes", "many"), "error: --sizes many: expected numbers of training rows, such as 100,300,1000."),
        (
            ("--presets", "none", "--set", "data.subset=20"),
            "error: data.subset: 20 rows, but the sizes of a curve are an argument of their own. Try: --sizes",
        ),
        (("--set", "data.folds=3"), "error: data.folds: a curve has no folds"),
        (("--set", "techniques.ema.horizon=0.2"), "error: techniques.ema.horizon: would change every preset"),
        (("--presets", ","), "error: --presets '': names none. Try: --presets none,strong"),
        (("--presets", "none,none"), "error: --presets none,none: two are called 'none'"),
        (("--seeds", "x"), "error: --seeds x: expected how many"),
    ],
)
def test_what_cannot_be_a_curve_is_refused_before_anything_is_written(
    place: Path, options: tuple[str, ...], message: str
) -> None:
    result = invoke("curve", "small.yaml", "-o", "refused", *options)
    assert result.exit_code == 2
    assert error_lines(result.stderr)[0].startswith(message)
    assert not (place / "refused").exists()


def test_a_curve_and_a_comparison_do_not_share_a_folder(place: Path, made: Any) -> None:
    result = invoke("compare", "small.yaml", "--presets", "none,light", "--seeds", "1", "-o", "made")
    assert result.exit_code == 2
    assert "--output made: holds a curve, and this is a comparison. Choose another folder." in result.stderr
