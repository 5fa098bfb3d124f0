"""Docs that are generated, or that name commands and files, are true for this commit."""

import re
from pathlib import Path

import pytest
import typer.main

from finetune.cli.app import app
from finetune.recipe.library import preset_names, recipe_names
from finetune.reports.schema_page import render_schema_page
from finetune.reports.techniques import render_markdown

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
    for named in re.findall(r"`((?:finetune|scripts|docs|tests|recipes)/[\w./-]+)`", text):
        if "my_technique" not in named:
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
