"""Measurements of each run and the same on resampled rows, from which summaries and differences are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune.analysis.collection import FinishedRun
from finetune.analysis.statistics import Floats
from finetune.measurement.gap import resampled_scores
from finetune.measurement.scores import LOSSES, row_terms
from finetune.records.schema import Checkpoint
from finetune.tasks import Task

DRAWS = 2000  # enough for a variance: its own error is 3 %
FEWEST_DRAWS = 500  # its own error is 6 %
DRAWS_OF_ALL = 2_000_000  # of each metric of all runs together: 16 MB
GAPS = ("gap", "gap_last")
KINDS = ("train", "validation", "test", *GAPS)


@dataclass(frozen=True)
class Measurement:
    """A metric of one run, or the difference of two.

    Attributes:
        value: None if undefined.
        draws: The same on resampled rows, (draws,); None for metrics that are not a function of sums over rows, and
            with folds, which already vary the rows.
        rows: Rows of the smallest split involved.
    """

    value: float | None
    draws: Floats | None = None
    rows: int = 0

    def minus(self, other: Measurement) -> Measurement:
        """The difference; draws are paired."""
        value = None if self.value is None or other.value is None else self.value - other.value
        draws = None if self.draws is None or other.draws is None else self.draws - other.draws
        return Measurement(value, draws, min(self.rows, other.rows))


Measurements = dict[str, dict[str, Measurement]]  # kind -> metric -> measurement


class RowDraws:
    """Resamples the rows of each split, in the same way for every run that was measured on them.

    In a curve the train sample differs by size and seed: different rows are drawn independently. With more than 1,000
    runs there are fewer draws than DRAWS, because those of all runs are in memory.
    """

    def __init__(self, runs: Sequence[FinishedRun], task: Task) -> None:
        self._task = task
        self._count = max(FEWEST_DRAWS, min(DRAWS, DRAWS_OF_ALL // max(1, len(runs))))
        self._draws: dict[tuple[int, str], dict[str, Floats]] = {}
        if any(run.fold is not None for run in runs):
            return
        for number, split in enumerate(("train_probe", "validation", "test")):
            for index, same_rows in enumerate(_by_rows(split, runs)):
                self._redraw(split, same_rows, np.random.default_rng((number, index) if index else number))

    def scores(self, run: FinishedRun, split: str) -> dict[str, Floats]:
        """Metric -> (draws,) for a checkpoint's split, such as `selected_test`; empty if there are none."""
        return self._draws.get((id(run), split), {})

    def _redraw(self, split: str, runs: Sequence[FinishedRun], rng: np.random.Generator) -> None:
        selected, last = f"selected_{split}", f"last_{split}"
        measured = [
            (run, name)
            for run in runs
            for name in (selected, last)
            if f"{name}_logits" in run.arrays and not (name == last and _is_last_selected(run, split))
        ]
        if not measured:
            return
        terms = (
            row_terms(self._task, run.arrays[f"{name}_logits"], run.arrays[f"{split}_targets"])
            for run, name in measured
        )
        for (run, name), scores in zip(measured, resampled_scores(self._task, terms, rng, self._count), strict=True):
            self._draws[(id(run), name)] = scores
            if name == selected and _is_last_selected(run, split):
                self._draws[(id(run), last)] = scores


def _is_last_selected(run: FinishedRun, split: str) -> bool:
    """Whether the last checkpoint was measured on the split and answers as the selected one, which it mostly is."""
    selected, last = (run.arrays.get(f"{name}_{split}_logits") for name in ("selected", "last"))
    return selected is not None and last is not None and np.array_equal(selected, last)


def _by_rows(split: str, runs: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """Runs measured on the same rows of a split."""
    groups: dict[str, list[FinishedRun]] = {}
    known: dict[tuple[str, bytes], str] = {}  # to write the names of the rows once, and not for thousands of runs
    for run in runs:
        if f"{split}_rows" in run.arrays:
            rows = run.arrays[f"{split}_rows"]
            same = (rows.dtype.str, rows.tobytes())
            if same not in known:
                known[same] = "\n".join(map(str, rows))
            groups.setdefault(known[same], []).append(run)
    return list(groups.values())


def measurements_of(run: FinishedRun, draws: RowDraws) -> Measurements:
    """Kind -> metric -> measurement of one run. Kinds that were not measured (no test split) are empty."""
    record = run.record
    rows = record.data.rows
    selected = {
        "train": ("train_probe", record.selected.train_probe),
        "validation": ("validation", record.selected.validation),
        "test": ("test", record.selected.test or {}),
    }
    measurements = {}
    for kind, (split, scores) in selected.items():
        drawn = draws.scores(run, f"selected_{split}")
        measurements[kind] = {name: Measurement(value, drawn.get(name), rows[split]) for name, value in scores.items()}
    measurements["gap"] = _gaps(run, draws, "selected", record.selected)
    measurements["gap_last"] = _gaps(run, draws, "last", record.last)
    return measurements


def _gaps(run: FinishedRun, draws: RowDraws, name: str, checkpoint: Checkpoint) -> dict[str, Measurement]:
    train, validation = (draws.scores(run, f"{name}_{split}") for split in ("train_probe", "validation"))
    rows = run.record.data.rows
    smallest = min(rows["train_probe"], rows["validation"])
    return {
        metric: Measurement(gap.value, _gap_draws(metric, train, validation), smallest)
        for metric, gap in checkpoint.gap.items()
    }


def _gap_draws(metric: str, train: dict[str, Floats], validation: dict[str, Floats]) -> Floats | None:
    if metric not in train or metric not in validation:
        return None
    gap = train[metric] - validation[metric]
    return -gap if metric in LOSSES else gap
