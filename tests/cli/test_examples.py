"""The examples of every help text can be typed: options exist, values are read, names are known, nothing is missing."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from finetune.cli.app import app
from finetune.recipe import resolve
from finetune.recipe.library import preset_names, recipe_names
from tests.cli.invoking import invoke

PROGRAM: Any = typer.main.get_command(app)
NEEDS_NOTHING = ("diagnose --train", "ls", "show technique", "cp", "diff", "validate", "env")  # no data, model or run


def _examples() -> Iterator[str]:
    """Every example, of the program and of each command."""
    for text in (PROGRAM.epilog, *(command.epilog for command in PROGRAM.commands.values())):
        yield from (line.strip() for line in (text or "").splitlines() if line.startswith("  "))


EXAMPLES = list(_examples())
RUN = [example for example in EXAMPLES if example.removeprefix("finetune ").startswith(NEEDS_NOTHING)]


def _parsed(example: str) -> dict[str, Any]:
    """Options and arguments of an example, which is not run; of a pipe, those of its last command."""
    first, name, *words = shlex.split(example.rpartition("| ")[2])
    assert first == "finetune"
    params: dict[str, Any] = PROGRAM.commands[name].make_context(name, words).params
    return params


def test_every_command_has_an_example_of_its_own() -> None:
    assert all(f"  finetune {name}" in (command.epilog or "") for name, command in PROGRAM.commands.items())


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_parsed_and_names_presets_recipes_and_settings_that_exist(example: str) -> None:
    given = _parsed(example)
    presets = (given.get("presets") or given.get("preset") or "").split(",")
    assert set(presets) <= {"", *preset_names()}
    assert given.get("recipe") in (None, "technique", *recipe_names())
    varied = [*(given.get("vary") or ()), *(given.get("ranges") or ())]
    settings = [
        *(given.get("overrides") or ()),
        *(f"{text.partition('=')[0]}={text.split(',')[-1]}" for text in varied),
    ]
    settings += [variant.partition("=")[2] for variant in given.get("variants") or ()]
    for setting in settings:
        assert resolve("tweets", overrides=[setting])


@pytest.mark.parametrize("example", RUN)
def test_an_example_that_needs_no_files_runs_as_typed(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*shlex.split(example)[1:])
    assert result.exit_code == 0, result.output


def test_the_examples_that_need_no_files_are_found() -> None:
    assert len(RUN) >= len(NEEDS_NOTHING)
