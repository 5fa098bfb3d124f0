"""`finetune tune`: search the learning rate and strengths of a preset; keep the default unless it is beaten beyond
chance."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from finetune.cli.compare import GO_ON
from finetune.cli.completion import complete_presets, complete_setting
from finetune.cli.experiment_options import (
    DEFAULT_EXECUTOR,
    CellTimeoutOption,
    DryRunOption,
    ExecutorOption,
    JobsOption,
    OutputOption,
    PerGpuOption,
    ResumeOption,
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
from finetune.cli.printing import print_plan_of_tune, print_tune
from finetune.cli.typed import typed_command

EXAMPLES = examples(
    "finetune tune --preset medium --trials 30",
    "finetune tune --trials 12 --range training.learning_rate=1e-5,5e-4",
    "finetune tune --preset strong --dry-run",
)

TunedOption = Annotated[
    str,
    typer.Option(
        "--preset",
        "-p",
        help="Preset to tune; own: the recipe's own techniques.",
        rich_help_panel=OF_RUNS,
        autocompletion=complete_presets,
    ),
]
TrialsOption = Annotated[
    int,
    typer.Option("--trials", "-n", help="Settings to try in addition to the default.", rich_help_panel=OF_RUNS),
]
InnerFoldsOption = Annotated[
    int,
    typer.Option(
        "--folds",
        help="Cross-validation folds of the training rows, used to choose settings; test is not used.",
        rich_help_panel=OF_RUNS,
    ),
]
RangeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--range",
        metavar="KEY=LOW,HIGH",
        help="Search only this setting, between LOW and HIGH; KEY alone: in its default range. Repeatable. Default: "
        "the learning rate, then every strength of the preset.",
        rich_help_panel=OF_RUNS,
        autocompletion=complete_setting,
    ),
]
LastSeedsOption = Annotated[
    str,
    typer.Option(
        "--seeds",
        help="Seeds of the final runs, which are measured on test: how many (5: 0 to 4), or which (3,7,11).",
        rich_help_panel=OF_RUNS,
    ),
]


@reports_errors(interrupted=GO_ON)
def tune(
    recipe: RecipeArgument = None,
    preset: TunedOption = "medium",
    trials: TrialsOption = 30,
    folds: InnerFoldsOption = 3,
    ranges: RangeOption = None,
    seeds: LastSeedsOption = "3",
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
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search the learning rate and strengths of a preset; keep the default unless it is beaten beyond chance.

    Settings are chosen on folds of the training rows, with paired intervals against the default; hopeless ones are
    stopped early. Test is opened once, at the end, to measure how much the selection inflated the score (optimism). The
    choice is written as a recipe, tuned.yaml. The same command continues where it was stopped. Needs Optuna: pip
    install "finetune[tune]"
    """
    from finetune.cli.listening import choose_listener
    from finetune.workflows import tune as workflow
    from finetune.workflows.asking import Request

    request = Request(recipe, model, data, overrides or (), skip_bad_rows, drop_leaks, metric, technique, allow_code)
    asked: dict[str, Any] = {
        "preset": preset,
        "trials": trials,
        "folds": folds,
        "ranges": ranges or None,
        "seeds": parse_seeds(seeds),
        "executor": executor,
        "jobs": jobs,
        "jobs_per_gpu": jobs_per_gpu,
        "cell_timeout": cell_timeout,
        "output": output,
        "resume": resume,
        "command": typed_command(),
        "listener": choose_listener(quiet),
    }
    if dry_run:
        print_plan_of_tune(workflow.plan_tune(request, **asked), as_json)
        return
    result = workflow.tune_request(request, **asked)
    print_tune(result, as_json)
    result.raise_failures()
