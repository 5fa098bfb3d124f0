"""Label cells -> labels: names, lists, delimited texts, 0/1 columns or numbers. No cell silently changes meaning."""

import ast
import json
import re
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress, repeat
from typing import Any

from finetune.data.equal_cells import are_texts, of_each
from finetune.data.flags import FLAGS, described, flag_of
from finetune.data.numbers import PLAIN, NumberStyle
from finetune.data.rows import Rows, names_of
from finetune.data.table import BadRows
from finetune.data.votes import renamed
from finetune.errors import Change, DataError, Problem, suggest
from finetune.tasks import Task

BOXES = ("[]", "()", "{}")  # around a list, a tuple, a set
MOSTLY = 0.95  # fraction of cells that must read as lists, for all to be read so
# How numpy prints an array: Python would read ['a' 'b'] as ['ab'].
NO_COMMAS = re.compile(r"""\[\s*(?:(?:'[^']*'|"[^"]*"|[\d.]+)\s+)+(?:'[^']*'|"[^"]*"|[\d.]+)\s*\]""")


class CellError(ValueError):
    """A cell does not fit the format of the labels.

    Attributes:
        changes: Ways to read it.
    """

    def __init__(self, why: str, *changes: Change) -> None:
        super().__init__(why)
        self.changes = changes


@dataclass(frozen=True)
class LabelFormat:
    """How label cells are to be read.

    Attributes:
        task: single_label, multi_label or regression.
        separator: Separates the labels of a multi-label cell.
        written_lists: Cells are lists written as text, such as ["a", "b"].
        bare_lists: Cells are lists written without quotes, such as [a, b].
        places: Cells are lists of this many zeros and ones, one for each label; 0 where they are not.
        columns: Names of the labels, if each has a 0/1 column.
        flags: What their cells mean, in the same order; 0 and 1 where it is empty.
        numbers: How numbers are written.
    """

    task: Task
    separator: str = "|"
    written_lists: bool = False
    bare_lists: bool = False
    places: int = 0
    columns: tuple[str, ...] = ()
    flags: tuple[Mapping[str, bool], ...] = ()
    numbers: NumberStyle = PLAIN


def parse_labels(rows: Rows, form: LabelFormat, origin: str, bad: BadRows) -> Rows:
    """Convert label cells to str, list[str] or float; rows where that fails go to `bad`.

    Raises:
        DataError: A cell does not fit the task, and such rows are not to be skipped; or no row is left.
    """
    labels, keep = _parsed(rows, form, origin, bad)
    if not keep:
        raise DataError(f"{origin}: none of its {len(rows)} rows has a label that can be read.", key="data.label")
    kept = rows if len(keep) == len(rows) else rows.take(keep)
    votes = None if kept.votes is None else [[parse_name(vote) for vote in each] for each in kept.votes]
    return replace(kept, labels=labels, votes=votes)


def _parsed(rows: Rows, form: LabelFormat, origin: str, bad: BadRows) -> tuple[list[Any], Sequence[int]]:
    """The labels that can be read, and their positions."""
    parse = _parser(form)
    if form.task == "single_label" and not form.places and are_texts(rows.labels):  # every text is a name
        return of_each(parse, rows.labels), range(len(rows))
    labels: list[Any] = []
    keep = array("q")
    for index, cell in enumerate(rows.labels):
        try:
            labels.append(parse(cell))
            keep.append(index)
        except CellError as error:
            why = f"{origin} row {rows.ids[index]}: label {_cell_to_blame(cell, form)!r} {error}."
            bad.add(Problem(why, changes=error.changes))
    return labels, keep


def _parser(form: LabelFormat) -> Callable[[Any], Any]:
    if form.columns:
        flags = form.flags or (FLAGS,) * len(form.columns)
        return lambda cells: [
            name for name, cell, words in zip(form.columns, cells, flags, strict=True) if _parse_flag(name, cell, words)
        ]
    if form.places:
        as_names = partial(_names_of_places, form.places)
        return as_names if form.task == "multi_label" else lambda cell: _only(as_names(cell))
    if form.task == "single_label":
        return parse_name
    if form.task == "regression":
        return lambda cell: _parse_number(cell, form.numbers)
    if form.bare_lists:
        return lambda cell: _parse_names(cell if is_blank(cell) else _read_bare_list(cell), ",")
    if form.written_lists:
        return lambda cell: _parse_names(cell if is_blank(cell) else read_list(cell), form.separator)
    return lambda cell: _parse_names(cell, form.separator)


def _cell_to_blame(cell: Any, form: LabelFormat) -> Any:
    """Where each label has a column, the cell that is no flag."""
    if not form.columns:
        return cell
    flags = form.flags or (FLAGS,) * len(form.columns)
    return next((part for part, words in zip(cell, flags, strict=True) if flag_of(part) not in words), cell)


def is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def parse_name(cell: Any) -> str:
    """Raises:
    CellError: The cell holds several labels.
    """
    if isinstance(cell, list | dict):
        several = Change(settings={"data.task": "multi_label"}, note="for lists of labels")
        raise CellError("is not a single label", several)
    return cell_name(cell)


def cell_name(cell: Any) -> str:
    """A cell as text: whole numbers without a fraction, and no surrounding spaces."""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()


def _parse_names(cell: Any, separator: str) -> list[str]:
    if cell is None:
        return []
    if isinstance(cell, list):
        if not all(isinstance(part, str | int | float) for part in cell):
            raise CellError("holds something that is not a label name")
        parts = [parse_name(part) for part in cell]
    else:
        parts = parse_name(cell).split(separator)
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _names_of_places(places: int, cell: Any) -> list[str]:
    """The positions of the ones in a list of zeros and ones, from 0.

    Raises:
        CellError: The cell is no such list.
    """
    parts = [] if is_blank(cell) else read_list(cell)
    if parts and (len(parts) != places or not are_flags_of_places(parts)):
        raise CellError(f"is not a list of {places} zeros and ones, unlike the others")
    return [str(place) for place, part in enumerate(parts) if part]


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise CellError("does not hold exactly one 1, unlike the others", Change(settings={"data.task": "multi_label"}))
    return names[0]


def are_flags_of_places(parts: Sequence[Any]) -> bool:
    """Whether all parts of a list are 0 or 1, as numbers or truth values."""
    return all(isinstance(part, int | float) and part in (0, 1) for part in parts)


def _parse_flag(name: str, cell: Any, words: Mapping[str, bool]) -> bool:
    flag = words.get(flag_of(cell))
    if flag is None:
        raise CellError(f"in column '{name}' is neither {described(words)}")
    return flag


def _parse_number(cell: Any, style: NumberStyle) -> float:
    number = style.read(cell)
    if number is None:
        is_plain = replace(style, parentheses=False) == PLAIN
        as_others = "" if is_plain else f" written as the others (decimal mark '{style.decimal}')"
        raise CellError(f"is not a number{as_others}, but data.task is regression")
    return number


def are_written_lists(cells: Sequence[Any]) -> bool:
    """Whether cells are lists written as text, by JSON or by Python (a list that pandas saved to CSV).

    Raises:
        DataError: They are printed numpy arrays, in which the end of a label cannot be seen.
    """
    boxed = list(compress(cells, of_each(lambda cell: _is_boxed(cell, BOXES), cells)))
    if not boxed or len(boxed) < MOSTLY * len(cells):
        return False
    printed = next((cell for cell in boxed if NO_COMMAS.fullmatch(cell.strip())), None)
    if printed is not None:
        raise DataError(
            f"{printed!r} is how numpy prints an array, which does not show where a label ends. Save lists "
            "(array.tolist()), or join the labels by '|'.",
            key="data.label",
        )
    return sum(_reads_as_list(cell) for cell in boxed) >= MOSTLY * len(cells)


def _is_boxed(cell: Any, boxes: Collection[str] = BOXES[:1]) -> bool:
    return isinstance(cell, str) and cell.strip()[:1] + cell.strip()[-1:] in boxes


def are_bare_lists(cells: Sequence[Any]) -> bool:
    """Whether cells are lists without quotes, such as `[a, b]`, as YAML and some programs print them.

    A column of names such as `[POS]` has none with a comma.
    """
    boxed = list(compress(cells, of_each(_is_boxed, cells)))
    return (
        len(boxed) >= MOSTLY * len(cells)
        and any("," in cell for cell in boxed)
        and not any(set(cell) & set("\"'") for cell in boxed)
    )


def _read_bare_list(cell: Any) -> str:
    """What stands between the brackets.

    Raises:
        CellError: There are none.
    """
    if not _is_boxed(cell):
        raise CellError("is not a list of labels, although the other cells are")
    return str(cell).strip()[1:-1]


def _reads_as_list(cell: str) -> bool:
    try:
        read_list(cell)
    except CellError:
        return False
    return True


def as_written_list(cell: str) -> bool:
    """Whether a text is a list of texts as JSON or Python writes it."""
    if not _is_boxed(cell) or not set(cell) & set("\"'"):
        return False
    try:
        return all(isinstance(part, str) for part in read_list(cell))
    except CellError:
        return False


def read_list(cell: Any) -> list[Any]:
    """The list in a cell such as `["a", "b"]` or `['a', 'b']`, as an object or as text; a Python tuple or set counts as
    a list, too.

    Raises:
        CellError: The cell is not a list.
    """
    if isinstance(cell, list):
        return cell
    try:
        content = json.loads(cell)
    except (TypeError, ValueError, RecursionError):
        try:
            content = ast.literal_eval(str(cell).strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise CellError("is not a list of labels, although the other cells are") from error
    if not isinstance(content, list | tuple | set):
        raise CellError("is not a list of labels, although the other cells are")
    return list(content) if isinstance(content, list | tuple) else sorted(content, key=str)


def map_labels(splits: dict[str, Rows], mapping: dict[str, str], warnings: list[str]) -> dict[str, Rows]:
    """Give labels the names of `data.label_map`.

    Raises:
        DataError: A label is not in it.
    """
    used: set[str] = set()
    mapped = {}
    for split, rows in splits.items():
        labels: list[Any] = []
        for label, row_id, votes in zip(rows.labels, rows.ids, rows.votes or repeat(()), strict=False):
            names = names_of(label)
            for name in (*names, *votes):
                if name not in mapping:
                    where = "" if split == "all" else f" of {split}"
                    raise DataError(
                        f"lacks {name!r}, the label of row {row_id}{where}.{suggest(name, mapping)} Every label needs "
                        "a name there.",
                        key="data.label_map",
                        found=name,
                    )
            used.update(names, votes)
            # Two labels may get one name: a row has it once.
            new = list(dict.fromkeys(mapping[name] for name in names))
            labels.append(new if isinstance(label, list) else new[0])
        mapped[split] = renamed(replace(rows, labels=labels), mapping)
    idle = [name for name in mapping if name not in used]
    if idle:
        warnings.append(f"data.label_map: no row has the label {', '.join(map(repr, idle[:10]))}")
    return mapped
