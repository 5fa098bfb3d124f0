"""Layout of the help: commands and options in groups, complete summaries, readable types, one example per line.

Typer supports groups only with rich's boxes, which break examples; without rich it cuts summaries.
"""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

# Groups of commands, in the order of the help.
START = "Start here"
EXPERIMENTS = "Experiments"
DATA = "Data"
MODELS = "Models"
LIBRARY = "Recipes, presets and techniques"

# Groups of options.
OF_DATA = "Data"
OF_RECIPE = "Model and recipe"
OF_RUNS = "Runs"
OF_OUTPUT = "Output"
OTHER = "Options"

WIDEST = 100  # columns of a help text: longer lines are hard to read
KINDS = {
    "str": "TEXT",
    "int": "NUMBER",
    "int range": "NUMBER",
    "float": "NUMBER",
    "path": "PATH",
    "list[str]": "TEXT",
    "list[int range]": "NUMBER",
    "list[int]": "NUMBER",
}
_KIND = re.compile(r" ?<([^>]+)>")


def _kind(found: re.Match[str]) -> str:
    return f" {KINDS.get(found[1], found[1].upper())}"


def examples(*commands: str) -> str:
    """The end of a help text: one command per line, ready to copy."""
    return "\n".join(["Examples:" if len(commands) > 1 else "Example:", *(f"  {command}" for command in commands)])


class Command(TyperCommand):
    """A command whose options are grouped."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                title = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or OTHER
                # A name says what an argument is.
                first = _KIND.sub("" if is_argument else _kind, record[0])
                groups.setdefault(title, []).append((first, record[1]))
        groups[OTHER] = groups.pop(OTHER, [])
        for title, rows in groups.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_lines(self.epilog, formatter)


class Commands(TyperGroup):
    """The program: its commands are grouped, and their summaries are complete."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                summary = (command.help or "").partition("\n\n")[0].replace("\n", " ")
                title = getattr(command, "rich_help_panel", None) or LIBRARY
                groups.setdefault(title, []).append((name, summary))
        width = max(len(name) for rows in groups.values() for name, _ in rows)
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", summary) for name, summary in rows])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_lines(self.epilog, formatter)


def _write_lines(text: str | None, formatter: Any) -> None:
    """As they are: a command that is broken cannot be copied."""
    if text:
        formatter.write_paragraph()
        for line in text.splitlines():
            formatter.write(f"{line}\n")
