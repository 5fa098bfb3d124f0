"""`finetune export`: a saved model for ONNX Runtime or OpenVINO, compared with the original before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.completion import complete_format
from finetune.cli.help import examples
from finetune.cli.options import JsonOption, QuietOption, reports_errors
from finetune.cli.output import print_text
from finetune.cli.predict import BatchSizeOption, ModelArgument, ReadingSetOption

EXAMPLES = examples(
    "finetune export runs/tweets-strong-seed0",
    "finetune export runs/tweets-strong-seed0 --format openvino --quantize int8",
    "finetune export model/ --data labelled.csv --output model-onnx/",
)


@reports_errors("Nothing was kept.")
def export(
    model: ModelArgument,
    form: Annotated[
        str,
        typer.Option("--format", "-f", metavar="FORMAT", help="onnx or openvino.", autocompletion=complete_format),
    ] = "onnx",
    quantize: Annotated[
        str | None, typer.Option("--quantize", metavar="PRECISION", help="int8: 8-bit weights. Default: fp32.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="File with texts to compare on. Default: the run's validation rows."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New folder. Default: beside the model's, such as model-onnx.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Largest allowed difference of a probability (default 0.001); int8: largest fraction of labels that "
            "may change (0.05).",
        ),
    ] = None,
    overrides: ReadingSetOption = None,
    batch_size: BatchSizeOption = 32,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Export a trained model to ONNX or OpenVINO; it is kept if it predicts the same."""
    from finetune.cli.listening import WarningListener
    from finetune.workflows.export import export as workflow

    result = workflow(
        model,
        form,
        quantize=quantize,
        data=data,
        output=output,
        tolerance=tolerance,
        overrides=overrides or (),
        batch_size=batch_size,
        listener=WarningListener(notes=not quiet),
    )
    if as_json:
        print_text(result.to_json(), whole=True)
    else:
        from finetune.cli.printing import print_export

        print_export(result)
