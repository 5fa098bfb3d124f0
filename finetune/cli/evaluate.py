"""`finetune evaluate`: metrics of a saved model on labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.help import examples
from finetune.cli.options import JsonOption, QuietOption, reports_errors
from finetune.cli.output import print_text
from finetune.cli.predict import BatchSizeOption, ModelArgument, ReadingSetOption

EXAMPLES = examples(
    "finetune evaluate runs/tweets-strong-seed0 --data labelled.csv --output evaluation/",
    'finetune evaluate model/ -d labelled.csv --id ticket --fail-on "test.macro_f1 < 0.7"',
)


@reports_errors()
def evaluate(
    model: ModelArgument,
    data: Annotated[
        str, typer.Option("--data", "-d", help="File with texts and labels, in any format that run takes.")
    ],
    row_id: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Column with row names. Default: row numbers.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for evaluation.html, .md and .json. Default: they are not written."
        ),
    ] = None,
    overrides: ReadingSetOption = None,
    batch_size: BatchSizeOption = 32,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="EXPRESSION",
            help='Exit with code 1, e.g. on "test.accuracy < 0.8" (these rows). Repeatable.',
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a trained model on labelled rows: scores with intervals, classes, mistakes, drift from training."""
    from finetune.cli.listening import WarningListener
    from finetune.workflows.evaluate import evaluate as workflow

    result = workflow(
        model,
        data,
        id=row_id,
        output=output,
        overrides=overrides or (),
        batch_size=batch_size,
        fail_on=fail_on,
        listener=WarningListener(notes=not quiet),
    )
    if as_json:
        print_text(result.to_json(), whole=True)
    else:
        from finetune.cli.printing import print_evaluation

        print_evaluation(result)
    result.raise_failures()
