"""`finetune diagnose`: what scores mean, and what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune.cli.options import JsonOption, reports_errors

EXAMPLES = (
    "Examples:  finetune diagnose --train-accuracy 0.98 --validation-accuracy 0.75 --train-size 1000 "
    "--validation-size 200   |   "
    "finetune diagnose runs/tweets-none   |   finetune diagnose out/checkpoint-300 --validation-size 200"
)


@reports_errors()
def diagnose(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run, or a transformers Trainer: its folder or trainer_state.json. Default: the numbers below.",
        ),
    ] = None,
    train_accuracy: Annotated[
        float | None, typer.Option("--train-accuracy", metavar="FRACTION", help="Of training rows, in eval mode: 0.98.")
    ] = None,
    validation_accuracy: Annotated[
        float | None, typer.Option("--validation-accuracy", metavar="FRACTION", help="Of validation rows: 0.75.")
    ] = None,
    train_size: Annotated[int | None, typer.Option("--train-size", metavar="ROWS", help="Training rows.")] = None,
    validation_size: Annotated[
        int | None, typer.Option("--validation-size", metavar="ROWS", help="Validation rows.")
    ] = None,
    classes: Annotated[int | None, typer.Option("--classes", help="Number of classes.")] = None,
    majority: Annotated[
        float | None, typer.Option("--majority", metavar="FRACTION", help="Fraction of the largest class.")
    ] = None,
    train_loss: Annotated[
        float | None, typer.Option("--train-loss", help="Mean log loss of training rows, in eval mode.")
    ] = None,
    validation_loss: Annotated[
        float | None, typer.Option("--validation-loss", help="Mean log loss of validation rows.")
    ] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", help="Epochs trained.")] = None,
    evaluation: Annotated[
        str | None, typer.Option("--evaluation", metavar="NAME", help="Of several evaluation sets, the one to go by.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME", help="Of a log, the score to go by. Default: accuracy.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="VERDICT", help="Exit with code 1 on this verdict. Repeatable."),
    ] = None,
    every_detail: Annotated[bool, typer.Option("--all", help="All steps of the plan in detail.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether a model overfits, how sure that is, what else it could be, and what to do."""
    from finetune.workflows.diagnose import diagnose as workflow

    result = workflow(
        source,
        train_accuracy=train_accuracy,
        validation_accuracy=validation_accuracy,
        train_size=train_size,
        validation_size=validation_size,
        classes=classes,
        majority=majority,
        train_loss=train_loss,
        validation_loss=validation_loss,
        epochs=epochs,
        evaluation=evaluation,
        metric=metric,
        fail_on=fail_on,
    )
    from finetune.reports.diagnosis import render_diagnosis

    typer.echo(result.to_json() if as_json else render_diagnosis(result.diagnosis, every_detail))
    result.raise_failures()
