"""`finetune ls` and `finetune cp`: list what is available, and copy it to edit."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from finetune.cli.help import examples
from finetune.cli.options import JsonOption, TechniqueOption, reports_errors, use_techniques
from finetune.cli.output import print_text
from finetune.errors import FinetuneError, suggest
from finetune.recipe import library

LS_EXAMPLES = examples(
    "finetune ls presets",
)
CP_EXAMPLES = examples(
    "finetune cp your-data mine.yaml",
)
KINDS = ("recipes", "presets", "techniques")


def _complete_kind(incomplete: str) -> list[str]:
    return [kind for kind in KINDS if kind.startswith(incomplete)]


@reports_errors()
def ls(
    kind: Annotated[
        str | None,
        typer.Argument(help="recipes, presets or techniques. Default: all.", autocompletion=_complete_kind),
    ] = None,
    technique: TechniqueOption = None,
    as_json: JsonOption = False,
) -> None:
    """List recipes, presets and techniques; `ls techniques` also with cost, defaults, ranges and sources."""
    use_techniques(technique)
    if kind is not None and kind not in KINDS:
        raise FinetuneError(f"'{kind}' cannot be listed.{suggest(kind, KINDS)}")
    if kind == "techniques" and not as_json:
        from finetune.reports.techniques import render_list

        print_text(render_list())
        return
    listed = {name: _describe(name) for name in ([kind] if kind else KINDS)}
    if as_json:
        print_text(json.dumps(listed, indent=2), whole=True)
        return
    width = max(len(name) for entries in listed.values() for name in entries)
    for title, entries in listed.items():
        print_text(title.upper())
        for name, about in entries.items():
            print_text(f"  {name:<{width}}  {about if isinstance(about, str) else about['summary']}")


def _describe(kind: str) -> dict[str, Any]:
    if kind == "recipes":
        return {name: library.first_comment(library.find_recipe(name)) for name in library.recipe_names()}
    if kind == "presets":
        return {name: library.first_comment(library.find_preset(name)) for name in library.preset_names()}
    from finetune.reports.techniques import describe_techniques  # pydantic

    return describe_techniques()


@reports_errors()
def cp(
    name: Annotated[str, typer.Argument(help="Name of a recipe, or of a preset.")],
    destination: Annotated[Path, typer.Argument(help="File or folder to copy to.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy a recipe or preset, to edit it."""
    preset = library.is_preset(name)
    source = library.find_preset(name) if preset else library.find_recipe(name)
    copied = library.copy_to(source, destination, force)
    option = f"--preset {copied}" if preset else f"{copied} --preset strong"
    print_text(f"copied to {copied}. Edit it, then type: finetune run {option}")
