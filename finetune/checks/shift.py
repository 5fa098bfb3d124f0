"""Labels and lengths whose distribution in validation or test differs from train."""

from __future__ import annotations

import numpy as np

from finetune.checks.base import advise_on_shift, full_texts, percent
from finetune.data.labels import count_labels
from finetune.data.rows import Data, Rows
from finetune.measurement.shift import (
    ALARM,
    NOTABLE,
    SMALLEST,
    chi_square,
    fisher,
    kolmogorov_smirnov,
    total_variation,
)
from finetune.records.schema import Finding


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
                    split=split,
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
        p, size = kolmogorov_smirnov(trained, lengths)
        if p * len(compared) < ALARM and size >= 2 * NOTABLE:
            findings.append(
                Finding(
                    check="length_shift",
                    level="warning",
                    split=split,
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
        p, size = kolmogorov_smirnov(data.train.labels, rows.labels)
        means = f"mean {np.mean(rows.labels):.3g} against {np.mean(data.train.labels):.3g}"
        return p, size, f"{means}, Kolmogorov-Smirnov {size:.2f}"
    assert data.labels is not None, "only numbers have no labels"
    trained, measured = count_labels(data.train), count_labels(rows)
    frequencies = {name: (trained[name] / len(data.train), measured[name] / len(rows)) for name in data.labels}
    name = max(frequencies, key=lambda label: abs(frequencies[label][0] - frequencies[label][1]))
    in_words = f"{percent(frequencies[name][1])} '{name}' against {percent(frequencies[name][0])}"
    counts = np.array([[trained[label], measured[label]] for label in data.labels])
    if data.task == "multi_label":
        return *fisher(counts, (len(data.train), len(rows))), in_words
    return chi_square(counts), total_variation(counts), in_words
