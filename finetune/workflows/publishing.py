"""From finished runs to the published files: report, curve, sweep, and the recommended model."""

from __future__ import annotations

from pathlib import Path

from finetune.errors import OutputError
from finetune.listener import Listener
from finetune.records.comparison import ComparisonFolder
from finetune.records.curve import CurveReport
from finetune.records.report import Report
from finetune.records.store import RunFolder
from finetune.records.sweep import SweepReport
from finetune.records.tune import TuneReport
from finetune.workflows.model_cards import write_card


def publish_comparison(folder: ComparisonFolder, listener: Listener) -> tuple[Report, list[Path]]:
    """Analyse, put the recommended model in its place, and write the report; the caller holds the folder.

    Returns:
        The report, and the paths of report.json, report.html and report.md.
    """
    from finetune.analysis.comparison import report_of
    from finetune.experiments.closing import export_model, with_exported_model
    from finetune.reports.files import write_report

    report = report_of([folder.path])
    if report.groups[0].recommendation is not None:
        try:
            exported = export_model(report.groups[0], folder)
        except OutputError as error:
            listener.notice(error.for_command_line(), "warning")
        else:
            folder.write(folder.read().model_copy(update={"shipped": exported}))
            write_card(RunFolder(folder.path / exported), folder.model, listener)
            report = with_exported_model(report, folder)
    tell_skipped(report.skipped, listener)
    return report, write_report(report, folder.path)


def publish_curve(
    source: Path, target: Path, baseline: str | None, listener: Listener
) -> tuple[CurveReport, list[Path]]:
    """Analyse the runs of a curve and write its report; the caller holds `target`.

    Returns:
        The report, and the paths of curve.json, curve.html and curve.md.
    """
    from finetune.analysis.curve import curve_of
    from finetune.reports.curve_page import write_curve

    report = curve_of(source, baseline)
    tell_skipped(report.skipped, listener)
    return report, write_curve(report, target)


def publish_sweep(
    source: Path, target: Path, baseline: str | None, listener: Listener
) -> tuple[SweepReport, list[Path]]:
    """Analyse the runs of a sweep and write its report; the caller holds `target`.

    Returns:
        The report, and the paths of sweep.json, sweep.html and sweep.md.
    """
    from finetune.analysis.sweep import sweep_of
    from finetune.reports.sweep_page import write_sweep

    report = sweep_of(source, baseline)
    tell_skipped(report.skipped, listener)
    return report, write_sweep(report, target)


def again_tune(source: Path, target: Path) -> tuple[TuneReport, list[Path]]:
    """Write the report of a finished tune once more: its numbers are those of tune.json.

    Returns:
        The report, and the paths of tune.json, tune.html and tune.md.

    Raises:
        OutputError: The tune has not ended, or its report cannot be read.
    """
    from finetune.records.tune import read_report
    from finetune.reports.tune_page import write_tune

    report = read_report(source)
    return report, write_tune(report, target)


def tell_skipped(skipped: list[str], listener: Listener) -> None:
    """Tell which records could not be read, each with the reason."""
    for text in skipped:
        listener.notice(f"skipped: {text}", "warning")
