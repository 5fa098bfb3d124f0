"""`finetune runs`: everything below a folder is listed, and only what is named there is deleted."""

import json
from pathlib import Path

import pytest

from finetune.analysis.comparison import report_of
from finetune.records.store import lock_folder
from finetune.reports.files import write_report
from tests.analysis.making import Run, write_comparison, write_run
from tests.cli.invoking import error_lines, invoke, listing


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, a damaged one, a link to a folder outside, and a folder of something else."""
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs/a"), Run("none", wrong=(0, 4, 4)))
    write_run(Path("runs/many/seed-1"), Run("strong", seed=1, wrong=(2, 3, 5)))
    Path("runs/broken").mkdir()
    Path("runs/broken/run.json").write_text("{")
    Path("runs/notes").mkdir()
    Path("runs/notes/mine.txt").write_text("keep me")
    write_run(Path("elsewhere"), Run("none"))
    Path("runs/link").symlink_to(tmp_path / "elsewhere")
    return tmp_path


def test_runs_are_listed_with_their_numbers(here: Path) -> None:
    listed = {entry["path"]: entry for entry in json.loads(invoke("runs", "--json").stdout)}
    assert list(listed) == ["runs/a", "runs/broken", "runs/many/seed-1"]
    assert listed["runs/broken"]["kind"] == "unreadable"
    first = listed["runs/a"]
    assert (first["kind"], first["preset"], first["metric"], first["status"]) == ("run", "none", "accuracy", "finished")
    assert first["score"] == 0.8
    assert first["gap"] == pytest.approx(0.2)
    files = [path for path in Path("runs/a").rglob("*") if path.is_file()]
    assert first["size"] == sum(path.stat().st_size for path in files)
    text = invoke("runs", "--contains", "strong").stdout
    assert "many/seed-1" in text
    assert "75.0 %" in text
    assert "broken" not in text
    assert invoke("runs", "--status", "running").stdout == "runs: no runs or experiments that the options choose\n"


def test_only_what_is_named_is_deleted_and_a_dry_run_deletes_nothing(here: Path) -> None:
    before = listing(here)
    assert "would delete  runs/a" in invoke("runs", "--delete", "a", "--dry-run").stdout
    assert listing(here) == before
    assert Path("runs/a/run.json").is_file()
    assert "--dry-run" in error_lines(invoke("runs", "--delete", "a").stderr)[0]  # nobody to ask
    assert Path("runs/a/run.json").is_file()
    assert "freed" in invoke("runs", "--delete", "a", "--delete", "runs/many/seed-1", "--yes").stdout
    assert not Path("runs/a").exists()
    assert not Path("runs/many/seed-1").exists()
    assert Path("runs/notes/mine.txt").is_file()
    assert Path("elsewhere/run.json").is_file()


@pytest.mark.parametrize("name", ["notes", "link", "../elsewhere", ".", "many", ""])
def test_what_is_no_run_below_the_folder_is_never_deleted(here: Path, name: str) -> None:
    result = invoke("runs", "--delete", name, "--yes")
    assert result.exit_code == 2
    assert "is not a run or experiment" in result.stderr
    assert Path("elsewhere/run.json").is_file()
    assert Path("runs/notes/mine.txt").is_file()
    assert Path("runs/many/seed-1/run.json").is_file()


def test_what_a_process_works_on_stops_all_deleting(here: Path) -> None:
    with lock_folder(Path("runs/many/seed-1")):
        result = invoke("runs", "--delete", "a", "--delete", "many/seed-1", "--yes")
    assert result.exit_code == 2
    assert "another process is running there" in result.stderr
    assert Path("runs/a/run.json").is_file()


def test_a_run_of_an_experiment_that_is_running_is_not_deleted(here: Path) -> None:
    """The run itself may have ended: its experiment still needs it."""
    folder = write_comparison(Path("runs/compared"), [Run("none", seed=0), Run("strong", seed=0)])
    with lock_folder(folder):
        result = invoke("runs", folder / "cells", "--delete", "none-seed0", "--yes")
    assert result.exit_code == 2
    assert "runs/compared: another process is running there" in " ".join(result.stderr.split())
    assert (folder / "cells/none-seed0/run.json").is_file()
    assert invoke("runs", folder / "cells", "--delete", "none-seed0", "--yes").exit_code == 0


def test_an_empty_name_is_not_the_folder_itself(here: Path) -> None:
    """As of a variable of a script that is not set."""
    assert "is not a run or experiment" in invoke("runs", "runs/a", "--delete", "", "--yes").stderr
    assert Path("runs/a/run.json").is_file()


def test_a_lock_inside_an_experiment_stops_the_dry_run_too(here: Path) -> None:
    inside = Path("runs/a/cells/one")
    inside.mkdir(parents=True)
    with lock_folder(inside):
        result = invoke("runs", "--delete", "a", "--dry-run")
    assert result.exit_code == 2
    assert "another process is running there" in result.stderr
    assert "would be freed" in invoke("runs", "--delete", "a", "--dry-run").stdout


def test_a_link_inside_a_run_is_removed_and_not_what_it_leads_to(here: Path) -> None:
    Path("runs/a/model").symlink_to(here / "elsewhere")
    assert invoke("runs", "--delete", "a", "--yes").exit_code == 0
    assert Path("elsewhere/run.json").is_file()


def test_a_folder_of_runs_may_itself_be_a_link(here: Path) -> None:
    Path("disk").symlink_to(here / "runs")
    assert "disk/a" in {entry["path"] for entry in json.loads(invoke("runs", "disk", "--json").stdout)}


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--status", "finished"], ["a", "many/seed-1"]),
        (["--status", "unfinished"], ["broken"]),
        (["--data", "mad*", "--preset", "strong"], ["many/seed-1"]),
        (["--preset", "*", "--kind", "unreadable"], []),
    ],
)
def test_filters(here: Path, options: list[str], left: list[str]) -> None:
    found = json.loads(invoke("runs", *options, "--json").stdout)
    assert [entry["path"].removeprefix("runs/") for entry in found] == left


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--status", "done"], "is not a status. Known: "),
        (["--data", "tweets"], "nothing here has it. Known: made."),
        (["--preset", "stong"], "nothing here has it. Did you mean strong?"),
        (["--kind", "run", "--delete", "a", "--dry-run"], "filters a list"),
        (["--compare", "a", "a"], "names the same one twice"),
        (["--compare", "a", "many/seed"], "Did you mean many/seed-1?"),
        (["--compare", "a", "many/seed-1", "--index"], "cannot be combined"),
        (["--index", "--json"], "--json: applies to lists and comparisons only. Leave it out."),
        (["--delete", "a", "--dry-run", "--json"], "--json: applies to lists and comparisons only"),
    ],
)
def test_what_cannot_act_is_an_error(here: Path, options: list[str], said: str) -> None:
    result = invoke("runs", *options)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert not Path("runs/index.html").exists()


def test_two_runs_side_by_side_have_paired_differences_and_the_settings_that_differ(here: Path) -> None:
    write_run(Path("runs/long"), Run("none", seed=2, wrong=(0, 4, (0, 1)), recipe={"training": {"epochs": 12}}))
    pair = json.loads(invoke("runs", "--compare", "a", "long", "--json").stdout)
    (test,) = (each for each in pair["scores"] if (each["split"], each["metric"]) == ("test", "accuracy"))
    assert (test["first"], test["second"]) == (0.8, 0.9)
    assert test["difference"]["value"] == pytest.approx(0.1)
    assert test["difference"]["low"] == 0.0  # two rows of twenty that the first missed, and no other, differ
    assert 0.2 <= test["difference"]["high"] <= 0.3
    (same,) = (each for each in pair["scores"] if (each["split"], each["metric"]) == ("validation", "accuracy"))
    assert same["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert pair["same_data"] is True
    assert pair["settings"] == {"training.epochs": [3, 12]}


def test_runs_without_predictions_have_numbers_without_an_interval(here: Path) -> None:
    write_run(Path("runs/other"), Run("none", seed=2, wrong=(0, 4, (0, 1))))
    Path("runs/other/predictions.npz").unlink()
    pair = json.loads(invoke("runs", "--compare", "a", "other", "--json").stdout)
    (test,) = (each for each in pair["scores"] if (each["split"], each["metric"]) == ("test", "accuracy"))
    assert (test["first"], test["second"], test["difference"]["low"]) == (0.8, 0.9, None)


def test_an_experiment_beside_a_run_has_means_without_an_interval(here: Path) -> None:
    folder = write_comparison(Path("runs/compared"), [Run("none", seed=0), Run("strong", seed=0, wrong=(2, 3, 5))])
    write_report(report_of([folder]), folder)
    pair = json.loads(invoke("runs", "--compare", "a", "compared", "--json").stdout)
    assert pair["second"]["presets"] == ["none", "strong"]
    assert {each["split"] for each in pair["scores"]} == {"train", "validation", "test", "gap"}
    assert all(each["difference"]["low"] is None for each in pair["scores"])
    assert "means over the seeds of the recommended preset" in " ".join(
        invoke("runs", "--compare", "a", "compared").stdout.split()
    )
    unfinished = invoke("runs", "--compare", "a", "broken")
    assert "They have no number in common" in unfinished.stdout


def test_a_page_links_to_every_report_and_harms_nobody(here: Path) -> None:
    folder = write_comparison(Path("runs/javascript:x <b>"), [Run("none", seed=0), Run("strong", seed=0)])
    write_report(report_of([folder]), folder)
    assert "written to runs/index.html" in invoke("runs", "--index").stdout
    page = Path("runs/index.html").read_text(encoding="utf-8")
    assert '<a href="./javascript%3Ax%20%3Cb%3E/report.html"><bdi>javascript:x &lt;b&gt;</bdi></a>' in page
    assert '<a href="./many/seed-1/"><bdi>many/seed-1</bdi></a>' in page
    assert "<b>" not in page
    assert 'role="columnheader"' not in page
    assert page.count("<tr role=") == 4
    for text in ("accuracy", "80.0 %", "+20.0 points", "unreadable", "finished"):
        assert text in page
    assert invoke("runs", "--index").exit_code == 0  # again: the page is no run, and is replaced


def test_a_page_of_the_users_own_is_not_replaced(here: Path) -> None:
    Path("runs/index.html").write_text("<h1>mine</h1>", encoding="utf-8")
    result = invoke("runs", "--index")
    assert result.exit_code == 2
    assert "runs/index.html: was not written by this program" in result.stderr
    assert Path("runs/index.html").read_text(encoding="utf-8") == "<h1>mine</h1>"


@pytest.mark.parametrize("name", ["report", "curve", "sweep", "tune"])
def test_a_page_links_to_reports_of_every_kind(here: Path, name: str) -> None:
    Path(f"runs/a/{name}.html").write_text("", encoding="utf-8")
    assert invoke("runs", "--index").exit_code == 0
    assert f'href="./a/{name}.html"' in Path("runs/index.html").read_text(encoding="utf-8")


def test_an_unknown_kind_lists_nothing_silently(here: Path) -> None:
    result = invoke("runs", "--kind", "comparison")
    assert result.exit_code == 2
    assert "is not a kind. Did you mean compare?" in result.stderr
    assert "run, compare, ablate, curve, sweep, tune, unreadable" in result.stderr
