"""Docs that are generated, or that name commands and files, are true for this commit."""

import ast
import inspect
import re
import sqlite3
import subprocess
import types
from pathlib import Path
from typing import Any

import pandas
import pytest
import typer.main

import finetune
from finetune.cli.app import app
from finetune.data.readers import Reader
from finetune.experiments.jobs import Event, Task
from finetune.recipe.library import preset_names, recipe_names
from finetune.reports.schema_page import render_schema_page
from finetune.reports.techniques import render_markdown
from finetune.workflows.results import CompareResult
from tests.pages import python_blocks
from tests.reports.sample import sample_report

REPOSITORY = Path(__file__).parent.parent
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_the_technique_page_is_up_to_date() -> None:
    page = (REPOSITORY / "docs" / "techniques.md").read_text(encoding="utf-8")
    assert page == render_markdown(), "type: scripts/docs"


def test_the_page_of_the_report_schema_is_up_to_date() -> None:
    page = (REPOSITORY / "docs" / "report-schema.md").read_text(encoding="utf-8")
    assert page == render_schema_page(), "type: scripts/docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for code in re.findall(r"`([^`\n]+)`", text):
        for named in code.split():
            if re.match(r"(finetune|scripts|docs|tests|recipes)/", named) and "my_technique" not in named:
                assert (REPOSITORY / named).exists(), named


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_and_options_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in re.findall(r"(?:^|`|-m )finetune ([a-z].*?)(?:`|$|   )", page.read_text(encoding="utf-8"), flags=re.M):
        name, *rest = line.split()
        assert name in commands, line
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in rest if re.fullmatch(r"--[a-z-]+", word)} <= known | {"--help"}, line
        for option, names in (("--preset", preset_names()), ("-p", preset_names())):
            if option in rest:
                assert rest[rest.index(option) + 1] in [*names, "P"], line


def test_every_recipe_and_preset_is_named_in_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in recipe_names() + preset_names():
        assert f"`{name}`" in readme


# --- examples in Python ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=lambda path: path.name)
def test_calls_in_python_examples_fit_the_functions(page: Path) -> None:
    for block in python_blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "finetune":
                assert node.attr in [*finetune.__all__, "listener"], node.attr
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("finetune."):
                function = getattr(finetune, ast.unparse(node.func).removeprefix("finetune."))
                inspect.signature(function).bind(*node.args, **{str(word.arg): None for word in node.keywords})


def test_the_script_of_the_readme_reads_the_gap_of_two_presets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pandas.DataFrame({"text": ["good"], "label": ["yes"]})
    asked: dict[str, Any] = {}

    def compare(**arguments: Any) -> CompareResult:
        asked.update(arguments)
        return CompareResult(sample_report(presets=("none", "strong")), Path("runs"), [])

    monkeypatch.setattr(finetune, "compare", compare, raising=False)
    monkeypatch.setattr(pandas, "read_parquet", lambda path: frame)
    (script,) = python_blocks(REPOSITORY / "README.md")
    exec(script, {})
    assert asked["data"] is frame
    none, strong, last = capsys.readouterr().out.splitlines()
    assert none.startswith("none: the gap is ")
    assert strong.startswith("strong: the gap is ")
    assert last.startswith("Compared with `none`")


def test_the_executor_of_the_docs_runs_every_task_and_reports_those_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = example_with("class ClusterExecutor", REPOSITORY / "docs" / "launch.md")
    commands: list[list[str]] = []

    def run(command: list[str]) -> Any:
        commands.append(command)
        return types.SimpleNamespace(returncode=int(command[-1] == "b"))

    monkeypatch.setattr(subprocess, "run", run)
    tasks = [Task(key, "train", finetune.load_recipe(), Path("made/cells") / key, {}) for key in "abc"]
    waiting = iter([*tasks, None, None, None])
    events: list[Event] = []
    scope["ClusterExecutor"](jobs="2", tasks=3, jobs_per_gpu=1).run(
        types.SimpleNamespace(next=lambda: next(waiting, None)), events.append
    )
    assert sorted(commands) == [["srun", "finetune", "cell", "made", key] for key in "abc"]
    assert sorted((event.key, event.kind) for event in events) == [
        (key, kind) for key in "abc" for kind in sorted(["started", "failed" if key == "b" else "finished"])
    ]


def test_the_reader_of_the_docs_reads_a_table(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "rows.sqlite") as notes:
        notes.execute("create table notes (text, label)")
        notes.executemany("insert into notes values (?, ?)", [("good", "yes"), ("bad", None)])
    reader = example_with("READER = Reader", REPOSITORY / "docs" / "data.md")["READER"]
    assert isinstance(reader, Reader)
    table = reader.read(tmp_path / "rows.sqlite", finetune.load_recipe().data)
    assert table.columns == {"text": ["good", "bad"], "label": ["yes", None]}


def example_with(text: str, page: Path) -> dict[str, Any]:
    """What the example of a page that holds this text defines."""
    (block,) = [block for block in python_blocks(page) if text in block]
    scope: dict[str, Any] = {}
    exec(block, scope)
    return scope
