"""Tables -> rows: texts, groups and order are read from their cells; rows that cannot be used are counted."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from finetune.data.columns import Columns, other_column, require_columns
from finetune.data.label_cells import as_number, is_blank
from finetune.data.rows import Rows
from finetune.data.table import BadRows, Table, UnusableColumn
from finetune.errors import DataError, suggest
from finetune.recipe import DataSection
from finetune.recipe.template import template_parts
from finetune.tasks import Task

Value = TypeVar("Value")
MOSTLY = 0.95  # fraction of texts that are numbers, from which a column is taken for a wrong choice


def extract_rows(
    section: DataSection, table: Table, columns: Columns, task: Task, bad: BadRows, dropped: Counter[str]
) -> Rows:
    """Take the columns, leave out rows that cannot be used (counted in `dropped`). Labels stay cells.

    Args:
        section: What the recipe says of its data.
        table: Where the rows are.
        columns: Which column is what.
        task: In multi-label data an empty cell means no label; else it means that the row is not labelled.
        bad: Takes rows whose group or order cannot be read.
        dropped: Reason -> rows left out.

    Raises:
        DataError: A column is missing or holds no texts, or no row is left.
    """
    require_columns(columns, table)
    texts, pairs = extract_texts(section, table, columns)
    labels = label_cells(table, columns)
    below = _below_minimum(section, table)
    keep: list[int] = []
    for index, text in enumerate(texts):
        if index in below:
            dropped["below data.minimum"] += 1
        elif not text.strip() or (pairs is not None and not pairs[index].strip()):
            dropped["empty text"] += 1
        elif task != "multi_label" and is_blank(labels[index]):
            dropped["empty label"] += 1
        else:
            keep.append(index)
    groups = order = None
    if "group" in columns.others:
        groups = _read_cells(table, columns.others["group"], keep, "group", _as_group, bad)
        keep = [index for index in keep if index in groups]
    if "order_by" in columns.others:
        name = columns.others["order_by"]
        order = _read_cells(table, name, keep, "order_by", _order_reader(_cells(table, name, "order_by")), bad)
        keep = [index for index in keep if index in order]
    if not keep:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in (dropped + bad.dropped()).items())
        raise DataError(f"{table.origin}: no rows are left of {len(texts)} after cleaning ({reasons}).")
    return Rows(
        [texts[i] for i in keep],
        None if pairs is None else [pairs[i] for i in keep],
        [labels[i] for i in keep],
        [str(i + 1) for i in keep],
        None if groups is None else [groups[i] for i in keep],
        None if order is None else [order[i] for i in keep],
    )


def extract_texts(section: DataSection, table: Table, columns: Columns) -> tuple[list[str], list[str] | None]:
    """The text of each row and, for pairs, the second ones. Empty cells are empty texts.

    Raises:
        DataError: A column holds no texts.
    """
    texts = _texts(table, columns.text, "text") if section.template is None else _joined_texts(table, section.template)
    pairs = None if columns.text_pair is None else _texts(table, columns.text_pair, "text_pair")
    _refuse_numbers(texts, columns.text, table, "text" if section.template is None else "template")
    return texts, pairs


def label_cells(table: Table, columns: Columns) -> list[Any]:
    """A cell a row; a tuple of cells where every label has a column of its own."""
    if isinstance(columns.label, str):
        return list(_cells(table, columns.label, "label"))
    return list(zip(*(_cells(table, name, "label") for name in columns.label), strict=True))


def filled_labels(table: Table, columns: Columns) -> list[Any]:
    """The label cells that are not empty: what the task is inferred from."""
    return [cell for cell in label_cells(table, columns) if not is_blank(cell)]


def _cells(table: Table, column: str, key: str) -> Iterator[Any]:
    """The cells of a column that a key of the recipe names.

    Raises:
        DataError: It holds what cannot be used; says how to name another.
    """
    try:
        yield from table.columns[column]
    except UnusableColumn as error:
        raise DataError(replace(error.problems[0], changes=(other_column(key),))) from error


def _texts(table: Table, column: str, key: str) -> list[str]:
    return [_as_text(value, column, table, key) for value in _cells(table, column, key)]


def _as_text(value: Any, column: str, table: Table, key: str) -> str:
    if isinstance(value, list | dict | bool):
        raise DataError(f"{table.origin}: column '{column}' holds {value!r}, which is not a text.", other_column(key))
    return "" if value is None else value if isinstance(value, str) else str(value)


def _joined_texts(table: Table, template: str) -> list[str]:
    """Texts of the template; empty where all of its columns are."""
    parts = template_parts(template)
    tail = "".join(literal for literal, name in parts if name is None)
    fields = [(literal, name) for literal, name in parts if name is not None]
    texts = []
    for cells in zip(*(_texts(table, name, "template") for _, name in fields), strict=True):
        filled = any(cell.strip() for cell in cells)
        joined = "".join(literal + cell for (literal, _), cell in zip(fields, cells, strict=True))
        texts.append(joined + tail if filled else "")
    return texts


def _refuse_numbers(texts: list[str], column: str, table: Table, key: str) -> None:
    filled = [text for text in texts if text.strip()]
    numbers = sum(as_number(text) is not None for text in filled)
    if filled and numbers >= MOSTLY * len(filled):
        raise DataError(
            f"{table.origin}: column '{column}' holds numbers, not texts (first: {filled[0]!r}). "
            f"Columns: {', '.join(table.columns)}.",
            other_column(key),
        )


def _below_minimum(section: DataSection, table: Table) -> set[int]:
    """Rows with less than the minimum in a column, or with no number there."""
    below: set[int] = set()
    for name, minimum in section.minimum.items():
        if name not in table.columns:
            raise DataError(
                f"{table.origin} has no column '{name}'.{suggest(name, table.columns)}", key="data.minimum", found=name
            )
        for index, value in enumerate(table.columns[name]):
            number = as_number(str(value))
            if number is None or number < minimum:
                below.add(index)
    return below


def _read_cells(
    table: Table, column: str, rows: Iterable[int], key: str, read: Callable[[Any], Value], bad: BadRows
) -> dict[int, Value]:
    """Row -> its cell as `read` has it, for those of `rows` that it can read."""
    usable = set(rows)
    values: dict[int, Value] = {}
    for index, cell in enumerate(_cells(table, column, key)):
        if index in usable:
            try:
                values[index] = read(cell)
            except ValueError as error:
                bad.add(f"{table.origin} row {index + 1}: column '{column}' (data.{key}) {error}.")
    return values


def _as_group(cell: Any) -> str:
    if is_blank(cell):
        raise ValueError("is empty, so the group of the row is unknown")
    return str(cell).strip()


def _order_reader(cells: Iterable[Any]) -> Callable[[Any], float]:
    """Numbers or dates: whatever most of the filled cells are."""
    filled = [str(cell) for cell in cells if not is_blank(cell)]
    numbers = sum(as_number(cell) is not None for cell in filled)
    position = _as_number if 2 * numbers >= len(filled) else _as_time

    def read(cell: Any) -> float:
        if is_blank(cell):
            raise ValueError("is empty, so the position of the row is unknown")
        return position(cell)

    return read


def _as_number(cell: Any) -> float:
    number = as_number(str(cell))
    if number is None:
        raise ValueError(f"holds {cell!r}, where other rows have numbers")
    return number


def _as_time(cell: Any) -> float:
    """Seconds since 1970; without a time zone, in UTC."""
    try:
        time = datetime.fromisoformat(str(cell).strip())
    except ValueError as error:
        raise ValueError(
            f"holds {cell!r}, which is neither a number nor a date such as 2024-05-31 or 2024-05-31T14:00. Write dates "
            "with the year first"
        ) from error
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
