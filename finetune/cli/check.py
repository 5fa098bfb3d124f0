"""`finetune check`: what is wrong with the data, before an hour is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.options import (
    DataOption,
    JsonOption,
    LeaksOption,
    ModelOption,
    SetOption,
    SkipOption,
    complain,
    reports_errors,
    with_switches,
)
from finetune.errors import OutputError, RecipeError, RunFailed, suggest

EXAMPLES = "Examples:  finetune check reviews.csv   |   finetune check tweets --strict --accept resolution"


@reports_errors
def check(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]", help="A data file, folder or hub id, or a recipe by name or path. Left out: tweets."
        ),
    ] = None,
    data: DataOption = None,
    model: ModelOption = None,
    overrides: SetOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there is a problem or a warning.")] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="CHECK", help="Findings of this check do not count for --strict. Repeatable."),
    ] = None,
    skip_bad_rows: SkipOption = False,
    drop_leaks: LeaksOption = False,
    write_split: Annotated[
        Path | None,
        typer.Option("--write-split", metavar="FILE", help="Write down which row is in which split (data.split_file)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look for leaks, duplicates, conflicting or wrong labels, shift and more, and measure simple baselines."""
    recipe_name, data_source = _recipe_or_data(source, data)
    _check_accepted(accept or [], strict)
    if write_split is not None and write_split.exists():
        raise OutputError(f"--write-split {write_split}: is there already. Choose another name, or remove it.")
    from finetune.recipe import resolve

    recipe = resolve(recipe_name, None, model, data_source, with_switches(overrides, skip_bad_rows, drop_leaks)).recipe
    if not recipe.data.check:
        complain("note: data.check=false is for runs; this command checks all the same")
    from finetune.quiet import quieten_libraries

    quieten_libraries()
    from finetune.data.load import load_data
    from finetune.reports.findings import count_findings, render_check

    loaded = load_data(recipe.data)
    from finetune.training.gate import check_recipe  # slow to import: what is wrong with a file is said before

    facts = check_recipe(recipe, loaded)
    typer.echo(facts.model_dump_json(indent=2) if as_json else render_check(facts))
    if write_split is not None:
        from finetune.data.split_file import write_split as write

        write(loaded, write_split)
        complain(f"note: split written to {write_split}; to use it: --set data.split_file={write_split}")
    counted = [finding for finding in facts.findings if finding.check not in (accept or ())]
    if strict and any(finding.level != "info" for finding in counted):
        raise RunFailed(f"--strict: {count_findings(counted)}.")


def _check_accepted(names: list[str], strict: bool) -> None:
    """Raises RecipeError for a name that no check has, or where nothing is strict."""
    if not names:
        return
    if not strict:
        raise RecipeError("--accept: has no meaning without --strict.")
    from finetune.checks.base import CHECKS

    for name in names:
        if name not in CHECKS:
            raise RecipeError(f"--accept {name}: no check has this name.{suggest(name, CHECKS)}")


def _recipe_or_data(source: str | None, data: str | None) -> tuple[str | None, str | None]:
    """What the argument names: a shipped recipe or a YAML file, else data, which takes the recipe your-data.

    Raises:
        RecipeError: Data is named twice, or nothing has this name.
    """
    from finetune.recipe.library import SUFFIXES, recipe_names

    if source is None or source in recipe_names() or source.endswith(SUFFIXES):
        if source is not None and "." not in source and Path(source).exists():
            complain(f"note: '{source}' is taken as the recipe of this name; the folder is ./{source}")
        return source, data
    if data is not None:
        raise RecipeError(f"'{source}' and --data {data} both name data, and one is checked. Leave one out.")
    if not {"/", ":"} & set(source) and not Path(source).exists():  # else a path, or a name on the hub
        raise RecipeError(f"'{source}': no file or folder here, and no recipe.{suggest(source, recipe_names())}")
    return None, source
