"""The power law of one preset, and its predictions for sizes that were not measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune.advice.curve import describe_fit
from finetune.analysis.measurements import Measurement
from finetune.analysis.power_law import LEAST_SIZES, PowerLaw, fit_power_law, interval
from finetune.analysis.statistics import Floats
from finetune.measurement.units import count_text
from finetune.records.curve import Check, FittedLaw, LabelsForMore, LawPoint, Outlook, Prediction

FACTORS = (2, 5)  # of the largest size; nothing is said beyond
STEP = 0.01  # of a score: one point, where it is shown in percent
SEEN = 0.001  # a gain that shows with one decimal
LINE_POINTS = 40


@dataclass(frozen=True)
class Target:
    """The metric of the reported split that a law is fitted to. The error of a score is 1 - score; a loss is its own
    error.
    """

    metric: str
    split: str
    is_score: bool

    def error(self, value: float) -> float:
        """Error of a score or loss."""
        return 1 - value if self.is_score else value

    value = error  # its own inverse

    def values(self, errors: Floats) -> Floats:
        """Scores or losses from errors."""
        result: Floats = 1 - errors if self.is_score else errors
        return result


@dataclass(frozen=True)
class SizeMeasurements:
    """Values measured at one size, per run; undefined values are left out."""

    size: int
    measurements: list[Measurement]

    def errors(self, target: Target) -> list[float]:
        """Per run."""
        return [target.error(each.value) for each in self.measurements if each.value is not None]


def fitted_law(preset: str, sizes: Sequence[SizeMeasurements], target: Target) -> FittedLaw | str:
    """The law of one metric, or why there is none.

    Args:
        preset: Name of the preset.
        sizes: Measurements in ascending size.
        target: The metric.
    """
    has_enough_sizes = len(sizes) >= LEAST_SIZES
    sizes = [size for size in sizes if size.measurements]
    draws = _row_draws(sizes)
    law = _fit(sizes, draws, target)
    if law is None:
        have = "has" if len(sizes) == 1 else "have"
        way = "no run of the others has one" if has_enough_sizes else "add sizes"
        return f"{count_text(len(sizes), 'size')} {have} numbers, and a power law has {LEAST_SIZES} constants: {way}"
    predictions = [_prediction(law, factor, target) for factor in FACTORS]
    excess, exponent, floor = (float(value) for value in law.constants)
    fitted = FittedLaw(
        metric=target.metric,
        amplitude=excess * law.largest**exponent,
        exponent=exponent,
        floor=floor,
        limit=target.value(floor),
        line=_line(law, sizes[0].size, target),
        predictions=predictions,
        check=_check(_fit(sizes[:-1], None if draws is None else draws[:-1], target), sizes[-1], target),
        labels=_labels(law) if target.is_score else None,
        outlook=_outlook(predictions, target),
        words="",
    )
    return fitted.model_copy(update={"words": describe_fit(preset, fitted)})


def _fit(sizes: Sequence[SizeMeasurements], draws: Sequence[Floats] | None, target: Target) -> PowerLaw | None:
    """None for fewer than three sizes."""
    return fit_power_law([size.size for size in sizes], [size.errors(target) for size in sizes], draws)


def _row_draws(sizes: Sequence[SizeMeasurements]) -> list[Floats] | None:
    """The numbers of each size on redrawn rows, (seeds, draws); None if one is no function of sums over rows.

    Errors move as their scores do, with the other sign, and noise has no sign.
    """
    draws = [[each.draws for each in size.measurements if each.draws is not None] for size in sizes]
    if any(len(drawn) < len(size.measurements) for drawn, size in zip(draws, sizes, strict=True)):
        return None
    stacked = [np.stack(drawn) for drawn in draws]
    return stacked if all(np.isfinite(drawn).all() for drawn in stacked) else None


def _prediction(law: PowerLaw, factor: int, target: Target) -> Prediction:
    size = factor * law.largest
    errors, now = law.error_draws(size), law.error_draws(law.largest)
    low, high = _ends(errors, target)
    change_low, change_high = (
        (None, None) if errors is None or now is None else interval(now - errors if target.is_score else errors - now)
    )
    change = law.error(law.largest) - law.error(size)
    return Prediction(
        factor=factor,
        size=size,
        value=target.value(law.error(size)),
        low=low,
        high=high,
        change=change if target.is_score else -change,
        change_low=change_low,
        change_high=change_high,
    )


def _ends(errors: Floats | None, target: Target) -> tuple[float | None, float | None]:
    return interval(None if errors is None else target.values(errors))


def _check(law: PowerLaw | None, largest: SizeMeasurements, target: Target) -> Check | None:
    """The law of the smaller sizes against the largest; None if they are too few for a law."""
    if law is None:
        return None
    size = largest.size
    predicted = target.value(law.error(size))
    measured = target.value(float(np.mean(largest.errors(target))))
    low, high = _ends(law.error_draws(size), target)
    return Check(size=size, predicted=predicted, low=low, high=high, measured=measured, miss=measured - predicted)


def _line(law: PowerLaw, smallest: int, target: Target) -> list[LawPoint]:
    points = []
    for size in np.geomspace(smallest, FACTORS[-1] * law.largest, LINE_POINTS):
        low, high = _ends(law.error_draws(size), target)
        points.append(LawPoint(size=float(size), value=target.value(law.error(size)), low=low, high=high))
    return points


def _labels(law: PowerLaw) -> LabelsForMore:
    rows, draws = law.rows_for_gain(STEP)
    limit = FACTORS[-1] * law.largest

    def within(number: float | None) -> int | None:
        return None if number is None or number > limit else math.ceil(number)

    low, high = interval(draws)
    return LabelsForMore(step=STEP, rows=within(rows), low=within(low), high=within(high), limit=limit)


def _outlook(predictions: Sequence[Prediction], target: Target) -> Outlook:
    twice, most = (_gain(prediction, target) for prediction in predictions)
    if twice is None or most is None:
        return "no interval"
    if most[1] < STEP:
        return "flat"
    return "rising" if twice[0] >= SEEN else "too wide"


def _gain(prediction: Prediction, target: Target) -> tuple[float, float] | None:
    """The interval of the gain; a lower loss is a gain."""
    low, high = prediction.change_low, prediction.change_high
    if low is None or high is None:
        return None
    return (low, high) if target.is_score else (-high, -low)
