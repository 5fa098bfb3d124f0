"""`finetune compare --seeds auto` as users type it: dry run, seeds added, interrupted and repeated, and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.analysis import settling
from finetune.cli.experiment_options import parse_seeds
from finetune.errors import RecipeError
from finetune.experiments.executors import EXECUTORS
from finetune.records.comparison import ComparisonFolder
from finetune.training import estimate
from finetune.workflows.arguments import most_seeds
from tests.cli.invoking import error_lines, invoke
from tests.cli.test_compare import figures, write_recipe
from tests.experiments.inline import REFERENCE, RecordingExecutor

pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("auto"), epochs=1)


@pytest.fixture(autouse=True)
def here(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe.parent)
    monkeypatch.setitem(EXECUTORS, "local", REFERENCE)
    monkeypatch.setattr(RecordingExecutor, "folders", [])


def compare(recipe: Path, output: str, *more: object) -> Any:
    fixed = ("--presets", "none,light", "--final", "best", "-o", output, "--quiet")
    return invoke("compare", recipe, "--seeds", "auto:5", *fixed, *more)


def group_in(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))["groups"][0]
    return found


def seeds_of(group: dict[str, Any]) -> list[list[int]]:
    return [[run["seed"] for run in variant["runs"]] for variant in group["variants"]]


def test_a_settled_comparison_ends_after_three_seeds(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "UNLIKELY", 1.1)
    result = compare(recipe, "settled")
    assert result.exit_code == 0
    group = group_in("settled")
    assert seeds_of(group) == [[0, 1, 2]] * 2
    assert group["seed_rule"]["most"] == 5
    assert [(look["seeds"], look["open"]) for look in group["seed_rule"]["looks"]] == [(3, [])]
    assert "settled after 3 seeds" in " ".join(result.stdout.split())
    kept = ComparisonFolder(Path("settled")).read()
    assert (kept.most_seeds, len(kept.cells)) == (5, 6)


def test_an_interrupted_comparison_makes_the_same_decisions(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "UNLIKELY", 0.0)  # so that it goes on, unless runs are equal or significant
    assert compare(recipe, "whole").exit_code == 0
    ran = list(RecordingExecutor.folders)
    monkeypatch.setattr(RecordingExecutor, "folders", [])
    monkeypatch.setattr(RecordingExecutor, "stops_after", max(1, len(ran) - 1))
    assert compare(recipe, "stopped").exit_code == 130
    looks = ComparisonFolder(Path("whole")).read().looks
    assert looks
    assert ComparisonFolder(Path("stopped")).read().looks == [look for look in looks if look.open]
    monkeypatch.setattr(RecordingExecutor, "stops_after", None)
    again = compare(recipe, "stopped")
    assert again.exit_code == 0
    assert "not in this one" not in again.stderr
    assert RecordingExecutor.folders == ran
    assert figures(group_in("stopped")) == figures(group_in("whole"))
    monkeypatch.setattr(RecordingExecutor, "folders", [])
    assert compare(recipe, "whole").exit_code == 0
    assert RecordingExecutor.folders == []


def test_a_dry_run_says_how_many_runs_there_may_be(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paces = iter([60.0, 1.0, 60.0, 1.0])  # so that a second measurement for one estimate would show
    monkeypatch.setattr(estimate, "estimate_seconds", lambda *_: next(paces))
    shown = " ".join(compare(recipe, "new", "--dry-run").stdout.split())
    assert "6 to 10 of at most 10 runs left" in shown
    assert "between" in shown
    next(paces)
    described = json.loads(compare(recipe, "new", "--dry-run", "--json").stdout)
    assert (described["to_run"], described["at_most"]["to_run"]) == (6, 10)
    assert described["seconds"] < described["at_most"]["seconds"]
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("seeds", "why"),
    [
        ("auto:2", "expected auto:4 to auto:20"),
        ("auto:3", "expected auto:4 to auto:20"),
        ("auto:0", "expected auto:4 to auto:20"),
        ("auto:21", "expected auto:4 to auto:20"),
        ("auto:x", "or auto:MOST"),
        ("auto:", "or auto:MOST"),
        ("auto:-5", "or auto:MOST"),
        ("automatic", "expected how many, such as 5"),
    ],
)
def test_what_is_no_number_of_seeds_is_refused(recipe: Path, seeds: str, why: str) -> None:
    result = invoke("compare", recipe, "--seeds", seeds, "--quiet")
    assert result.exit_code == 2
    lines = error_lines(result.stderr)
    assert why in lines[0]
    assert seeds in lines[0]


def test_with_folds_and_in_other_commands_it_is_refused_with_what_to_type(recipe: Path) -> None:
    result = invoke("compare", recipe, "--seeds", "auto:10", "--folds", "3", "--quiet")
    assert result.exit_code == 2
    assert "cross-validation" in error_lines(result.stderr)[0]
    assert "--seeds 3" in result.stderr
    for command in (("ablate",), ("curve",), ("tune",), ("sweep", "--vary", "training.epochs=1,2")):
        refused = invoke(command[0], recipe, *command[1:], "--seeds", "auto:10", "--quiet")
        assert refused.exit_code == 2, command
        assert "Only `finetune compare` adds seeds by itself" in refused.stderr, command
        assert "--seeds 5" in refused.stderr, command


def test_auto_alone_is_ten_seeds() -> None:
    assert most_seeds("auto", None) == most_seeds("auto:10", None) == 10
    assert most_seeds(5, None) is most_seeds([3, 7], 5) is None
    assert parse_seeds(" auto:12 ") == "auto:12"
    with pytest.raises(RecipeError, match="such as 5"):
        most_seeds("five", None)
