"""`finetune compare` and `ablate`: which regularization closed the gap, and can one believe it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from finetune.cli.matrix import (
    DryRunOption,
    JobsOption,
    MetricOption,
    OutputOption,
    PerGpuOption,
    PresetsOption,
    QuietOption,
    ResumeOption,
    SeedsOption,
    find_folder,
    folder_name,
    held,
    make_manifest,
    open_folder,
    parse_presets,
    parse_seeds,
    print_matrix,
    refuse_launcher,
    run_cells,
    say_of_data,
)
from finetune.cli.options import (
    DataOption,
    JsonOption,
    LeaksOption,
    ModelOption,
    RecipeArgument,
    SetOption,
    SkipOption,
    TechniqueOption,
    complain,
    reports_errors,
    use_techniques,
    with_switches,
)
from finetune.cli.report import FailOption, check_gates, print_report, without_collecting
from finetune.errors import FinetuneError, OutputError, RunFailed

if TYPE_CHECKING:
    from finetune.analysis.quality_gates import Gate
    from finetune.experiments.matrix import Cell, DataSets, Variant
    from finetune.experiments.scheduler import Keep
    from finetune.records.comparison import ComparisonFolder
    from finetune.records.report import Report

COMPARE_EXAMPLES = (
    "Examples:  finetune compare --presets none,strong --seeds 5   |   finetune compare --data reviews.csv --folds 5   "
    '|   finetune compare --fail-on "gap.accuracy > 0.15 or strong.difference.test.accuracy < -0.01"'
)
ABLATE_EXAMPLES = "Example:  finetune ablate --preset strong --seeds 3 --set training.epochs=6"
DEFAULT_PRESETS = "none,light,medium,strong"
DEFAULT_SEEDS = "5"

FoldsOption = Annotated[
    int | None,
    typer.Option("--folds", min=2, help="Cross-validation: each of this many parts of the data is test once."),
]
KeepOption = Annotated[
    bool, typer.Option("--keep-models", help="Keep the model of every cell, not only each preset's best.")
]


@dataclass(frozen=True)
class _Plan:
    """A comparison as it was asked for."""

    kind: Literal["compare", "ablate"]
    baseline: str
    variants: list[Variant]
    seeds: list[int]
    folds: int | None
    folder: ComparisonFolder
    gates: list[str]
    jobs: str
    jobs_per_gpu: int
    refit: bool
    keep_models: bool
    dry_run: bool
    as_json: bool
    quiet: bool


@reports_errors
def compare(
    recipe: RecipeArgument = None,
    presets: PresetsOption = DEFAULT_PRESETS,
    baseline: Annotated[str, typer.Option("--baseline", help="The preset that the others are compared with.")] = "none",
    seeds: SeedsOption = DEFAULT_SEEDS,
    folds: FoldsOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    skip_bad_rows: SkipOption = False,
    drop_leaks: LeaksOption = False,
    technique: TechniqueOption = None,
    metric: MetricOption = None,
    jobs: JobsOption = "auto",
    jobs_per_gpu: PerGpuOption = 1,
    output: OutputOption = None,
    resume: ResumeOption = False,
    refit: Annotated[
        bool,
        typer.Option("--refit", help="At the end, train the recommended preset once more on train and validation."),
    ] = False,
    keep_models: KeepOption = False,
    fail_on: FailOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run presets × seeds, and report which closed the gap.

    What each did to gap and score, paired, with intervals; ends with a recommended model. The same command again runs
    only what is missing.
    """
    use_techniques(technique)
    from finetune.experiments.matrix import Options, preset_variants

    switched = with_switches(overrides, skip_bad_rows, drop_leaks)
    options = Options(recipe, model, data, tuple(switched), tuple(metric or ()))
    variants = preset_variants(parse_presets(presets), baseline, options)
    _execute(
        _Plan(
            kind="compare",
            baseline=variants[0].name,  # the baseline leads
            variants=variants,
            seeds=parse_seeds(seeds),
            folds=folds,
            folder=find_folder(output, folder_name("compare", variants[0].recipe.name, data), resume, "compare"),
            gates=fail_on or [],
            jobs=jobs,
            jobs_per_gpu=jobs_per_gpu,
            refit=refit,
            keep_models=keep_models,
            dry_run=dry_run,
            as_json=as_json,
            quiet=quiet,
        )
    )


@reports_errors
def ablate(
    recipe: RecipeArgument = None,
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="Name or path of the bundle to take apart; own: the recipe's own.")
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
    jobs: JobsOption = "auto",
    jobs_per_gpu: PerGpuOption = 1,
    output: OutputOption = None,
    resume: ResumeOption = False,
    fail_on: FailOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take a preset apart: each technique left out, and each alone.

    Shows what each part earns, with intervals.
    """
    use_techniques(technique)
    from finetune.experiments.matrix import Options, ablation_variants

    switched = with_switches(overrides, skip_bad_rows, drop_leaks)
    options = Options(recipe, model, data, tuple(switched), tuple(metric or ()))
    variants, left_out = ablation_variants(preset, options)
    for text in left_out:
        complain(f"warning: {text}")
    _execute(
        _Plan(
            kind="ablate",
            baseline="none",
            variants=variants,
            seeds=parse_seeds(seeds),
            folds=folds,
            folder=find_folder(
                output, f"{folder_name('ablate', variants[0].recipe.name, data)}-{Path(preset).stem}", resume, "ablate"
            ),
            gates=fail_on or [],
            jobs=jobs,
            jobs_per_gpu=jobs_per_gpu,
            refit=False,
            keep_models=False,
            dry_run=dry_run,
            as_json=as_json,
            quiet=quiet,
        )
    )


def _execute(plan: _Plan) -> None:
    """Check everything, run what is missing, report, and keep the recommended model."""
    from finetune.allocation import tune_allocator
    from finetune.quiet import quieten_libraries

    quieten_libraries()
    tune_allocator()
    refuse_launcher(plan.kind)
    from finetune.experiments.executor import choose_workforce
    from finetune.experiments.matrix import DataSets, build_cells, fit_variants
    from finetune.experiments.scheduler import write_texts
    from finetune.training.prepare import measure_for

    expected = len(plan.variants) * len(plan.seeds) * (plan.folds or 1)
    workforce = choose_workforce(plan.jobs, expected, plan.jobs_per_gpu)
    data = DataSets()
    plan = replace(plan, variants=fit_variants(plan.variants, plan.folds, data))
    cells = build_cells(plan.variants, plan.seeds, plan.folds, data)
    gates = _parse_gates(plan, cells, data)
    first = data.load(cells[0].recipe.data)
    if not plan.quiet:
        say_of_data(cells[0].recipe, first)
    if plan.dry_run:
        print_matrix(plan.folder, cells, workforce, data, plan.as_json)
        return
    with held(plan.folder):
        manifest = open_folder(
            plan.folder, make_manifest(plan.kind, plan.baseline, plan.variants, plan.seeds, plan.folds, cells)
        )
        write_texts(plan.folder, cells, data)
        keep: Keep = "all" if plan.keep_models else "best"
        measure = None if plan.quiet else measure_for(cells[0].recipe, first)
        run_cells(plan.folder, manifest, cells, workforce, keep, measure)
        found, paths = _publish(plan)
        problem = _refit(plan, cells, found) if plan.refit else None
        if plan.refit and problem is None:
            found, paths = _publish(plan)
    print_report(found, paths, plan.as_json)
    _complain_of_models(plan, cells)
    check_gates(found, [gates])
    failed = [run for variant in found.groups[0].variants for run in variant.runs if run.status != "finished"]
    if failed:
        raise RunFailed(f"{len(failed)} of {len(cells)} runs failed; the report names each. The same command retries.")
    if problem is not None:
        raise RunFailed(f"--refit: {problem} The report and the model are those without it.")


def _publish(plan: _Plan) -> tuple[Report, list[Path]]:
    """Analyse, put the recommended model in its place, and write the report."""
    from finetune.analysis.comparison import report_of
    from finetune.experiments.closing import ship_model, with_shipped_model
    from finetune.reports.files import write_report

    with without_collecting():
        found = report_of([plan.folder.path])
    if found.groups[0].recommendation is not None:
        try:
            shipped = ship_model(found.groups[0], plan.folder)
        except OutputError as error:
            complain(f"warning: {error}")
        else:
            plan.folder.write(plan.folder.read().model_copy(update={"shipped": shipped}))
            found = with_shipped_model(found, plan.folder)
    for text in found.skipped:
        complain(f"warning: skipped: {text}")
    with without_collecting():
        return found, write_report(found, plan.folder.path)


def _complain_of_models(plan: _Plan, cells: list[Cell]) -> None:
    """--keep-models cannot bring back what an earlier command removed."""
    gone = [cell for cell in cells if not plan.folder.cell(cell.entry).model.is_dir()]
    if plan.keep_models and gone:
        complain(
            f"warning: --keep-models: {len(gone)} cells have no model, an earlier command without it removed them. To "
            f"train them again, delete their folders, such as {plan.folder.path / gone[0].entry.folder}"
        )


def _parse_gates(plan: _Plan, cells: list[Cell], data: DataSets) -> list[Gate]:
    """Before anything is trained: a misspelt gate must not show after an hour."""
    from finetune.analysis.quality_gates import parse_gate
    from finetune.training.prepare import measured_names

    if not plan.gates:
        return []
    recipe = cells[0].recipe
    loaded = data.load(recipe.data)
    names = [variant.name for variant in plan.variants]
    metrics = measured_names(recipe, loaded)
    return [parse_gate(text, names, metrics, loaded.test is not None) for text in plan.gates]


def _refit(plan: _Plan, cells: list[Cell], found: Report) -> str | None:
    """Train the recommended preset once more; returns why it could not be done."""
    from finetune.experiments.closing import refit
    from finetune.measurement.scores import measure_of
    from finetune.reports.progress import LiveGap

    group = found.groups[0]

    def callbacks(title: str) -> list[Any]:
        return [] if plan.quiet else [LiveGap(title, measure_of(group.task, group.score))]

    try:
        inside = refit(plan.folder, group, cells, callbacks)
    except FinetuneError as error:
        return error.for_command_line()
    plan.folder.write(plan.folder.read().model_copy(update={"refit": inside}))
    return None
