"""`finetune curve`: score and gap against the number of training rows, and what more labels would bring."""

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
    PresetsOption,
    ResumeOption,
    SeedsOption,
    parse_seeds,
    parse_sizes,
)
from finetune.cli.help import examples
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
    split_names,
)
from finetune.cli.printing import print_curve, print_plan_of_runs
from finetune.cli.typed import typed_command

EXAMPLES = examples(
    "finetune curve --sizes 100,300,1000 --presets none,strong",
    "finetune curve --data reviews.csv --presets none",
    "finetune curve --dry-run",
)


@reports_errors(interrupted=GO_ON)
def curve(
    recipe: RecipeArgument = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            help="Training rows, ascending: 100,300,1000. Default: 1-2-5 steps from a tenth of all rows to all.",
        ),
    ] = None,
    presets: PresetsOption = "none,strong",
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
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run presets × sizes of the training set × seeds: would more labels help?

    Draws score and gap against the number of training rows, and fits a power law that says what more labels would
    bring, with its interval. The same command again runs only what is missing.
    """
    from finetune.cli.listening import choose_listener
    from finetune.workflows import curve as workflow
    from finetune.workflows.asking import Request

    request = Request(recipe, model, data, overrides or (), skip_bad_rows, drop_leaks, metric, technique, allow_code)
    listener = choose_listener(quiet)
    asked: dict[str, Any] = {
        "sizes": parse_sizes(sizes),
        "presets": split_names(presets),
        "seeds": parse_seeds(seeds),
        "executor": executor,
        "jobs": jobs,
        "jobs_per_gpu": jobs_per_gpu,
        "cell_timeout": cell_timeout,
        "output": output,
        "resume": resume,
        "command": typed_command(),
        "listener": listener,
    }
    if dry_run:
        print_plan_of_runs(workflow.plan_curve(request, **asked), as_json)
        return
    result = workflow.curve_request(request, **asked)
    print_curve(result, as_json)
    result.raise_failures()
