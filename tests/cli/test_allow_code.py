"""Code that a recipe names runs only after its user has allowed it, once for each content."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import finetune
from finetune import own_code
from finetune.errors import RecipeError, RunFailed
from finetune.measurement.modules import Meter
from finetune.records.store import RunFolder
from tests.cli.invoking import error_lines, invoke, program
from tests.running import train

Write = Callable[..., Path]

HITS = """
import pathlib

import datasets
import evaluate

pathlib.Path("was-run").touch()


class Hits(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {"hits": float(len(predictions))}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a user who has allowed nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(own_code, "_ALLOWED", set())
    return tmp_path


@pytest.fixture
def metric(here: Path) -> Path:
    path = here / "hits.py"
    path.write_text(HITS, encoding="utf-8")
    return path


@pytest.fixture
def recipe(write_recipe: Write, metric: Path) -> Path:
    return write_recipe(training={"metrics": [metric.name], "epochs": 1})


@pytest.fixture
def another_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What a process has allowed ends with it."""
    return lambda: monkeypatch.setattr(own_code, "_ALLOWED", set())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("run", "--dry-run"),
        ("run", "--launch", 2),
        ("compare", "--presets", "none,light", "--dry-run"),
        ("ablate", "--preset", "light", "--dry-run"),
        ("curve", "--dry-run"),
        ("sweep", "--vary", "training.epochs=1,2", "--dry-run"),
        ("tune", "--dry-run"),
    ],
    ids=lambda command: " ".join(map(str, command)),
)
def test_code_of_a_recipe_is_refused_before_it_runs(
    recipe: Path, metric: Path, here: Path, command: tuple[object, ...]
) -> None:
    first, *options = command
    refused = invoke(first, recipe, *options)
    assert refused.exit_code == 2
    (line,) = error_lines(refused.stderr)
    for part in ("training.metrics", "hits.py", sha256(metric)[:12], "measure scores", "Try: --allow-code"):
        assert part in line
    assert not (here / "was-run").exists()
    assert not (here / "runs").exists()
    assert not (here / "state").exists()


def test_the_command_to_type_is_said_whole(recipe: Path, here: Path) -> None:
    refused = program("run", recipe.name, "--dry-run", cwd=here)
    assert "$ finetune run tiny.yaml --dry-run --allow-code\n" in refused.stderr


def test_it_is_asked_once_for_each_content(
    recipe: Path, metric: Path, here: Path, another_command: Callable[[], None]
) -> None:
    allowed = invoke("run", recipe, "--dry-run", "--allow-code")
    assert allowed.exit_code == 0, allowed.stderr
    assert f"training.metrics: runs the code of hits.py (sha256 {sha256(metric)[:12]})" in allowed.stderr
    assert "not remembered" not in allowed.stderr
    another_command()
    again = invoke("run", recipe, "--dry-run")
    assert again.exit_code == 0, again.stderr
    assert "training.metrics: runs the code of hits.py" in again.stderr
    metric.write_text(HITS + "\n", encoding="utf-8")
    another_command()
    assert invoke("run", recipe, "--dry-run").exit_code == 2


def test_what_is_remembered_is_private(recipe: Path, metric: Path, here: Path) -> None:
    invoke("run", recipe, "--dry-run", "--allow-code")
    (file,) = (here / "state" / "finetune" / "allowed-code").iterdir()
    assert file.name == sha256(metric)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text(encoding="utf-8") == f"{metric}\n"


@pytest.mark.parametrize("opened", ["folder", "file"])
def test_what_others_could_have_put_there_does_not_count(
    recipe: Path, here: Path, another_command: Callable[[], None], opened: str
) -> None:
    invoke("run", recipe, "--dry-run", "--allow-code")
    folder = here / "state" / "finetune" / "allowed-code"
    (folder if opened == "folder" else next(folder.iterdir())).chmod(0o777)
    another_command()
    assert invoke("run", recipe, "--dry-run").exit_code == 2


def test_where_nothing_can_be_remembered_it_holds_for_the_command(
    recipe: Path, here: Path, monkeypatch: pytest.MonkeyPatch, another_command: Callable[[], None]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    allowed = invoke("run", recipe, "--dry-run", "--allow-code")
    assert allowed.exit_code == 0, allowed.stderr
    assert "this is not remembered, as /dev/null/finetune/allowed-code cannot be used" in " ".join(
        allowed.stderr.split()
    )
    another_command()
    assert invoke("run", recipe, "--dry-run").exit_code == 2


def test_a_job_of_ci_can_name_the_content(recipe: Path, metric: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(own_code.VARIABLE, sha256(metric))
    assert invoke("run", recipe, "--dry-run").exit_code == 0
    metric.write_text(HITS + "\n", encoding="utf-8")
    assert invoke("run", recipe, "--dry-run").exit_code == 2


@pytest.mark.parametrize("typed", [("--metric", "hits.py"), ("--set", "training.metrics=[hits.py]")], ids=" ".join)
def test_what_the_user_types_is_not_asked_for(write_recipe: Write, metric: Path, typed: tuple[str, str]) -> None:
    done = invoke("run", write_recipe(), "--dry-run", *typed)
    assert done.exit_code == 0, done.stderr
    assert "runs the code of hits.py" in done.stderr


def test_typing_one_module_allows_no_other(recipe: Path, here: Path) -> None:
    (here / "mine.py").write_text(HITS.replace('"hits"', '"mine"'), encoding="utf-8")
    (line,) = error_lines(invoke("run", recipe, "--dry-run", "--metric", "mine.py").stderr)
    assert "hits.py" in line
    assert "mine.py" not in line


def test_a_setting_that_takes_the_code_out_needs_no_consent(recipe: Path) -> None:
    assert invoke("run", recipe, "--dry-run", "--set", "training.metrics=[]").exit_code == 0


def test_checking_and_validating_run_no_code(recipe: Path, here: Path) -> None:
    assert "names code: hits.py" in invoke("validate", recipe).stdout
    assert invoke("check", recipe).exit_code == 0
    assert not (here / "was-run").exists()


def test_a_file_that_is_run_with_it_counts(
    recipe: Path, metric: Path, here: Path, another_command: Callable[[], None]
) -> None:
    beside = here / "counting.py"
    beside.write_text("ONE = 1.0\n", encoding="utf-8")
    metric.write_text("from .counting import ONE\n" + HITS, encoding="utf-8")
    assert invoke("run", recipe, "--dry-run", "--allow-code").exit_code == 0
    another_command()
    beside.write_text("ONE = 2.0\n", encoding="utf-8")
    assert invoke("run", recipe, "--dry-run").exit_code == 2


def test_code_from_an_address_is_refused(recipe: Path, metric: Path) -> None:
    metric.write_text("from .x import y  # From: https://example.org/x.py\n" + HITS, encoding="utf-8")
    (line,) = error_lines(invoke("run", recipe, "--dry-run", "--allow-code").stderr)
    assert "would run code from https://example.org/x.py" in line


def test_consent_goes_with_the_work_and_is_asked_of_others(recipe: Path, metric: Path, here: Path) -> None:
    """Where nothing can be remembered: workers of the command have it; a command of another user asks again."""
    asked = ("compare", recipe, "--presets", "none,light", "--seeds", "0,", "--jobs", 1, "--output", "out")
    nowhere = {"XDG_STATE_HOME": "/dev/null"}
    done = program(*asked, "--allow-code", cwd=here, **nowhere)
    assert done.returncode == 0, done.stderr
    folders = [RunFolder(path) for path in sorted((here / "out" / "cells").iterdir())]
    assert [folder.read().selected.validation["hits"] for folder in folders] == [16.0, 16.0]  # type: ignore[union-attr]
    key = folders[0].path.name
    for command in (("work", "out"), ("cell", "out", key)):
        refused = program(*command, cwd=here, **nowhere)
        assert refused.returncode == 2
        assert "hits.py" in refused.stderr
        assert "--allow-code" in refused.stderr
        assert program(*command, "--allow-code", cwd=here, **nowhere).returncode == 0


def test_a_resumed_run_asks_for_changed_code(recipe: Path, metric: Path, here: Path) -> None:
    assert program("run", recipe, "--output", "out", "--allow-code", cwd=here).returncode == 0
    assert program("run", recipe, "--output", "out", "--resume", cwd=here).returncode == 0
    metric.write_text(HITS + "\n", encoding="utf-8")
    refused = program("run", recipe, "--output", "out", "--resume", cwd=here)
    assert refused.returncode == 2
    assert sha256(metric)[:12] in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("compare", "--presets", "none,light"),
        ("ablate", "--preset", "light"),
        ("curve",),
        ("sweep", "--vary", "training.epochs=1,2"),
        ("tune",),
    ],
    ids=lambda command: str(command[0]),
)
@pytest.mark.parametrize("allowed", [(), ("--allow-code",)], ids=["", "allowed"])
def test_code_that_is_not_there_is_named_by_its_key(
    write_recipe: Write, command: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    first, *options = command
    refused = invoke(first, write_recipe(training={"metrics": ["gone.py"], "epochs": 1}), *options, *allowed)
    assert refused.exit_code == 2
    assert error_lines(refused.stderr) == [
        "error: training.metrics: no evaluate module at 'gone.py'. Give the path of its .py file or folder."
    ]


def test_no_other_way_leads_around_it(recipe: Path, metric: Path, here: Path) -> None:
    with pytest.raises(RecipeError, match="allow_code=True"):
        Meter("single_label", ["hits.py"])
    with pytest.raises((RecipeError, RunFailed), match="allow_code=True"):
        train(recipe, here / "out")
    with pytest.raises(RecipeError, match="allow_code=True"):
        finetune.run(recipe, output=here / "out")
    with pytest.raises(RecipeError, match="allow_code=True"):
        finetune.run(json.loads(recipe.read_text(encoding="utf-8")), output=here / "out")
    assert not (here / "was-run").exists()
