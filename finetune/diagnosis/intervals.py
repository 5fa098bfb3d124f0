"""Intervals of differences between accuracies of which only value and number of rows are known."""

from __future__ import annotations

import math

from finetune.measurement.intervals import proportion_interval


def difference_interval(
    first: float, first_rows: int | None, second: float, second_rows: int, confidence: float
) -> tuple[float, float]:
    """Newcombe's interval of first − second, for proportions of different rows; `first_rows` None: it is exact.

    Source: Newcombe 1998, Stat. Med. 17, 873, method 10.
    """
    low, high = (first, first) if first_rows is None else proportion_interval(first, first_rows, confidence)
    other_low, other_high = proportion_interval(second, second_rows, confidence)
    difference = first - second
    return (
        difference - math.hypot(first - low, other_high - second),
        difference + math.hypot(high - first, second - other_low),
    )
