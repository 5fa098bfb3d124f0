"""Options that several commands share, completion of names, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from finetune.cli.process import Terminated
from finetune.errors import FinetuneError
from finetune.recipe import library
from finetune.visible import visible

INTERRUPTED = 130  # 128 + SIGINT
TERMINATED = 143  # 128 + SIGTERM
# Errors of the file system that a user can correct: a full disk or quota, a limit, no permission, a name in the way.
NOT_OURS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.ENAMETOOLONG,
)
Command = TypeVar("Command", bound=Callable[..., None])


def _complete_recipe(incomplete: str) -> list[str]:
    return [name for name in library.recipe_names() if name.startswith(incomplete)]


def _complete_preset(incomplete: str) -> list[str]:
    return [name for name in library.preset_names() if name.startswith(incomplete)]


RecipeArgument = Annotated[
    str | None,
    typer.Argument(
        help="Name or path of a recipe. Default: tweets, or your-data with --data.",
        autocompletion=_complete_recipe,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="Name or path of a preset; its techniques replace those of the recipe.",
        autocompletion=_complete_preset,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Hub id, local folder or package:NAME/folder, instead of the recipe's."),
]
DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="File, folder or hub id, instead of the recipe's whole data section."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one value, e.g. training.epochs=5. Repeatable."),
]
TechniqueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--technique", metavar="PATH.PY:CLASS", help="Add your own technique (docs/own-techniques.md). Repeatable."
    ),
]
SkipOption = Annotated[
    bool,
    typer.Option("--skip-bad-rows", help="Skip rows that cannot be read, and count them, instead of stopping."),
]
LeaksOption = Annotated[
    bool,
    typer.Option("--drop-leaks", help="Remove training rows that (nearly) duplicate a validation or test row."),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Path of your own `evaluate` module; higher counts as better. Repeatable."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings on stderr, no progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def reports_errors(interrupted: str = "") -> Callable[[Command], Command]:
    """Print what the user can correct without a traceback, and exit with its code; 130 after Ctrl-C, 143 after SIGTERM.

    Args:
        interrupted: What to say after Ctrl-C or SIGTERM about going on.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapped(*args: Any, **kwargs: Any) -> None:
            try:
                command(*args, **kwargs)
            except FinetuneError as error:
                for line in error.for_command_line().splitlines():
                    notice(f"error: {line}")
                raise typer.Exit(error.exit_code) from error
            except BrokenPipeError:
                # `finetune ls | head`: the reader has seen enough. Python would complain again while closing stdout.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except OSError as error:
                if error.errno not in NOT_OURS:
                    raise
                where = f"{error.filename}: " if error.filename else ""
                notice(f"error: {where}{error.strerror}.")
                raise typer.Exit(FinetuneError.exit_code) from error
            except KeyboardInterrupt as interrupt:
                is_terminated = isinstance(interrupt, Terminated)
                for text in filter(None, (interrupted, "terminated" if is_terminated else "interrupted")):
                    notice(text)
                raise typer.Exit(TERMINATED if is_terminated else INTERRUPTED) from None

        return wrapped  # type: ignore[return-value]  # same signature, by functools.wraps

    return decorate


def use_techniques(references: list[str] | None) -> None:
    """Add the user's own techniques to the registry, before a recipe that names them is read."""
    if references:
        from finetune.techniques import use_technique

        for reference in references:
            use_technique(reference)


def notice(text: str) -> None:
    """One line on stderr, from the main process only."""
    if os.environ.get("RANK", "0") == "0":
        typer.echo(visible(text), err=True)


def say(text: str) -> None:
    """A result on stdout."""
    typer.echo(visible(text))
