"""`finetune report`: the report of finished runs, from their records alone. Needs no torch."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.experiment_options import FailOption, WideOption
from finetune.cli.help import examples
from finetune.cli.options import JsonOption, reports_errors
from finetune.cli.printing import print_curve, print_report, print_sweep, print_tune

REPORT_EXAMPLES = examples(
    "finetune report runs/compare-tweets",
    "finetune report runs/tweets-* --baseline none --output report",
)


@reports_errors()
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of a curve, sweep or tune; or folders of comparisons or runs, or folders that hold runs.",
            metavar="DIR…",
        ),
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            help="The preset that others are compared with. Default: that of the comparison; for single runs, `none`.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Output folder. Default: DIR if it is one, else runs/report."),
    ] = None,
    fail_on: FailOption = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Regenerate the report from saved run records."""
    from finetune.cli.listening import WarningListener
    from finetune.workflows import report as workflow
    from finetune.workflows.results import CurveResult, SweepResult, TuneResult

    with _without_collecting():
        result = workflow.report(folders, baseline=baseline, output=output, fail_on=fail_on, listener=WarningListener())
    if isinstance(result, CurveResult):
        print_curve(result, as_json)
    elif isinstance(result, SweepResult):
        print_sweep(result, as_json)
    elif isinstance(result, TuneResult):
        print_tune(result, as_json)
    else:
        print_report(result, as_json, wide)
    result.raise_failures()


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """No search for garbage: a report makes a million objects that stay, and the search took a sixth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()  # and back: they are old now, and the next search for young garbage passes them over
            gc.unfreeze()
            gc.enable()
