"""`finetune curve`: score and gap against the number of training rows, and what more labels would buy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from finetune.errors import RunFailed

if TYPE_CHECKING:
    from finetune.records.curve import CurveReport

EXAMPLES = (
    "Examples:  finetune curve --sizes 100,300,1000 --presets none,strong --seeds 3   |   "
    "finetune curve --data reviews.csv --presets none   |   finetune curve --dry-run"
)


@reports_errors
def curve(
    recipe: RecipeArgument = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            help="Training rows, rising: 100,300,1000. Left out: 1-2-5 steps from a tenth of all rows to all.",
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
    jobs: JobsOption = "auto",
    jobs_per_gpu: PerGpuOption = 1,
    output: OutputOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run presets × sizes of the training set × seeds: would more labels help?

    Draws score and gap against the number of training rows, and fits a law that says what more labels would buy, with
    its interval. The same command again runs only what is missing.
    """
    use_techniques(technique)
    from finetune.allocation import tune_allocator
    from finetune.experiments.matrix import DataSets, Options, build_cells, fit_variants, preset_variants
    from finetune.experiments.sizes import (
        choose_sizes,
        parse_sizes,
        refuse_folds,
        refuse_subset,
        sized_variants,
        whole,
        with_enough_steps,
    )
    from finetune.quiet import quieten_libraries

    quieten_libraries()
    tune_allocator()
    refuse_launcher("curve")
    asked = None if sizes is None else parse_sizes(sizes)
    chosen_seeds = parse_seeds(seeds)
    typed = with_switches(overrides, skip_bad_rows, drop_leaks)
    options = Options(recipe, model, data, tuple(typed), tuple(metric or ()))
    refuse_folds(typed)
    of_presets = preset_variants(parse_presets(presets), None, options, least=1)
    refuse_subset(of_presets[0].recipe)
    name = folder_name("curve", of_presets[0].recipe.name, data)
    folder = find_folder(output, name, resume, "curve")
    from finetune.experiments.executor import choose_workforce
    from finetune.training.prepare import measure_for

    sets = DataSets()
    everything = sets.load(whole(of_presets[0].recipe).data)
    chosen = choose_sizes(asked, everything)
    measure = measure_for(of_presets[0].recipe, everything)
    workforce = choose_workforce(jobs, len(of_presets) * len(chosen) * len(chosen_seeds), jobs_per_gpu)
    variants, longer = with_enough_steps(fit_variants(sized_variants(of_presets, chosen, measure.score), None, sets))
    cells = build_cells(variants, chosen_seeds, None, sets)
    if not quiet:
        say_of_data(of_presets[0].recipe, everything)
        complain(f"note: sizes: {', '.join(map(str, chosen))} of {len(everything.train)} training rows")
        for text in longer:
            complain(f"note: {text}")
    if dry_run:
        print_matrix(folder, cells, workforce, sets, as_json)
        return
    with held(folder):
        manifest = open_folder(folder, make_manifest("curve", of_presets[0].name, variants, chosen_seeds, None, cells))
        run_cells(folder, manifest, cells, workforce, "none", None if quiet else measure)
        found, paths = publish_curve(folder.path, folder.path)
    print_curve(found, paths, as_json)
    failed = sum(run.status != "finished" for preset in found.presets for point in preset.points for run in point.runs)
    if failed:
        raise RunFailed(f"{failed} of {len(cells)} runs failed; the report names each. The same command retries.")


def publish_curve(source: Path, target: Path, baseline: str | None = None) -> tuple[CurveReport, list[Path]]:
    """Analyse the cells of a curve and write its report."""
    from finetune.analysis.curve import curve_of
    from finetune.reports.curve_page import write_curve

    found = curve_of(source, baseline)
    for text in found.skipped:
        complain(f"warning: skipped: {text}")
    return found, write_curve(found, target)


def print_curve(found: CurveReport, paths: list[Path], as_json: bool) -> None:
    """Table and summary on stdout, or curve.json."""
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    from rich.console import Console

    from finetune.reports.curve import curve_summary, curve_table

    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)
    console.print(curve_table(found))
    console.print(curve_summary(found), markup=False)
    typer.echo(f"Curve       {paths[1]}   (also curve.md and curve.json)")
