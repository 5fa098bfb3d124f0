"""Tables -> rows: texts, groups and order are read from their cells; rows that cannot be used are counted."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import compress
from typing import Any, TypeVar

from finetune.data.columns import Columns, require_columns
from finetune.data.equal_cells import of_each
from finetune.data.label_cells import cell_name, is_blank
from finetune.data.numbers import as_number
from finetune.data.row_names import read_names
from finetune.data.rows import Rows
from finetune.data.table import BadRows, RowNumbers, Table, Unreadable, pick, readable_rows, unreadable_rows
from finetune.data.texts import cells_of, joined_texts, read_pairs, read_texts, refuse_numbers
from finetune.errors import DataError, shorten, suggest
from finetune.recipe import DataSection
from finetune.tasks import Task

Value = TypeVar("Value")
SHOWN = 10  # values of a column in a message


def extract_rows(
    section: DataSection, table: Table, columns: Columns, task: Task, bad: BadRows, dropped: Counter[str]
) -> Rows:
    """Take the columns, leave out rows that cannot be used (counted in `dropped`). Labels stay cells.

    Args:
        section: The data section of the recipe.
        table: The table with the rows.
        columns: The roles of the columns.
        task: In multi-label data an empty cell means no label; else it means that the row is not labelled.
        bad: Takes rows whose texts, labels, group or order cannot be read.
        dropped: Reason -> rows left out.

    Raises:
        DataError: A column is missing or holds no texts, or no row is left.
    """
    require_columns(columns, table)
    texts, pairs = extract_texts(section, table, columns)
    labels = label_cells(table, columns)
    below, refused = _below_minimum(section, table), _not_kept(section, table)
    unreadable = unreadable_rows(texts, pairs or (), labels)
    unlabelled = [False] * len(labels) if task == "multi_label" else of_each(is_blank, labels)
    keep: Sequence[int] = (kept := array("q"))
    for index, text in enumerate(texts):
        if index in unreadable:
            bad.add(unreadable[index])
        elif index in refused:
            dropped["not in data.keep"] += 1
        elif index in below:
            dropped["below data.minimum"] += 1
        elif not text.strip() or (pairs is not None and not pairs[index].strip()):
            dropped["empty text"] += 1
        elif unlabelled[index]:
            dropped["empty label"] += 1
        else:
            kept.append(index)
    if len(kept) == len(texts):
        keep = range(len(texts))
    groups = order = None
    if "group" in columns.others:
        groups = _read_cells(table, columns.others["group"], keep, "group", _as_group, bad)
        keep = [index for index in keep if index in groups]
    if "order_by" in columns.others:
        name = columns.others["order_by"]
        order = _read_cells(table, name, keep, "order_by", _order_reader(cells_of(table, name, "order_by")), bad)
        keep = [index for index in keep if index in order]
    if not keep:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in (dropped + bad.dropped()).items())
        raise DataError(f"{table.origin}: no rows are left of {len(texts)} after cleaning ({reasons}).")
    return Rows(
        pick(texts, keep),
        None if pairs is None else pick(pairs, keep),
        [labels[i] for i in keep],
        pick(RowNumbers(len(texts)), keep) if table.numbers is None else [str(table.number(i)) for i in keep],
        None if groups is None else [groups[i] for i in keep],
        None if order is None else [order[i] for i in keep],
        None if table.votes is None else [table.votes[i] for i in keep],
        read_names(table, columns, keep),
    )


def extract_texts(section: DataSection, table: Table, columns: Columns) -> tuple[Sequence[str], Sequence[str] | None]:
    """The text of each row and, for pairs, the second ones. Empty cells are empty texts.

    Raises:
        DataError: A column holds no texts.
    """
    texts, pairs = texts_as_written(section, table, columns)
    refuse_numbers(texts, columns.text, table, "text" if section.template is None else "template")
    return texts, pairs


def texts_to_read(
    section: DataSection, table: Table, columns: Columns
) -> tuple[Table, Sequence[str], Sequence[str] | None]:
    """The rows of a table whose texts can be read, with their texts. Damaged cells of other columns cost no row.

    Raises:
        DataError: A column holds no texts.
    """
    texts, pairs = extract_texts(section, table, columns)
    kept = readable_rows(table, texts, pairs or ())
    if len(kept) == len(table):
        return table, texts, pairs
    return kept, *extract_texts(section, kept, columns)


def label_cells(table: Table, columns: Columns) -> list[Any]:
    """One cell per row; a tuple of cells if every label has its own column."""
    if isinstance(columns.label, str):
        return list(cells_of(table, columns.label, "label"))
    return list(zip(*(cells_of(table, name, "label") for name in columns.label), strict=True))


def filled_labels(table: Table, columns: Columns) -> list[Any]:
    """The label cells that are not empty, from which the task is inferred."""
    cells = label_cells(table, columns)
    return list(compress(cells, of_each(lambda cell: not (is_blank(cell) or isinstance(cell, Unreadable)), cells)))


def texts_as_written(
    section: DataSection, table: Table, columns: Columns
) -> tuple[Sequence[str], Sequence[str] | None]:
    """First and second texts of each row, even if a column consists of numbers and so holds no texts."""
    if section.template is not None:
        texts: Sequence[str] = joined_texts(table, section.template)
    elif columns.shape == "pair":
        return read_pairs(table, columns.text)
    else:
        texts = read_texts(table, columns.text, "text", columns.shape)
    return texts, None if columns.text_pair is None else read_texts(table, columns.text_pair, "text_pair")


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


def _not_kept(section: DataSection, table: Table) -> set[int]:
    """Rows that lack, in a column of `data.keep`, each of the values that are kept.

    Raises:
        DataError: A column is missing, or no row has a value that is kept; lists the values.
    """
    refused: set[int] = set()
    for name, values in section.keep.items():
        if name not in table.columns:
            why = f"{table.origin} has no column '{name}'.{suggest(name, table.columns)}"
            raise DataError(why, key="data.keep", found=name)
        kept = {_cell_value(value) for value in (values if isinstance(values, list) else [values])}
        cells = [_cell_value(cell) for cell in cells_of(table, name, "keep")]
        if kept.isdisjoint(cells):
            counted = [f"{value or 'empty'} ({count})" for value, count in Counter(cells).most_common()]
            raise DataError(
                f"no row of {table.origin} has {' or '.join(sorted(kept))} in column '{name}', which holds: "
                f"{shorten(counted, SHOWN)}.",
                key="data.keep",
                found=values,
            )
        refused.update(index for index, cell in enumerate(cells) if cell not in kept)
    return refused


def _cell_value(cell: Any) -> str:
    """What makes cells equal to a value of the recipe: case and spaces around it do not count, nor whether a number
    or truth value is written as a text."""
    return "" if cell is None else cell_name(cell).casefold()


def _read_cells(
    table: Table, column: str, rows: Iterable[int], key: str, read: Callable[[Any], Value], bad: BadRows
) -> dict[int, Value]:
    """Row -> its cell as `read` has it, for those of `rows` that it can read."""
    usable = set(rows)
    values: dict[int, Value] = {}
    for index, cell in enumerate(cells_of(table, column, key)):
        if index in usable and isinstance(cell, Unreadable):
            bad.add(cell.why)
        elif index in usable:
            try:
                values[index] = read(cell)
            except ValueError as error:
                bad.add(f"{table.origin} row {table.number(index)}: column '{column}' (data.{key}) {error}.")
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
