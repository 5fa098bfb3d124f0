"""Curves written by hand: run records of several sizes whose errors are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune.records.comparison import ComparisonFolder, JobEntry, Manifest, VariantEntry
from tests.analysis.making import Run, alternating, cell_folder, two_class, write_run

ROWS = 200  # of validation and test: errors are multiples of half a point
Errors = Callable[[str, int, int], float]  # preset, size, seed -> share of test rows that are missed


def curve_run(preset: str, size: int, seed: int, error: float, train_error: float = 0.0, **changes: Any) -> Run:
    """A run whose test and validation errors are `error`; its train sample has as many rows as it trained on."""
    rows = {"train_probe": min(size, ROWS), "validation": ROWS, "test": ROWS}
    wrong = {"train_probe": round(train_error * rows["train_probe"])}
    first = 7 * seed  # seeds miss other rows
    missed = {name: wrong.get(name, round(error * count)) for name, count in rows.items()}
    return Run(
        variant=f"{preset}, {size} rows",
        seed=seed,
        logits={
            name: two_class([(first + 3 * index) % rows[name] for index in range(count)], rows[name])
            for name, count in missed.items()
        },
        last=None,
        targets={name: alternating(count) for name, count in rows.items()},
        train_rows=size,
        fingerprint=f"{size}-{seed}",
        recipe={"data": {"subset": size, "subset_seed": seed}, "training": {"epochs": max(3, 600 // size)}},
        **changes,
    )


def write_curve(folder: Path, runs: Sequence[Run], presets: Sequence[str], sizes: Sequence[int]) -> Path:
    """The folder of a curve; the first preset is the baseline."""
    variants = [
        VariantEntry(
            name=f"{preset}, {size} rows",
            baseline=None if preset == presets[0] else f"{presets[0]}, {size} rows",
            techniques={},
            preset=preset,
            size=size,
        )
        for size in sizes
        for preset in presets
    ]
    folders = {id(run): cell_folder(run).replace(", ", "-").replace(" ", "-") for run in runs}
    manifest = Manifest(
        kind="curve",
        command="finetune curve",
        baseline=presets[0],
        variants=variants,
        seeds=sorted({run.seed for run in runs}),
        folds=None,
        cells=[
            JobEntry(variant=run.variant, seed=run.seed, fold=None, key="k", folder=folders[id(run)]) for run in runs
        ],
    )
    ComparisonFolder(folder).write(manifest)
    for run in runs:
        write_run(folder / folders[id(run)], run)
    return folder


def made_curve(
    folder: Path,
    errors: Errors,
    presets: Sequence[str] = ("none",),
    sizes: Sequence[int] = (100, 200, 400, 800),
    seeds: int = 3,
) -> Path:
    """A finished curve with these errors."""
    runs = [
        curve_run(preset, size, seed, errors(preset, size, seed))
        for seed in range(seeds)
        for size in sizes
        for preset in presets
    ]
    return write_curve(folder, runs, presets, sizes)


def falling(preset: str, size: int, seed: int) -> float:
    """A power law with a little luck: 0.05 + 2 / sqrt(size), strong a point better."""
    luck = float(np.random.default_rng((size, seed)).normal(0, 0.005))
    return 0.05 + 2 * size**-0.5 + luck - (0.01 if preset == "strong" else 0.0)
