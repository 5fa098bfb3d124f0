"""Classes that cannot be learned or measured, and a class that outweighs all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from finetune.checks.base import NAMED, is_given, percent, verb
from finetune.data.labels import count_labels, drop_change, largest_class
from finetune.data.rows import Data, names_of
from finetune.errors import shorten
from finetune.measurement.scores import IMBALANCED
from finetune.records.schema import Finding

Level = Literal["info", "warning", "problem"]

RARE = 0.1  # of the training rows, below which a label of several may stay under the threshold of 0.5
FEW = 5  # rows of a class below which its recall moves by more than 20 points with one row


def check_classes(data: Data) -> list[Finding]:
    """Classes that a split lacks, that have a single training row, or fewer than 5 rows in a measured split.

    Classes with fewer rows than there are splits, all of whose rows stay in training, are reported once, as such.
    Missing and single ones are warnings, since macro-F1 counts them like any other class. Few rows are a warning where
    that holds for at least a third of the classes, else information. Numbers have no classes.
    """
    if data.labels is None:
        return []
    kept = _kept_in_training(data)
    whole = [name for name in data.labels if name not in kept]
    leave_out = f"leave these classes out: {drop_change(kept[:NAMED]).for_command_line()}"
    text = (
        "{} "
        + verb(len(kept), "has", "have")
        + " too few rows to be in every split: used for training, but not measured"
    )
    findings = _finding(
        data.labels, kept, "unmeasured", "warning", text, f"Add rows, provide validation and test files, or {leave_out}"
    )
    for split, rows in data.whole_splits().items():
        counts = count_labels(rows)
        if split == "train":
            single = [name for name in whole if counts[name] == 1]
            text = "{} " + verb(len(single), "has only 1 training row", "have only 1 training row each")
            advice = f"Add rows, or leave such classes out: {drop_change(single[:NAMED]).for_command_line()}"
            findings += _finding(data.labels, single, "single", "warning", text, advice)
            continue
        missing = [name for name in whole if counts[name] == 0]
        one_file = ", or use one file with all rows, which is then split: --data FILE" if is_given(data, split) else ""
        text = f"{split} has no examples of {{}}"
        findings += _finding(data.labels, missing, "missing", "warning", text, f"Add rows{one_file}")
        few = [name for name in data.labels if 0 < counts[name] < FEW]
        level: Level = "warning" if 3 * len(few) >= len(data.labels) else "info"
        text = f"{split} has fewer than {FEW} examples of {{}}: too few to measure"
        findings += _finding(data.labels, few, "few", level, text, "Add rows, or ignore scores of single classes")
    return findings


def _kept_in_training(data: Data) -> list[str]:
    """Classes that have too few rows (or groups) for the splits that were made of one table, and are in train alone."""
    made = {name: rows for name, rows in data.whole_splits().items() if name != "train" and not is_given(data, name)}
    units: dict[str, set[str | int]] = {}
    for index, label in enumerate(data.train.labels if made else []):
        for name in names_of(label):
            units.setdefault(name, set()).add(index if data.train.groups is None else data.train.groups[index])
    measured = [count_labels(rows) for rows in made.values()]
    return [
        name
        for name in data.labels or ()
        if 0 < len(units.get(name, ())) < 1 + len(made) and not any(counts[name] for counts in measured)
    ]


def check_rare_labels(data: Data) -> list[Finding]:
    """Labels with few training rows, in multi-label data: each is predicted only above a probability of 0.5.

    A sigmoid fitted to few positives stays near their share, so a label with 4 % of the rows may never be predicted
    although its ranking is good.
    """
    if data.task != "multi_label" or data.labels is None:
        return []
    counts = count_labels(data.train)
    rare = {name: counts[name] / len(data.train) for name in data.labels if counts[name] < RARE * len(data.train)}
    if not rare:
        return []
    listed = [f"'{name}' ({percent(share)})" for name, share in sorted(rare.items(), key=lambda item: item[1])]
    return [
        Finding(
            check="classes",
            level="warning",
            text=f"{len(rare)} of {len(data.labels)} labels are in fewer than {percent(RARE)} of the training rows: "
            f"{shorten(listed, NAMED)}. At a threshold of 0.5 they may never be predicted.",
            figures={"rare": len(rare), "classes": len(data.labels)},
            advice="Judge them by their F1 at the thresholds chosen on validation; to give them more weight: --set "
            "training.class_weights=balanced",
        )
    ]


def check_majority(data: Data) -> list[Finding]:
    """One class with more than 60 % of the training rows: accuracy is mostly its recall, so macro-F1 selects."""
    if data.task != "single_label" or data.labels is None:
        return []
    name, fraction = largest_class(data.train)
    if fraction <= IMBALANCED:
        return []
    return [
        Finding(
            check="majority",
            level="info",
            text=f"{percent(fraction)} of the training rows are '{name}', so macro-F1 is the default score.",
            figures={"share": fraction},
            advice="To learn the other classes better: --set training.class_weights=balanced, or --set "
            "training.sampling=balanced. To keep accuracy: --set training.score=accuracy",
        )
    ]


def _finding(classes: Sequence[str], names: list[str], key: str, level: Level, text: str, advice: str) -> list[Finding]:
    """A finding about some of the classes, if there are any; `text` has a place for them."""
    if not names:
        return []
    shown = shorten([f"'{name}'" for name in names], NAMED)
    sentence = text.format(f"{verb(len(names), 'class', 'classes')} {shown}")
    return [
        Finding(
            check="classes",
            level=level,
            text=f"{sentence[0].upper()}{sentence[1:]}.",
            figures={key: len(names), "classes": len(classes)},
            advice=advice,
        )
    ]
