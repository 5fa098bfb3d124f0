"""`finetune predict`: labels for new texts, from a trained model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from finetune.cli.completion import complete_setting
from finetune.cli.help import OF_DATA, examples
from finetune.cli.options import QuietOption, reports_errors
from finetune.cli.output import print_text
from finetune.errors import RecipeError

EXAMPLES = examples(
    "finetune predict runs/tweets-strong-seed0 'what a day'",
    "finetune predict runs/compare-tweets --data new.csv --output predicted.csv --probabilities",
    "tail -f log.txt | finetune predict model/ --data - --accuracy 0.95",
)


ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Folder of a run or comparison, a model folder, or a hub id.")
]
ReadingSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="How the data is read, e.g. data.text=Review. Repeatable.",
        rich_help_panel=OF_DATA,
        autocompletion=complete_setting,
    ),
]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", min=1, help="Texts per forward pass.")]
PrecisionOption = Annotated[
    str,
    typer.Option(
        metavar="fp32|bf16",
        help="Precision of matrix products. bf16 is faster on a processor that supports it, and changes the third "
        "digit of probabilities.",
    ),
]
ProcessesOption = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="With --data FILE: processes that share the rows, 8,192 at a time."),
]
TextsArgument = Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts to predict, instead of --data.")]
TextsOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="File with texts, in any format that run takes; no labels needed. -: lines of standard input.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="New .csv, .tsv, .jsonl or .parquet file. Default: predictions.csv."),
]
AccuracyOption = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION",
        help="Predict only rows that are confident enough for this accuracy on validation, such as 0.95.",
    ),
]


@reports_errors("Predictions made so far for a large file are kept beside the output: the same command continues.")
def predict(
    model: ModelArgument,
    texts: TextsArgument = None,
    data: TextsOption = None,
    output: OutputOption = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Add the probability of every label.")] = False,
    accuracy: AccuracyOption = None,
    overrides: ReadingSetOption = None,
    batch_size: BatchSizeOption = 32,
    precision: PrecisionOption = "fp32",
    processes: ProcessesOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Predict texts with a trained model: all columns of the file are kept, with a prediction for each row."""
    if bool(texts) == (data is not None):
        both = "give either texts or a file with --data, not both."
        raise RecipeError(both if texts else "give texts, or a file with --data.")
    _refuse_idle(data, output, overrides, processes)
    from finetune.cli.listening import WarningListener

    listener = WarningListener(notes=not quiet)
    asked: dict[str, Any] = {
        "probabilities": probabilities,
        "accuracy": accuracy,
        "batch_size": batch_size,
        "precision": precision,
        "listener": listener,
    }
    if texts:
        from finetune.reports.predictions import render_predictions
        from finetune.workflows.predict import predict_texts

        print_text(render_predictions(texts, predict_texts(model, texts, **asked)))
    elif data == "-":
        _answer_stdin(model, overrides=overrides or (), **asked)
    else:
        from finetune.reports.predictions import render_written
        from finetune.workflows.predict import predict as workflow

        result = workflow(model, data, output=output, overrides=overrides or (), processes=processes, **asked)
        print_text(render_written(result.path, result.rows, result.seconds))


def _refuse_idle(data: str | None, output: Path | None, overrides: list[str] | None, processes: int) -> None:
    """
    Raises:
        RecipeError: An option was given that would not act on typed texts, or on standard input.
    """
    if processes > 1 and data in (None, "-"):
        why = "several processes share the rows of a file (--data FILE)."
        raise RecipeError(why, argument="processes", found=processes)
    if output is not None and data == "-":
        why = "predictions for standard input go to standard output, as JSON lines. Leave it out, and redirect them."
        raise RecipeError(why, argument="output", found=str(output))
    if output is not None and data is None:
        why = "predictions for typed texts go to standard output. Leave it out, or give a file with --data."
        raise RecipeError(why, argument="output", found=str(output))
    if overrides and data is None:
        raise RecipeError("does not apply to typed texts. Leave it out.", where="--set")


def _answer_stdin(model: str, **asked: Any) -> None:
    """A JSON line for each line, at once."""
    from finetune.workflows.predict import predict_lines

    for answer in predict_lines(model, sys.stdin, **asked):
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        sys.stdout.flush()
