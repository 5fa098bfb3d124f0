"""The task, inferred from the training label cells; with a note, or with a warning where it is a guess."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

from finetune.data.equal_cells import are_texts, of_each
from finetune.data.flags import flag_of, flags_in
from finetune.data.label_cells import LabelFormat, are_bare_lists, are_written_lists
from finetune.data.label_vectors import find_vectors, repeat_warnings
from finetune.data.numbers import NO_SIGN, PLAIN, NumberStyle, as_number, number_style
from finetune.data.table import kind_of
from finetune.errors import Change, DataError
from finetune.recipe import DataSection
from finetune.tasks import Task

MULTI_LABEL_FRACTION = 0.01  # of cells with a separator, from which labels are taken for lists
SEPARATORS = ("|", ";", ",", "/", "#", " ")  # that people and programs put between labels
COMBINATIONS = 3  # different cells for each word, from which words are labels
MANY_CLASSES = 50
FEW_ROWS = 5  # of a value, on average, below which many whole numbers are amounts and no classes
FEW_CLASSES = 10  # up to which whole numbers are classes whatever their number of rows
ODD_FRACTION = 0.1  # of cells that are not numbers, up to which a column of numbers seems to have typos
MARKS = {"point": ".", "comma": ","}  # of data.decimal
AS_NUMBERS = Change(settings={"data.task": "regression"})
AS_CLASSES = Change(settings={"data.task": "single_label"})


def infer_format(
    section: DataSection, labels: list[Any], notes: list[str], warnings: list[str], declared: bool = False
) -> LabelFormat:
    """Infer task and format from the filled training label cells, and report them in `notes` and `warnings`.

    Lists (also written as text), or texts with the separator in at least 1 % of the rows: multi-label. Numbers of which
    at least one has a fraction or thousands separators, and whole numbers that are not codes and have few rows each:
    regression. Everything else is a class, numbers with a sign (`83%`) included.

    Args:
        section: The data section of the recipe.
        labels: The filled cells.
        notes, warnings: Extended with messages.
        declared: The source declares the column as classes.

    Raises:
        DataError: The cells are printed numpy arrays, or numbers with fractions and a few cells that are not numbers.
    """
    form = _find_format(section, labels, notes, warnings, declared)
    if form.task != "regression" and section.decimal is not None:
        warnings.append("data.decimal: labels are not read as numbers, so it has no effect")
    return form


def _find_format(
    section: DataSection, labels: list[Any], notes: list[str], warnings: list[str], declared: bool
) -> LabelFormat:
    if isinstance(section.label, list):
        return LabelFormat("multi_label", columns=tuple(section.label), flags=_flags(section.label, labels, notes))
    mark = None if section.decimal is None else MARKS[section.decimal]
    style = number_style(labels, mark, section.task == "regression")
    warnings += _kind_warnings(labels)
    vectors = find_vectors(section, labels, notes)
    if vectors is not None:
        return vectors
    if section.task in ("auto", "multi_label") and are_written_lists(labels):
        notes.append(f"multi-label: labels are lists written as text, such as {labels[0]}")
        return LabelFormat("multi_label", written_lists=True)
    if section.task in ("auto", "multi_label") and are_bare_lists(labels):
        notes.append(f"multi-label: labels are lists without quotes, such as {labels[0]}; each comma ends a label")
        return LabelFormat("multi_label", bare_lists=True)
    task = section.task if section.task != "auto" else _infer_task(section, labels, style, declared, notes, warnings)
    if section.task == "multi_label" and not _joined(section.label_separator, labels):
        warnings += _separator_warnings(section, labels)
    if task == "regression":
        _tell_of_style(style, labels, notes, warnings)
    warnings += _parentheses_warnings(style, labels, task)
    return LabelFormat(task, section.label_separator, numbers=style)


def _flags(names: Sequence[str], cells: Sequence[Sequence[Any]], notes: list[str]) -> tuple[Mapping[str, bool], ...]:
    """What the cells of each label's column mean; said where an empty cell means no."""
    flags = tuple(flags_in(set(map(flag_of, column))) for column in zip(*cells, strict=True))
    marked = [f"'{name}' ({max(words)})" for name, words in zip(names, flags, strict=False) if "" in words]
    if marked:
        notes.append(f"label columns: an empty cell means no, a mark yes: {', '.join(marked)}")
    return flags


def separator_warnings(section: DataSection, labels: list[Any]) -> list[str]:
    """A warning about a separator that the recipe names but no label cell holds."""
    default = DataSection.model_fields["label_separator"].default
    if section.label_separator == default or _joined(section.label_separator, labels):
        return []
    return [f"data.label_separator: no label cell contains '{section.label_separator}', so it has no effect"]


def _joined(separator: str, labels: Sequence[Any]) -> int:
    """Cells that hold the separator."""
    return sum(of_each(lambda label: isinstance(label, str) and separator in label, labels))


def _kind_warnings(labels: Sequence[Any]) -> list[str]:
    """Cells of several kinds; numbers and texts are alike, as in a CSV, and so are a list and the text of one label."""
    kinds = Counter(of_each(kind_of, labels))
    if len(kinds) < 2 or set(kinds) <= {"a number", "a text"} or set(kinds) <= {"a list", "a text"}:
        return []
    counted = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
    return [f"data.label: cells are of several kinds ({counted}): each is a class under its own name. Make them alike"]


def _infer_task(
    section: DataSection,
    labels: list[Any],
    style: NumberStyle,
    declared: bool,
    notes: list[str],
    warnings: list[str],
) -> Task:
    if any(isinstance(label, list) for label in labels):
        notes.append("multi-label: labels are lists")
        warnings += repeat_warnings(labels)
        return "multi_label"
    joined = _joined(section.label_separator, labels)
    if joined >= max(1, MULTI_LABEL_FRACTION * len(labels)):
        notes.append(
            f"multi-label: {joined} label cells contain '{section.label_separator}' (if they are single labels: "
            "data.task=single_label)"
        )
        return "multi_label"
    if section.label_map or declared:
        return "single_label"  # numbers that have names are classes
    if style.is_amount:
        warnings += _sign_warnings(style, labels)
        return "single_label"
    task = _task_of_numbers(section, labels, style, notes, warnings)
    if task == "single_label":
        warnings += _separator_warnings(section, labels)
    return task


def _sign_warnings(style: NumberStyle, labels: Sequence[Any]) -> list[str]:
    """Numbers with a currency, unit or %, which are classes until the recipe says that they are numbers."""
    signed = [label for label in labels if style.has_sign(label)]
    return [
        f"data.label: {len(signed)} of {len(labels)} labels are numbers with {_shown_sign(style)}, such as "
        f"{signed[0]!r}, used as {len(set(labels))} classes. To predict the number: {AS_NUMBERS.for_command_line()}"
    ]


def _task_of_numbers(
    section: DataSection, labels: list[Any], style: NumberStyle, notes: list[str], warnings: list[str]
) -> Task:
    """Regression, or classes, of cells that may be numbers without a sign.

    Raises:
        DataError: Nearly all are numbers, some with fractions.
    """
    plain = style if style.sign == NO_SIGN else PLAIN  # the word of a name such as `topic 12` is no unit
    numbers = of_each(plain.read, labels)
    fractions = plain.grouped or any(number is not None and not number.is_integer() for number in numbers)
    odd = [label for label, number in zip(labels, numbers, strict=True) if number is None]
    if numbers and not odd:
        if fractions:
            what = "with fractions" if not plain.grouped else "with thousands set apart"
            notes.append(f"regression: labels are numbers {what} (if they are classes: data.task=single_label)")
            return "regression"
        return _task_of_whole_numbers([int(number) for number in numbers if number is not None], notes, warnings)
    other = replace(plain, decimal="," if plain.decimal == "." else ".")
    if odd and section.decimal is None and all(other.read(label) is not None for label in odd):
        first = next(label for label, number in zip(labels, numbers, strict=True) if number is not None)
        raise DataError(
            f"labels are numbers, some with a decimal comma and some with a point: {len(labels) - len(odd)} are like "
            f"{first!r}, {len(odd)} like {odd[0]!r}. Write them alike, or say that labels are classes.",
            AS_CLASSES,
            key="data.label",
            found=odd[0],
        )
    if not 0 < len(odd) <= ODD_FRACTION * len(labels):
        return "single_label"
    if fractions:
        several = Change(settings={"data.label_separator": ","}, note="several labels in a cell")
        raise DataError(
            f"{len(labels) - len(odd)} of {len(labels)} labels are numbers, some with fractions, but {odd[0]!r} is "
            "not. Correct it, leave such rows out, or say that labels are classes.",
            Change(settings={"data.task": "regression", "data.skip_bad_rows": True}, note="leaves such rows out"),
            replace(AS_CLASSES, note="classes"),
            *([several] if plain.decimal == "," else []),
            key="data.label",
            found=odd[0],
        )
    notes.append(
        f"{len(labels) - len(odd)} of {len(labels)} labels are numbers, but {odd[0]!r} is not: used as classes (if "
        "they are numbers, correct that cell and: --set data.task=regression)"
    )
    return "single_label"


def _task_of_whole_numbers(numbers: list[int], notes: list[str], warnings: list[str]) -> Task:
    """Codes from 0 or 1 are classes, and so is what has rows enough; other whole numbers are amounts."""
    different = sorted(set(numbers))
    codes = different[0] in (0, 1) and different[-1] - different[0] == len(different) - 1
    if not codes and len(different) > FEW_CLASSES and len(numbers) < FEW_ROWS * len(different):
        notes.append(
            f"regression: labels are {len(different)} different whole numbers in {len(numbers)} rows (if they are "
            "classes: data.task=single_label)"
        )
        return "regression"
    if len(different) > MANY_CLASSES:
        warnings.append(
            f"data.label: labels are {len(different)} different whole numbers, used as classes; to predict the number: "
            f"{AS_NUMBERS.for_command_line()}"
        )
    return "single_label"


def _tell_of_style(style: NumberStyle, labels: Sequence[Any], notes: list[str], warnings: list[str]) -> None:
    """How numbers are read that are not written as Python writes them."""
    other = Change(settings={"data.decimal": "comma" if style.decimal == "." else "point"}).for_command_line()
    if style.unclear is not None:
        mark = "," if "," in style.unclear else "."
        doubt = "sets thousands apart. If it does" if mark == style.decimal else "is the decimal mark. If it is"
        warnings.append(
            f"data.label: numbers: {style.unclear!r} is read as {style.read(style.unclear):g}, as no label tells "
            f"whether the {'comma' if mark == ',' else 'point'} {doubt}: {other}"
        )
        return
    different = [label for label in labels if style.read(label) not in (None, as_number(label))]
    if not different:
        return
    read = f"numbers: {different[0]!r} is read as {style.read(different[0]):g}"
    several = Change(settings={"data.label_separator": ","}).for_command_line()
    joined = _joined(",", labels)
    also = f" (if cells hold several labels: {several})" if style.decimal == "," and joined < len(labels) else ""
    marked = f": the decimal mark is '{style.decimal}'{also}" if {".", ","} & set("".join(different)) else ""
    notes.append(f"{read}{marked}")
    bare = sum(style.read(label) is not None and not style.has_sign(label) for label in labels)
    if style.sign != NO_SIGN and bare:
        warnings.append(
            f"data.label: {bare} of {len(labels)} numbers lack {_shown_sign(style)}, which the others have; all are "
            "read as the same unit"
        )


def _parentheses_warnings(style: NumberStyle, labels: Sequence[Any], task: Task) -> list[str]:
    """Numbers in parentheses: negative amounts, or, beside bare numbers, classes that may be meant as such."""
    enclosed = list(compress(labels, of_each(style.in_parentheses, labels)))
    if not enclosed:
        return []
    counted = f"data.label: {len(enclosed)} of {len(labels)} labels are numbers in parentheses"
    if task == "regression":
        return [f"{counted}, which are read as negative: {enclosed[0]!r} is {style.read(enclosed[0]):g}"]
    if task != "single_label" or not any(of_each(lambda label: style.read(label) is not None, labels)):
        return []
    return [
        f"{counted}, such as {enclosed[0]!r}, used as classes. If they are negative amounts: "
        f"{AS_NUMBERS.for_command_line()}"
    ]


def _shown_sign(style: NumberStyle) -> str:
    return f"'{' '.join(part for part in style.sign if part)}'"


def _are_tags(parts: Mapping[str, int], cells: Collection[str]) -> bool:
    """Whether words are labels with a space between them, and no parts of names such as `very good`: each is a cell by
    itself, too, or there are many combinations of them."""
    return all(part in cells for part in parts) or len(cells) >= COMBINATIONS * len(parts)


def _separator_warnings(section: DataSection, labels: Sequence[Any]) -> list[str]:
    """Another separator than the named one, where most parts of the joined cells are in other cells too."""
    cells = Counter(labels if are_texts(labels) else [label for label in labels if isinstance(label, str)])
    for separator in SEPARATORS:
        joined = sum(count for cell, count in cells.items() if separator in cell)
        if separator == section.label_separator or joined < max(2, MULTI_LABEL_FRACTION * len(labels)):
            continue
        parts = Counter(part for cell in cells for part in {part.strip() for part in cell.split(separator)})
        if separator == " " and not _are_tags(parts, cells):
            continue
        of_joined = {part.strip() for cell in cells if separator in cell for part in cell.split(separator)}
        if 2 * sum(parts[part] > 1 for part in of_joined) > len(of_joined):
            advice = Change(settings={"data.label_separator": separator}).for_command_line()
            return [
                f"data.label: {joined} label cells contain '{separator}', and other cells contain the same parts: each "
                f"cell is used as one label. If they are several labels: {advice}"
            ]
    return []
