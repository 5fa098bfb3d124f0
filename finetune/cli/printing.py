"""Results on stdout: tables and summaries, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from finetune.cli.output import print_text, terminal_width

if TYPE_CHECKING:
    from rich.console import Console

    from finetune.records.profile import RunProfile
    from finetune.records.schema import FinishedRecord
    from finetune.records.store import RunFolder
    from finetune.workflows.asking import Request
    from finetune.workflows.experiment import Experiment
    from finetune.workflows.model_results import EvaluateResult, ExportResult
    from finetune.workflows.results import CompareResult, CurveResult, RunResult, SweepResult, TuneResult
    from finetune.workflows.tune import Plan


def console(piped_width: int, least: int = 0) -> Console:
    """A console as wide as the terminal, or `least` columns wide; piped output has no width of its own."""
    from finetune.reports.rich_table import SafeConsole

    width = max(terminal_width(sys.stdout) or piped_width, least)
    return SafeConsole(highlight=False, width=width)


def print_report(result: CompareResult, as_json: bool, wide: bool = False) -> None:
    """The tables and summaries of a comparison, or report.json; `wide`: whole tables at any terminal width."""
    if as_json:
        print_text(result.report.model_dump_json(indent=2), whole=True)
        return
    from finetune.reports.comparison import WIDE, ablation_table, comparison_summary, comparison_table, finals_table
    from finetune.reports.preset_blocks import preset_blocks

    out = console(140, WIDE if wide else 0)
    for group in result.report.groups:
        in_blocks = group.kind != "ablate" and out.width < WIDE
        if in_blocks:
            print_text(preset_blocks(group))
        else:
            out.print(ablation_table(group) if group.kind == "ablate" else comparison_table(group))
        print_text(comparison_summary(group, with_verdicts=not in_blocks))
        if (finals := finals_table(group)) is not None:
            out.print(finals)
    print_text(f"Report      {result.paths[1]}   (also report.md and report.json)")


def print_curve(result: CurveResult, as_json: bool) -> None:
    """Table and summary of a curve, or curve.json."""
    if as_json:
        print_text(result.report.model_dump_json(indent=2), whole=True)
        return
    from finetune.reports.curve import curve_summary, curve_table

    out = console(140)
    out.print(curve_table(result.report))
    print_text(curve_summary(result.report))
    print_text(f"Curve       {result.paths[1]}   (also curve.md and curve.json)")


def print_sweep(result: SweepResult, as_json: bool) -> None:
    """Table and summary of a sweep, or sweep.json."""
    if as_json:
        print_text(result.report.model_dump_json(indent=2), whole=True)
        return
    from finetune.reports.sweep import sweep_summary, sweep_table

    console(140).print(sweep_table(result.report))
    print_text(sweep_summary(result.report))
    print_text(f"Sweep       {result.paths[1]}   (also sweep.md with figures/path.png, and sweep.json)")


def print_tune(result: TuneResult, as_json: bool) -> None:
    """Table and summary of a tune, or tune.json."""
    if as_json:
        print_text(result.report.model_dump_json(indent=2), whole=True)
        return
    from finetune.reports.tune import tune_summary, tune_table

    console(140).print(tune_table(result.report))
    print_text(tune_summary(result.report))
    print_text(f"Tune        {result.paths[1]}   (also tune.md and tune.json)")


def print_plan_of_tune(plan: Plan, as_json: bool) -> None:
    """What a dry run of a tune would do, and an estimate of its time; or both as JSON."""
    from finetune.measurement.units import count_text, time_text
    from finetune.reports.tune import range_text

    described = plan.describe()
    if as_json:
        print_text(json.dumps(described, indent=2), whole=True)
        return
    print_text("\n".join(["Searched", *(f"  {range_text(each)}" for each in plan.trials.space)]))
    print_text(
        f"At most {count_text(described['folds'], 'training')} on folds and {described['test']} for test are left, "
        f"{described['jobs']} at a time: about {time_text(described['seconds'])} ({described['source']}; less where "
        "settings are stopped early)\n"
        "dry run: nothing was trained"
    )


def print_evaluation(result: EvaluateResult) -> None:
    """Tables, and the lines below them."""
    from finetune.reports.evaluation import summary, terminal_tables

    out = console(100)
    for table in terminal_tables(result.report):
        out.print(table)
    print_text(summary(result.report))
    if result.paths:
        print_text(f"\nReport      {result.paths[1]}   (also evaluation.md and evaluation.json)")


def print_export(result: ExportResult) -> None:
    """The table of both models, and the lines below it."""
    from finetune.reports.export import export_table, render_export
    from finetune.reports.rich_table import rich_table

    console(100).print(rich_table(export_table(result.report)))
    print_text(render_export(result.report, result.path))


def print_plan_of_runs(experiment: Experiment, as_json: bool) -> None:
    """The runs of a dry run, and an estimate of their time; or both as JSON."""
    from finetune.measurement.units import time_text
    from finetune.reports.matrix import describe_matrix

    described = experiment.describe()
    if as_json:
        print_text(json.dumps(described, indent=2), whole=True)
        return
    final = ""
    if experiment.kind == "compare":  # the others keep no model
        trained = ", one more training, included in this time" if experiment.final.trains else ""
        final = f"ends with --final {described['final']}{trained}\n"
    console(100).print(describe_matrix(described["cells"]))
    most = described.get("at_most", described)
    runs = f"{described['to_run']} of {len(described['cells'])}"
    time = f"about {time_text(described['seconds'])}"
    if most["to_run"] > described["to_run"]:
        runs = f"{described['to_run']} to {most['to_run']} of at most {len(most['cells'])}"
        time = f"between {time_text(described['seconds'])} and {time_text(most['seconds'])}"
    print_text(
        f"{runs} runs left, {described['jobs']} at a time: {time} ({described['source']}; less with early stopping, a "
        "little more for starting workers)\n"
        f"{final}dry run: nothing was trained"
    )


def print_runs(
    result: RunResult, as_json: bool, request: Request, preset: str | None, told: Collection[str] = ()
) -> None:
    """The gap of each run, what to do next, and where the time went; or the records as JSON.

    Args:
        result: Result of `run`.
        as_json: JSON instead of tables.
        request: What was trained.
        preset: As the user named it.
        told: Warnings that have been shown already.
    """
    if as_json:
        print_text(json.dumps([_as_json(*pair, result) for pair in _pairs(result)], indent=2), whole=True)
        return
    from finetune.diagnosis.next_step import next_command, remedy
    from finetune.reports.terminal import run_summary, run_table, seeds_table

    out = console(100)
    for record, folder in _pairs(result):
        out.print(run_table(record))
        next_step = next_command(record, request.typed(remedy(record)), preset, request.technique_settings())
        print_text(run_summary(record, folder, next_step, told))
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
            print_text(floor_line(what, watched))
    print_text(padding_line(found))
    for sentence in speed_advice(record, found):
        print_text(f"Advice      {sentence}")
    print_text(f"Profile     {folder.profile / 'profile.json'}")
    print_text(f"Timelines   {folder.profile}/trace-*.json.gz   (open in ui.perfetto.dev or chrome://tracing)")
