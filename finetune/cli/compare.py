"""`finetune compare` and `ablate`: run presets × seeds, and say which regularization closed the gap."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finetune.cli.options import (
    DataOption,
    JsonOption,
    ModelOption,
    RecipeArgument,
    SetOption,
    complain,
    reports_errors,
)
from finetune.errors import OutputError, RecipeError, RunFailed
from finetune.recipe import library

if TYPE_CHECKING:
    from finetune.comparison.matrix import Cell, DataSets, Options, Variant
    from finetune.records.comparison import ComparisonFolder, Manifest

EXAMPLES = (
    "Examples:  finetune compare --presets none,strong --seeds 5   |   finetune compare --data reviews.csv --folds 5   "
    '|   finetune compare --fail-on "gap.accuracy > 0.15"'
)
DEFAULT_PRESETS = "none,light,medium,strong"
DEFAULT_SEEDS = "5"
NO_SEED_BEYOND = 1000

SeedsOption = Annotated[
    str, typer.Option("--seeds", help="How many seeds (0, 1, 2, …), or which: 3,7,11. Three say little, ten a lot.")
]
JobsOption = Annotated[str, typer.Option("--jobs", "-j", help="Cells at a time; auto: one a GPU, or one a CPU core.")]
FoldsOption = Annotated[
    int | None,
    typer.Option("--folds", min=2, help="Cross-validation: each of this many parts of the data is test once."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder of the comparison. Left out: runs/compare-RECIPE."),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Refuse to start from nothing. Finished cells are kept with or without it.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the matrix and an estimate of its time.")]
KeepOption = Annotated[
    bool, typer.Option("--keep-models", help="Keep the model of every cell, not only each preset's best.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


@reports_errors
def compare(
    recipe: RecipeArgument = None,
    presets: Annotated[
        str, typer.Option("--presets", "-p", help="Names or paths, with commas; own: the recipe's own techniques.")
    ] = DEFAULT_PRESETS,
    baseline: Annotated[str, typer.Option("--baseline", help="The preset that the others are compared with.")] = "none",
    seeds: SeedsOption = DEFAULT_SEEDS,
    folds: FoldsOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Path of your own `evaluate` module. Repeatable.")
    ] = None,
    jobs: JobsOption = "auto",
    output: OutputOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    keep_models: KeepOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run presets × seeds, and report which of them closed the overfitting gap."""
    from finetune.comparison.matrix import Options, preset_variants

    options = Options(recipe, model, data, tuple(overrides or ()), tuple(metric or ()))
    names = [name.strip() for name in presets.split(",") if name.strip()]
    variants = preset_variants(names, baseline, options)
    folder = _folder(output, "compare", variants, resume)
    _conduct(folder, "compare", baseline, variants, parse_seeds(seeds), folds, jobs, dry_run, keep_models, quiet)


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
        if not 1 <= count <= NO_SEED_BEYOND:
            raise RecipeError(f"--seeds {text}: expected 1 to {NO_SEED_BEYOND} seeds. For seed {count} alone: {count},")
        return list(range(count))
    seeds = [int(part) for part in parts]
    if len(set(seeds)) < len(seeds):
        raise RecipeError(f"--seeds {text}: names a seed twice; the same run twice is no second observation.")
    if max(seeds) >= 2**32:
        raise RecipeError(f"--seeds {text}: a seed is below {2**32}.")
    return seeds


def _folder(output: Path | None, kind: str, variants: list[Variant], resume: bool) -> ComparisonFolder:
    """The folder of this comparison: new, or one that holds a comparison already, whose cells are then used.

    Raises:
        OutputError: It holds something else, or --resume found nothing.
    """
    from finetune.records.comparison import ComparisonFolder
    from finetune.records.store import check_place, is_empty

    path = output or Path("runs") / f"{kind}-{variants[0].recipe.name}"
    check_place(path)
    folder = ComparisonFolder(path)
    if folder.exists():
        folder.read()
    elif not is_empty(path):
        raise OutputError(f"--output {path}: is not empty and holds no comparison. Choose another folder.")
    elif resume:
        raise OutputError(f"--resume: {path} holds no comparison. Leave --resume out, or name the folder of one.")
    return folder


def _conduct(
    folder: ComparisonFolder,
    kind: str,
    baseline: str,
    variants: list[Variant],
    seeds: list[int],
    folds: int | None,
    jobs: str,
    dry_run: bool,
    keep_models: bool,
    quiet: bool,
) -> None:
    from finetune.comparison.matrix import DataSets, build_cells
    from finetune.quiet import quieten_libraries

    quieten_libraries()
    from finetune.comparison.conduct import conduct, write_texts
    from finetune.records.comparison import Manifest, VariantEntry
    from finetune.records.store import lock_folder
    from finetune.reports.matrix import MatrixDisplay

    data = DataSets()
    cells = build_cells(variants, seeds, folds, data)
    manifest = Manifest(
        kind=kind,
        command=_command(),
        baseline=baseline,
        variants=[
            VariantEntry(
                name=variant.name,
                baseline=variant.baseline,
                technique=variant.technique,
                techniques=variant.recipe.to_dict()["techniques"],
            )
            for variant in variants
        ],
        seeds=seeds,
        folds=folds,
        cells=[cell.entry for cell in cells],
    )
    task = data.load(cells[0].recipe.data).task
    with lock_folder(folder.path):
        write_texts(folder, cells, data)
        try:
            with MatrixDisplay(task, quiet) as display:
                manifest = conduct(folder, manifest, cells, jobs, keep_models, display.show)
        except KeyboardInterrupt:
            complain("stopped; what is complete is kept. To go on, type the same command again.")
            raise


def _command() -> str:
    return shlex.join(["finetune", *sys.argv[1:]])
