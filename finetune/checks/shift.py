"""Labels and lengths whose distribution in validation or test differs from train."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from finetune.checks.base import advise_on_shift, full_texts, percent
from finetune.data.labels import count_labels
from finetune.data.rows import Data, Rows
from finetune.records.schema import Finding

ALARM = 0.01  # p-value, times the number of tests of the check (Bonferroni): one random split in a hundred alarms
NOTABLE = 0.05  # difference of frequencies below which nobody would act on a shift, however certain it is
EXPECTED = 5  # rows per cell of a chi-square test (Cochran 1954); rarer classes are counted as one
SMALLEST = 20  # rows of a split below which nothing is tested


def check_label_shift(data: Data) -> list[Finding]:
    """Label frequencies of validation and of test against train.

    Classes: chi-square test, classes with fewer than 5 expected rows counted together; size of the shift: total
    variation. Multi-label: Fisher's exact test for each label; size: the largest difference. Numbers: two-sample
    Kolmogorov-Smirnov test. A warning when p × tests < 0.01 and the size is at least 0.05. Skipped below 20 rows.
    """
    tested = [(split, _test_labels(data, rows)) for split, rows in _compared(data)]
    findings = []
    for split, (p, size, difference) in tested:
        if p * len(tested) < ALARM and size >= NOTABLE:
            findings.append(
                Finding(
                    check="label_shift",
                    level="warning",
                    text=f"The label distribution of {split} differs from train: {difference} (p = {p:.1g}).",
                    figures={"p": p, "size": size},
                    advice=advise_on_shift(data, split),
                )
            )
    return findings


def check_length_shift(data: Data) -> list[Finding]:
    """Words per text of validation and of test against train: two-sample Kolmogorov-Smirnov test.

    A warning when p × tests < 0.01 and the distributions differ by at least 0.1 somewhere. Skipped below 20 rows.
    """
    compared = _compared(data)
    trained = [len(text.split()) for text in full_texts(data.train)]
    findings = []
    for split, rows in compared:
        lengths = [len(text.split()) for text in full_texts(rows)]
        p, size = _kolmogorov_smirnov(trained, lengths)
        if p * len(compared) < ALARM and size >= 2 * NOTABLE:
            findings.append(
                Finding(
                    check="length_shift",
                    level="warning",
                    text=f"Text lengths in {split} differ from train: a median of {np.median(lengths):g} words against "
                    f"{np.median(trained):g} (Kolmogorov-Smirnov {size:.2f}, p = {p:.1g}).",
                    figures={
                        "p": p,
                        "size": size,
                        "median": float(np.median(lengths)),
                        "median_train": float(np.median(trained)),
                    },
                    advice="Check where the texts come from: another source or time, or other preprocessing",
                )
            )
    return findings


def _compared(data: Data) -> list[tuple[str, Rows]]:
    splits = data.whole_splits()
    if len(splits["train"]) < SMALLEST:
        return []
    return [(name, rows) for name, rows in splits.items() if name != "train" and len(rows) >= SMALLEST]


def _test_labels(data: Data, rows: Rows) -> tuple[float, float, str]:
    """p-value, size of the shift in [0, 1], and what it is in words."""
    if data.task == "regression":
        p, size = _kolmogorov_smirnov(data.train.labels, rows.labels)
        means = f"mean {np.mean(rows.labels):.3g} against {np.mean(data.train.labels):.3g}"
        return p, size, f"{means}, Kolmogorov-Smirnov {size:.2f}"
    assert data.labels is not None, "only numbers have no labels"
    trained, measured = count_labels(data.train), count_labels(rows)
    frequencies = {name: (trained[name] / len(data.train), measured[name] / len(rows)) for name in data.labels}
    name = max(frequencies, key=lambda label: abs(frequencies[label][0] - frequencies[label][1]))
    in_words = f"{percent(frequencies[name][1])} '{name}' against {percent(frequencies[name][0])}"
    if data.task == "multi_label":
        p, size = _fisher(trained, measured, data, rows)
        return p, size, in_words
    counts = np.array([[trained[label], measured[label]] for label in data.labels], dtype=float)
    return _chi_square(counts), sum(abs(a - b) for a, b in frequencies.values()) / 2, in_words


def _chi_square(counts: np.ndarray[Any, Any]) -> float:
    """p-value of a (classes, 2) table; 1 where there is nothing to compare."""
    from scipy.stats import chi2_contingency  # slow to import, and needed here only

    expected = counts.sum(axis=1) * min(counts.sum(axis=0)) / counts.sum()
    rare = counts[expected < EXPECTED].sum(axis=0)
    table = np.array([*counts[expected >= EXPECTED], *([rare] if rare.sum() > 0 else [])])
    return float(chi2_contingency(table).pvalue) if len(table) > 1 else 1.0


def _fisher(trained: Any, measured: Any, data: Data, rows: Rows) -> tuple[float, float]:
    """The smallest p-value over labels, times their number, and the largest difference of frequencies."""
    from scipy.stats import fisher_exact  # slow to import, and needed here only

    assert data.labels is not None, "only numbers have no labels"
    p, size = math.inf, 0.0
    for name in data.labels:
        table = [[trained[name], len(data.train) - trained[name]], [measured[name], len(rows) - measured[name]]]
        p = min(p, float(fisher_exact(table).pvalue))
        size = max(size, abs(trained[name] / len(data.train) - measured[name] / len(rows)))
    return min(1.0, p * len(data.labels)), size


def _kolmogorov_smirnov(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """p-value and the largest difference of the two distribution functions. With ties the test is conservative."""
    from scipy.stats import ks_2samp  # slow to import, and needed here only

    result = ks_2samp(first, second, method="asymp")
    return float(result.pvalue), float(result.statistic)
