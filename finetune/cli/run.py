"""`finetune run`: train, measure, and report the gap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune.cli.help import examples
from finetune.cli.launch import is_launched, launch_processes
from finetune.cli.options import (
    AllowCodeOption,
    DataOption,
    JsonOption,
    LeaksOption,
    MetricOption,
    ModelOption,
    PresetOption,
    QuietOption,
    RecipeArgument,
    SetOption,
    SkipOption,
    TechniqueOption,
    reports_errors,
)
from finetune.cli.output import print_text
from finetune.cli.printing import print_runs

if TYPE_CHECKING:
    from finetune.workflows.asking import Request

EXAMPLES = examples(
    "finetune run --preset strong",
    "finetune run --data reviews.csv --preset medium --seed 1 --seed 2",
    "finetune run --data reviews.csv --set data.text=Review --set data.label=Stars",
)


@reports_errors(interrupted="stopped; completed work is kept.")
def run(
    recipe: RecipeArgument = None,
    preset: PresetOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    skip_bad_rows: SkipOption = False,
    drop_leaks: LeaksOption = False,
    seed: Annotated[list[int] | None, typer.Option("--seed", "-s", min=0, help="One run per seed. Repeatable.")] = None,
    metric: MetricOption = None,
    technique: TechniqueOption = None,
    allow_code: AllowCodeOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Output folder. Default: a new one in runs/."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything short of training, and stop.")] = False,
    launch: Annotated[
        int | None,
        typer.Option("--launch", min=1, help="Train with this many processes, through accelerate."),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Show where the time goes: seconds per phase of the run and per kind of operation of a training step, "
            "with advice. Results are the same; the run takes a little longer. Details: profile/ in its folder.",
        ),
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fine-tune a recipe with a preset, and report the gap."""
    from finetune.training.phases import START, Stopwatch, process_age

    stopwatch = Stopwatch(START, process_age())
    from finetune.cli.listening import choose_listener
    from finetune.workflows.asking import Request

    request = Request(recipe, model, data, overrides or (), skip_bad_rows, drop_leaks, metric, technique, allow_code)
    asked: dict[str, Any] = {"preset": preset, "seed": seed, "output": output, "resume": resume}
    if launch is not None and not is_launched():
        launch_processes(launch, request, asked)
    asked["listener"] = choose_listener(quiet)
    if dry_run:
        _print_plan(request, asked | {"profile": profile}, as_json)
        return
    from finetune.workflows.run import run_request

    result = run_request(request, profile=profile, stopwatch=stopwatch, **asked)
    if result.is_main:
        print_runs(result, as_json, request, preset, asked["listener"].told)
    result.raise_failures()


def _print_plan(request: Request, asked: dict[str, Any], as_json: bool) -> None:
    from finetune.reports.plan import render_plan
    from finetune.workflows.run import plan_run

    plan = plan_run(request, **asked)
    if plan is not None:
        text = json.dumps(plan, indent=2) if as_json else render_plan(plan) + "\n\ndry run: nothing was trained"
        print_text(text, whole=as_json)
