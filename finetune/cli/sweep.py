"""`finetune sweep`: the figure of a setting from too little to too much, and the choice by validation."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from finetune.cli.compare import GO_ON
from finetune.cli.experiment_options import (
    DEFAULT_EXECUTOR,
    CellTimeoutOption,
    DryRunOption,
    ExecutorOption,
    JobsOption,
    OutputOption,
    PerGpuOption,
    ResumeOption,
    SeedsOption,
    parse_seeds,
)
from finetune.cli.help import OF_RUNS, examples
from finetune.cli.options import (
    AllowCodeOption,
    DataOption,
    JsonOption,
    LeaksOption,
    MetricOption,
    ModelOption,
    QuietOption,
    RecipeArgument,
    SetOption,
    SkipOption,
    TechniqueOption,
    reports_errors,
)
from finetune.cli.printing import print_plan_of_runs, print_sweep
from finetune.cli.typed import typed_command

EXAMPLES = examples(
    "finetune sweep --vary techniques.l1.strength=0,0.1,1,10 --seeds 3",
    "finetune sweep --vary training.epochs=2,5,10,20 --preset medium",
    "finetune sweep --vary techniques.dropout.hidden=0.1,0.3,0.5 --vary training.learning_rate=2e-5,5e-5",
)

VaryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=VALUE,…",
        help="A setting and its values: techniques.l1.strength=0,0.1,1,10; a strength of 0 turns the technique off. "
        "Repeatable: all combinations are run.",
        rich_help_panel=OF_RUNS,
    ),
]
StartOption = Annotated[
    str,
    typer.Option(
        "--preset",
        "-p",
        help="Preset that every point starts from; own: the recipe's own techniques.",
        rich_help_panel=OF_RUNS,
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Start even if there are more than 100 runs.", rich_help_panel=OF_RUNS)
]


@reports_errors(interrupted=GO_ON)
def sweep(
    recipe: RecipeArgument = None,
    vary: VaryOption = None,
    preset: StartOption = "none",
    seeds: SeedsOption = "3",
    model: ModelOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    skip_bad_rows: SkipOption = False,
    drop_leaks: LeaksOption = False,
    technique: TechniqueOption = None,
    metric: MetricOption = None,
    allow_code: AllowCodeOption = False,
    executor: ExecutorOption = DEFAULT_EXECUTOR,
    jobs: JobsOption = "auto",
    jobs_per_gpu: PerGpuOption = 1,
    cell_timeout: CellTimeoutOption = None,
    output: OutputOption = None,
    resume: ResumeOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Vary a setting from too little to too much: the regularization path.

    Draws score, gap, loss and weights against the values of a setting, marks where the model overfits and underfits,
    and chooses one by validation; only that one is measured on test. The same command again runs only what is missing.
    """
    from finetune.cli.listening import choose_listener
    from finetune.workflows import sweep as workflow
    from finetune.workflows.asking import Request

    request = Request(recipe, model, data, overrides or (), skip_bad_rows, drop_leaks, metric, technique, allow_code)
    asked: dict[str, Any] = {
        "vary": vary or [],
        "preset": preset,
        "seeds": parse_seeds(seeds),
        "executor": executor,
        "jobs": jobs,
        "jobs_per_gpu": jobs_per_gpu,
        "cell_timeout": cell_timeout,
        "output": output,
        "resume": resume,
        "yes": yes,
        "command": typed_command(),
        "listener": choose_listener(quiet),
    }
    if dry_run:
        print_plan_of_runs(workflow.plan_sweep(request, **asked), as_json)
        return
    result = workflow.sweep_request(request, **asked)
    print_sweep(result, as_json)
    result.raise_failures()
