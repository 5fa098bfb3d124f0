"""What `compare`, `ablate` and `curve` share: their options, their folder, and the running of their cells."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finetune.cli.options import complain, say_findings
from finetune.errors import OutputError, RecipeError

if TYPE_CHECKING:
    from finetune.data.rows import Data
    from finetune.experiments.executor import Workforce
    from finetune.experiments.matrix import Cell, DataSets, Variant
    from finetune.experiments.scheduler import Keep
    from finetune.measurement.scores import Measure
    from finetune.recipe import Recipe
    from finetune.records.comparison import ComparisonFolder, Kind, Manifest

MOST_SEEDS = 1000

PresetsOption = Annotated[
    str, typer.Option("--presets", "-p", help="Names or paths, with commas; own: the recipe's own techniques.")
]
SeedsOption = Annotated[
    str, typer.Option("--seeds", help="How many seeds (0, 1, 2, …), or which: 3,7,11. Three say little, ten a lot.")
]
JobsOption = Annotated[
    str,
    typer.Option(
        "--jobs", "-j", help="Cells at a time; auto: one a GPU, or one a CPU core, as far as memory goes (3.8 GB each)."
    ),
]
PerGpuOption = Annotated[
    int, typer.Option("--jobs-per-gpu", min=1, help="Cells at a time on each GPU, where --jobs is auto.")
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Path of your own `evaluate` module; higher counts as better. Repeatable."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder of it all. Left out: one below runs/, named by command and recipe."),
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Stop if the folder holds nothing to go on from. Finished cells are kept anyway."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the matrix and an estimate of its time.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


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


def parse_presets(text: str) -> list[str]:
    """`none,strong` -> both."""
    return [name.strip() for name in text.split(",") if name.strip()]


def folder_name(command: str, recipe: str, data: str | None) -> str:
    """Below runs/: the recipe's name, and that of the data where it replaces the recipe's: two sets are two folders."""
    return f"{command}-{recipe}" + (f"-{Path(data).stem}" if data else "")


def find_folder(output: Path | None, name: str, resume: bool, kind: Kind) -> ComparisonFolder:
    """The folder of this command: new, or one that holds such a thing already, whose cells are then used.

    Raises:
        OutputError: It holds something else, or --resume found nothing.
    """
    from finetune.records.comparison import ComparisonFolder
    from finetune.records.store import check_place, is_empty

    path = output or Path("runs") / name
    check_place(path)
    folder = ComparisonFolder(path)
    noun = "curve" if kind == "curve" else "comparison"
    if folder.exists():
        found = folder.read().kind
        if (found == "curve") != (kind == "curve"):
            held = "a curve" if found == "curve" else "a comparison"
            raise OutputError(f"--output {path}: holds {held}, and this is a {noun}. Choose another folder.")
    elif not is_empty(path) and not (path / "cells").is_dir():
        raise OutputError(f"--output {path}: is not empty and holds no {noun}. Choose another folder.")
    elif resume:
        raise OutputError(f"--resume: {path} holds no {noun}. Leave --resume out, or name the folder of one.")
    return folder


def refuse_launcher(kind: Kind) -> None:
    """
    Raises:
        RecipeError: A launcher has started this process as one of several.
    """
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        raise RecipeError(f"finetune {kind} starts its own processes. Type it without a launcher, with --jobs N")


def say_of_data(recipe: Recipe, data: Data) -> None:
    """What was decided for the user about the data, and what to look at."""
    from finetune.training.gate import check_recipe
    from finetune.training.prepare import with_score_note

    data = with_score_note(recipe, data)
    for text in [f"note: {note}" for note in data.notes] + [f"warning: {text}" for text in data.warnings]:
        complain(text)
    if recipe.data.check:
        say_findings(check_recipe(recipe, data))


@contextlib.contextmanager
def held(folder: ComparisonFolder) -> Iterator[None]:
    """Hold the folder for this process; Ctrl-C says how to go on.

    Raises:
        OutputError: Another process holds it, or it cannot be created.
    """
    from finetune.records.store import lock_folder

    with lock_folder(folder.path):
        try:
            yield
        except KeyboardInterrupt:
            complain("stopped; what is complete is kept. To go on, type the same command again.")
            raise


def run_cells(
    folder: ComparisonFolder,
    manifest: Manifest,
    cells: Sequence[Cell],
    workforce: Workforce,
    keep: Keep,
    measure: Measure | None,
) -> None:
    """Run what is missing, with its progress on stderr; a measure of None shows none. The caller holds the folder."""
    from finetune.experiments.scheduler import conduct
    from finetune.reports.matrix import MatrixDisplay

    with MatrixDisplay(measure) as display:
        conduct(folder, manifest, cells, workforce, keep, display.show)


def open_folder(folder: ComparisonFolder, manifest: Manifest) -> Manifest:
    """Write the manifest, which is what makes the folder one of a comparison; says what it takes out of the table."""
    if folder.exists():
        earlier = folder.read()
        keys = {entry.key for entry in manifest.cells}
        others = sum(entry.key not in keys for entry in earlier.cells)
        if others:
            complain(
                f"note: {others} cells of an earlier command in {folder.path} are not in this one (other recipe, "
                "data, presets, sizes, seeds or code): its report is replaced, they stay in cells/. For both: "
                "another --output"
            )
        # Shown only if it is of what is recommended.
        manifest = manifest.model_copy(update={"refit": earlier.refit})
    folder.write(manifest)
    return manifest


def make_manifest(
    kind: Kind, baseline: str, variants: Sequence[Variant], seeds: list[int], folds: int | None, cells: Sequence[Cell]
) -> Manifest:
    """What this command is asked for, as it is written down."""
    from finetune.records.comparison import Manifest, VariantEntry

    return Manifest(
        kind=kind,
        command=shlex.join(["finetune", *sys.argv[1:]]),
        baseline=baseline,
        variants=[
            VariantEntry(
                name=variant.name,
                baseline=variant.baseline,
                technique=variant.technique,
                techniques=variant.recipe.to_dict()["techniques"],
                preset=variant.preset,
                size=variant.size,
            )
            for variant in variants
        ],
        seeds=seeds,
        folds=folds,
        cells=[cell.entry for cell in cells],
    )


def print_matrix(
    folder: ComparisonFolder, cells: Sequence[Cell], workforce: Workforce, data: DataSets, as_json: bool
) -> None:
    """The cells of a dry run, and an estimate of their time."""
    import json

    from rich.console import Console

    from finetune.experiments.estimates import describe_cells
    from finetune.reports.matrix import describe_matrix, duration

    described = describe_cells(folder, cells, workforce, data)
    if as_json:
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
