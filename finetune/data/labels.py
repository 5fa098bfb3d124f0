"""What is predicted, and the names and the order of its classes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from finetune.data.label_cells import LabelFormat, are_written_lists, as_number
from finetune.data.rows import Rows, names_of
from finetune.errors import Change, DataError, suggest
from finetune.recipe import DataSection
from finetune.tasks import Task

MULTI_LABEL_FRACTION = 0.01  # of cells with a separator, from which labels are taken for lists
SEPARATORS = ("|", ";", ",", "/")  # that people put between labels
MANY_CLASSES = 50
LARGEST_TARGET = 1e15  # its square still fits fp32
ODD_FRACTION = 0.1  # of cells that are not numbers, up to which a column of numbers seems to have typos


def infer_format(section: DataSection, labels: list[Any], notes: list[str]) -> LabelFormat:
    """Infer task and format from the filled label cells of training, and say so in `notes`.

    Lists (also written as text), or texts with the separator in at least 1 % of the rows: multi-label. Numbers of
    which at least one has a fraction: regression. Everything else, digits included: classes.

    Raises:
        DataError: The cells are printed numpy arrays, or numbers with fractions and a few cells that are none.
    """
    if isinstance(section.label, list):
        return LabelFormat("multi_label", columns=tuple(section.label))
    if section.task in ("auto", "multi_label") and are_written_lists(labels):
        notes.append(f"multi-label: labels are lists written as text, such as {labels[0]}")
        return LabelFormat("multi_label", written_lists=True)
    task = section.task if section.task != "auto" else _infer_task(section, labels, notes)
    if section.task == "multi_label" and not _joined(section.label_separator, labels):
        notes += _separator_notes(section, labels)
    return LabelFormat(task, section.label_separator)


def separator_warnings(section: DataSection, labels: list[Any]) -> list[str]:
    """A separator that the recipe names and no label cell holds."""
    default = DataSection.model_fields["label_separator"].default
    if section.label_separator == default or _joined(section.label_separator, labels):
        return []
    return [f"data.label_separator: no label cell contains '{section.label_separator}', so it has no effect"]


def _joined(separator: str, labels: Sequence[Any]) -> int:
    """Cells that hold the separator."""
    return sum(isinstance(label, str) and separator in label for label in labels)


def _infer_task(section: DataSection, labels: list[Any], notes: list[str]) -> Task:
    if any(isinstance(label, list) for label in labels):
        notes.append("multi-label: labels are lists")
        return "multi_label"
    joined = _joined(section.label_separator, labels)
    if joined >= max(1, MULTI_LABEL_FRACTION * len(labels)):
        notes.append(
            f"multi-label: {joined} label cells contain '{section.label_separator}' (if they are single labels: "
            "data.task=single_label)"
        )
        return "multi_label"
    if section.label_map:
        return "single_label"  # numbers that have names are classes
    numbers = [as_number(label) for label in labels]
    if all(number is not None for number in numbers):
        if any(number is not None and not number.is_integer() for number in numbers):
            notes.append("regression: labels are numbers with fractions (if they are classes: data.task=single_label)")
            return "regression"
        if len(set(numbers)) > MANY_CLASSES:
            notes.append(
                f"labels are {len(set(numbers))} different whole numbers, used as classes; to predict the number: "
                "--set data.task=regression"
            )
    odd = [label for label, number in zip(labels, numbers, strict=True) if number is None]
    few = 0 < len(odd) <= ODD_FRACTION * len(labels)
    if few and any(number is not None and not number.is_integer() for number in numbers):
        raise DataError(
            f"{len(labels) - len(odd)} of {len(labels)} labels are numbers, some with fractions, but {odd[0]!r} is "
            "not. Correct it, leave such rows out, or say that labels are classes.",
            Change(settings={"data.task": "regression", "data.skip_bad_rows": True}, note="leaves such rows out"),
            Change(settings={"data.task": "single_label"}, note="classes"),
            key="data.label",
            found=odd[0],
        )
    if few:
        notes.append(
            f"{len(labels) - len(odd)} of {len(labels)} labels are numbers, but {odd[0]!r} is not: used as classes (if "
            "they are numbers, correct that cell and: --set data.task=regression)"
        )
    notes += _separator_notes(section, labels)
    return "single_label"


def _separator_notes(section: DataSection, labels: Sequence[Any]) -> list[str]:
    """Another separator than the named one, where most parts of the joined cells are in other cells too."""
    cells = Counter(label for label in labels if isinstance(label, str))
    for separator in SEPARATORS:
        joined = sum(count for cell, count in cells.items() if separator in cell)
        if separator == section.label_separator or joined < max(2, MULTI_LABEL_FRACTION * len(labels)):
            continue
        parts = Counter(part for cell in cells for part in {part.strip() for part in cell.split(separator)})
        of_joined = {part.strip() for cell in cells if separator in cell for part in cell.split(separator)}
        if 2 * sum(parts[part] > 1 for part in of_joined) > len(of_joined):
            advice = Change(settings={"data.label_separator": separator}).for_command_line()
            return [
                f"{joined} label cells contain '{separator}', and other cells contain the same parts: each cell is "
                f"used as one label. If they are several labels: {advice}"
            ]
    return []


def drop_labelled(rows: Rows, names: list[str], dropped: Counter[str]) -> Rows:
    """Leave out the rows that have one of these labels; counted in `dropped`."""
    if not names:
        return rows
    dropped_names = set(names)
    keep = [i for i, label in enumerate(rows.labels) if dropped_names.isdisjoint(names_of(label))]
    if len(keep) < len(rows):
        dropped["data.drop_labels"] += len(rows) - len(keep)
    return rows.take(keep)


def drop_change(names: list[str]) -> Change:
    """The setting that leaves these labels out."""
    return Change(settings={"data.drop_labels": names})


def label_names(
    section: DataSection,
    splits: dict[str, Rows],
    task: Task,
    declared: list[str] | None,
    notes: list[str],
    warnings: list[str],
) -> list[str] | None:
    """Fix the order of the logits: as the recipe has it, else as the data declares it, else numbers by value, else by
    name. None for regression.

    Raises:
        DataError: Fewer than two classes, a measured label unseen in training, or a name missing from data.labels.
    """
    if task == "regression":
        if section.labels is not None:
            no_labels = Change(settings={"data.labels": None})
            raise DataError("has no meaning for regression.", no_labels, key="data.labels", found=section.labels)
        _check_numbers(splits["train"].labels)
        return None
    trained = sorted(count_labels(splits["train"]), key=_natural_order)
    if len(trained) < (2 if task == "single_label" else 1):
        shown = f"only {trained[0]!r}" if trained else "none"
        needed = "two classes are" if task == "single_label" else "one label is"
        why = f"at least {needed} needed to train, and {len(splits['train'])} rows have {shown}."
        raise DataError(why, key="data.label")
    for split in ("validation", "test"):
        unseen = sorted(set(count_labels(splits[split])) - set(trained)) if split in splits else []
        if unseen:
            raise DataError(
                f"has labels that never occur in training: {', '.join(unseen[:10])}. Add training rows, or leave these "
                "labels out.",
                drop_change(unseen[:10]),
                key=f"data.{split}",
                found=unseen,
            )
    if section.labels is not None:
        _check_names(section.labels, trained)
        return section.labels
    return trained if declared is None else _declared_order(declared, trained, notes)


def _check_names(named: list[str], trained: list[str]) -> None:
    missing = [name for name in trained if name not in named]
    if missing:
        why = f"lacks {missing[0]!r}, a label of the training rows.{suggest(missing[0], named)}"
        raise DataError(why, key="data.labels", found=missing[0])
    surplus = [name for name in named if name not in trained]
    if surplus:
        why = f"{surplus[0]!r} never occurs in training.{suggest(surplus[0], trained)}"
        raise DataError(why, key="data.labels", found=surplus[0])


def _declared_order(declared: list[str], trained: list[str], notes: list[str]) -> list[str]:
    """The order in which the data declares its classes; of those that training has."""
    idle = [name for name in declared if name not in trained]
    if idle:
        notes.append(
            f"{len(idle)} of {len(declared)} declared labels never occur in training and are left out: "
            f"{', '.join(idle[:10])}"
        )
    return [name for name in declared if name in trained] + [name for name in trained if name not in declared]


def count_labels(rows: Rows) -> Counter[str]:
    """Label -> rows; a multi-label row counts for each of its labels."""
    counts: Counter[str] = Counter()
    for label in rows.labels:
        counts.update(names_of(label))
    return counts


def largest_class(rows: Rows) -> tuple[str, float]:
    """The most frequent label, and the fraction of the rows that have it."""
    name, count = count_labels(rows).most_common(1)[0]
    return name, count / len(rows)


def _natural_order(name: str) -> tuple[bool, float, str]:
    number = as_number(name)
    return (number is None, number or 0.0, name)


def _check_numbers(values: list[float]) -> None:
    largest = max(abs(value) for value in values)
    if largest > LARGEST_TARGET:
        why = f"the target {largest:g} is too large for fp32. Rescale the targets to about 1."
        raise DataError(why, key="data.label", found=largest)
    if min(values) == max(values):
        why = f"every training row has the value {values[0]:g}; there is nothing to learn."
        raise DataError(why, key="data.label", found=values[0])
