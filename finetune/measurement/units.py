"""Formatting of numbers: `67.2 %`, `+5.2 points [+1.9, +8.6]`, `0.112 nats`, `1.56×`, `3.1 h`. A dash if unknown.

Terminal, advice and pages write every number through this module, so that one number looks the same everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol, TypeGuard

from finetune.measurement.scores import LOSSES

DASH = "–"
MINUS = "−"
NAMES = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "mcc": "MCC",
    "nll": "log loss",
    "ece": "ECE",
    "brier": "Brier score",
    "r2": "R²",
    "rmse": "RMSE",
    "mse": "MSE",
    "mae": "MAE",
    "pearson": "Pearson r",
    "spearman": "Spearman ρ",
    "exact_match": "exact match",
    "average_precision": "average precision",
}
FRACTIONS = ("accuracy", "macro_f1", "micro_f1", "exact_match", "average_precision")  # in [0, 1]: shown in percent

LONGEST_NAME = 40  # characters of a row's name beside its number
CORRELATIONS = ("mcc", "pearson", "spearman")  # in [-1, 1]


class Estimate(Protocol):
    """A mean, and the ends of its 95 % interval if it has one."""

    @property
    def mean(self) -> float | None: ...

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


class Estimated(NamedTuple):
    """An `Estimate` from its parts."""

    mean: float | None
    low: float | None
    high: float | None


def is_fraction(metric: str) -> bool:
    """Whether a metric is shown in percent, and its differences in points."""
    return metric in FRACTIONS


def possible_range(metric: str, differences: int = 0) -> tuple[float, float]:
    """The lowest and the highest value that a metric can have.

    Args:
        metric: Its name.
        differences: 1 for a gap or a difference of two values, 2 for the difference of two gaps.
    """
    if metric in FRACTIONS or metric == "ece":
        low, high = 0.0, 1.0
    elif metric in CORRELATIONS:
        low, high = -1.0, 1.0
    else:
        low, high = (0.0 if metric in LOSSES else -math.inf), 1.0 if metric == "r2" else math.inf
    width = differences * (high - low)
    return (-width, width) if differences else (low, high)


def higher_is_better(metric: str) -> bool:
    return metric not in LOSSES


def difference_unit(metric: str) -> str:
    """The unit of a difference or gap: points, nats, or none."""
    return "points" if is_fraction(metric) else "nats" if metric == "nll" else ""


def metric_name(metric: str) -> str:
    """The name for readers: `nll` is `log loss`."""
    return NAMES.get(metric, metric)


@dataclass(frozen=True)
class Scale:
    """Writes the values and differences of one metric.

    Attributes:
        metric: Its name in records.
        fraction: It is in [0, 1], shown in percent with differences in points.
        unit: Unit of differences: points, nats, or empty.
    """

    metric: str
    fraction: bool
    unit: str

    @property
    def name(self) -> str:
        return metric_name(self.metric)

    @property
    def factor(self) -> float:
        return 100.0 if self.fraction else 1.0

    @property
    def digits(self) -> int:
        return 1 if self.fraction else 3

    @property
    def level_unit(self) -> str:
        """Unit of values: %, nats, or empty."""
        return "%" if self.fraction else self.unit

    @property
    def title(self) -> str:
        """`accuracy, %` or `log loss, nats`: for axes and columns of values."""
        return f"{self.name}, {self.level_unit}" if self.level_unit else self.name

    @property
    def change_title(self) -> str:
        """`accuracy, points`: for axes and columns of gaps and differences."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def scaled(self, value: float | None) -> float | None:
        """The value in percent or unchanged; None if undefined."""
        return self.factor * value if value is not None and math.isfinite(value) else None

    def level(self, value: float | None, unit: bool = True) -> str:
        """A score or loss: `78.9 %`, `0.612`; in a column of percentages, without the sign."""
        text = number_text(self.scaled(value), self.digits)
        return f"{text} %" if unit and self.fraction and text != DASH else text

    def amount(self, value: float | None) -> str:
        """A value or distance without sign, with its unit, for sentences: `5.2 points`, `0.612 nats`."""
        text = number_text(self.scaled(value), self.digits)
        return text if text == DASH or not self.unit else f"{text} {self.unit}"

    def change(self, value: float | None, unit: bool = True) -> str:
        """A gap or difference with its sign: `+0.6 points`, `−0.041 nats`."""
        scaled = self.scaled(value)
        if scaled is None:
            return DASH
        return signed(scaled, self.digits) + (f" {self.unit}" if unit and self.unit else "")

    def interval(self, estimate: Estimate | None) -> str:
        """Interval of a gap or difference: `[−0.3, +1.5]`; empty if there is none."""
        low, high = self._ends(estimate)
        return "" if low is None or high is None else f"[{signed(low, self.digits)}, {signed(high, self.digits)}]"

    def range(self, estimate: Estimate | None) -> str:
        """The interval of a value, without signs: `[78.1, 81.2]`; empty if there is none."""
        low, high = self._ends(estimate)
        if low is None or high is None:
            return ""
        return f"[{number_text(low, self.digits)}, {number_text(high, self.digits)}]"

    def estimated_change(self, estimate: Estimate | None) -> str:
        """A gap or difference with its interval: `+0.6 points [−0.3, +1.5]`."""
        return f"{self.change(estimate.mean if estimate else None)} {self.interval(estimate)}".rstrip()

    def estimated_level(self, estimate: Estimate | None) -> str:
        """A value with its interval: `79.6 % [78.1, 81.2]`."""
        return f"{self.level(estimate.mean if estimate else None)} {self.range(estimate)}".rstrip()

    def spread(self, mean: float | None, sd: float | None) -> str:
        """Mean and standard deviation over runs: `78.9 ± 0.4`; a dash for the deviation of a single run."""
        if self.scaled(mean) is None:
            return DASH
        return f"{self.level(mean, unit=False)} ± {number_text(self.scaled(sd), self.digits)}"

    def _ends(self, estimate: Estimate | None) -> tuple[float | None, float | None]:
        return (None, None) if estimate is None else (self.scaled(estimate.low), self.scaled(estimate.high))


@cache
def scale(metric: str) -> Scale:
    """The scale of a metric by its name; an unknown one is a plain number."""
    return Scale(metric, is_fraction(metric), difference_unit(metric))


def score_text(metric: str, value: float | None) -> str:
    """A score or loss: `67.2 %`, `0.612`."""
    return scale(metric).level(value)


def change_text(metric: str, value: float | None, unit: bool = True) -> str:
    """A gap or difference with its sign: `+0.6 points`."""
    return scale(metric).change(value, unit)


def estimate_text(metric: str, estimate: Estimate | None) -> str:
    """A gap or difference with its interval, if it has one: `+0.6 points [−0.3, +1.5]`."""
    return scale(metric).estimated_change(estimate)


def signed(value: float, digits: int) -> str:
    """A number with its sign, with a real minus; zero has none."""
    text = f"{value:+.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def number_text(value: float | None, digits: int) -> str:
    """A plain number with a real minus."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:.{digits}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", MINUS)


def percent_text(fraction: float | None, digits: int = 0) -> str:
    """A fraction in percent: `58 %`; `< 1 %` if it is above 0 but rounds to 0."""
    if fraction is None or not math.isfinite(fraction):
        return DASH
    least = 10.0**-digits
    if 0 < 100 * fraction < least / 2:
        return f"< {least:.{digits}f} %"
    return f"{number_text(100 * fraction, digits)} %"


def multiple_text(value: float | None, digits: int = 2) -> str:
    """A factor: `1.56×`, `3×`; without trailing zeros."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "×"


def training_time_text(multiple: float) -> str:
    """Training time of techniques relative to plain fine-tuning: `1.56× training time`."""
    return f"{multiple_text(multiple)} training time"


def time_text(seconds: float | None) -> str:
    """`41 s`, `12.3 min`, `3.1 h`."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def integer_text(value: int | None) -> str:
    """With thousands separators: `22,000,000`."""
    return DASH if value is None else f"{value:,}"


def count_text(count: int, one: str) -> str:
    """`1 run`, `3 runs`, `2,000 rows`."""
    return f"{integer_text(count)} {one if count == 1 else one + 's'}"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def row_text(row: str, name: str | None) -> str:
    """`12`, or `12 (T-77)`: the number of a row in its source, and its name by `data.id`."""
    return row if name is None else f"{row} ({name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + '…'})"
