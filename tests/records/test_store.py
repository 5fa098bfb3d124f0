"""Records survive kills, refuse what they cannot read, and hold no secrets."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from finetune.errors import OutputError
from finetune.records.comparison import JobEntry, Manifest
from finetune.records.environment import read_code, read_versions
from finetune.records.store import LOCK, RunFolder, lock_folder, read_record
from tests.raising import refuses


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "[" * 10**5, '{"schema_version": 1}', '{"schema_version": 99}', "null"], ids=len
)
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match=r"run\.json"):
        read_record(path)


def test_a_free_folder_is_missing_or_empty(tmp_path: Path) -> None:
    RunFolder(tmp_path / "new").check_free()
    RunFolder(tmp_path).check_free()
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="holds no run"):
        RunFolder(tmp_path).check_free()


def test_folders_that_hold_nothing_are_what_a_full_disk_leaves_before_the_record(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / ".lock").touch()
    RunFolder(tmp_path / "run").check_free()
    (tmp_path / "run" / "checkpoints" / "file").touch()
    with refuses(OutputError, match="not empty and holds no run"):
        RunFolder(tmp_path / "run").check_free()


def test_the_environment_holds_versions_and_no_paths() -> None:
    text = json.dumps([read_versions(), read_code().model_dump()])
    assert "transformers" in text
    assert "/" not in text.replace("https://", "")


# --- locks -----------------------------------------------------------------------------------------------------


def test_a_folder_has_one_user_at_a_time(tmp_path: Path) -> None:
    with lock_folder(tmp_path), refuses(OutputError, f"^--output {tmp_path}: another process is running there"):
        enter(tmp_path)
    enter(tmp_path)


def enter(folder: Path) -> None:
    with lock_folder(folder):
        pass


def test_another_process_is_kept_out_until_the_first_one_dies(tmp_path: Path) -> None:
    program = f"""
        import os, pathlib, sys
        from finetune.records.store import lock_folder
        with lock_folder(pathlib.Path({str(tmp_path)!r})):
            print("locked", flush=True)
            sys.stdin.readline()
            os.kill(os.getpid(), 9)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with refuses(OutputError, "another process is running there"):
        enter(tmp_path)
    process.communicate("die\n")
    assert (tmp_path / LOCK).exists()
    assert RunFolder(tmp_path).is_empty()
    enter(tmp_path)


def test_a_lock_leaves_no_folder_where_nothing_came_of_it(tmp_path: Path) -> None:
    enter(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with lock_folder(tmp_path / "used"):
        (tmp_path / "used" / "run.json").touch()
    assert (tmp_path / "used" / "run.json").exists()
    (tmp_path / "mine").mkdir()
    enter(tmp_path / "mine")
    assert (tmp_path / "mine").is_dir(), "it was there before"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refuses(OutputError, f"^--output {tmp_path}/file/below: cannot be written: "):
        enter(tmp_path / "file" / "below")


def test_refusals_name_the_argument_in_python_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r'^output=".*/file": is a file\. Choose a folder\.$') as caught:
        RunFolder(tmp_path / "file").check_free()
    assert caught.value.problems[0].argument == "output"


def test_a_job_that_is_planned_again_keeps_why_it_went_on_elsewhere() -> None:
    job = JobEntry(kind="refit", variant="none", seed=0, fold=None, key="k", folder="final/refit", inputs=["run"])
    lost = job.model_copy(update={"retries": ["its process stopped answering"], "error": "failed"})
    asked = {"kind": "compare", "command": "", "baseline": "none", "variants": [], "seeds": [0], "cells": []}
    manifest = Manifest(**asked, folds=None, jobs=[lost])
    assert manifest.with_jobs([job]).jobs == [lost.model_copy(update={"error": None})]
