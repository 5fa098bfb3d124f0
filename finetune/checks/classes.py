"""Classes that cannot be learned or measured, and one that outweighs all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from finetune.checks.base import is_given, named_splits, percent, show_names
from finetune.data.labels import count_labels, largest_class
from finetune.data.rows import Data
from finetune.measurement.scores import IMBALANCED
from finetune.records.schema import Finding

Level = Literal["info", "warning", "problem"]

FEW = 5  # rows of a class below which its recall moves by more than 20 points with one row


def check_classes(data: Data) -> list[Finding]:
    """Classes that a split lacks, that one training row stands for, or that fewer than 5 rows of a split measure.

    Missing and single ones are warnings, since macro-F1 counts them like any other class. Few rows are a warning where
    that holds for at least a third of the classes, else to know. Numbers have no classes.
    """
    if data.labels is None:
        return []
    findings = []
    for split, rows in named_splits(data).items():
        counts = count_labels(rows)
        if split == "train":
            single = [name for name in data.labels if counts[name] == 1]
            about = "One training row stands for each of {}"
            advice = "Add rows, or leave such classes out: --set data.drop_labels=…"
            findings += _of(data.labels, single, "single", "warning", about, advice)
            continue
        missing = [name for name in data.labels if counts[name] == 0]
        about = f"{split} has no row of {{}}"
        advice = "Add rows" + (", or let one file with all rows be split: --data FILE" if is_given(data, split) else "")
        findings += _of(data.labels, missing, "missing", "warning", about, advice)
        few = [name for name in data.labels if 0 < counts[name] < FEW]
        about = f"{split} has fewer than {FEW} rows, too few to measure a class by, of {{}}"
        level: Level = "warning" if 3 * len(few) >= len(data.labels) else "info"
        findings += _of(data.labels, few, "few", level, about, "Add rows, or do not read scores of single classes")
    return findings


def check_majority(data: Data) -> list[Finding]:
    """One class with more than 60 % of the training rows: accuracy is mostly its recall, so macro-F1 leads."""
    if data.task != "single_label" or data.labels is None:
        return []
    name, share = largest_class(data.train)
    if share <= IMBALANCED:
        return []
    return [
        Finding(
            check="majority",
            level="info",
            text=f"{percent(share)} of the training rows are '{name}', so macro-F1 leads by default.",
            figures={"share": share},
            advice="To learn the rest better: --set training.class_weights=balanced, or training.sampling=balanced. To "
            "keep accuracy: --set training.score=accuracy",
        )
    ]


def _of(classes: Sequence[str], names: list[str], key: str, level: Level, text: str, advice: str) -> list[Finding]:
    """A finding about some of the classes, if there are any."""
    if not names:
        return []
    return [
        Finding(
            check="classes",
            level=level,
            text=f"{text.format(f'{len(names)} of {len(classes)} classes')}: {show_names(names)}.",
            figures={key: len(names), "classes": len(classes)},
            advice=advice,
        )
    ]
