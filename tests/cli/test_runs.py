"""`finetune runs`: everything below a folder is listed, and only what is named there is deleted."""

import json
from pathlib import Path

import pytest

from finetune.records.store import lock_folder
from tests.analysis.making import Run, write_run
from tests.cli.invoking import error_lines, invoke


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


def test_only_what_is_named_is_deleted_and_a_dry_run_deletes_nothing(here: Path) -> None:
    assert "would delete  runs/a" in invoke("runs", "--delete", "a", "--dry-run").stdout
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
    assert "is no run and no experiment" in result.stderr
    assert Path("elsewhere/run.json").is_file()
    assert Path("runs/notes/mine.txt").is_file()
    assert Path("runs/many/seed-1/run.json").is_file()


def test_what_a_process_works_on_stops_all_deleting(here: Path) -> None:
    with lock_folder(Path("runs/many/seed-1")):
        result = invoke("runs", "--delete", "a", "--delete", "many/seed-1", "--yes")
    assert result.exit_code == 2
    assert "another process is running there" in result.stderr
    assert Path("runs/a/run.json").is_file()


def test_an_unknown_kind_lists_nothing_silently(here: Path) -> None:
    result = invoke("runs", "--kind", "comparison")
    assert result.exit_code == 2
    assert "is no kind. Did you mean compare?" in result.stderr
    assert "run, compare, ablate, curve, sweep, unreadable" in result.stderr
