"""Runs of a real encoder for scripts/bench_diagnosis: those of docs/results/*.csv, shown as numbers.

Each run is that of an arm of docs/results-protocol.md: fine-tuned on 100 to 1,000 real texts, with up to 300 validation
rows. Test has up to 1,000 rows and is the population here; no verdict ever sees it. A run is shown as its accuracies
and log losses on a train sample of 100 rows and on validation, as `finetune diagnose` takes them. Only one label per
text; runs that also trained on validation are left out. The curves are not in these files, so a case has no trend. A
training score is known to a few points only, and the truth with it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from diagnosis_cases import Case, World, truth_of

MOST_VALIDATION = 300  # rows, of those of a set
GIVES_LOSSES = 1  # a world with an odd seed is shown with its log losses
COLUMNS = {  # of an evaluation in a case -> of the table
    "train": "train_probe_score",
    "score": "validation_score",
    "truth": "test_score",
    "train_loss": "train_probe_nll",
    "loss": "validation_nll",
    "truth_loss": "test_nll",
}
TRAINED_ON_ALL, RIVALS = "refit", ("tfidf-lr", "frozen-lr", "setfit", "plain-trainer")


def run_cases(files: Sequence[Path], sets: Path) -> Iterator[Case]:
    """Of each finished run with one label per text: a case, where the truth is not within a band around a limit.

    Args:
        files: Tables that `scripts/reproduce_results --table --csv` writes.
        sets: The folder of the data sets, to count their classes; runs of sets that it lacks are left out.
    """
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                case = _case_of(row, sets, file.stem) if _is_shown(row, sets) else None
                if case is not None:
                    yield case


def _is_shown(row: dict[str, str], sets: Path) -> bool:
    is_ours = row["arm"] not in RIVALS and TRAINED_ON_ALL not in row["arm"]
    is_scored = row["status"] == "finished" and row["task"] == "single_label"
    return is_ours and is_scored and (sets / row["set"] / "test.csv").exists()


def _case_of(row: dict[str, str], sets: Path, table: str) -> Case | None:
    labels = _labels(sets / row["set"] / "test.csv")
    majority = max(labels.values()) / labels.total()
    validation = min(MOST_VALIDATION, _labels(sets / row["set"] / "validation.csv").total())
    world = World(row["arm"], GIVES_LOSSES, int(row["n"]), validation, len(labels), form="numbers")
    epochs = [{key: float(row[column]) for key, column in COLUMNS.items()}]
    truth = truth_of(world, epochs, majority)
    name = f"{table}: {row['set']}, {row['n']} rows, seed {row['seed']}, {row['arm']}"
    return None if truth is None else Case(name, world, truth, majority, epochs)


@cache
def _labels(file: Path) -> Counter[str]:
    """Each with its number of rows."""
    with file.open(encoding="utf-8", newline="") as lines:
        return Counter(row["label"] for row in csv.DictReader(lines))
