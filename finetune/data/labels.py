"""Label cells -> labels, and what is predicted."""

import json
import math
import shlex
import statistics
from collections import Counter
from typing import Any

from finetune.data.rows import Rows
from finetune.errors import DataError, suggest
from finetune.recipe import DataSection

MULTI_LABEL_SHARE = 0.01  # share of cells with a separator from which labels are taken for lists
MANY_CLASSES = 50
LARGEST_TARGET = 1e15  # its square still fits fp32
ODD_SHARE = 0.1  # of cells that are no numbers, up to which a column of numbers looks like a column with typos


def infer_task(section: DataSection, labels: list[Any], notes: list[str]) -> str:
    """Tell the task from the training labels, and say so in `notes`.

    Lists, or texts with the separator in at least 1 % of the rows: multi-label. Numbers of which at least one has
    a fraction: regression. Everything else, digits included: classes.
    """
    if section.task != "auto":
        return section.task
    if any(isinstance(label, list) for label in labels):
        notes.append("labels are lists: multi-label")
        return "multi_label"
    joined = sum(section.label_separator in str(label) for label in labels)
    if joined >= max(1, MULTI_LABEL_SHARE * len(labels)):
        notes.append(
            f"{joined} label cells hold '{section.label_separator}': multi-label (data.task=single_label if not)"
        )
        return "multi_label"
    numbers = [_as_number(label) for label in labels]
    if all(number is not None for number in numbers):
        if any(number is not None and not number.is_integer() for number in numbers):
            notes.append("labels are numbers with fractions: regression (data.task=single_label if they are classes)")
            return "regression"
        if len(set(numbers)) > MANY_CLASSES:
            notes.append(
                f"labels are {len(set(numbers))} different whole numbers, taken as classes; "
                "type --set data.task=regression to predict the number"
            )
    odd = [label for label, number in zip(labels, numbers, strict=True) if number is None]
    if odd and len(odd) <= ODD_SHARE * len(labels):
        notes.append(
            f"{len(labels) - len(odd)} of {len(labels)} labels are numbers, but {odd[0]!r} is none: taken as classes "
            "(data.task=regression if they are numbers; then mend that cell)"
        )
    return "single_label"


def parse_labels(rows: Rows, task: str, separator: str, origin: str) -> Rows:
    """Turn label cells into str, list[str] or float.

    Raises:
        DataError: A cell is not what the task needs; names the row.
    """
    parse = {"single_label": _parse_name, "multi_label": _parse_names, "regression": _parse_number}[task]
    labels = []
    for row_id, cell in zip(rows.ids, rows.labels, strict=True):
        try:
            labels.append(parse(cell, separator))
        except ValueError as error:
            raise DataError(f"{origin} row {row_id}: label {cell!r} {error}.") from error
    return Rows(rows.texts, rows.pairs, labels, rows.ids)


def _parse_name(cell: Any, separator: str) -> str:
    if isinstance(cell, list | dict):
        raise ValueError("is no single label. For lists of labels type: --set data.task=multi_label")
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _parse_names(cell: Any, separator: str) -> list[str]:
    if cell is None:
        return []
    if isinstance(cell, list):
        if not all(isinstance(part, str | int | float) for part in cell):
            raise ValueError("holds something that is no label name")
        parts = [_parse_name(part, separator) for part in cell]
    else:
        parts = _parse_name(cell, separator).split(separator)
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def drop_labelled(rows: Rows, names: list[str], dropped: Counter[str]) -> Rows:
    """Leave out the rows that have one of these labels; counted in `dropped`."""
    unwanted = set(names)
    keep = [i for i, label in enumerate(rows.labels) if unwanted.isdisjoint(_names(label))]
    if len(keep) < len(rows):
        dropped["data.drop_labels"] += len(rows) - len(keep)
    return rows.take(keep)


def drop_advice(names: list[str]) -> str:
    """The option that leaves labels out, quoted so that shell and YAML read back these very names."""
    return "--set " + shlex.quote(f"data.drop_labels={json.dumps(names, ensure_ascii=False)}")


def _names(label: Any) -> list[str]:
    return label if isinstance(label, list) else [str(label)]


def _parse_number(cell: Any, separator: str) -> float:
    number = _as_number(cell)
    if number is None:
        raise ValueError("is no number, but data.task is regression")
    return number


def _as_number(cell: Any) -> float | None:
    if isinstance(cell, bool | list | dict) or cell is None:
        return None
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def label_names(section: DataSection, splits: dict[str, Rows], task: str, warnings: list[str]) -> list[str] | None:
    """Fix the order of the logits: as given, else numbers by value, else by name. None for regression.

    Raises:
        DataError: Fewer than two classes, a measured label unseen in training, or a name missing from data.labels.
    """
    if task == "regression":
        if section.labels is not None:
            raise DataError("data.labels: has no meaning for regression. Type: --set data.labels=null")
        _check_numbers(splits["train"].labels, warnings)
        return None
    trained = count_labels(splits["train"])
    found = sorted(trained, key=_natural_order)
    if len(found) < (2 if task == "single_label" else 1):
        shown = f"only {found[0]!r}" if found else "none"
        raise DataError(
            f"data.label: at least two classes are needed to train, found {shown} in {len(splits['train'])} rows."
        )
    for split in ("validation", "test"):
        unseen = sorted(set(count_labels(splits[split])) - set(found)) if split in splits else []
        if unseen:
            raise DataError(
                f"data.{split}: labels that never occur in training: {', '.join(unseen[:10])}. Add training rows, or "
                f"leave them out: {drop_advice(unseen[:10])}"
            )
        measured = count_labels(splits[split]) if split in splits else trained
        absent = [name for name in found if name not in measured]
        if absent:
            warnings.append(f"{split} has no row of {len(absent)} of {len(found)} classes: {', '.join(absent[:10])}")
    rare = [name for name, count in trained.items() if count == 1]
    if rare:
        warnings.append(f"{len(rare)} classes have a single training row: {', '.join(rare[:10])}")
    if section.labels is None:
        return found
    missing = [name for name in found if name not in section.labels]
    if missing:
        raise DataError(
            f"data.labels: misses {missing[0]!r}, which the data holds.{suggest(missing[0], section.labels)}"
        )
    surplus = [name for name in section.labels if name not in found]
    if surplus:
        raise DataError(f"data.labels: {surplus[0]!r} never occurs in training.{suggest(surplus[0], found)}")
    return section.labels


def count_labels(rows: Rows) -> Counter[str]:
    """Label -> rows; a multi-label row counts for each of its labels."""
    counts: Counter[str] = Counter()
    for label in rows.labels:
        counts.update(_names(label))
    return counts


def _natural_order(name: str) -> tuple[bool, float, str]:
    number = _as_number(name)
    return (number is None, number or 0.0, name)


def _check_numbers(values: list[float], warnings: list[str]) -> None:
    largest = max(abs(value) for value in values)
    if largest > LARGEST_TARGET:
        raise DataError(f"data.label: the target {largest:g} is too large for fp32. Rescale the targets to about 1.")
    mean = statistics.fmean(values)
    spread = statistics.pstdev(values)
    if spread == 0:
        raise DataError(f"data.label: every training row has the value {mean:g}; there is nothing to learn.")
    if not 0.05 <= spread <= 20:
        warnings.append(
            f"targets have a standard deviation of {spread:g}; the head moves slowly, so rescale them to about 1"
        )
