"""Mean and interval over the replicates of a variant: its seeds, or seeds and folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from finetune.analysis.collection import FinishedRun
from finetune.analysis.measurements import Measurement
from finetune.analysis.sequential import Looks
from finetune.analysis.statistics import UNKNOWN, Inference, nadeau_bengio, seeds_needed, t_inference, two_level
from finetune.records.report import Difference, Summary

Range = tuple[float, float]
ANY = (-math.inf, math.inf)
TWO = 2  # repetitions: too few for an interval, where it is as wide as the numbers are
Key = tuple[int, int | None]  # seed and fold: what runs of different variants are paired by


@dataclass(frozen=True)
class Replicate:
    """The repetition that a run is, with the values for Nadeau and Bengio's correction."""

    seed: int
    fold: int | None
    train_rows: int
    test_rows: int

    @property
    def key(self) -> Key:
        return self.seed, self.fold


def replicate_of(run: FinishedRun) -> Replicate:
    """The replicate of a run."""
    rows = run.record.data.rows
    return Replicate(run.seed, run.fold, rows["train"], rows.get("test", rows["validation"]))


def summarise(measurements: Sequence[Measurement], replicates: Sequence[Replicate], possible: Range = ANY) -> Summary:
    """Mean, spread and interval over runs; the interval is limited to the possible range."""
    values = [measurement.value for measurement in measurements]
    defined = [value for value in values if value is not None]
    inference = within(_infer(measurements, replicates), possible, _repetitions(values, replicates))
    return Summary(
        # Undefined in one run (a constant has no correlation): the mean of the others would be of another preset.
        mean=_mean(defined, replicates) if defined and len(defined) == len(values) else None,
        sd=float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        low=inference.low,
        high=inference.high,
        values=values,
    )


def paired_difference(
    differences: Sequence[Measurement],
    replicates: Sequence[Replicate],
    possible: Range = ANY,
    looks: Looks | None = None,
) -> Difference:
    """Inference on paired differences; p_holm and distinguishable are filled in later, when all variants are known.

    Args:
        differences: One per pair.
        replicates: Their seeds and folds.
        possible: Lowest and highest possible difference.
        looks: The looks by which seeds were added, if these numbers were looked at.
    """
    values = [difference.value for difference in differences]
    defined = [value for value in values if value is not None]
    repetitions = _repetitions(values, replicates)
    inference = within(_infer(differences, replicates, looks), possible, repetitions)
    complete, folded = len(defined) == len(values), _is_folded(replicates)
    over_seeds = within(t_inference(defined, looks), possible, repetitions) if complete and not folded else UNKNOWN
    return Difference(
        mean=_mean(defined, replicates) if defined and complete else None,
        values=values,
        low=inference.low,
        high=inference.high,
        seeds_low=over_seeds.low,
        seeds_high=over_seeds.high,
        p=inference.p,
        seeds_needed=seeds_needed(defined) if complete and not folded else None,
    )


def within(inference: Inference, possible: Range, repetitions: int) -> Inference:
    """An interval limited to possible values.

    With two repetitions Student's t is 12.7: an interval that covers half of the possible range or more is not
    informative, and neither is its test. It is left out.

    Args:
        inference: Inference on a mean.
        possible: Lowest and highest possible value.
        repetitions: Independent repetitions: seeds, or folds.
    """
    if inference.low is None or inference.high is None:
        return inference
    lowest, highest = possible
    if repetitions == TWO and inference.high - inference.low >= (highest - lowest) / 2:
        return UNKNOWN
    return replace(inference, low=max(inference.low, lowest), high=min(inference.high, highest))


def negated(difference: Difference) -> Difference:
    """The difference with the opposite sign."""

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


def _infer(
    measurements: Sequence[Measurement], replicates: Sequence[Replicate], looks: Looks | None = None
) -> Inference:
    values = [measurement.value for measurement in measurements if measurement.value is not None]
    if len(values) < len(measurements) or len(values) < 2:
        return UNKNOWN
    if _is_folded(replicates):
        return _infer_over_folds(values, replicates)
    draws = [measurement.draws for measurement in measurements if measurement.draws is not None]
    if len(draws) < len(measurements):
        return UNKNOWN
    return two_level(values, np.stack(draws), looks)


def _infer_over_folds(values: Sequence[float], replicates: Sequence[Replicate]) -> Inference:
    means = _fold_means(values, replicates)
    if len(means) < 2:
        return UNKNOWN
    return nadeau_bengio(
        means,
        float(np.mean([replicate.test_rows for replicate in replicates])),
        float(np.mean([replicate.train_rows for replicate in replicates])),
    )


def _is_folded(replicates: Sequence[Replicate]) -> bool:
    return any(replicate.fold is not None for replicate in replicates)


def _repetitions(values: Sequence[float | None], replicates: Sequence[Replicate]) -> int:
    """Independent ones."""
    return len({replicate.fold for replicate in replicates}) if _is_folded(replicates) else len(values)


def _fold_means(values: Sequence[float], replicates: Sequence[Replicate]) -> list[float]:
    """Averages the seeds of one fold first: they share its rows and are not independent repetitions."""
    by_fold: dict[int | None, list[float]] = {}
    for value, replicate in zip(values, replicates, strict=True):
        by_fold.setdefault(replicate.fold, []).append(value)
    return [float(np.mean(values)) for values in by_fold.values()]


def _mean(values: Sequence[float], replicates: Sequence[Replicate]) -> float:
    """Over seeds; with folds, over folds, whatever the number of seeds in each."""
    return float(np.mean(_fold_means(values, replicates) if _is_folded(replicates) else values))
