"""Results on stdout: tables and summaries, or JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from finetune.cli.options import say

if TYPE_CHECKING:
    from rich.console import Console

    from finetune.records.profile import RunProfile
    from finetune.records.schema import FinishedRecord
    from finetune.records.store import RunFolder
    from finetune.workflows.asking import Request
    from finetune.workflows.experiment import Experiment
    from finetune.workflows.results import CompareResult, CurveResult, EvaluateResult, RunResult, SweepResult


def console(piped_width: int) -> Console:
    """Of the terminal's width; piped output has none of its own, and 80 columns would break the tables."""
    from finetune.reports.rich_table import SafeConsole

    return SafeConsole(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else piped_width)


def print_report(result: CompareResult, as_json: bool) -> None:
    """The tables and summaries of a comparison, or report.json."""
    if as_json:
        say(result.report.model_dump_json(indent=2))
        return
    from finetune.reports.comparison import ablation_table, comparison_summary, comparison_table, finals_table

    out = console(140)
    for group in result.report.groups:
        out.print(ablation_table(group) if group.kind == "ablate" else comparison_table(group))
        out.print(comparison_summary(group), markup=False)
        if (finals := finals_table(group)) is not None:
            out.print(finals)
    say(f"Report      {result.paths[1]}   (also report.md and report.json)")


def print_curve(result: CurveResult, as_json: bool) -> None:
    """Table and summary of a curve, or curve.json."""
    if as_json:
        say(result.report.model_dump_json(indent=2))
        return
    from finetune.reports.curve import curve_summary, curve_table

    out = console(140)
    out.print(curve_table(result.report))
    out.print(curve_summary(result.report), markup=False)
    say(f"Curve       {result.paths[1]}   (also curve.md and curve.json)")


def print_sweep(result: SweepResult, as_json: bool) -> None:
    """Table and summary of a sweep, or sweep.json."""
    if as_json:
        say(result.report.model_dump_json(indent=2))
        return
    from finetune.reports.sweep import sweep_summary, sweep_table

    out = console(140)
    out.print(sweep_table(result.report))
    out.print(sweep_summary(result.report), markup=False)
    say(f"Sweep       {result.paths[1]}   (also sweep.md with figures/path.png, and sweep.json)")


def print_evaluation(result: EvaluateResult) -> None:
    """Tables, and the lines below them."""
    from finetune.reports.evaluation import WIDTH, terminal

    out = console(WIDTH)
    for part in terminal(result.report):
        out.print(part)
    if result.paths:
        say(f"\nReport      {result.paths[1]}   (also evaluation.md and evaluation.json)")


def print_plan_of_runs(experiment: Experiment, as_json: bool) -> None:
    """The runs of a dry run, and an estimate of their time; or both as JSON."""
    from finetune.measurement.units import time_text
    from finetune.reports.matrix import describe_matrix

    described = experiment.describe()
    if as_json:
        say(json.dumps(described, indent=2))
        return
    console(100).print(describe_matrix(described["cells"]))
    say(
        f"{described['to_run']} of {len(described['cells'])} runs left, {described['jobs']} at a time: about "
        f"{time_text(described['seconds'])} ({described['source']}; less with early stopping, a little more for "
        "starting workers)\n"
        f"ends with --final {described['final']}\n"
        "dry run: nothing was trained"
    )


def print_runs(result: RunResult, as_json: bool, request: Request, preset: str | None) -> None:
    """The gap of each run, what to do next, and where the time went; or the records as JSON.

    Args:
        result: Of `run`.
        as_json: JSON instead of tables.
        request: What was trained.
        preset: As it was asked for.
    """
    if as_json:
        say(json.dumps([_as_json(*pair, result) for pair in _pairs(result)], indent=2))
        return
    from finetune.advice.diagnosis import next_command
    from finetune.reports.terminal import run_summary, run_table, seeds_table

    out = console(100)
    for record, folder in _pairs(result):
        out.print(run_table(record))
        next_step = next_command(record, request.typed(), preset, request.technique_settings())
        out.print(run_summary(record, folder, next_step), markup=False)
        if folder in result.profiles:
            _print_profile(out, record, folder, result.profiles[folder])
    if len(result.records) > 1:
        out.print(seeds_table(result.records))


def _pairs(result: RunResult) -> list[tuple[FinishedRecord, RunFolder]]:
    return list(zip(result.records, result.folders, strict=True))


def _as_json(record: FinishedRecord, folder: RunFolder, result: RunResult) -> dict[str, Any]:
    profile = result.profiles.get(folder)
    return {
        "folder": str(folder.path),
        **json.loads(record.model_dump_json()),
        **({} if profile is None else {"profile": json.loads(profile.model_dump_json())}),
    }


def _print_profile(out: Console, record: FinishedRecord, folder: RunFolder, found: RunProfile) -> None:
    from finetune.advice.speed import speed_advice
    from finetune.reports.profile import floor_line, padding_line, phases_table, watched_table

    out.print(phases_table(record))
    for what, watched in (("training step", found.training), ("evaluation batch", found.evaluation)):
        if watched is not None:
            out.print(watched_table(what, watched))
            out.print(floor_line(what, watched))
    out.print(padding_line(found))
    for sentence in speed_advice(record, found):
        out.print(f"Advice      {sentence}", markup=False)
    out.print(f"Profile     {folder.profile / 'profile.json'}", markup=False)
    out.print(
        f"Timelines   {folder.profile}/trace-*.json.gz   (open in ui.perfetto.dev or chrome://tracing)", markup=False
    )
