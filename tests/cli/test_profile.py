"""`finetune run --profile` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.training import phases
from tests.cli.invoking import error_lines, invoke, program

Write = Callable[..., Path]


def test_the_program_shows_where_the_time_went_and_names_the_files(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(training={"batch_size": 4})
    done = program("run", recipe, "-o", "run", "--profile", "--quiet", cwd=tmp_path)
    assert (done.returncode, error_lines(done.stderr)) == (0, []), done.stderr
    shown = done.stdout
    for expected in (
        "Where the time went",
        "start-up: Python",
        "Inside one training step",
        "Inside one evaluation batch",
    ):
        assert expected in shown
    assert "are padding" in shown
    assert "Advice  " in shown
    assert "run/profile/profile.json" in shown
    assert sorted(path.name for path in (tmp_path / "run" / "profile").iterdir()) == [
        "profile.json",
        "trace-evaluation.json.gz",
        "trace-training.json.gz",
    ]


def test_without_it_no_profile_is_written_and_none_shown(write_recipe: Write, tmp_path: Path) -> None:
    result = invoke("run", write_recipe(), "-o", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "Where the time went" not in result.stdout
    assert not (tmp_path / "run" / "profile").exists()


def test_json_holds_the_profile_of_the_first_seed_alone(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "process_age", lambda: 1000.0)
    seeds = ["--seed", 3, "--seed", 1]
    result = invoke("run", write_recipe(), *seeds, "-o", tmp_path / "run", "--profile", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "warning: --profile measures only the first of 2 seeds (3)" in result.stderr
    first, second = json.loads(result.stdout)
    assert first["profile"]["seed"] == first["seed"] == 3
    assert "profile" not in second
    assert "profiling" in first["time"]["phases"]
    assert first["time"]["phases"]["start"] >= 1000  # what the process did before is known
    assert not {"start", "data", "checks", "profiling"} & set(second["time"]["phases"])
    assert [path.parent.name for path in (tmp_path / "run").glob("*/profile")] == ["seed-3"]


def test_a_dry_run_has_nothing_to_profile(write_recipe: Write) -> None:
    result = invoke("run", write_recipe(), "--profile", "--dry-run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert error_lines(result.stderr) == [
        "error: --profile: a dry run trains nothing that could be profiled. Leave out one of the two."
    ]


def test_a_finished_run_has_nothing_left_to_profile(write_recipe: Write, tmp_path: Path) -> None:
    typed = ["run", write_recipe(), "-o", tmp_path / "run", "--quiet"]
    assert invoke(*typed).exit_code == 0
    result = invoke(*typed, "--resume", "--profile")
    assert result.exit_code == 0, result.stderr
    assert f"warning: --profile: nothing of {tmp_path / 'run'} was left to train" in result.stderr
    assert "Where the time went" not in result.stdout
    assert not (tmp_path / "run" / "profile").exists()
