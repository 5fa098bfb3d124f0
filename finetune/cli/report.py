"""`finetune report`: the report of finished runs, from their records alone. Needs no torch."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finetune.cli.options import JsonOption, complain, reports_errors
from finetune.errors import RecipeError, RunFailed

if TYPE_CHECKING:
    from finetune.analysis.quality_gates import Gate
    from finetune.records.report import Report

REPORT_EXAMPLES = (
    "Examples:  finetune report runs/compare-tweets   |   finetune report runs/tweets-* --baseline none --output report"
)
FailOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="EXPR",
        help="Exit 1 if it holds, e.g. 'gap.accuracy > 0.15'. Fields: train, validation, test, gap or gap_last, a dot "
        "and a metric (of the recommended preset); PRESET. before it (of that one); difference. before it (to the "
        "baseline); failed, degenerate (runs). Shares: 0.15 is 15 points; nll: nats. Join with and, or. Repeatable.",
    ),
]


@reports_errors
def report(
    folders: Annotated[
        list[Path], typer.Argument(help="Of comparisons, of runs, or of folders that hold runs.", metavar="DIR…")
    ],
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="The preset that others are compared with. Left out: as it was.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where it goes. Left out: into DIR if it is one, else runs/report."),
    ] = None,
    fail_on: FailOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of finished runs anew, from records alone."""
    from finetune.analysis.collect import is_curve
    from finetune.analysis.comparison import report_of
    from finetune.analysis.quality_gates import parse_gate
    from finetune.records.store import check_place, lock_folder
    from finetune.reports.files import write_report

    if len(folders) == 1 and is_curve(folders[0]):
        _report_curve(folders[0], baseline, output, fail_on, as_json)
        return
    with without_collecting():
        found = report_of(folders, baseline)
    gates = [
        [
            parse_gate(
                text, [variant.name for variant in group.variants], list(group.metrics), group.reported == "test"
            )
            for text in fail_on or []
        ]
        for group in found.groups
    ]
    for text in found.skipped:
        complain(f"warning: skipped: {text}")
    target = output or (folders[0] if len(folders) == 1 else Path("runs/report"))
    check_place(target)
    with lock_folder(target), without_collecting():
        paths = write_report(found, target)
    print_report(found, paths, as_json)
    check_gates(found, gates)


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """No garbage is looked for: a report makes a million objects that stay, and the search was a sixth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()  # and back: they are old now, and the next search for young garbage passes them over
            gc.unfreeze()
            gc.enable()


def _report_curve(
    folder: Path, baseline: str | None, output: Path | None, fail_on: list[str] | None, as_json: bool
) -> None:
    """A curve has a report of its own.

    Raises:
        RecipeError: Gates were asked for, which are about presets on the same rows.
    """
    from finetune.cli.curve import print_curve, publish_curve
    from finetune.records.store import check_place, lock_folder

    if fail_on:
        raise RecipeError(f"--fail-on {fail_on[0]}: {folder} holds a curve, which has no gates. Leave it out.")
    target = output or folder
    check_place(target)
    with lock_folder(target), without_collecting():
        found, paths = publish_curve(folder, target, baseline)
    print_curve(found, paths, as_json)


def print_report(found: Report, paths: list[Path], as_json: bool) -> None:
    """Tables and summaries on stdout, or report.json."""
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    from rich.console import Console

    from finetune.reports.comparison import ablation_table, comparison_summary, comparison_table

    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)
    for group in found.groups:
        console.print(ablation_table(group) if group.kind == "ablate" else comparison_table(group))
        console.print(comparison_summary(group), markup=False)
    typer.echo(f"Report      {paths[1]}   (also report.md and report.json)")


def check_gates(found: Report, gates: list[list[Gate]]) -> None:
    """Exit 1 with every figure that failed a gate; `gates` has one list a group.

    Raises:
        RunFailed: There is one.
    """
    from finetune.analysis.quality_gates import failed_gates

    failed = [text for group, own in zip(found.groups, gates, strict=True) for text in failed_gates(own, group)]
    if failed:
        raise RunFailed("\n".join(f"--fail-on {text}" for text in failed))
