"""`finetune predict`: labels for new texts, with a model that was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.help import examples
from finetune.cli.options import QuietOption, SetOption, reports_errors
from finetune.cli.output import print_text
from finetune.errors import RecipeError

EXAMPLES = examples(
    "finetune predict runs/tweets-strong-seed0 'what a day'",
    "finetune predict runs/compare-tweets --data new.csv --output labelled.csv",
)


@reports_errors()
def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a run or comparison, a model folder, or a hub id.")
    ],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts to predict, instead of --data.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="File with texts, in any format that run takes; no labels needed."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="New .csv, .tsv, .jsonl or .parquet file. Default: predictions.csv."),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also the probability of every label.")
    ] = False,
    overrides: SetOption = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Texts in a forward pass.")] = 64,
    quiet: QuietOption = False,
) -> None:
    """Predict texts with a trained model: all columns of the file are kept, with a prediction for each row."""
    if bool(texts) == (data is not None):
        raise RecipeError("name texts, or a file with --data, and not both.")
    from finetune.cli.listening import WarningListener

    listener = WarningListener(notes=not quiet)
    if texts:
        from finetune.reports.predictions import render_predictions
        from finetune.workflows.predict import predict_texts

        columns = predict_texts(model, texts, probabilities=probabilities, batch_size=batch_size, listener=listener)
        print_text(render_predictions(texts, columns))
        return
    from finetune.reports.predictions import render_written
    from finetune.workflows.predict import predict as workflow

    result = workflow(
        model,
        data,
        output=output,
        probabilities=probabilities,
        overrides=overrides or (),
        batch_size=batch_size,
        listener=listener,
    )
    print_text(render_written(result.path, result.rows, result.seconds))
