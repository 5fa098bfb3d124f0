"""Options that `compare`, `ablate`, `curve` and `sweep` share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.completion import complete_final, complete_presets, complete_seeds, complete_setting
from finetune.cli.help import OF_OUTPUT, OF_RECIPE, OF_RUNS
from finetune.errors import Change, RecipeError

_NEXT_KEY = re.compile(
    r"[,\s]\s*(?=(?:[\w.-]+:)?(?:model|data|training|techniques)\.[\w.]+=)"
)  # a value may have commas
DEFAULT_EXECUTOR = "local"  # as `finetune.experiments.executors.DEFAULT`, which is slow to import

PresetsOption = Annotated[
    str,
    typer.Option(
        "--presets",
        "-p",
        help="Names or paths, separated by commas; own: the recipe's own techniques.",
        rich_help_panel=OF_RUNS,
        metavar="NAMES",
        autocompletion=complete_presets,
    ),
]
ComparedOption = Annotated[
    str | None,
    typer.Option(
        "--presets",
        "-p",
        help="Names or paths, separated by commas; own: the recipe's own techniques. Default: "
        "none,light,medium,strong; with --variant: none.",
        rich_help_panel=OF_RUNS,
        metavar="NAMES",
        autocompletion=complete_presets,
    ),
]
VariantOption = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="NAME=KEY=VALUE,…",
        help="Named settings to compare with the presets: l1=techniques.l1.strength=0.5. PRESET: before the first key "
        "adds them to that preset. Repeatable.",
        rich_help_panel=OF_RUNS,
    ),
]
ComparedSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[PRESET:]KEY=VALUE",
        help="Override one value, e.g. training.epochs=5; strong:training.epochs=5 only for that preset. Repeatable.",
        rich_help_panel=OF_RECIPE,
        autocompletion=complete_setting,
    ),
]
SeedsOption = Annotated[
    str,
    typer.Option(
        "--seeds",
        help="How many seeds (5: 0 to 4), or which (3,7,11). At least 5 recommended.",
        rich_help_panel=OF_RUNS,
    ),
]
ComparedSeedsOption = Annotated[
    str,
    typer.Option(
        "--seeds",
        help="How many seeds (5: 0 to 4), or which (3,7,11); at least 5 recommended. auto:10 starts with 3, adds one "
        "at a time for presets whose verdict is not settled, and ends at 10.",
        rich_help_panel=OF_RUNS,
        autocompletion=complete_seeds,
    ),
]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        "--folds",
        min=2,
        help="Cross-validation with this many folds: each is the test split once.",
        rich_help_panel=OF_RUNS,
    ),
]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor",
        help="Where runs execute: local (worker processes), inline (this process), ray or slurm (a cluster), or your "
        "own module:Class.",
        rich_help_panel=OF_RUNS,
    ),
]
JobsOption = Annotated[
    str,
    typer.Option(
        "--jobs",
        "-j",
        help="Parallel runs; auto: one per GPU, or one per CPU core, limited by memory (3.8 GB each).",
        rich_help_panel=OF_RUNS,
    ),
]
PerGpuOption = Annotated[
    int,
    typer.Option(
        "--jobs-per-gpu",
        min=1,
        help="Parallel runs per GPU if --jobs is auto.",
        rich_help_panel=OF_RUNS,
    ),
]
CellTimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--cell-timeout",
        metavar="MINUTES",
        help="If a run completes no step in this time, stop its process and continue the run in another one.",
        rich_help_panel=OF_RUNS,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Output folder. Default: one in runs/, named after the command, recipe, data and settings.",
        rich_help_panel=OF_RUNS,
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Fail if the folder holds nothing to continue. Finished runs are kept in any case.",
        rich_help_panel=OF_RUNS,
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the runs and an estimate of their time.",
        rich_help_panel=OF_RUNS,
    ),
]
WideOption = Annotated[
    bool,
    typer.Option(
        "--wide",
        help="Print whole tables at any terminal width, instead of blocks below 120 columns.",
        rich_help_panel=OF_OUTPUT,
    ),
]
FinalOption = Annotated[
    str | None,
    typer.Option(
        "--final",
        help="Final model of the recommended preset: refit (trained once more, on train and validation), best (the "
        "best seed on validation), soup (mean of the seeds' weights), distil (a student of their ensemble), or "
        "auto (one of the last three). Default: refit; best with --folds, without a test split, or if validation "
        "is too small.",
        rich_help_panel=OF_RUNS,
        metavar="KIND",
        autocompletion=complete_final,
    ),
]
FailOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="EXPR",
        help="Exit with code 1 if the expression is true, e.g. 'gap.accuracy > 0.15'. Fields: train, validation, test, "
        "gap or gap_last, then a dot and a metric (of the recommended preset); with the prefix PRESET. of that "
        "preset; with the prefix difference. the difference to the baseline; failed, degenerate (numbers of "
        "runs). Scores are fractions: 0.15 is 15 points; nll is in nats. Combine with and, or. Repeatable.",
        rich_help_panel=OF_RUNS,
    ),
]


def parse_seeds(text: str) -> int | str | list[int]:
    """`5` -> 5; `3,7,11` -> these three; `auto:10` as it is.

    Raises:
        RecipeError: It is none of these.
    """
    if text.strip().partition(":")[0] == "auto":
        return text.strip()
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise RecipeError(
            "expected how many, such as 5, which, such as 3,7,11, or, to compare, auto:MOST, such as auto:10.",
            argument="seeds",
            found=text,
        )
    return int(parts[0]) if "," not in text else [int(part) for part in parts]


def parse_variants(texts: list[str] | None) -> dict[str, list[str]] | None:
    """`l1=techniques.l1.strength=0.5,training.epochs=5` -> its name and its settings, as texts.

    Raises:
        RecipeError: It is of another form, or two have one name.
    """
    variants: dict[str, list[str]] = {}
    for text in texts or ():
        name, equals, settings = text.partition("=")
        name = name.strip()
        if not equals or "=" not in settings:
            raise RecipeError(
                "expected NAME=KEY=VALUE.",
                Change(arguments={"variants": {"l1": {"techniques.l1.strength": 0.5}}}),
                argument="variant",
                found=text,
            )
        if name in variants:
            raise RecipeError("a second variant of this name. Choose another one.", argument="variant", found=text)
        variants[name] = [part.strip() for part in _NEXT_KEY.split(settings)]
    return variants or None


def parse_sizes(text: str | None) -> list[int] | None:
    """`100,300,1000` -> those numbers of training rows.

    Raises:
        RecipeError: It is no list of whole numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise RecipeError("expected numbers of training rows, such as 100,300,1000.", argument="sizes", found=text)
    return [int(part) for part in parts]
