"""Two ways to run a command: in this process, fast; and as the program that users start."""

from __future__ import annotations

import subprocess
from pathlib import Path

from typer.testing import CliRunner, Result

from finetune.cli.app import app
from tests.running import finetune


def invoke(*arguments: object) -> Result:
    """In this process. What a command raises beside its exit is a bug, and is raised again."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="finetune")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def program(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m finetune` in a process of its own, started in `cwd`. Libraries are loaded when it begins."""
    return finetune(*arguments, cwd=cwd, **environment)


def error_lines(stderr: str) -> list[str]:
    """What is complained about, after checking that nothing else is said but notes and a command to paste."""
    lines = stderr.splitlines()
    assert all(line.startswith(("error: ", "note: ", "warning: ", "$ finetune ")) for line in lines), stderr
    return [line for line in lines if line.startswith("error: ")]


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
