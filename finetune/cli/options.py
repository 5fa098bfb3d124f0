"""Options that several commands share, completion of names, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from finetune.errors import FinetuneError
from finetune.recipe import library

if TYPE_CHECKING:
    from finetune.records.schema import DataFacts

INTERRUPTED = 130
# Errors of the file system that a user can mend: a full disk or quota, a limit, no permission, a name in the way.
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
        help="Name or path of a recipe. Left out: tweets, or your-data with --data.",
        autocompletion=_complete_recipe,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="Name or path of a bundle of techniques; replaces those the recipe lists.",
        autocompletion=_complete_preset,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Hub id, local folder or package:NAME/folder, instead of the recipe's."),
]
DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="File or folder, instead of the recipe's whole data section."),
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
    typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read, counted, instead of stopping."),
]
LeaksOption = Annotated[
    bool,
    typer.Option(
        "--drop-leaks", help="Leave out of training what is (nearly) a validation or test row; the test row stays."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for machines.")]


def reports_errors(command: Command) -> Command:
    """Print what the user can mend without a traceback, and exit with its code; Ctrl-C exits with 130."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except FinetuneError as error:
            for line in error.for_command_line().splitlines():
                complain(f"error: {line}")
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            # `finetune ls | head`: the reader has seen enough. Python would complain again while closing stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            if error.errno not in NOT_OURS:
                raise
            where = f"{error.filename}: " if error.filename else ""
            complain(f"error: {where}{error.strerror}.")
            raise typer.Exit(FinetuneError.exit_code) from error
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped  # type: ignore[return-value]  # same signature, by functools.wraps


def with_switches(overrides: list[str] | None, skip_bad_rows: bool, drop_leaks: bool) -> list[str]:
    """Options that stand for a --set: so that one place says what a recipe is."""
    switches = {"data.skip_bad_rows=true": skip_bad_rows, "data.drop_leaks=true": drop_leaks}
    return [*(overrides or []), *(text for text, wanted in switches.items() if wanted)]


def use_techniques(references: list[str] | None) -> None:
    """Add the user's own techniques to the registry, before a recipe that names them is read."""
    if references:
        from finetune.techniques import use_own

        for reference in references:
            use_own(reference)


def say_findings(facts: DataFacts) -> None:
    """What is wrong with the data, a line each, and the scores that a simple model reaches."""
    from finetune.reports.findings import baselines_line, finding_lines

    for line in finding_lines(facts.findings):
        complain(line)
    simple = baselines_line(facts.baselines, facts.task, facts.score)
    if simple:
        complain(f"note: to beat: {simple} (more: finetune check)")


def complain(text: str) -> None:
    """One line on stderr, from the main process only."""
    if os.environ.get("RANK", "0") == "0":
        typer.echo(text, err=True)
