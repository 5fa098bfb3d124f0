"""`finetune work`: several processes run one comparison, and each run ends once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import finetune
from finetune.errors import InUseError, OutputError
from finetune.experiments import running
from finetune.listener import Listener
from finetune.records.comparison import ComparisonFolder
from finetune.records.store import RunFolder
from finetune.workflows.work import WorkResult
from tests.cli.invoking import invoke
from tests.raising import refuses

Write = Callable[..., Path]
PLAN = ("comparison.json", "jobs.json", "texts.json")
RUNS = 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison of two presets."""
    from tests.conftest import labelled_texts, save_tiny_model, write_csv

    here = tmp_path_factory.mktemp("work")
    data = write_csv(here / "reviews.csv", ["text", "label"], labelled_texts(64))
    model = save_tiny_model(here / "model")
    recipe = {"model": {"id": str(model)}, "data": {"source": str(data), "max_length": 32}, "training": {"epochs": 1}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.workflows.compare.publish_comparison", _no_report)
        with pytest.raises(InterruptedError):
            finetune.compare(recipe, presets=["none", "light"], seeds=1, output=here / "whole", executor="inline")
    return here / "whole"


def _no_report(*_: Any) -> None:
    raise InterruptedError


@pytest.fixture
def started(whole: Path, tmp_path: Path) -> Path:
    """The same comparison, of which nothing has run."""
    for name in PLAN:
        shutil.copyfile(whole / name, tmp_path / name)
    return tmp_path


def work(folder: Path) -> WorkResult:
    return finetune.work(folder, executor="inline")


def assert_same_runs(folder: Path, whole: Path) -> None:
    entries = ComparisonFolder(whole).read().cells
    assert len(entries) == RUNS
    for entry in entries:
        found, expected = (RunFolder(place / entry.folder).read() for place in (folder, whole))
        assert found is not None
        assert expected is not None
        assert found.model_dump(exclude={"time"}) == expected.model_dump(exclude={"time"})


def test_one_process_runs_all_that_is_left_and_a_second_one_finds_nothing(started: Path, whole: Path) -> None:
    manifest = (started / "comparison.json").read_bytes()
    assert (work(started).here, work(started).finished) == (RUNS, RUNS)
    assert work(started).here == 0
    assert_same_runs(started, whole)
    assert (started / "comparison.json").read_bytes() == manifest, "it belongs to the comparison's own command"


def test_what_another_process_is_at_is_waited_for_and_taken_over_if_that_dies(
    started: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, dies = (entry.folder for entry in ComparisonFolder(whole).read().cells)
    with ExitStack() as elsewhere:
        for folder in (ends, dies):
            elsewhere.enter_context(RunFolder(started / folder).locked())

        def wait(_: float) -> None:
            shutil.copytree(whole / ends, started / ends, dirs_exist_ok=True)
            elsewhere.close()

        monkeypatch.setattr(running.time, "sleep", wait)
        result = work(started)
    assert (result.here, result.finished, result.failures) == (1, RUNS, [])
    assert_same_runs(started, whole)


def test_what_failed_in_another_process_is_told_and_makes_the_exit_code_1(
    started: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (entry.folder for entry in ComparisonFolder(whole).read().cells)
    shutil.copytree(whole / second, started / second)
    with ExitStack() as elsewhere:
        elsewhere.enter_context(RunFolder(started / first).locked())

        def wait(_: float) -> None:
            record = RunFolder(whole / first).read()
            assert record is not None
            RunFolder(started / first).write(record.model_copy(update={"status": "failed", "error": "planted"}))
            elsewhere.close()

        monkeypatch.setattr(running.time, "sleep", wait)
        result = invoke("work", started, "--executor", "inline", "--quiet")
    assert result.exit_code == 1
    assert "1 of 2 runs have finished, 0 of them here" in result.stdout
    assert "planted" in result.stderr


def test_a_cell_that_another_process_is_at_is_refused(started: Path, whole: Path) -> None:
    entry = ComparisonFolder(whole).read().cells[0]
    with RunFolder(started / entry.folder).locked(), pytest.raises(InUseError, match="another process is running it"):
        finetune.cell(started, entry.key)


def test_a_folder_without_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"jobs\.json: no such file"):
        work(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"jobs": []}, "lists no run"),
        ({"jobs": [1]}, r"cannot be read: jobs\.0: input should be a valid dictionary"),
        ({"jobs": [{}]}, r"cannot be read: jobs\.0\.variant: field required"),
        ({"keep": "most"}, "cannot be read: keep: input should be 'all', 'best' or 'none'"),
        ({"seed": "x"}, r"cannot be read: jobs\.0\.seed: input should be a valid integer"),
        ({"recipe": None}, r"cannot be read: jobs\.0\.recipe: input should be a valid dictionary"),
        ({"recipe": {}}, r"cannot be read: jobs\.0\.recipe: dictionary should have at least 1 item"),
        ({"inputs": ["b"]}, "cannot be read: no job has the key b"),
        ({"key": "same"}, "cannot be read: two jobs have the same key"),
        ({"folder": "../elsewhere"}, r"'\.\./elsewhere' is not a folder inside that of the experiment"),
        ({"folder": "cells/../../elsewhere"}, "is not a folder inside"),
        ({"folder": "/tmp/elsewhere"}, "is not a folder inside"),
        ({"folder": "C:\\elsewhere"}, "is not a folder inside"),
        ({"folder": "."}, "is not a folder inside"),
        (
            {"recipe": {"training": {"epochs": -1}}},
            r"recipe of the job cells/none-\S+ is not valid: .* again: it rewrites",
        ),
        ({"kind": "made-up"}, "a job of kind 'made-up' is unknown"),
        ([], "cannot be read: it holds no JSON object"),
    ],
)
def test_jobs_of_others_that_do_not_fit_are_refused_before_anything_runs(
    started: Path, change: dict[str, Any] | list[Any], told: str
) -> None:
    content = json.loads((started / "jobs.json").read_text(encoding="utf-8"))
    del content["checksum"]
    if isinstance(change, dict):
        content.update({key: value for key, value in change.items() if key in content})
        for job in content["jobs"] if change.keys().isdisjoint(content) else ():
            job.update(change)
    (started / "jobs.json").write_text(json.dumps(content if isinstance(change, dict) else change), encoding="utf-8")
    before = sorted(started.parent.rglob("*"))
    with refuses(OutputError, rf"jobs\.json: .*{told}"):
        work(started)
    assert sorted(started.parent.rglob("*")) == before


def test_a_missing_manifest_is_said(started: Path) -> None:
    (started / "comparison.json").unlink()
    with refuses(OutputError, r"comparison\.json: no such file\. .* Type the experiment's command again"):
        work(started)


def test_a_manifest_names_no_folder_outside(started: Path) -> None:
    """The models of its runs are removed, and records read, where it says."""
    path = started / "comparison.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["checksum"]
    content["cells"][1]["folder"] = "../elsewhere"
    path.write_text(json.dumps(content), encoding="utf-8")
    with refuses(OutputError, r"not a readable manifest: cells\.1\.folder: '\.\./elsewhere' is not a folder inside"):
        ComparisonFolder(started).read()


class MovesFolder(Listener):
    """Renames the folder of an experiment as soon as one of its runs has finished."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def job_changed(self, progress: Any, job: Any, measure: Any) -> None:
        if job.status == "finished" and self._folder.exists():
            self._folder.rename(self._folder.with_name("moved"))


@pytest.mark.parametrize("command", ["work", "compare"])
def test_a_folder_that_is_renamed_meanwhile_is_said_and_not_made_again(
    command: str, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("cells"))
    with refuses(OutputError, "folder was deleted or renamed while its runs were in progress"):
        if command == "work":
            finetune.work(folder, executor="inline", listener=MovesFolder(folder))
        else:
            recipe = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))["jobs"][0]["recipe"]
            asked: dict[str, Any] = {"presets": ["none", "light"], "seeds": 1, "output": folder, "executor": "inline"}
            finetune.compare(recipe, **asked, listener=MovesFolder(folder))
    assert not folder.exists()
    records = [RunFolder(path).read() for path in (tmp_path / "moved" / "cells").iterdir()]
    assert [record.status for record in records if record is not None] == ["finished"]
