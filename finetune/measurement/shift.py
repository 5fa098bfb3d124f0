"""Whether two sets of rows have the same labels or lengths: tests and effect sizes. Pure numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALARM = 0.01  # p-value, times the number of tests of the check (Bonferroni): one random split in a hundred alarms
NOTABLE = 0.05  # difference of frequencies below which nobody would act on a shift, however certain it is
EXPECTED = 5  # rows per cell of a chi-square test (Cochran 1954); rarer classes are counted as one
SMALLEST = 20  # rows of a split below which nothing is tested


def chi_square(counts: NDArray[Any]) -> float:
    """p-value of a (classes, 2) table of counts; 1 if there is nothing to compare."""
    from scipy.stats import chi2_contingency  # slow to import, and needed here only

    expected = counts.sum(axis=1) * min(counts.sum(axis=0)) / counts.sum()
    rare = counts[expected < EXPECTED].sum(axis=0)
    table = np.array([*counts[expected >= EXPECTED], *([rare] if rare.sum() > 0 else [])])
    return float(chi2_contingency(table).pvalue) if len(table) > 1 else 1.0


def total_variation(counts: NDArray[Any]) -> float:
    """Half the sum of the differences of the frequencies of a (classes, 2) table of counts, in [0, 1]."""
    frequencies = counts / counts.sum(axis=0)
    return float(np.abs(frequencies[:, 0] - frequencies[:, 1]).sum() / 2)


def fisher(counts: NDArray[Any], rows: tuple[int, int]) -> tuple[float, float]:
    """The smallest p-value over labels, times their number, and the largest difference of frequencies.

    Args:
        counts: (labels, 2), rows that have each label.
        rows: Number of rows of both sides.
    """
    from scipy.stats import fisher_exact  # slow to import, and needed here only

    p, size = math.inf, 0.0
    for first, second in counts.tolist():
        p = min(p, float(fisher_exact([[first, rows[0] - first], [second, rows[1] - second]]).pvalue))
        size = max(size, abs(first / rows[0] - second / rows[1]))
    return min(1.0, p * len(counts)), size


def kolmogorov_smirnov(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """p-value and the largest difference of the two distribution functions. With ties the test is conservative."""
    from scipy.stats import ks_2samp  # slow to import, and needed here only

    result = ks_2samp(first, second, method="asymp")
    return float(result.pvalue), float(result.statistic)


def against_quantiles(quantiles: Sequence[float], rows: int, values: Sequence[float]) -> tuple[float, float]:
    """The same test if only the quantiles of one side are known.

    Args:
        quantiles: Quantiles of the first side, evenly spaced from the smallest to the largest value.
        rows: Number of rows behind the quantiles.
        values: Values of the second side.

    Returns:
        p-value and the largest difference, reduced by the distance of two quantiles, by which it may be off, so that no
        false shift is found.
    """
    from scipy.stats import ks_2samp, kstwobign  # slow to import, and needed here only

    size = float(ks_2samp(quantiles, values, method="asymp").statistic)
    size = max(0.0, size - 1 / (len(quantiles) - 1))
    harmonic = rows * len(values) / (rows + len(values))
    return float(kstwobign.sf(math.sqrt(harmonic) * size)), size
