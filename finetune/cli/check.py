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
    notice,
    reports_errors,
)
from finetune.errors import RecipeError, suggest

EXAMPLES = "Examples:  finetune check reviews.csv   |   finetune check tweets --strict --accept resolution"


@reports_errors()
def check(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]", help="A data file, folder or hub id, or a recipe by name or path. Default: tweets."
        ),
    ] = None,
    data: DataOption = None,
    model: ModelOption = None,
    overrides: SetOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 1 if there is a problem or a warning.")
    ] = False,
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
    from finetune.cli.listening import WarningListener
    from finetune.workflows import check as workflow

    recipe_name, data_source = _recipe_or_data(source, data)
    result = workflow.check(
        data_source,
        recipe=recipe_name,
        model=model,
        overrides=overrides or (),
        skip_bad_rows=skip_bad_rows,
        drop_leaks=drop_leaks,
        strict=strict,
        accept=accept,
        write_split=write_split,
        listener=WarningListener(),
    )
    from finetune.reports.findings import render_check

    typer.echo(result.facts.model_dump_json(indent=2) if as_json else render_check(result.facts))
    result.raise_failures()


def _recipe_or_data(source: str | None, data: str | None) -> tuple[str | None, str | None]:
    """What the argument names: a shipped recipe or a YAML file, else data, which takes the recipe your-data.

    Raises:
        RecipeError: Data is named twice, or nothing has this name.
    """
    from finetune.recipe.library import SUFFIXES, recipe_names

    if source is None or source in recipe_names() or source.endswith(SUFFIXES):
        if source is not None and "." not in source and Path(source).exists():
            notice(f"note: '{source}' is taken as the recipe of this name; the folder is ./{source}")
        return source, data
    if data is not None:
        raise RecipeError(f"'{source}' and --data {data} both name data, and one is checked. Leave one out.")
    if not {"/", ":"} & set(source) and not Path(source).exists():  # else a path, or a name on the hub
        raise RecipeError(f"'{source}': no file or folder here, and no recipe.{suggest(source, recipe_names())}")
    return None, source
