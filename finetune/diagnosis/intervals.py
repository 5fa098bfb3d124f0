"""Intervals of accuracies of which only value and rows are known."""

from __future__ import annotations

import math


def proportion_interval(proportion: float, rows: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion: never outside [0, 1], and right for few rows.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209; Brown, Cai & DasGupta 2001, Stat. Sci. 16, 101.
    """
    from scipy.stats import norm  # slow to import, and needed here only

    z = float(norm.ppf(0.5 + confidence / 2))
    shrink = 1 + z * z / rows
    middle = (proportion + z * z / (2 * rows)) / shrink
    half = z / shrink * math.sqrt(proportion * (1 - proportion) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)


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
