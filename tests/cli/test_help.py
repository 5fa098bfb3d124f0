"""Help, version and completion: they answer at once, without loading what only a run needs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import finetune
from finetune.cli.app import app
from finetune.cli.completion import complete_metric, complete_presets, complete_setting, complete_technique
from finetune.recipe import resolve
from finetune.recipe.keys import known_keys
from finetune.recipe.library import preset_names, recipe_names
from tests.cli.invoking import invoke, program
from tests.running import python

COMMANDS = ["run", "tune", "runs", "explain", "export", "demo", "push", "ls", "show", "cp", "diff", "validate", "env"]
HEAVY = ["torch", "transformers", "datasets", "evaluate", "sklearn", "accelerate", "pandas"]
UNNEEDED = ["numpy", "scipy", "yaml"]  # pydantic is loaded by Typer itself
ASK_ALL_FOR_HELP = f"""
import json, sys
from typer.testing import CliRunner
from finetune.cli.app import app
outputs = {{name: CliRunner().invoke(app, [name, "--help"]).output for name in {COMMANDS}}}
outputs["version"] = CliRunner().invoke(app, ["--version"]).output
print(json.dumps({{"outputs": outputs, "modules": sorted(sys.modules)}}))
"""


@pytest.fixture(scope="module")
def after_help() -> dict[str, Any]:
    """What a fresh process has printed and loaded after it was asked for every help text."""
    done = subprocess.run([sys.executable, "-c", ASK_ALL_FOR_HELP], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert all("Usage:" in found["outputs"][name] for name in COMMANDS)
    return found


@pytest.mark.parametrize("module", HEAVY)
def test_help_and_version_load_no_framework(after_help: dict[str, Any], module: str) -> None:
    assert module not in after_help["modules"]


@pytest.mark.parametrize("module", UNNEEDED)
def test_help_and_version_load_neither_schema_nor_numbers(after_help: dict[str, Any], module: str) -> None:
    assert module not in after_help["modules"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_of_a_command_exits_0_and_shows_an_example(command: str, option: str) -> None:
    result = invoke(command, option)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert f"Usage: finetune {command}" in result.stdout
    before, _, examples = result.stdout.partition("\nExample")
    assert before
    assert all(line.startswith(f"  finetune {command}") for line in examples.splitlines()[1:])
    assert "<" not in before  # <str> is no word for a person


def test_the_help_of_the_program_lists_every_command_in_the_order_of_use() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    words = [line.split()[0] for line in result.stdout.splitlines() if re.match("  [a-z]", line)]
    assert [word for word in words if word in COMMANDS] == COMMANDS
    assert "Start here:" in result.stdout
    assert "..." not in result.stdout.partition("Start here:")[2]  # no summary is cut


def test_options_of_a_command_stand_in_groups() -> None:
    text = invoke("compare", "--help").stdout
    heads = [line for line in text.splitlines() if re.fullmatch(r"[A-Z].*:", line)]
    assert heads == ["Arguments:", "Runs:", "Model and recipe:", "Data:", "Output:", "Options:", "Examples:"]


def test_without_arguments_the_help_is_shown() -> None:
    result = invoke()
    assert "Start here:" in result.output
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["trian"], "No such command 'trian'"),
        (["run", "--presets", "strong"], "No such option: --presets"),
        (["run", "--seed", "one"], "--seed"),
        (["run", "--seed", "-1"], "--seed"),
        (["run", "--launch", "0"], "--launch"),
        (["run", "tweets", "extra"], "unexpected extra argument"),
        (["diff", "light"], "Missing argument"),
        (["cp", "tweets"], "Missing argument"),
        (["run", "--set"], "--set"),
    ],
)
def test_a_command_line_that_does_not_parse_exits_2_on_stderr(arguments: list[str], complaint: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert complaint in result.stderr


def test_the_program_says_its_version(tmp_path: Path) -> None:
    done = python("-m", "finetune", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"finetune {finetune.__version__}\n", "")


# --- completion ------------------------------------------------------------------------------------------------


def _completions(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words, by Typer's protocol."""
    line = " ".join(["finetune", *words])
    done = program(
        cwd=folder,
        _FINETUNE_COMPLETE="complete_bash",
        _TYPER_COMPLETE_ARGS=line,
        COMP_WORDS=line,
        COMP_CWORD=str(len(words)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


def test_recipe_names_are_completed(tmp_path: Path) -> None:
    assert _completions(tmp_path, "run", "tw") == ["tweets"]
    assert _completions(tmp_path, "show", "") == recipe_names()


def test_preset_names_are_completed(tmp_path: Path) -> None:
    assert _completions(tmp_path, "run", "--preset", "stro") == ["strong"]
    assert _completions(tmp_path, "run", "-p", "") == preset_names()


def test_kinds_of_lists_are_completed(tmp_path: Path) -> None:
    assert _completions(tmp_path, "ls", "p") == ["presets"]


def _settings(incomplete: str, **given: str) -> list[str]:
    context = typer.Context(typer.main.get_command(app))
    context.params = dict(given)
    return complete_setting(context, incomplete)


def test_keys_choices_and_lists_of_presets_are_completed() -> None:
    assert _settings("training.ep") == ["training.epochs="]
    assert "techniques.r_drop.strength=" in _settings("techniques.r_drop")
    assert _settings("training.precision=b") == ["training.precision=bf16"]
    assert _settings("data.check=") == ["data.check=true", "data.check=false"]
    assert _settings("nothing") == []
    assert complete_presets("none,stro") == ["none,strong"]
    assert "accuracy" in complete_metric("acc")
    assert complete_technique("r_") == ["r_drop"]


def test_columns_of_the_named_data_are_completed(tmp_path: Path) -> None:
    lines = "ticket;review;stars\n" + "T-1;quite a day, really;5\n" * 20_000
    (tmp_path / "long.csv").write_text(lines, encoding="utf-8")
    (tmp_path / "odd.jsonl").write_text('{"a b": "some text", "c": 1}\n' * 3, encoding="utf-8")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_text("text,label\nx,1\ny,2\n", encoding="utf-8")
    (tmp_path / "bad.csv").write_bytes(b"\x00\xff\x00")
    long = str(tmp_path / "long.csv")
    assert _settings("data.text=", data=long) == ["data.text=ticket", "data.text=review", "data.text=stars"]
    assert _settings("data.id=t", data=long) == ["data.id=ticket"]
    assert _settings("data.label=", source=str(tmp_path / "odd.jsonl")) == ["data.label=a b", "data.label=c"]
    assert _settings("data.group=", data=str(tmp_path / "set")) == ["data.group=text", "data.group=label"]
    for nothing in ("bad.csv", "missing.csv"):
        assert _settings("data.text=", data=str(tmp_path / nothing)) == []
    assert _settings("data.text=") == []
    assert _completions(tmp_path, "run", "--data", "long.csv", "--set", "data.label=st") == ["data.label=stars"]


def test_every_key_that_is_completed_is_one_of_a_recipe() -> None:
    shown = set(resolve("tweets").recipe.to_dict()["training"])
    assert {key.removeprefix("training.") for key in known_keys() if key.startswith("training.")} == shown


def test_commands_are_completed(tmp_path: Path) -> None:
    assert _completions(tmp_path, "va") == ["validate"]
