"""Options that several commands share, completion of names, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from typer.models import ArgumentInfo

from finetune.cli.completion import complete_preset, complete_recipe, complete_setting
from finetune.cli.help import OF_DATA, OF_OUTPUT, OF_RECIPE
from finetune.cli.output import notice
from finetune.cli.process import ending
from finetune.cli.typed import command_with
from finetune.errors import FinetuneError

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


RecipeArgument = Annotated[
    str | None,
    typer.Argument(
        help="Name or path of a recipe. Default: tweets, or your-data with --data.",
        autocompletion=complete_recipe,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="Name or path of a preset; its techniques replace those of the recipe.",
        autocompletion=complete_preset,
        rich_help_panel=OF_RECIPE,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Hub id, local folder or package:NAME/folder, instead of the recipe's.",
        rich_help_panel=OF_RECIPE,
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="File, folder or hub id, instead of the recipe's whole data section.",
        rich_help_panel=OF_DATA,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one value, e.g. training.epochs=5. Repeatable.",
        rich_help_panel=OF_RECIPE,
        autocompletion=complete_setting,
    ),
]
TechniqueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--technique",
        metavar="PATH.PY:CLASS",
        help="Add your own technique (docs/own-techniques.md). Repeatable.",
        rich_help_panel=OF_RECIPE,
    ),
]
AllowCodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Allow the code that the recipe names (training.metrics) to run. Needed once per version of its file.",
        rich_help_panel=OF_RECIPE,
    ),
]
SkipOption = Annotated[
    bool,
    typer.Option(
        "--skip-bad-rows",
        help="Skip rows that cannot be read, and count them, instead of stopping.",
        rich_help_panel=OF_DATA,
    ),
]
LeaksOption = Annotated[
    bool,
    typer.Option(
        "--drop-leaks",
        help="Remove training rows that (nearly) duplicate a validation or test row.",
        rich_help_panel=OF_DATA,
    ),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="Path of your own `evaluate` module; higher counts as better. Repeatable.",
        rich_help_panel=OF_RECIPE,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Only warnings on stderr, no progress.",
        rich_help_panel=OF_OUTPUT,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print JSON on stdout.",
        rich_help_panel=OF_OUTPUT,
    ),
]


def reports_errors(interrupted: str = "") -> Callable[[Command], Command]:
    """Print what the user can correct without a traceback, and exit with its code; after signals see `ending`.

    Args:
        interrupted: What to print after Ctrl-C or another signal about how to continue.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapped(*args: Any, **kwargs: Any) -> None:
            try:
                command(*args, **kwargs)
            except FinetuneError as error:
                for line in error.for_command_line(_positional(command)).splitlines():
                    notice(f"error: {line}")
                if (change := error.completed()) is not None:
                    notice(f"$ {command_with(change)}")
                raise typer.Exit(error.exit_code) from error
            except OSError as error:
                if error.errno not in NOT_OURS:
                    raise
                where = f"{error.filename}: " if error.filename else ""
                notice(f"error: {where}{error.strerror}.")
                raise typer.Exit(FinetuneError.exit_code) from error
            except KeyboardInterrupt as interrupt:
                how, code = ending(interrupt)
                for text in filter(None, (interrupted, how)):
                    notice(text)
                raise typer.Exit(code) from None

        return wrapped  # type: ignore[return-value]  # same signature, by functools.wraps

    return decorate


def _positional(command: Callable[..., None]) -> dict[str, str]:
    """Of the arguments that this command takes without an option: name in Python, of one or of all -> in the help."""
    names: dict[str, str] = {}
    hints = get_type_hints(command, include_extras=True)
    for name, hint in hints.items():
        for info in getattr(hint, "__metadata__", ()):
            if isinstance(info, ArgumentInfo):
                shown = info.metavar or name.upper()
                names |= {each: shown for each in (name, shown.lower()) if each == name or each not in hints}
    return names


def split_names(text: str) -> list[str]:
    """`none, strong` -> both."""
    return [name.strip() for name in text.split(",") if name.strip()]


def use_techniques(references: list[str] | None) -> None:
    """Add the user's own techniques to the registry, before a recipe that names them is read."""
    if references:
        from finetune.techniques import use_technique

        for reference in references:
            use_technique(reference)
