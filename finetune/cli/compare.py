"""`finetune compare` and `ablate`: which regularization closed the gap, and can one believe it."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from finetune.cli.options import (
    DataOption,
    JsonOption,
    ModelOption,
    RecipeArgument,
    SetOption,
    TechniqueOption,
    complain,
    reports_errors,
    use_techniques,
)
from finetune.cli.report import FailOption, check_gates, print_report
from finetune.errors import FinetuneError, OutputError, RecipeError, RunFailed

if TYPE_CHECKING:
    from finetune.comparison.gates import Gate
    from finetune.comparison.matrix import Cell, DataSets, Variant
    from finetune.records.comparison import ComparisonFolder, Manifest
    from finetune.records.report import Report

COMPARE_EXAMPLES = (
    "Examples:  finetune compare --presets none,strong --seeds 5   |   finetune compare --data reviews.csv --folds 5   "
    '|   finetune compare --fail-on "gap.accuracy > 0.15 or strong.difference.test.accuracy < -0.01"'
)
ABLATE_EXAMPLES = "Example:  finetune ablate --preset strong --seeds 3 --set training.epochs=6"
DEFAULT_PRESETS = "none,light,medium,strong"
DEFAULT_SEEDS = "5"
MOST_SEEDS = 1000

PresetsOption = Annotated[
    str, typer.Option("--presets", "-p", help="Names or paths, with commas; own: the recipe's own techniques.")
]
SeedsOption = Annotated[
    str, typer.Option("--seeds", help="How many seeds (0, 1, 2, …), or which: 3,7,11. Three say little, ten a lot.")
]
JobsOption = Annotated[str, typer.Option("--jobs", "-j", help="Cells at a time; auto: one a GPU, or one a CPU core.")]
FoldsOption = Annotated[
    int | None,
    typer.Option("--folds", min=2, help="Cross-validation: each of this many parts of the data is test once."),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Path of your own `evaluate` module; higher counts as better. Repeatable."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Folder of the comparison. Left out: one below runs/, named by command and recipe."
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Stop if the folder holds no comparison yet. Finished cells are kept anyway.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the matrix and an estimate of its time.")]
KeepOption = Annotated[
    bool, typer.Option("--keep-models", help="Keep the model of every cell, not only each preset's best.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


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
    technique: TechniqueOption = None,
    metric: MetricOption = None,
    jobs: JobsOption = "auto",
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
    from finetune.comparison.matrix import Options, preset_variants

    options = Options(recipe, model, data, tuple(overrides or ()), tuple(metric or ()))
    names = [name.strip() for name in presets.split(",") if name.strip()]
    variants = preset_variants(names, baseline, options)
    _execute(
        _Plan(
            kind="compare",
            baseline=variants[0].name,  # the baseline leads
            variants=variants,
            seeds=parse_seeds(seeds),
            folds=folds,
            folder=_folder(output, f"compare-{_stem(variants, data)}", resume),
            gates=fail_on or [],
            jobs=jobs,
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
    technique: TechniqueOption = None,
    metric: MetricOption = None,
    jobs: JobsOption = "auto",
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
    from finetune.comparison.matrix import Options, ablation_variants

    options = Options(recipe, model, data, tuple(overrides or ()), tuple(metric or ()))
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
            folder=_folder(output, f"ablate-{_stem(variants, data)}-{Path(preset).stem}", resume),
            gates=fail_on or [],
            jobs=jobs,
            refit=False,
            keep_models=False,
            dry_run=dry_run,
            as_json=as_json,
            quiet=quiet,
        )
    )


def parse_seeds(text: str) -> list[int]:
    """`5` -> 0 to 4; `3,7,11` -> those.

    Raises:
        RecipeError: It is neither, or names a seed twice.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise RecipeError(f"--seeds {text}: expected how many, such as 5, or which, such as 3,7,11.")
    if "," not in text:
        count = int(parts[0])
        if not 1 <= count <= MOST_SEEDS:
            alone = f" For seed {count} alone: --seeds {count}," if count < 2**32 else ""
            raise RecipeError(f"--seeds {text}: expected 1 to {MOST_SEEDS} seeds.{alone}")
        return list(range(count))
    seeds = [int(part) for part in parts]
    if len(set(seeds)) < len(seeds):
        raise RecipeError(f"--seeds {text}: names a seed twice; the same run twice is no second observation.")
    if max(seeds) >= 2**32:
        raise RecipeError(f"--seeds {text}: a seed is below {2**32}.")
    return seeds


def _stem(variants: list[Variant], data: str | None) -> str:
    """The recipe's name, and that of the data where it replaces the recipe's: two data sets are two folders."""
    return variants[0].recipe.name + (f"-{Path(data).stem}" if data else "")


def _folder(output: Path | None, name: str, resume: bool) -> ComparisonFolder:
    """The folder of this comparison: new, or one that holds a comparison already, whose cells are then used.

    Raises:
        OutputError: It holds something else, or --resume found nothing.
    """
    from finetune.records.comparison import ComparisonFolder
    from finetune.records.store import check_place, is_empty

    path = output or Path("runs") / name
    check_place(path)
    folder = ComparisonFolder(path)
    if folder.exists():
        folder.read()
    elif not is_empty(path) and not (path / "cells").is_dir():
        raise OutputError(f"--output {path}: is not empty and holds no comparison. Choose another folder.")
    elif resume:
        raise OutputError(f"--resume: {path} holds no comparison. Leave --resume out, or name the folder of one.")
    return folder


def _execute(plan: _Plan) -> None:
    """Check everything, run what is missing, report, and keep the recommended model."""
    from finetune.quiet import quieten_libraries

    quieten_libraries()
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        raise RecipeError(f"finetune {plan.kind} starts its own processes. Type it without a launcher, with --jobs N")
    from finetune.comparison.conduct import conduct, write_texts
    from finetune.comparison.executor import choose_workforce
    from finetune.comparison.matrix import DataSets, build_cells, fit_variants
    from finetune.records.store import lock_folder
    from finetune.reports.matrix import MatrixDisplay

    workforce = choose_workforce(plan.jobs, len(plan.variants) * len(plan.seeds) * (plan.folds or 1))
    data = DataSets()
    plan = replace(plan, variants=fit_variants(plan.variants, plan.folds, data))
    cells = build_cells(plan.variants, plan.seeds, plan.folds, data)
    gates = _parse_gates(plan, cells, data)
    first = data.load(cells[0].recipe.data)
    if not plan.quiet:
        for text in [f"note: {note}" for note in first.notes] + [f"warning: {text}" for text in first.warnings]:
            complain(text)
    if plan.dry_run:
        _print_matrix(plan, cells, data)
        return
    with lock_folder(plan.folder.path):
        manifest = _open_folder(plan, cells)
        write_texts(plan.folder, cells, data)
        try:
            with MatrixDisplay(first.task, plan.quiet) as display:
                conduct(plan.folder, manifest, cells, workforce, plan.keep_models, display.show)
            found, paths = _publish(plan)
            problem = _refit(plan, cells, found) if plan.refit else None
            if plan.refit and problem is None:
                found, paths = _publish(plan)
        except KeyboardInterrupt:
            complain("stopped; what is complete is kept. To go on, type the same command again.")
            raise
    print_report(found, paths, plan.as_json)
    _complain_of_models(plan, cells)
    check_gates(found, [gates])
    failed = [run for variant in found.groups[0].variants for run in variant.runs if run.status != "finished"]
    if failed:
        raise RunFailed(f"{len(failed)} of {len(cells)} runs failed; the report names each. The same command retries.")
    if problem is not None:
        raise RunFailed(f"--refit: {problem} The report and the model are those without it.")


def _open_folder(plan: _Plan, cells: list[Cell]) -> Manifest:
    """Write the manifest, which is what makes the folder one of a comparison; says what it takes out of the table."""
    manifest = _manifest(plan, cells)
    if plan.folder.exists():
        earlier = plan.folder.read()
        keys = {cell.entry.key for cell in cells}
        others = sum(entry.key not in keys for entry in earlier.cells)
        if others:
            complain(
                f"note: {others} cells of an earlier command in {plan.folder.path} are not in this one (other recipe, "
                "data, presets, seeds or code): its report is replaced, they stay in cells/. For both: another --output"
            )
        # Shown only if it is of what is recommended.
        manifest = manifest.model_copy(update={"refit": earlier.refit})
    plan.folder.write(manifest)
    return manifest


def _publish(plan: _Plan) -> tuple[Report, list[Path]]:
    """Analyse, put the recommended model in its place, and write the report."""
    from finetune.comparison.analysis import report_of
    from finetune.comparison.finish import ship_model
    from finetune.reports.files import write_report

    found = report_of([plan.folder.path])
    if found.groups[0].recommendation is not None:
        try:
            shipped = ship_model(found.groups[0], plan.folder)
        except OutputError as error:
            complain(f"warning: {error}")
        else:
            plan.folder.write(plan.folder.read().model_copy(update={"shipped": shipped}))
            found = report_of([plan.folder.path])  # now it knows where the model lies
    for text in found.skipped:
        complain(f"warning: skipped: {text}")
    return found, write_report(found, plan.folder.path)


def _complain_of_models(plan: _Plan, cells: list[Cell]) -> None:
    """--keep-models cannot bring back what an earlier command removed."""
    gone = [cell for cell in cells if not plan.folder.cell(cell.entry).model.is_dir()]
    if plan.keep_models and gone:
        complain(
            f"warning: --keep-models: {len(gone)} cells have no model, an earlier command without it removed them. To "
            f"train them again, delete their folders, such as {plan.folder.path / gone[0].entry.folder}"
        )


def _manifest(plan: _Plan, cells: list[Cell]) -> Manifest:
    from finetune.records.comparison import Manifest, VariantEntry

    return Manifest(
        kind=plan.kind,
        command=shlex.join(["finetune", *sys.argv[1:]]),
        baseline=plan.baseline,
        variants=[
            VariantEntry(
                name=variant.name,
                baseline=variant.baseline,
                technique=variant.technique,
                techniques=variant.recipe.to_dict()["techniques"],
            )
            for variant in plan.variants
        ],
        seeds=plan.seeds,
        folds=plan.folds,
        cells=[cell.entry for cell in cells],
    )


def _parse_gates(plan: _Plan, cells: list[Cell], data: DataSets) -> list[Gate]:
    """Before anything is trained: a misspelt gate must not show after an hour."""
    from finetune.comparison.gates import parse_gate
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
    from finetune.comparison.finish import refit
    from finetune.reports.progress import LiveGap

    group = found.groups[0]

    def callbacks(title: str) -> list[Any]:
        return [] if plan.quiet else [LiveGap(title, group.task)]

    try:
        inside = refit(plan.folder, group, cells, callbacks)
    except FinetuneError as error:
        return str(error)
    plan.folder.write(plan.folder.read().model_copy(update={"refit": inside}))
    return None


def _print_matrix(plan: _Plan, cells: list[Cell], data: DataSets) -> None:
    import json

    from rich.console import Console

    from finetune.comparison.schedule import describe_cells
    from finetune.reports.matrix import describe_matrix, duration

    described = describe_cells(plan.folder, cells, plan.jobs, data)
    if plan.as_json:
        typer.echo(json.dumps(described, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 100)
    console.print(describe_matrix(described["cells"]))
    typer.echo(
        f"{described['to_run']} of {len(cells)} cells to run, {described['jobs']} at a time: about "
        f"{duration(described['seconds'])} ({described['source']}; early stops make it "
        "less, starting workers a little more)\n"
        "dry run: nothing was trained"
    )
