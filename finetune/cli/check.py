"""`finetune check`: problems in the data, before an hour of training is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.help import examples
from finetune.cli.options import (
    DataOption,
    JsonOption,
    LeaksOption,
    ModelOption,
    SetOption,
    SkipOption,
    reports_errors,
    split_names,
)
from finetune.cli.output import print_text

EXAMPLES = examples(
    "finetune check tweets",
    "finetune check reviews.csv --output findings.csv",
    "finetune check reviews.csv --strict --accept resolution",
    "finetune check reviews.csv --models ./encoder-a,./encoder-b",
)

ModelsOption = Annotated[
    str | None,
    typer.Option(
        "--models",
        metavar="A,B,…",
        help="Score these encoders, frozen, on the training rows: hub ids, folders or package:NAME/folder.",
    ),
]
FindingsOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE.CSV", help="New .csv file: a line for each row of each finding."),
]


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
    models: ModelsOption = None,
    output: FindingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for leaks, duplicates, conflicting or wrong labels, shift and more, and measure simple baselines."""
    from finetune.allocation import collecting_rarely
    from finetune.cli.listening import WarningListener
    from finetune.workflows import check as workflow

    listener = WarningListener()
    recipe, checked = workflow.recipe_or_data(source, data, listener)
    with collecting_rarely():
        result = workflow.check(
            checked,
            recipe=recipe,
            model=model,
            overrides=overrides or (),
            skip_bad_rows=skip_bad_rows,
            drop_leaks=drop_leaks,
            strict=strict,
            accept=accept,
            write_split=write_split,
            models=None if models is None else split_names(models),
            output=output,
            listener=listener,
        )
    from finetune.reports.encoders import render_encoders
    from finetune.reports.findings import render_check

    print_text(result.to_json() if as_json else render_check(result.facts), whole=as_json)
    if result.encoders is not None and not as_json:
        print_text(f"\n{render_encoders(result.encoders)}")
    result.raise_failures()
