"""`finetune compare` and `ablate`: which regularization closed the gap, and whether the difference is significant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune.cli.experiment_options import (
    DEFAULT_EXECUTOR,
    CellTimeoutOption,
    ComparedOption,
    ComparedSeedsOption,
    ComparedSetOption,
    DryRunOption,
    ExecutorOption,
    FailOption,
    FinalOption,
    FoldsOption,
    JobsOption,
    OutputOption,
    PerGpuOption,
    ResumeOption,
    SeedsOption,
    VariantOption,
    WideOption,
    parse_seeds,
    parse_variants,
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
    split_names,
)
from finetune.cli.printing import print_plan_of_runs, print_report
from finetune.cli.typed import typed_command

if TYPE_CHECKING:
    from finetune.workflows.results import CompareResult

COMPARE_EXAMPLES = examples(
    "finetune compare --presets none,strong --seeds 5",
    "finetune compare --data reviews.csv --seeds auto:10",
    "finetune compare --data reviews.csv --folds 5",
    'finetune compare --variant "l1=techniques.l1.strength=0.5" --variant "l2=techniques.l2.strength=0.001"',
    "finetune compare --dry-run",
    'finetune compare --fail-on "gap.accuracy > 0.15"',
)
ABLATE_EXAMPLES = examples(
    "finetune ablate --preset strong --seeds 3 --set training.epochs=6",
)
GO_ON = "stopped; completed work is kept. To continue, type the same command again."

BaselineOption = Annotated[
    str,
    typer.Option(
        "--baseline",
        help="The preset that the others are compared with.",
        rich_help_panel=OF_RUNS,
    ),
]
KeepOption = Annotated[
    bool,
    typer.Option(
        "--keep-models", help="Keep the model of every run, not only each preset's best.", rich_help_panel=OF_RUNS
    ),
]
ExplainOption = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Report which words moved the model's answers to rows that presets disagree on. Needs captum.",
        rich_help_panel=OF_RUNS,
    ),
]


@reports_errors(interrupted=GO_ON)
def compare(
    recipe: RecipeArgument = None,
    presets: ComparedOption = None,
    variants: VariantOption = None,
    baseline: BaselineOption = "none",
    seeds: ComparedSeedsOption = "5",
    folds: FoldsOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    overrides: ComparedSetOption = None,
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
    final: FinalOption = None,
    keep_models: KeepOption = False,
    explain: ExplainOption = False,
    fail_on: FailOption = None,
    dry_run: DryRunOption = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run presets × seeds, and report which closed the gap.

    Shows each preset's effect on score and gap, with paired intervals, and recommends a model. Run again to continue.
    """
    from finetune.cli.listening import choose_listener
    from finetune.workflows import compare as workflow
    from finetune.workflows.asking import Request

    request = Request(recipe, model, data, overrides or (), skip_bad_rows, drop_leaks, metric, technique, allow_code)
    asked: dict[str, Any] = {
        "presets": None if presets is None else split_names(presets),
        "variants": parse_variants(variants),
        "baseline": baseline,
        "seeds": parse_seeds(seeds),
        "folds": folds,
        "executor": executor,
        "jobs": jobs,
        "jobs_per_gpu": jobs_per_gpu,
        "cell_timeout": cell_timeout,
        "output": output,
        "resume": resume,
        "command": typed_command(),
        "final": final,
        "fail_on": fail_on,
        "listener": choose_listener(quiet),
    }
    if dry_run:
        print_plan_of_runs(workflow.plan_compare(request, **asked), as_json)
        return
    _print_result(workflow.compare_request(request, keep_models=keep_models, explain=explain, **asked), as_json, wide)


@reports_errors(interrupted=GO_ON)
def ablate(
    recipe: RecipeArgument = None,
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            "-p",
            help="Name or path of the preset; own: the recipe's own techniques.",
            rich_help_panel=OF_RUNS,
        ),
    ] = "strong",
    seeds: SeedsOption = "3",
    folds: FoldsOption = None,
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
    fail_on: FailOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ablation: leave each technique of a preset out, and run each on its own.

    Shows what each technique contributes, with intervals.
    """
    from finetune.cli.listening import choose_listener
    from finetune.workflows import ablate as workflow
    from finetune.workflows.asking import Request

    request = Request(recipe, model, data, overrides or (), skip_bad_rows, drop_leaks, metric, technique, allow_code)
    asked: dict[str, Any] = {
        "preset": preset,
        "seeds": parse_seeds(seeds),
        "folds": folds,
        "executor": executor,
        "jobs": jobs,
        "jobs_per_gpu": jobs_per_gpu,
        "cell_timeout": cell_timeout,
        "output": output,
        "resume": resume,
        "command": typed_command(),
        "fail_on": fail_on,
        "listener": choose_listener(quiet),
    }
    if dry_run:
        print_plan_of_runs(workflow.plan_ablate(request, **asked), as_json)
        return
    _print_result(workflow.ablate_request(request, **asked), as_json)


def _print_result(result: CompareResult, as_json: bool, wide: bool = False) -> None:
    print_report(result, as_json, wide)
    result.raise_failures()
