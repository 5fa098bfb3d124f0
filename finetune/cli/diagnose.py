"""`finetune diagnose`: what scores mean, and what to do."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from finetune.cli.completion import complete_metric
from finetune.cli.help import examples
from finetune.cli.options import JsonOption, reports_errors, split_names
from finetune.cli.output import print_text

EXAMPLES = examples(
    "finetune diagnose --train-accuracy 0.98 --validation-accuracy 0.75 --train-size 1000 --validation-size 200",
    "finetune diagnose runs/tweets-none-seed0",
    "finetune diagnose out/checkpoint-300 --validation-size 200",
    "finetune diagnose mlruns --run NAME",
)


GROUPS = re.compile(r"\d{1,3}(?:[,.'_ \u00a0\u202f]\d{3})+")  # 1,000


def fraction(text: str) -> float:
    """A fraction, with a decimal point or comma; 98% is 0.98."""
    plain = text.strip().removesuffix("%").strip()
    value = _number(plain.replace(",", "."), text)
    return round(value / 100, 9) if text.strip().endswith("%") else value


def nats(text: str) -> float:
    """A loss in nats, with a decimal point or comma."""
    return _number(text.strip().replace(",", "."), text)


def rows(text: str) -> int:
    """A whole number, with or without separators of thousands."""
    plain = text.strip()
    plain = re.sub(r"\D", "", plain) if GROUPS.fullmatch(plain) else plain
    try:
        return int(plain)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is not a whole number, such as 1000.") from error


def _number(plain: str, text: str) -> float:
    try:
        return float(plain)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is not a number, such as 0.98.") from error


RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A run, or a log of a transformers Trainer, TensorBoard, MLflow, Trackio, W&B (CSV), Lightning, Keras, "
        "fastai, spaCy, flair or simpletransformers: a file or its folder. Default: the numbers given below.",
    ),
]
TrainAccuracy = Annotated[
    float | None,
    typer.Option(metavar="FRACTION", parser=fraction, help="Accuracy on training rows, in eval mode: 0.98."),
]
ValidationAccuracy = Annotated[
    float | None, typer.Option(metavar="FRACTION", parser=fraction, help="Accuracy on validation rows: 0.75.")
]
TestAccuracy = Annotated[
    float | None, typer.Option(metavar="FRACTION", parser=fraction, help="Accuracy on test rows, if known: 0.74.")
]
TrainSize = Annotated[int | None, typer.Option(metavar="ROWS", parser=rows, help="Number of training rows.")]
ValidationSize = Annotated[int | None, typer.Option(metavar="ROWS", parser=rows, help="Number of validation rows.")]
TestSize = Annotated[int | None, typer.Option(metavar="ROWS", parser=rows, help="Number of test rows.")]
Classes = Annotated[int | None, typer.Option(help="Number of classes.")]
Majority = Annotated[
    float | None, typer.Option(metavar="FRACTION", parser=fraction, help="Fraction of rows in the largest class.")
]
TrainLoss = Annotated[
    float | None, typer.Option(metavar="NATS", parser=nats, help="Mean log loss of training rows, in eval mode.")
]
ValidationLoss = Annotated[
    float | None, typer.Option(metavar="NATS", parser=nats, help="Mean log loss of validation rows.")
]
Epochs = Annotated[float | None, typer.Option(help="Epochs trained.")]
Techniques = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Regularizers that were used, separated by commas: dropout,l2.")
]
RunName = Annotated[str | None, typer.Option("--run", metavar="NAME", help="Run to read, if the log holds several.")]
EvaluationSet = Annotated[
    str | None, typer.Option(metavar="NAME", help="Evaluation set to use, if the log holds several.")
]
LogMetric = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Metric of the log to use. Default: accuracy.",
        autocompletion=complete_metric,
    ),
]
FailOn = Annotated[
    list[str] | None, typer.Option(metavar="VERDICT", help="Exit with code 1 on this verdict. Repeatable.")
]
EveryDetail = Annotated[bool, typer.Option("--all", help="Show all steps of the plan in detail.")]


@reports_errors()
def diagnose(
    source: RunArgument = None,
    train_accuracy: TrainAccuracy = None,
    validation_accuracy: ValidationAccuracy = None,
    test_accuracy: TestAccuracy = None,
    train_size: TrainSize = None,
    validation_size: ValidationSize = None,
    test_size: TestSize = None,
    classes: Classes = None,
    majority: Majority = None,
    train_loss: TrainLoss = None,
    validation_loss: ValidationLoss = None,
    epochs: Epochs = None,
    techniques: Techniques = None,
    run: RunName = None,
    evaluation: EvaluationSet = None,
    metric: LogMetric = None,
    fail_on: FailOn = None,
    every_detail: EveryDetail = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether a model overfits, how sure that is, what else it could be, and what to do."""
    from finetune.workflows.diagnose import diagnose as workflow

    result = workflow(
        source,
        train_accuracy=train_accuracy,
        validation_accuracy=validation_accuracy,
        test_accuracy=test_accuracy,
        train_size=train_size,
        validation_size=validation_size,
        test_size=test_size,
        classes=classes,
        majority=majority,
        train_loss=train_loss,
        validation_loss=validation_loss,
        epochs=epochs,
        techniques=None if techniques is None else split_names(techniques),
        run=run,
        evaluation=evaluation,
        metric=metric,
        fail_on=fail_on,
    )
    from finetune.reports.diagnosis import render_diagnosis

    text = result.to_json() if as_json else render_diagnosis(result.diagnosis, every_detail)
    print_text(text, whole=as_json)
    result.raise_failures()
