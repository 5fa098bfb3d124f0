"""Label cells -> labels: names, lists, delimited texts, 0/1 columns or numbers. No cell silently changes meaning."""

import ast
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.data.rows import Rows
from finetune.data.table import BadRows
from finetune.errors import DataError, suggest
from finetune.tasks import Task

MOSTLY = 0.95  # share of cells that read as lists from which all are
FLAGS = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
# How numpy prints an array: Python would read ['a' 'b'] as ['ab'].
NO_COMMAS = re.compile(r"""\[\s*(?:(?:'[^']*'|"[^"]*"|[\d.]+)\s+)+(?:'[^']*'|"[^"]*"|[\d.]+)\s*\]""")


@dataclass(frozen=True)
class LabelFormat:
    """How label cells are to be read.

    Attributes:
        task: single_label, multi_label or regression.
        separator: Between the labels of a multi-label cell.
        written_lists: Cells are lists written as text, such as ["a", "b"].
        columns: Names of the labels, where each has a 0/1 column.
    """

    task: Task
    separator: str = "|"
    written_lists: bool = False
    columns: tuple[str, ...] = ()


def parse_labels(rows: Rows, form: LabelFormat, origin: str, bad: BadRows) -> Rows:
    """Turn label cells into str, list[str] or float; rows where that fails go to `bad`.

    Raises:
        DataError: A cell is not what the task needs, and such rows are not to be skipped; or no row is left.
    """
    parse = _parser(form)
    labels: list[Any] = []
    keep: list[int] = []
    for index, cell in enumerate(rows.labels):
        try:
            labels.append(parse(cell))
            keep.append(index)
        except ValueError as error:
            bad.add(f"{origin} row {rows.ids[index]}: label {_shown(cell, form)!r} {error}.")
    if not keep:
        raise DataError(f"{origin}: no rows are left of {len(rows)}: none has a label that can be read.")
    kept = rows if len(keep) == len(rows) else rows.take(keep)
    return replace(kept, labels=labels)


def _parser(form: LabelFormat) -> Callable[[Any], Any]:
    if form.columns:
        return lambda cells: [name for name, cell in zip(form.columns, cells, strict=True) if _parse_flag(name, cell)]
    if form.task == "single_label":
        return parse_name
    if form.task == "regression":
        return _parse_number
    if form.written_lists:
        return lambda cell: _parse_names(cell if is_blank(cell) else read_list(cell), form.separator)
    return lambda cell: _parse_names(cell, form.separator)


def _shown(cell: Any, form: LabelFormat) -> Any:
    """The cell to blame."""
    if not form.columns:
        return cell
    return next((part for part in cell if str(part).strip().lower() not in FLAGS), cell)


def is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def parse_name(cell: Any) -> str:
    """Raises:
    ValueError: The cell holds several.
    """
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
        parts = [parse_name(part) for part in cell]
    else:
        parts = parse_name(cell).split(separator)
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _parse_flag(name: str, cell: Any) -> bool:
    flag = FLAGS.get(str(cell).strip().lower())
    if flag is None:
        raise ValueError(f"in column '{name}' is neither 0 nor 1 (nor true or false)")
    return flag


def _parse_number(cell: Any) -> float:
    number = as_number(cell)
    if number is None:
        raise ValueError("is no number, but data.task is regression")
    return number


def as_number(cell: Any) -> float | None:
    """The finite number that a cell is, if it is one."""
    if isinstance(cell, bool | list | dict) or cell is None:
        return None
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def are_written_lists(cells: Sequence[Any]) -> bool:
    """Whether cells are lists written as text, by JSON or by Python (a list that pandas saved to CSV).

    Raises:
        DataError: They are printed numpy arrays, of which it is not certain where a label ends.
    """
    boxed = [cell for cell in cells if isinstance(cell, str) and cell.strip()[:1] == "[" and cell.strip()[-1:] == "]"]
    if not boxed or len(boxed) < MOSTLY * len(cells):
        return False
    printed = next((cell for cell in boxed if NO_COMMAS.fullmatch(cell.strip())), None)
    if printed is not None:
        raise DataError(
            f"data.label: {printed!r} is how numpy prints an array, and where a label ends is lost in it. Save lists "
            "(array.tolist()), or join the labels by '|'."
        )
    return sum(_reads_as_list(cell) for cell in boxed) >= MOSTLY * len(cells)


def _reads_as_list(cell: str) -> bool:
    try:
        read_list(cell)
    except ValueError:
        return False
    return True


def read_list(cell: Any) -> list[Any]:
    """`["a", "b"]` or `['a', 'b']`.

    Raises:
        ValueError: The cell is nothing of the kind.
    """
    if isinstance(cell, list):
        return cell
    try:
        found = json.loads(cell)
    except (TypeError, ValueError, RecursionError):
        try:
            found = ast.literal_eval(str(cell).strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError("is no list of labels, as the other cells are") from error
    if not isinstance(found, list):
        raise ValueError("is no list of labels, as the other cells are")
    return found


def map_labels(splits: dict[str, Rows], mapping: dict[str, str], warnings: list[str]) -> dict[str, Rows]:
    """Give labels the names of `data.label_map`.

    Raises:
        DataError: A label is not in it.
    """
    used: set[str] = set()
    mapped = {}
    for split, rows in splits.items():
        labels: list[Any] = []
        for label, row_id in zip(rows.labels, rows.ids, strict=True):
            names = label if isinstance(label, list) else [label]
            for name in names:
                if name not in mapping:
                    where = "" if split == "all" else f" of {split}"
                    raise DataError(
                        f"data.label_map: misses {name!r}, the label of row {row_id}{where}.{suggest(name, mapping)} "
                        "Every label needs a name there."
                    )
            used.update(names)
            # Two labels may get one name: a row has it once.
            new = list(dict.fromkeys(mapping[name] for name in names))
            labels.append(new if isinstance(label, list) else new[0])
        mapped[split] = replace(rows, labels=labels)
    idle = [name for name in mapping if name not in used]
    if idle:
        warnings.append(f"data.label_map: no row is labelled {', '.join(map(repr, idle[:10]))}")
    return mapped
