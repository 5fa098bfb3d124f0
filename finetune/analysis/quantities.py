"""Figures of runs, each with the same figure on redrawn rows: what summaries and differences are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune.analysis.collect import FinishedRun
from finetune.analysis.statistics import (
    UNKNOWN,
    Floats,
    Inference,
    nadeau_bengio,
    seeds_needed,
    t_inference,
    two_level,
)
from finetune.measurement.scores import LOSSES, row_terms, scores_from_sums
from finetune.records.report import Difference, Summary

DRAWS = 2000  # enough for a variance: its own error is 3 %
KINDS = ("train", "validation", "test", "gap", "gap_last")
_CELLS_AT_ONCE = 4_000_000  # draws × rows held in memory at a time: 32 MB


@dataclass(frozen=True)
class Quantity:
    """A figure of one run.

    Attributes:
        value: As measured; None where undefined.
        draws: The same on redrawn rows, (DRAWS,); None for figures that are no function of sums over rows, and with
            folds, whose rows are drawn by the fold already.
        rows: Of the smallest split involved.
    """

    value: float | None
    draws: Floats | None = None
    rows: int = 0

    def minus(self, other: Quantity) -> Quantity:
        """The difference; draws are paired."""
        value = None if self.value is None or other.value is None else self.value - other.value
        draws = None if self.draws is None or other.draws is None else self.draws - other.draws
        return Quantity(value, draws, min(self.rows, other.rows))


@dataclass(frozen=True)
class Place:
    """Which repetition a run is, and what Nadeau and Bengio's correction needs."""

    seed: int
    fold: int | None
    train_rows: int
    test_rows: int


class RowDraws:
    """Redraws the rows of each split, the same way for every run that was measured on them.

    In a curve the train probe differs by size and seed: other rows are drawn independently.
    """

    def __init__(self, runs: Sequence[FinishedRun], task: str) -> None:
        self._task = task
        self._draws: dict[tuple[int, str], dict[str, Floats]] = {}
        if any(run.fold is not None for run in runs):
            return
        for number, split in enumerate(("train_probe", "validation", "test")):
            for index, alike in enumerate(_by_rows(split, runs)):
                self._redraw(split, alike, np.random.default_rng((number, index) if index else number))

    def of(self, run: FinishedRun, name: str) -> dict[str, Floats]:
        """Metric -> (DRAWS,) of a checkpoint's split, such as `selected_test`; empty where there are none."""
        return self._draws.get((id(run), name), {})

    def _redraw(self, split: str, runs: Sequence[FinishedRun], rng: np.random.Generator) -> None:
        measured = [
            (run, name)
            for run in runs
            for name in (f"selected_{split}", f"last_{split}")
            if f"{name}_logits" in run.arrays
        ]
        if not measured:
            return
        # Side by side, as one product of matrices: one for each run took four times as long.
        terms = np.concatenate(
            [
                row_terms(self._task, run.arrays[f"{name}_logits"], run.arrays[f"{split}_targets"])
                for run, name in measured
            ],
            axis=1,
        )
        rows = len(terms)
        sums: list[Floats] = []
        at_once = max(1, _CELLS_AT_ONCE // rows)
        for start in range(0, DRAWS, at_once):
            times = rng.multinomial(rows, np.full(rows, 1 / rows), size=min(at_once, DRAWS - start)).astype(np.float64)
            sums.append(times @ terms)
        of_runs = np.split(np.concatenate(sums), len(measured), axis=1)
        for (run, name), found in zip(measured, of_runs, strict=True):
            self._draws[(id(run), name)] = scores_from_sums(self._task, np.ascontiguousarray(found))


def _by_rows(split: str, runs: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """Runs that were measured on the same rows of a split."""
    found: dict[str, list[FinishedRun]] = {}
    for run in runs:
        if f"{split}_rows" in run.arrays:
            found.setdefault("\n".join(map(str, run.arrays[f"{split}_rows"])), []).append(run)
    return list(found.values())


def quantities(run: FinishedRun, draws: RowDraws) -> dict[str, dict[str, Quantity]]:
    """Kind -> metric -> figure of a finished run. Kinds without figures (no test split) are empty."""
    record = run.record
    rows = record.data.rows
    names = {"train": "train_probe", "validation": "validation", "test": "test"}
    found: dict[str, dict[str, Quantity]] = {}
    for kind, split in names.items():
        scores = getattr(record.selected, split) or {}
        drawn = draws.of(run, f"selected_{split}")
        found[kind] = {name: Quantity(value, drawn.get(name), rows[split]) for name, value in scores.items()}
    for kind, checkpoint in (("gap", record.selected), ("gap_last", record.last)):
        prefix = "selected" if kind == "gap" else "last"
        train, validation = (draws.of(run, f"{prefix}_{split}") for split in ("train_probe", "validation"))
        smallest = min(rows["train_probe"], rows["validation"])
        found[kind] = {
            name: Quantity(gap.value, _gap_draws(name, train, validation), smallest)
            for name, gap in checkpoint.gap.items()
        }
    return found


def _gap_draws(name: str, train: dict[str, Floats], validation: dict[str, Floats]) -> Floats | None:
    if name not in train or name not in validation:
        return None
    gap = train[name] - validation[name]
    return -gap if name in LOSSES else gap


def place(run: FinishedRun) -> Place:
    rows = run.record.data.rows
    return Place(run.seed, run.fold, rows["train"], rows.get("test", rows["validation"]))


def summarise(figures: Sequence[Quantity], places: Sequence[Place]) -> Summary:
    """Mean, spread and interval of a figure over runs."""
    values = [figure.value for figure in figures]
    known = [value for value in values if value is not None]
    inference = _infer(figures, places)
    return Summary(
        # Undefined in one run (a constant has no correlation): the mean of the others would be of another preset.
        mean=_mean(known, places) if known and len(known) == len(values) else None,
        sd=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        low=inference.low,
        high=inference.high,
        values=values,
    )


def differ(figures: Sequence[Quantity], places: Sequence[Place]) -> Difference:
    """Inference on paired differences; p_holm and distinguishable are filled in when all variants are known."""
    values = [figure.value for figure in figures]
    known = [value for value in values if value is not None]
    inference = _infer(figures, places)
    folded = any(where.fold is not None for where in places)
    complete = len(known) == len(values)
    over_seeds = t_inference(known) if complete and not folded else UNKNOWN
    return Difference(
        mean=_mean(known, places) if known and complete else None,
        values=values,
        low=inference.low,
        high=inference.high,
        seeds_low=over_seeds.low,
        seeds_high=over_seeds.high,
        p=inference.p,
        seeds_needed=seeds_needed(known) if complete and not folded else None,
    )


def negated(difference: Difference) -> Difference:
    """The difference the other way round."""

    def minus(value: float | None) -> float | None:
        return None if value is None else -value

    return difference.model_copy(
        update={
            "mean": minus(difference.mean),
            "values": [minus(value) for value in difference.values],
            "low": minus(difference.high),
            "high": minus(difference.low),
            "seeds_low": minus(difference.seeds_high),
            "seeds_high": minus(difference.seeds_low),
        }
    )


def _infer(figures: Sequence[Quantity], places: Sequence[Place]) -> Inference:
    values = [figure.value for figure in figures if figure.value is not None]
    if len(values) < len(figures) or len(values) < 2:
        return UNKNOWN
    if any(where.fold is not None for where in places):
        return _infer_over_folds(values, places)
    draws = [figure.draws for figure in figures if figure.draws is not None]
    if len(draws) < len(figures):
        return UNKNOWN
    return two_level(values, np.stack(draws))


def _infer_over_folds(values: Sequence[float], places: Sequence[Place]) -> Inference:
    of_folds = _fold_means(values, places)
    if len(of_folds) < 2:
        return UNKNOWN
    return nadeau_bengio(
        of_folds,
        float(np.mean([where.test_rows for where in places])),
        float(np.mean([where.train_rows for where in places])),
    )


def _fold_means(values: Sequence[float], places: Sequence[Place]) -> list[float]:
    """Seeds of one fold are averaged first: they share its rows and are no repetitions of it."""
    by_fold: dict[int | None, list[float]] = {}
    for value, where in zip(values, places, strict=True):
        by_fold.setdefault(where.fold, []).append(value)
    return [float(np.mean(found)) for found in by_fold.values()]


def _mean(values: Sequence[float], places: Sequence[Place]) -> float:
    """Over seeds; with folds, over folds, whatever the number of seeds in each."""
    folded = any(where.fold is not None for where in places)
    return float(np.mean(_fold_means(values, places) if folded else values))
